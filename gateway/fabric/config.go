package fabric

import (
	"errors"
	"fmt"
	"time"
)

// Config says whom the gateway is and which peers it asks. Files are PEM.
type Config struct {
	// MSP is the operator's, such as "AtlasMSP".
	MSP string `yaml:"-"`
	// Channel is the name of the consortium's channel.
	Channel string `yaml:"channel" required:"true" example:"calls"`
	// Chaincode is the name of the chaincode of calls on it.
	Chaincode string `yaml:"chaincode" required:"true" example:"callseal"`
	// Peers are the operator's own peers, at least one: a list of address, ca_file
	// and, where the certificate bears another name than the host's, server_name.
	Peers []PeerConfig `yaml:"peers" required:"true" example:"[{address: 'peer.atlas.example:7051', ca_file: ca/tls-ca.pem}]"`
	// TLSCertFile is the certificate for mutual TLS with the peer, issued by the
	// operator's TLS CA.
	TLSCertFile string `yaml:"tls_cert_file" required:"true" example:"tls/client-cert.pem"`
	// TLSKeyFile is the key of that certificate.
	TLSKeyFile string `yaml:"tls_key_file" required:"true" example:"tls/client-key.pem"`
	// CertFile is the identity that signs transactions: its certificate bears the
	// role "gateway".
	CertFile string `yaml:"cert_file" required:"true" example:"identity/cert.pem"`
	// KeyFile is the key of that identity.
	KeyFile string `yaml:"key_file" required:"true" example:"identity/key.pem"`
	// Partners are the MSPs of the operators whose endorsement is asked for first,
	// beside the own; empty leaves the choice to the peer.
	Partners []string `yaml:"partners"`
	// Deadlines bound each stage of a transaction; zero means the default.
	Deadlines Deadlines `yaml:"deadlines"`
}

// PeerConfig says where a peer is.
type PeerConfig struct {
	// Address is host:port.
	Address string `yaml:"address"`
	// ServerName is the name that the peer's certificate bears; empty means the host
	// of its address.
	ServerName string `yaml:"server_name"`
	// CAFile is the TLS CA that signed the peer's certificate.
	CAFile string `yaml:"ca_file"`
}

// Addresses are the peers', for logs.
func (c *Config) Addresses() []string {
	addresses := make([]string, len(c.Peers))
	for i, peer := range c.Peers {
		addresses[i] = peer.Address
	}
	return addresses
}

// Check says what is wrong.
func (c *Config) Check() error {
	var problems []error
	seen := map[string]bool{}
	for i, peer := range c.Peers {
		switch {
		case peer.Address == "":
			problems = append(problems, fmt.Errorf("peers[%d] lacks address: give it as host:port", i))
		case peer.CAFile == "":
			problems = append(problems, fmt.Errorf("peers[%d] (%s) lacks ca_file: name the TLS CA that signed its certificate", i, peer.Address))
		case seen[peer.Address]:
			problems = append(problems, fmt.Errorf("peers[%d] has the address of an earlier one, %s", i, peer.Address))
		}
		seen[peer.Address] = true
	}
	return errors.Join(problems...)
}

// Deadlines bound the stages of a transaction.
type Deadlines struct {
	// Evaluate bounds a query.
	Evaluate time.Duration `yaml:"evaluate"`
	// Endorse bounds the collection of endorsements.
	Endorse time.Duration `yaml:"endorse"`
	// Submit bounds the sending to the orderers.
	Submit time.Duration `yaml:"submit"`
	// Commit bounds the wait for the block.
	Commit time.Duration `yaml:"commit"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config { return Config{Deadlines: Deadlines{}.withDefaults()} }

// withDefaults fills in what is zero. A commit takes tens of milliseconds; when
// the ordering leader dies it stalls about 3 s, which the last two outlive.
func (d Deadlines) withDefaults() Deadlines {
	for _, bound := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&d.Evaluate, 3 * time.Second}, {&d.Endorse, 5 * time.Second}, {&d.Submit, 5 * time.Second}, {&d.Commit, 15 * time.Second},
	} {
		if *bound.value == 0 {
			*bound.value = bound.standard
		}
	}
	return d
}
