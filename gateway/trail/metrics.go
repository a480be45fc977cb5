package trail

import "github.com/prometheus/client_golang/prometheus"

// Metrics count entries and what could not be written.
type Metrics struct {
	entries  *prometheus.CounterVec
	failures prometheus.Counter
}

// NewMetrics makes the metrics and registers them, if there is where.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		entries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callseal_gateway_trail_entries_total", Help: "Entries of the audit trail, by event.",
		}, []string{"event"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "callseal_gateway_trail_failures_total", Help: "Entries that could not be written; their calls were refused.",
		}),
	}
	if registry != nil {
		registry.MustRegister(m.entries, m.failures)
	}
	return m
}

func (m *Metrics) wrote(event Event) {
	if m != nil {
		m.entries.WithLabelValues(string(event)).Inc()
	}
}

func (m *Metrics) failed() {
	if m != nil {
		m.failures.Inc()
	}
}
