package index

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the index's numbers.
type Metrics struct {
	lagBlocks, lagSeconds, height prometheus.Gauge
	blocks, rows, unreadable      prometheus.Counter
	batches, queries              *prometheus.HistogramVec
}

// NewMetrics makes the metrics and registers them; with nil they are registered
// nowhere.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "callseal_gateway_index_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "callseal_gateway_index_" + name, Help: help})
	}
	buckets := []float64{.0002, .0005, .001, .002, .005, .01, .02, .05, .1, .5, 1, 5}
	m := &Metrics{
		lagBlocks:  gauge("lag_blocks", "Blocks that the own peer has and the index has not."),
		lagSeconds: gauge("lag_seconds", "For how long the index has been behind the own peer."),
		height:     gauge("height_blocks", "Blocks that were projected."),
		blocks:     counter("projected_blocks_total", "Blocks projected since the start."),
		rows:       counter("projected_writes_total", "Public writes projected since the start."),
		unreadable: counter("unreadable_writes_total", "Writes since the start whose value could not be read."),
		batches:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "callseal_gateway_index_projection_seconds", Help: "Time of one database transaction of the projection.", Buckets: buckets}, nil),
		queries:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "callseal_gateway_index_query_seconds", Help: "Time of queries, by query.", Buckets: buckets}, []string{"query"}),
	}
	if registerer != nil {
		registerer.MustRegister(m.lagBlocks, m.lagSeconds, m.height, m.blocks, m.rows, m.unreadable, m.batches, m.queries)
	}
	return m
}

// asked observes a query that began then.
func (m *Metrics) asked(query string, began time.Time) {
	m.queries.WithLabelValues(query).Observe(time.Since(began).Seconds())
}
