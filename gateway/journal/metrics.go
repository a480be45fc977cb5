package journal

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics measures a journal, once whenever it is asked.
type Metrics struct {
	journal *Journal
	figures []figure
}

// figure is one number of a journal.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*Stats) float64
}

// NewMetrics measures a journal and registers that; with nil it is registered
// nowhere.
func NewMetrics(registerer prometheus.Registerer, journal *Journal) *Metrics {
	m := &Metrics{journal: journal}
	add := func(kind prometheus.ValueType, name, help string, of func(*Stats) float64) {
		m.figures = append(m.figures, figure{prometheus.NewDesc("callseal_gateway_journal_"+name, help, nil, nil), kind, of})
	}
	add(prometheus.GaugeValue, "queued_segments", "Segments that are accepted and not committed.", func(s *Stats) float64 { return float64(s.Queued) })
	add(prometheus.GaugeValue, "committed_segments", "Segments that are committed and whose details are not stored.", func(s *Stats) float64 { return float64(s.Committed) })
	add(prometheus.GaugeValue, "refused_segments", "Segments that the ledger refused, in the outbox.", func(s *Stats) float64 { return float64(s.Refused) })
	add(prometheus.GaugeValue, "in_flight_transactions", "Transactions under way.", func(s *Stats) float64 { return float64(s.InFlight) })
	add(prometheus.GaugeValue, "disk_bytes", "What the journal takes on disk, the reserve aside.", func(s *Stats) float64 { return float64(s.DiskBytes) })
	add(prometheus.GaugeValue, "oldest_seconds", "For how long the oldest segment that is not settled has waited.", func(s *Stats) float64 {
		if s.OldestAcceptedAt.IsZero() {
			return 0
		}
		return max(0, time.Since(s.OldestAcceptedAt).Seconds())
	})
	add(prometheus.CounterValue, "written_bytes_total", "Bytes appended to the journal's log since the start.", func(s *Stats) float64 { return float64(s.WrittenBytes) })
	if registerer != nil {
		registerer.MustRegister(m)
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for i := range m.figures {
		out <- m.figures[i].desc
	}
}

// Collect implements prometheus.Collector. A journal that has failed has no
// figures: the health of "journal" tells why.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	stats, err := m.journal.Stats()
	if err != nil {
		return
	}
	for i := range m.figures {
		out <- prometheus.MustNewConstMetric(m.figures[i].desc, m.figures[i].kind, m.figures[i].of(&stats))
	}
}
