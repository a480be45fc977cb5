package idempotency

import "github.com/prometheus/client_golang/prometheus"

// Metrics count what keys were used for.
type Metrics struct {
	uses *prometheus.CounterVec
}

// NewMetrics registers the metrics; nil registers none.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{uses: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "callseal_gateway_idempotency_requests_total",
		Help: "Requests with an idempotency key, by what came of it: run, resumed, repeated, refused.",
	}, []string{"outcome"})}
	if registerer != nil {
		registerer.MustRegister(m.uses)
	}
	return m
}
