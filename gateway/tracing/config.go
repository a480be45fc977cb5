package tracing

import (
	"errors"
	"os"
)

// Config says where spans go. OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_…,
// OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME) are respected
// where nothing is said here.
type Config struct {
	// Endpoint is host:port of a collector that takes OTLP by gRPC. Empty: as
	// OTEL_EXPORTER_OTLP_ENDPOINT says, and no tracing without that.
	Endpoint string `yaml:"endpoint" example:"collector.atlas.example:4317"`
	// Plaintext leaves TLS out, for a collector on this machine.
	Plaintext bool `yaml:"plaintext"`
	// CAFile is the CA of the collector's certificate; empty means the system's.
	CAFile string `yaml:"ca_file"`
	// CertFile is the certificate to show to the collector; empty means none.
	CertFile string `yaml:"cert_file"`
	// KeyFile is the key of that certificate.
	KeyFile string `yaml:"key_file"`
	// Ratio is the part of the traces that begin here which is kept, 0 to 1. Those
	// that begin with the caller are kept as the caller says.
	Ratio float64 `yaml:"ratio"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config { return Config{Ratio: 1} }

// Check says what is wrong.
func (c *Config) Check() error {
	var problems []error
	if c.Ratio < 0 || c.Ratio > 1 {
		problems = append(problems, errors.New("ratio must lie between 0 and 1"))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		problems = append(problems, errors.New("cert_file and key_file need each other"))
	}
	return errors.Join(problems...)
}

// On says whether there is anywhere for spans to go.
func (c *Config) On() bool {
	return c.Endpoint != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}
