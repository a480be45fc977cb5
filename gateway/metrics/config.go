package metrics

// Config says where the operator's own machines read how the gateway is.
type Config struct {
	// Listen is host:port for /metrics, /healthz and /readyz by plain HTTP: an
	// address that only the operator's monitoring reaches. Empty serves none.
	Listen string `yaml:"listen" example:"127.0.0.1:9464"`
	// Pprof serves Go's profiles under /debug/pprof/ as well.
	Pprof bool `yaml:"pprof"`
}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config { return Config{} }
