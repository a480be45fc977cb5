package credential

import "github.com/prometheus/client_golang/prometheus"

// Metrics tell how long certificates hold and what could not be read.
type Metrics struct {
	expiry   prometheus.Gauge
	revoked  prometheus.Gauge
	problems *prometheus.GaugeVec
	cuts     prometheus.Counter
}

// NewMetrics makes the metrics and registers them, if there is where.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "callseal_gateway_credential_server_expiry_seconds", Help: "When the server's TLS certificate expires, in seconds since 1970.",
		}),
		revoked: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "callseal_gateway_credential_revoked_certificates", Help: "Certificates on the revocation lists in force.",
		}),
		problems: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "callseal_gateway_credential_unusable_parts", Help: "1 while the files of a part cannot be used and older ones stay in force.",
		}, []string{"part"}),
		cuts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "callseal_gateway_credential_cuts_total", Help: "Connections and calls cut off because a certificate was revoked or expired.",
		}),
	}
	if registry != nil {
		registry.MustRegister(m.expiry, m.revoked, m.problems, m.cuts)
	}
	return m
}

func (m *Metrics) inForce(now *material) {
	if m != nil {
		m.expiry.Set(float64(now.own.Leaf.NotAfter.Unix()))
		m.revoked.Set(float64(len(now.withdrawn)))
	}
}

func (m *Metrics) unusable(part string, yes bool) {
	if m == nil {
		return
	}
	value := 0.0
	if yes {
		value = 1
	}
	m.problems.WithLabelValues(part).Set(value)
}

func (m *Metrics) cut(n int) {
	if m != nil {
		m.cuts.Add(float64(n))
	}
}
