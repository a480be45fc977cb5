package trail

import (
	"errors"

	"github.com/callseal/callseal/gateway/setting"
)

// Config says where the audit trail is kept.
type Config struct {
	// Dir is the folder of the trail's files; empty is "audit" in the gateway's
	// state_dir. Nothing in it is ever deleted by the gateway.
	Dir string `yaml:"dir"`
	// FileSize is when the next file is begun.
	FileSize setting.Bytes `yaml:"file_size"`
	// Reserve is how much space must be free on its disk for privileged calls to be
	// taken; what they say at their end has room in it.
	Reserve setting.Bytes `yaml:"reserve"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config { return Config{FileSize: 64 * setting.MiB, Reserve: 64 * setting.MiB} }

// Check answers what is wrong with the configuration.
func (c *Config) Check() error {
	var problems []error
	if c.FileSize < 4*setting.KiB {
		problems = append(problems, errors.New("file_size must be 4KiB or more"))
	}
	if c.Reserve < 0 {
		problems = append(problems, errors.New("reserve must not be negative"))
	}
	return errors.Join(problems...)
}
