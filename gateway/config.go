package gateway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/reputation"
	"github.com/callseal/callseal/gateway/server"
)

// Config is one gateway's configuration, read from YAML. Unknown members are
// errors.
//
// Each part has one member: its own Config, with a DefaultConfig() that holds
// where nothing else is said and, where there is something to check, a Check().
// Members whose names end in _file or _dir are paths, relative to the file;
// durations are time.Duration ("30s"), sizes setting.Bytes ("64MiB"), secrets
// setting.Secret. Every member has a comment: the example and --help are written
// from it.
type Config struct {
	// Operator is the operator's short name, for logs: "atlas".
	Operator string `yaml:"operator"`
	// MSP is the operator's MSP id: "AtlasMSP".
	MSP string `yaml:"msp"`
	// StateDir holds the keyring: back it up.
	StateDir string `yaml:"state_dir"`
	// Log is what is logged.
	Log LogConfig `yaml:"log"`
	// Server is the gRPC face.
	Server server.Config `yaml:"server"`
	// Fabric is the way to the operator's peer.
	Fabric fabric.Config `yaml:"fabric"`
	// Reputation counts evidence.
	Reputation reputation.Config `yaml:"reputation"`
}

// LogConfig says what is logged.
type LogConfig struct {
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{
		Log:    LogConfig{Level: "info"},
		Server: server.DefaultConfig(), Fabric: fabric.DefaultConfig(), Reputation: reputation.DefaultConfig(),
	}
}

// LoadConfig reads and checks a configuration file.
func LoadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the gateway's configuration: %w", err)
	}
	config := DefaultConfig()
	if err := yaml.UnmarshalWithOptions(text, &config, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	config.Fabric.MSP = config.MSP
	var missing []string
	folder := filepath.Dir(path)
	for _, member := range []struct {
		name  string
		value *string
		path  bool
	}{
		{"msp", &config.MSP, false}, {"state_dir", &config.StateDir, true},
		{"server.listen", &config.Server.Listen, false},
		{"server.cert_file", &config.Server.CertFile, true}, {"server.key_file", &config.Server.KeyFile, true}, {"server.client_ca_file", &config.Server.ClientCAFile, true},
		{"fabric.channel", &config.Fabric.Channel, false}, {"fabric.chaincode", &config.Fabric.Chaincode, false},
		{"fabric.peer_address", &config.Fabric.PeerAddress, false}, {"fabric.peer_ca_file", &config.Fabric.PeerCAFile, true},
		{"fabric.tls_cert_file", &config.Fabric.TLSCertFile, true}, {"fabric.tls_key_file", &config.Fabric.TLSKeyFile, true},
		{"fabric.cert_file", &config.Fabric.CertFile, true}, {"fabric.key_file", &config.Fabric.KeyFile, true},
	} {
		if *member.value == "" {
			missing = append(missing, member.name)
		} else if member.path && !filepath.IsAbs(*member.value) {
			*member.value = filepath.Join(folder, *member.value)
		}
	}
	for _, optional := range []*string{&config.Reputation.KeyFile, &config.Reputation.PreviousKeyFile} {
		if *optional != "" && !filepath.IsAbs(*optional) {
			*optional = filepath.Join(folder, *optional)
		}
	}
	var problems []error
	if len(missing) > 0 {
		problems = append(problems, fmt.Errorf("%s lacks %s", path, strings.Join(missing, ", ")))
	}
	if err := config.Reputation.Check(); err != nil {
		problems = append(problems, fmt.Errorf("%s: reputation.%w", path, err))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return &config, nil
}
