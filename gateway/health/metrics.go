package health

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics tell how the gateway's dependencies and services are.
type Metrics struct {
	up       *prometheus.GaugeVec
	expiry   *prometheus.GaugeVec
	orderers *prometheus.GaugeVec
	free     prometheus.Gauge
}

// NewMetrics registers them; nil registers nowhere.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	factory := promauto.With(registerer)
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: "callseal", Subsystem: "gateway_health", Name: name, Help: help}
	}
	return &Metrics{
		up:       factory.NewGaugeVec(gauge("serving", "1 while a dependency or service is serving, by its name in the gRPC health service; \"accept\" is the name \"\"."), []string{"name"}),
		expiry:   factory.NewGaugeVec(gauge("certificate_not_after_seconds", "When each certificate of the gateway ends, as Unix time."), []string{"certificate"}),
		orderers: factory.NewGaugeVec(gauge("orderers", "Orderers of the channel: reachable, needed for a quorum, and all."), []string{"which"}),
		free:     factory.NewGauge(gauge("disk_free_bytes", "Room where the gateway keeps its state.")),
	}
}

func (m *Metrics) serving(name string, serving bool) {
	value := 0.0
	if serving {
		value = 1
	}
	m.up.WithLabelValues(name).Set(value)
}
