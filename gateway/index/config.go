package index

import (
	"fmt"
	"time"
)

// Config says where the rows are.
type Config struct {
	// File is the SQLite database; index.db in the gateway's state folder when empty.
	File string `yaml:"file"`
	// Postgres says to use PostgreSQL instead.
	Postgres PostgresConfig `yaml:"postgres"`
	// BatchBlocks bounds the blocks of one database transaction while catching up;
	// 64 when 0.
	BatchBlocks int `yaml:"batch_blocks"`
	// PollMS is how often, in ms, the peer's height is asked for (it tells the lag)
	// and a database that others write too is looked at; 1000 when 0.
	PollMS int64 `yaml:"poll_ms"`
}

// PostgresConfig says where a PostgreSQL server is.
type PostgresConfig struct {
	// DSN is a connection string or URL of PostgreSQL 13 or later; empty: SQLite. The
	// database must be the index's alone. Several gateways of one operator may share
	// it.
	DSN string `yaml:"dsn"`
}

// maxBatchBlocks bounds BatchBlocks: a batch is in memory.
const maxBatchBlocks = 1000

// Check fills in what is left out and says what is wrong.
func (c *Config) Check() error {
	if c.BatchBlocks == 0 {
		c.BatchBlocks = 64
	}
	if c.BatchBlocks < 1 || c.BatchBlocks > maxBatchBlocks {
		return fmt.Errorf("index.batch_blocks is %d, it must lie between 1 and %d", c.BatchBlocks, maxBatchBlocks)
	}
	if c.PollMS == 0 {
		c.PollMS = 1000
	}
	if c.PollMS < 10 || c.PollMS > 60_000 {
		return fmt.Errorf("index.poll_ms is %d, it must lie between 10 and 60000", c.PollMS)
	}
	if c.Postgres.DSN != "" && c.File != "" {
		return fmt.Errorf("index.file and index.postgres.dsn exclude each other: leave one out")
	}
	return nil
}

// poll is PollMS.
func (c *Config) poll() time.Duration { return time.Duration(c.PollMS) * time.Millisecond }
