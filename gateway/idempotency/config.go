package idempotency

import (
	"fmt"
	"time"
)

// Config says how long answers are kept.
type Config struct {
	// Keep is how long a key is remembered, from its first use: 24h at least.
	Keep time.Duration `yaml:"keep"`
	// Most bounds the keys that are remembered at a time: beyond it, requests with a
	// new key are refused until old ones have gone.
	Most int `yaml:"most"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config { return Config{Keep: 48 * time.Hour, Most: 1_000_000} }

// Check says what is wrong with it.
func (c *Config) Check() error {
	if c.Keep < 24*time.Hour {
		return fmt.Errorf("keep is %s, callers are promised 24h at least", c.Keep)
	}
	if c.Most < 1 {
		return fmt.Errorf("most is %d, it must be 1 at least", c.Most)
	}
	return nil
}
