package fabric

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/callseal/callseal/gateway/setting"
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
	KeyFile string `yaml:"key_file" example:"identity/key.pem"`
	// PKCS11 names that key in a hardware security module, instead of key_file.
	PKCS11 PKCS11Config `yaml:"pkcs11"`
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

// PKCS11Config names a key in a hardware security module that is reached by
// PKCS #11.
type PKCS11Config struct {
	// ModuleFile is the library of the module's maker; empty means that the key is in
	// key_file.
	ModuleFile string `yaml:"module_file" example:"/usr/lib/softhsm/libsofthsm2.so"`
	// TokenLabel names the token.
	TokenLabel string `yaml:"token_label" example:"atlas"`
	// PINFile holds the user's PIN on its first line.
	PINFile string `yaml:"pin_file" example:"hsm.pin"`
	// PIN is the user's PIN itself, for the environment.
	PIN setting.Secret `yaml:"pin"`
	// KeyLabel names the key pair on the token.
	KeyLabel string `yaml:"key_label" example:"gateway"`
	// KeyID is the key pair's id in hexadecimal, instead of its label or beside it.
	KeyID string `yaml:"key_id"`
	// Sessions is how many signatures the token makes at once.
	Sessions int `yaml:"sessions"`
}

// defaultSessions is how many signatures a token is asked for at once.
const defaultSessions = 8

func (p *PKCS11Config) check() error {
	var problems []error
	if p.TokenLabel == "" {
		problems = append(problems, errors.New("pkcs11.token_label is missing: name the token that holds the key"))
	}
	if (p.PIN == "") == (p.PINFile == "") {
		problems = append(problems, errors.New("pkcs11 needs either pin_file or, in the environment, pin"))
	}
	if p.KeyLabel == "" && p.KeyID == "" {
		problems = append(problems, errors.New("pkcs11.key_label and pkcs11.key_id are missing: give one of them"))
	}
	if _, err := hex.DecodeString(p.KeyID); err != nil {
		problems = append(problems, fmt.Errorf("pkcs11.key_id is %q, it must be hexadecimal", p.KeyID))
	}
	if p.Sessions < 2 {
		problems = append(problems, fmt.Errorf("pkcs11.sessions is %d, it must be at least 2: one keeps the login", p.Sessions))
	}
	return errors.Join(problems...)
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
	switch {
	case c.PKCS11.ModuleFile != "" && c.KeyFile != "":
		problems = append(problems, errors.New("key_file and pkcs11.module_file are both given: the key is in one place"))
	case c.PKCS11.ModuleFile != "":
		problems = append(problems, c.PKCS11.check())
	case c.KeyFile == "":
		problems = append(problems, errors.New("key_file is missing: give it, or pkcs11 where the key is in a hardware security module"))
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
func DefaultConfig() Config {
	return Config{Deadlines: Deadlines{}.withDefaults(), PKCS11: PKCS11Config{Sessions: defaultSessions}}
}

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
