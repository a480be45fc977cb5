package reputation

import (
	"fmt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Config is a tally's.
type Config struct {
	// KeyFile holds the key that the subjects of reputation are made pseudonyms
	// with: 64 hexadecimal digits, the same for all operators, secret. Without it
	// the gateway counts no evidence.
	KeyFile string `yaml:"consortium_key_file"`
	// PreviousKeyFile holds the key of the epoch before, so that what is held on a
	// subject is carried over.
	PreviousKeyFile string `yaml:"previous_consortium_key_file"`
	// Writer numbers the gateways of one operator, 1 to 16. Two that share a number
	// break each other's chain.
	Writer int64 `yaml:"writer"`

	// Key is the key in KeyFile.
	Key []byte `yaml:"-"`
	// PreviousKey is the key in PreviousKeyFile.
	PreviousKey []byte `yaml:"-"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config { return Config{Writer: 1} }

// Check says what is wrong with it.
func (c *Config) Check() error {
	if c.Writer < 1 || c.Writer > ledger.MaxWriters {
		return fmt.Errorf("writer is %d, it must lie between 1 and %d", c.Writer, ledger.MaxWriters)
	}
	return nil
}

// ReadKeys reads the keys in the files.
func (c *Config) ReadKeys() (err error) {
	if c.KeyFile == "" {
		return nil
	}
	if c.Key, err = ReadKey(c.KeyFile); err != nil {
		return err
	}
	if c.PreviousKeyFile != "" {
		c.PreviousKey, err = ReadKey(c.PreviousKeyFile)
	}
	return err
}
