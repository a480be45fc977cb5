package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Config is one gateway's configuration, read from YAML. Paths may be relative
// to the file's folder. Unknown members are errors.
type Config struct {
	// Operator is the operator's short name, for logs: "atlas".
	Operator string `yaml:"operator"`
	// MSP is the operator's MSP id: "AtlasMSP".
	MSP string `yaml:"msp"`
	// Listen is host:port for gRPC.
	Listen string `yaml:"listen"`
	// Channel and Chaincode are Fabric's names.
	Channel   string `yaml:"channel"`
	Chaincode string `yaml:"chaincode"`
	// Peer is the operator's own peer.
	Peer PeerConfig `yaml:"peer"`
	// Partners are the MSPs of operators whose endorsement is asked for first.
	Partners []string `yaml:"partners"`
	// Identity signs transactions; its certificate bears the role "gateway".
	Identity FilePair `yaml:"identity"`
	// TLS is for both sides of the gateway.
	TLS TLSConfig `yaml:"tls"`
	// StateDir holds the keyring: back it up.
	StateDir string `yaml:"state_dir"`
	// ConsortiumKeyFile holds the key that the subjects of reputation are made
	// pseudonyms with: 64 hexadecimal digits, the same for all operators, secret.
	// Without it the gateway counts no evidence.
	ConsortiumKeyFile string `yaml:"consortium_key_file"`
	// PreviousConsortiumKeyFile holds the key of the epoch before, so that what is
	// held on a subject is carried over.
	PreviousConsortiumKeyFile string `yaml:"previous_consortium_key_file"`
	// Writer numbers the operator's gateways from 1, which is the default: no two
	// may share a number.
	Writer int64 `yaml:"writer"`
	// LogLevel is debug, info, warn or error; info when empty.
	LogLevel string `yaml:"log_level"`
}

// PeerConfig says where the peer is.
type PeerConfig struct {
	// Address is host:port.
	Address string `yaml:"address"`
	// ServerName is the name in its certificate.
	ServerName string `yaml:"server_name"`
	// CAFile is the TLS CA that signed it, PEM.
	CAFile string `yaml:"ca_file"`
}

// FilePair is a certificate and its key, PEM.
type FilePair struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// TLSConfig is the server's certificate and the client's towards Fabric, PEM.
type TLSConfig struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ClientCAFile is the operator's enrolment CA: it decides who may call.
	ClientCAFile         string `yaml:"client_ca_file"`
	FabricClientCertFile string `yaml:"fabric_client_cert_file"`
	FabricClientKeyFile  string `yaml:"fabric_client_key_file"`
}

// LoadConfig reads and checks a configuration file.
func LoadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the gateway's configuration: %w", err)
	}
	config := &Config{}
	if err := yaml.UnmarshalWithOptions(text, config, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var missing []string
	folder := filepath.Dir(path)
	for _, member := range []struct {
		name  string
		value *string
		path  bool
	}{
		{"msp", &config.MSP, false}, {"listen", &config.Listen, false}, {"channel", &config.Channel, false}, {"chaincode", &config.Chaincode, false},
		{"peer.address", &config.Peer.Address, false}, {"peer.ca_file", &config.Peer.CAFile, true},
		{"identity.cert_file", &config.Identity.CertFile, true}, {"identity.key_file", &config.Identity.KeyFile, true},
		{"tls.cert_file", &config.TLS.CertFile, true}, {"tls.key_file", &config.TLS.KeyFile, true}, {"tls.client_ca_file", &config.TLS.ClientCAFile, true},
		{"tls.fabric_client_cert_file", &config.TLS.FabricClientCertFile, true}, {"tls.fabric_client_key_file", &config.TLS.FabricClientKeyFile, true},
		{"state_dir", &config.StateDir, true},
	} {
		if *member.value == "" {
			missing = append(missing, member.name)
		} else if member.path && !filepath.IsAbs(*member.value) {
			*member.value = filepath.Join(folder, *member.value)
		}
	}
	for _, optional := range []*string{&config.ConsortiumKeyFile, &config.PreviousConsortiumKeyFile} {
		if *optional != "" && !filepath.IsAbs(*optional) {
			*optional = filepath.Join(folder, *optional)
		}
	}
	if config.Writer == 0 {
		config.Writer = 1
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%s lacks %s", path, strings.Join(missing, ", "))
	}
	if config.Writer < 1 || config.Writer > ledger.MaxWriters {
		return nil, fmt.Errorf("%s: writer is %d, it must lie between 1 and %d", path, config.Writer, ledger.MaxWriters)
	}
	return config, nil
}
