package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/health"
	"github.com/callseal/callseal/gateway/idempotency"
	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/journal"
	"github.com/callseal/callseal/gateway/metrics"
	"github.com/callseal/callseal/gateway/reputation"
	"github.com/callseal/callseal/gateway/rest"
	"github.com/callseal/callseal/gateway/server"
	"github.com/callseal/callseal/gateway/setting"
	"github.com/callseal/callseal/gateway/tracing"
	"github.com/callseal/callseal/gateway/trail"
)

// Config is one gateway's configuration, read from YAML. Unknown members are
// errors.
//
// Each part has one member: its own Config, with a DefaultConfig() that holds
// where nothing else is said and, where there is something to check, a Check()
// that answers sentences which begin with the member's name (errors.Join of all).
// Members whose names end in _file or _dir are paths, relative to the file;
// durations are time.Duration ("30s"), sizes setting.Bytes ("64MiB"), secrets
// setting.Secret; tags say what is required, what a reload changes and what the
// example says: see package setting. Every member has a comment: the example and
// --help are written from it.
type Config struct {
	// Operator is the operator's short name, for logs: "atlas".
	Operator string `yaml:"operator" example:"atlas"`
	// MSP is the operator's MSP id: "AtlasMSP".
	MSP string `yaml:"msp" required:"true" example:"AtlasMSP"`
	// StateDir holds the keyring: back it up.
	StateDir string `yaml:"state_dir" required:"true" example:"/var/lib/callseal/gateway"`
	// StopTimeout bounds how long each part may take to stop.
	StopTimeout time.Duration `yaml:"stop_timeout"`
	// Log is what is logged.
	Log LogConfig `yaml:"log"`
	// Server is the gRPC face.
	Server server.Config `yaml:"server"`
	// Audit is the trail of who did what.
	Audit trail.Config `yaml:"audit"`
	// Fabric is the way to the operator's peer.
	Fabric fabric.Config `yaml:"fabric"`
	// Journal keeps what was accepted until it is on the ledger.
	Journal journal.Config `yaml:"journal"`
	// Anchor is a segment's way to the ledger.
	Anchor anchor.Config `yaml:"anchor"`
	// Reputation counts evidence.
	Reputation reputation.Config `yaml:"reputation"`
	// REST is the REST face.
	REST rest.Config `yaml:"rest"`
	// Signers are the identities that sign for people.
	Signers server.SignersConfig `yaml:"signers"`
	// Idempotency is how requests that are repeated are known.
	Idempotency idempotency.Config `yaml:"idempotency"`
	// Index is where lists are answered from.
	Index index.Config `yaml:"index"`
	// Metrics is what is measured, for the operator's monitoring.
	Metrics metrics.Config `yaml:"metrics"`
	// Health is how the gateway judges what it stands on.
	Health health.Config `yaml:"health"`
	// Tracing sends spans to a collector.
	Tracing tracing.Config `yaml:"tracing"`
}

// LogConfig says what is logged.
type LogConfig struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level" reload:"true"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{
		StopTimeout: 30 * time.Second, Log: LogConfig{Level: "info"},
		Server: server.DefaultConfig(), Audit: trail.DefaultConfig(), Fabric: fabric.DefaultConfig(), Reputation: reputation.DefaultConfig(),
		REST: rest.DefaultConfig(), Idempotency: idempotency.DefaultConfig(),
		Anchor: anchor.DefaultConfig(), Journal: journal.DefaultConfig(),
		Metrics: metrics.DefaultConfig(), Health: health.DefaultConfig(), Tracing: tracing.DefaultConfig(),
		Index: index.DefaultConfig(),
	}
}

// VariablePrefix begins the names of the environment's variables.
const VariablePrefix = "CALLSEAL_GATEWAY_"

// Options are all that can be set, with their defaults.
var Options = setting.NewSchema(DefaultConfig(), VariablePrefix)

// Load reads the configuration in layers and says where each value came from. All
// that is wrong is told at once.
func Load(sources setting.Sources) (*Config, setting.Origins, error) {
	config := &Config{}
	// `callseal network env` sets this one for clients, in the same shell.
	sources.Environ = slices.DeleteFunc(slices.Clone(sources.Environ), func(one string) bool { return strings.HasPrefix(one, "CALLSEAL_GATEWAY_CA=") })
	origins, err := Options.Load(config, sources)
	if err != nil {
		return nil, nil, err
	}
	config.Fabric.MSP = config.MSP
	return config, origins, nil
}

// LoadConfig reads a configuration file alone.
func LoadConfig(path string) (*Config, error) {
	config, _, err := Load(setting.Sources{File: path})
	return config, err
}

// Check says what is wrong with the members that belong to no part.
func (c *Config) Check() error {
	var problems []error
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		problems = append(problems, fmt.Errorf("log.level is %q, it must be debug, info, warn or error", c.Log.Level))
	}
	return errors.Join(problems...)
}
