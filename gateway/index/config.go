package index

import (
	"errors"
	"fmt"
	"time"

	"github.com/callseal/callseal/gateway/setting"
)

// Config says where the index is.
type Config struct {
	// SQLiteFile is the database in the gateway's own process; index.db in the state
	// folder when empty.
	SQLiteFile string `yaml:"sqlite_file"`
	// Postgres keeps the index in a PostgreSQL server instead.
	Postgres PostgresConfig `yaml:"postgres"`
	// BatchBlocks bounds the blocks of one database transaction while catching up.
	BatchBlocks int `yaml:"batch_blocks"`
	// PollInterval is how often the peer's height is asked for, which tells the lag.
	PollInterval time.Duration `yaml:"poll_interval"`
}

// PostgresConfig says where a PostgreSQL server is.
type PostgresConfig struct {
	// DSN is a connection string or URL of PostgreSQL 13 or later; empty: SQLite. The
	// database is the index's alone; several gateways of one operator may share it.
	DSN setting.Secret `yaml:"dsn"`
}

// maxBatchBlocks bounds BatchBlocks: a batch is in memory.
const maxBatchBlocks = 1000

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config { return Config{BatchBlocks: 64, PollInterval: time.Second} }

// Check says what is wrong.
func (c *Config) Check() error {
	var problems []error
	if c.BatchBlocks < 1 || c.BatchBlocks > maxBatchBlocks {
		problems = append(problems, fmt.Errorf("index.batch_blocks is %d, it must lie between 1 and %d", c.BatchBlocks, maxBatchBlocks))
	}
	if c.PollInterval < 10*time.Millisecond || c.PollInterval > time.Minute {
		problems = append(problems, fmt.Errorf("index.poll_interval is %s, it must lie between 10ms and 1m", c.PollInterval))
	}
	if c.Postgres.DSN != "" && c.SQLiteFile != "" {
		problems = append(problems, errors.New("index.sqlite_file and index.postgres.dsn exclude each other: leave one out"))
	}
	return errors.Join(problems...)
}
