package server

import (
	"errors"
	"time"

	"github.com/callseal/callseal/gateway/credential"
	"github.com/callseal/callseal/gateway/limit"
	"github.com/callseal/callseal/gateway/token"
)

// Config says where the server listens, how it proves itself and whose callers it
// takes. Files are PEM; they may be replaced while the gateway runs.
type Config struct {
	// Listen is host:port for gRPC.
	Listen string `yaml:"listen" required:"true" example:"0.0.0.0:7443"`
	// CertFile is the server's TLS certificate.
	CertFile string `yaml:"cert_file" required:"true" example:"tls/server-cert.pem"`
	// KeyFile is the key of that certificate.
	KeyFile string `yaml:"key_file" required:"true" example:"tls/server-key.pem"`
	// ClientCAFile is the operator's own enrolment CA: it decides who may call,
	// others' certificates are refused.
	ClientCAFile string `yaml:"client_ca_file" required:"true" example:"ca/enrolment-ca.pem"`
	// RevocationDir is a folder with the revocation lists of that CA; it may be
	// missing until there is one.
	RevocationDir string `yaml:"revocation_dir" example:"ca/crls"`
	// CredentialPoll is how often these files are looked at even where the system
	// told of no change.
	CredentialPoll time.Duration `yaml:"credential_poll"`
	// Limits bounds what callers may do at once and in a second.
	Limits limit.Config `yaml:"limits"`
	// Tokens are what people may show instead of a certificate.
	Tokens token.Config `yaml:"tokens"`
	// StopTimeout bounds how long running calls may take at a shutdown.
	StopTimeout time.Duration `yaml:"stop_timeout"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{CredentialPoll: 30 * time.Second, Limits: limit.DefaultConfig(), Tokens: token.DefaultConfig(), StopTimeout: 10 * time.Second}
}

// Check answers what is wrong with the configuration.
func (c *Config) Check() error {
	if c.CredentialPoll <= 0 {
		return errors.New("credential_poll must be above 0")
	}
	return nil
}

func (c *Config) credentials() credential.Config {
	return credential.Config{
		CertFile: c.CertFile, KeyFile: c.KeyFile, ClientCAFile: c.ClientCAFile, RevocationDir: c.RevocationDir, Poll: c.CredentialPoll,
	}
}
