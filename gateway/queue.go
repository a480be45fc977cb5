package gateway

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/callseal/callseal/gateway/journal"
)

// measureQueue has what the journal holds measured whenever somebody asks.
func (g *Gateway) measureQueue() {
	gauge := func(name, help string, of func(journal.Stats) float64) {
		g.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "callseal_gateway_journal_" + name, Help: help}, func() float64 {
			stats, err := g.journal.Stats()
			if err != nil {
				return 0 // the health of "journal" tells why
			}
			return of(stats)
		}))
	}
	gauge("queued_segments", "Segments that are accepted and not committed.", func(s journal.Stats) float64 { return float64(s.Queued) })
	gauge("committed_segments", "Segments that are committed and whose details are not stored.", func(s journal.Stats) float64 { return float64(s.Committed) })
	gauge("refused_segments", "Segments that the ledger refused, in the outbox.", func(s journal.Stats) float64 { return float64(s.Refused) })
	gauge("in_flight_transactions", "Transactions under way.", func(s journal.Stats) float64 { return float64(s.InFlight) })
	gauge("disk_bytes", "What the journal takes on disk, the reserve aside.", func(s journal.Stats) float64 { return float64(s.DiskBytes) })
	gauge("oldest_seconds", "For how long the oldest segment that is not settled has waited.", func(s journal.Stats) float64 {
		if s.OldestAcceptedAt.IsZero() {
			return 0
		}
		return max(0, time.Since(s.OldestAcceptedAt).Seconds())
	})
	g.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "callseal_gateway_journal_written_bytes_total", Help: "Bytes appended to the journal's log since the start.",
	}, func() float64 {
		stats, err := g.journal.Stats()
		if err != nil {
			return 0
		}
		return float64(stats.WrittenBytes)
	}))
}
