package gateway

import (
	"context"
	"fmt"
	"time"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/soak"
)

// keepingUp is the share of the offered records that has to be committed meanwhile.
const keepingUp = 0.9

// ramp offers more and more until the network does not keep up.
func (m *measurement) ramp() {
	for _, rate := range m.plan.Ramp {
		kept, held := m.kept[rate]
		if !held {
			kept = m.step(rate)
		}
		if !kept {
			m.tb.Logf("the ramp ends at %.0f records a second: the network does not keep up", rate)
			return
		}
	}
}

// step holds one rate for a short while and says whether the network kept up. The
// repetitions are stretches of it, and what is behind at the end is waited for, so that
// no late record is left out.
func (m *measurement) step(rate float64) (kept bool) {
	fleet := m.lab.Fleet(saturating, soak.Manner{Window: 4})
	defer fleet.Stop()
	fleet.Random = m.random
	fleet.Load(m.tb.Context(), rate, warmUp)
	load := stretches{fleet: fleet}
	for range m.plan.Repetitions {
		load.one(m.tb.Context(), rate, m.plan.Step/time.Duration(m.plan.Repetitions))
	}
	m.drain(fleet)
	at, parameters := fmt.Sprintf("/rate=%.0f", rate), map[string]float64{"offered": rate}
	committed := m.named("commit"+at, fmt.Sprintf("at %.0f records/s, due to COMMITTED", rate), "ms", parameters)
	achieved := m.named("throughput"+at, fmt.Sprintf("committed, at %.0f records/s", rate), "/s", parameters)
	committed.Latencies, achieved.Values = load.latencies(), load.achieved
	committed.Notes = []string{"A step of the ramp: the repetitions are stretches of one run."}
	if kept = load.kept(); !kept {
		committed.Notes = append(committed.Notes, fmt.Sprintf("The network did not keep up: of %d records that were due %d were committed meanwhile, and the longer that lasts the longer the latencies.", load.due, load.done))
	}
	m.add(committed, achieved)
	m.tb.Logf("%.0f records a second: measured", rate)
	return kept
}

// stretches are times in which a fleet was under one load.
type stretches struct {
	fleet *soak.Fleet
	spans []span
	// achieved is how many records were committed a second, in each.
	achieved  []float64
	due, done int
}

type span struct{ from, to time.Time }

// one adds a stretch.
func (s *stretches) one(ctx context.Context, rate float64, lasts time.Duration) {
	before, from := s.fleet.Offered.Load(), time.Now()
	s.fleet.Load(ctx, rate, lasts)
	to := time.Now()
	done := soak.Sum(s.fleet.Committed(from, to))
	s.spans = append(s.spans, span{from, to})
	s.achieved = append(s.achieved, float64(done)/to.Sub(from).Seconds())
	s.due += int(s.fleet.Offered.Load() - before)
	s.done += done
}

// latencies are those of the records that were due in each.
func (s *stretches) latencies() []result.Distribution {
	all := make([]result.Distribution, len(s.spans))
	for i, one := range s.spans {
		all[i] = s.fleet.Commitment(one.from, one.to).Distribution()
	}
	return all
}

func (s *stretches) kept() bool { return float64(s.done) >= keepingUp*float64(s.due) }
