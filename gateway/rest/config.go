package rest

import (
	"errors"
	"time"

	"github.com/callseal/callseal/gateway/setting"
)

// Config says where REST listens. Its certificates, callers and limits are the gRPC
// server's.
type Config struct {
	// Listen is host:port for REST; empty for none.
	Listen string `yaml:"listen" example:"0.0.0.0:7444"`
	// MaxBody bounds the body of a request.
	MaxBody setting.Bytes `yaml:"max_body"`
	// ReadTimeout bounds the time in which a request must have arrived.
	ReadTimeout time.Duration `yaml:"read_timeout"`
	// StopTimeout bounds how long running requests may take at a shutdown.
	StopTimeout time.Duration `yaml:"stop_timeout"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{MaxBody: 64 << 20, ReadTimeout: time.Minute, StopTimeout: 10 * time.Second}
}

// Check says what is wrong with it.
func (c *Config) Check() error {
	if c.MaxBody < 1 || c.ReadTimeout <= 0 || c.StopTimeout <= 0 {
		return errors.New("max_body, read_timeout and stop_timeout must be above 0")
	}
	return nil
}
