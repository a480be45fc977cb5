package journal

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics measures a journal whenever it is asked.
type Metrics struct {
	journal *Journal
	log     *slog.Logger

	entries, payloads, flights, disk, written, full *prometheus.Desc
}

// NewMetrics measures a journal and registers that; with nil it is registered
// nowhere.
func NewMetrics(registerer prometheus.Registerer, journal *Journal, log *slog.Logger) *Metrics {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("callseal_gateway_journal_"+name, help, labels, nil)
	}
	m := &Metrics{
		journal: journal, log: log,
		entries:  describe("entries", "Entries of the journal, by state.", "state"),
		payloads: describe("payload_bytes", "Size of the payloads that the journal holds."),
		flights:  describe("transactions", "Transactions under way that the journal remembers."),
		disk:     describe("disk_bytes", "What the journal takes on disk, the reserve aside."),
		written:  describe("written_bytes_total", "Bytes appended to the journal's log since the start."),
		full:     describe("full", "1 while nothing is taken because of a bound or the disk."),
	}
	if registerer != nil {
		registerer.MustRegister(m)
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(out chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{m.entries, m.payloads, m.flights, m.disk, m.written, m.full} {
		out <- one
	}
}

// Collect implements prometheus.Collector. A journal that has failed or is closed
// has no figures.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	stats, err := m.journal.counted()
	if err != nil {
		m.log.Debug("the journal cannot be measured", "error", err)
		return
	}
	gauge := func(what *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(what, prometheus.GaugeValue, value, labels...)
	}
	for state, count := range map[State]int{Queued: stats.Queued, Committed: stats.Committed, Settled: stats.Settled, Refused: stats.Refused} {
		gauge(m.entries, float64(count), string(state))
	}
	gauge(m.payloads, float64(stats.Bytes))
	gauge(m.flights, float64(stats.InFlight))
	gauge(m.disk, float64(stats.DiskBytes))
	full := 0.0
	if stats.Full != "" {
		full = 1
	}
	gauge(m.full, full)
	out <- prometheus.MustNewConstMetric(m.written, prometheus.CounterValue, float64(stats.WrittenBytes))
}
