package limit

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what was refused and what runs.
type Metrics struct {
	refusals    *prometheus.CounterVec
	calls       *prometheus.GaugeVec
	connections prometheus.Gauge
	turnedAway  *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them, if there is where.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callseal_gateway_limit_refusals_total", Help: "Calls refused with RESOURCE_EXHAUSTED, by class and by the bound that was met.",
		}, []string{"class", "bound"}),
		calls: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "callseal_gateway_limit_calls_running", Help: "Calls under way, by class.",
		}, []string{"class"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "callseal_gateway_limit_connections_open", Help: "Connections that clients hold.",
		}),
		turnedAway: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callseal_gateway_limit_connections_refused_total", Help: "Connections closed at once because too many were open, by the bound that was met.",
		}, []string{"bound"}),
	}
	if registry != nil {
		registry.MustRegister(m.refusals, m.calls, m.connections, m.turnedAway)
	}
	return m
}

func (m *Metrics) refused(class Class, bound string) {
	if m != nil {
		m.refusals.WithLabelValues(string(class), bound).Inc()
	}
}

func (m *Metrics) running(class Class, change float64) {
	if m != nil {
		m.calls.WithLabelValues(string(class)).Add(change)
	}
}

func (m *Metrics) opened(change float64) {
	if m != nil {
		m.connections.Add(change)
	}
}

func (m *Metrics) away(bound string) {
	if m != nil {
		m.turnedAway.WithLabelValues(bound).Inc()
	}
}
