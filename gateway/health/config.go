package health

import (
	"errors"
	"time"

	"github.com/callseal/callseal/gateway/setting"
)

// Config says how health is judged.
type Config struct {
	// Interval is how often each dependency is asked.
	Interval time.Duration `yaml:"interval"`
	// Timeout bounds each answer.
	Timeout time.Duration `yaml:"timeout"`
	// IndexLag is how many blocks the index may be behind the peer.
	IndexLag int `yaml:"index_lag"`
	// DiskFree is what must be free where the gateway keeps its state.
	DiskFree setting.Bytes `yaml:"disk_free"`
	// CommitWait is how long a transaction may wait while no block comes before the
	// orderers count as away.
	CommitWait time.Duration `yaml:"commit_wait"`
	// Orderers has the orderers of the channel's configuration connected to, to see
	// whether a quorum is there. Without it only transactions that wait tell.
	Orderers bool `yaml:"orderers"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{
		Interval: 500 * time.Millisecond, Timeout: 2 * time.Second, IndexLag: 100, DiskFree: 128 * setting.MiB, CommitWait: 10 * time.Second, Orderers: true,
	}
}

// Check says what is wrong.
func (c *Config) Check() error {
	var problems []error
	if c.Interval < 10*time.Millisecond {
		problems = append(problems, errors.New("interval must be at least 10ms"))
	}
	if c.Timeout < 10*time.Millisecond {
		problems = append(problems, errors.New("timeout must be at least 10ms"))
	}
	if c.IndexLag < 1 {
		problems = append(problems, errors.New("index_lag must be at least 1"))
	}
	if c.DiskFree < 0 {
		problems = append(problems, errors.New("disk_free must not be negative"))
	}
	if c.CommitWait < time.Second {
		problems = append(problems, errors.New("commit_wait must be at least 1s"))
	}
	return errors.Join(problems...)
}
