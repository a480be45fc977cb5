package server

import "time"

// Config says where the server listens, how it proves itself and whose callers it
// takes. Files are PEM.
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
	// StopTimeout bounds how long running calls may take at a shutdown.
	StopTimeout time.Duration `yaml:"stop_timeout"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config { return Config{StopTimeout: 10 * time.Second} }
