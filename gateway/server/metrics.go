package server

import (
	grpcprometheus "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics count calls by service, method and code, and how long they took.
type Metrics struct{ calls *grpcprometheus.ServerMetrics }

// NewMetrics registers them; nil registers nowhere.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{calls: grpcprometheus.NewServerMetrics(grpcprometheus.WithServerHandlingTimeHistogram(
		// An acceptance is an fsync, a commit some tens of milliseconds.
		grpcprometheus.WithHistogramBuckets([]float64{.001, .0025, .005, .01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5, 10, 30}),
	))}
	if registerer != nil {
		registerer.MustRegister(m.calls)
	}
	return m
}
