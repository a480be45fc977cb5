// Package gateway measures the gateway under load. Records are of the shape of real
// CDRs, and due at random moments that do not wait for answers, so that whoever is held
// up makes those behind it late too.
package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
	"github.com/callseal/callseal/soak"
)

const (
	// patience bounds what has to happen sooner or later.
	patience = 3 * time.Minute
	// warmUp is what is left out at the beginning of a rate, and twice as long of
	// saturation.
	warmUp = 3 * time.Second
	// plenty is more than any gateway can do, in records a second.
	plenty = 30_000
	// saturating is how many adapters saturate the gateway.
	saturating = 16
	// idle is how long, at most, the network rests between lone records.
	idle = 80 * time.Millisecond
)

// Plan says how much is measured.
type Plan struct {
	// Repetitions is how often each figure is measured, on one network.
	Repetitions int
	// Lone is how many lone records are sent each time.
	Lone int
	// Steady is how long each rate, and saturation, is held; 0 leaves saturation out.
	Steady time.Duration
	// Rates are those that are held, in records a second.
	Rates []float64
	// Seed decides when records are due.
	Seed uint64
}

// Measure starts a network and measures its gateway into a group.
func Measure(tb testing.TB, plan Plan, group *result.Group, options ...networktest.Option) {
	tb.Helper()
	group.Notes = append(group.Notes,
		"The whole consortium of three operators and a regulator, with its orderers, peers, chaincode, one gateway and the clients, shares this machine's processors.",
		"Two operators endorse each record; every node syncs its disk as in production; latencies count from when a record was due until the client heard COMMITTED.")
	m := &measurement{tb: tb, plan: plan, group: group, lab: soak.NewLab(tb, options...), random: rand.New(rand.NewPCG(plan.Seed, 0))}
	m.lone()
	for _, rate := range plan.Rates {
		m.rate(rate)
	}
	if plan.Steady == 0 {
		return
	}
	m.saturate("details", soak.Calls)
	m.saturate("no-details", soak.Omissions)
}

type measurement struct {
	tb     testing.TB
	plan   Plan
	group  *result.Group
	lab    *soak.Lab
	random *rand.Rand
}

func (m *measurement) add(all ...result.Measurement) {
	m.group.Measurements = append(m.group.Measurements, all...)
}

// lone sends one record after the other, each when nothing is left to do of the one
// before it.
func (m *measurement) lone() {
	fleet := m.lab.Fleet(1, soak.Manner{})
	defer fleet.Stop()
	one := func() {
		fleet.Offer(time.Now())
		m.drain(fleet)
		m.pause(time.Duration(m.random.Int64N(int64(idle))))
	}
	for range 1 + m.plan.Lone/5 {
		one()
	}
	committed := result.Measurement{Name: "commit/lone", Title: "a lone record, due to COMMITTED", Unit: "ms"}
	settled := result.Measurement{Name: "settle/lone", Title: "a lone record, due to its details stored", Unit: "ms"}
	for range m.plan.Repetitions {
		from := time.Now()
		for range m.plan.Lone {
			one()
		}
		committed.Latencies = append(committed.Latencies, fleet.Commitment(from, time.Now()).Distribution())
		settled.Latencies = append(settled.Latencies, fleet.Settlement(from, time.Now()).Distribution())
	}
	m.add(committed, settled)
	m.tb.Logf("lone records: measured")
}

// rate measures latencies, and what a record costs, at so many records a second.
func (m *measurement) rate(rate float64) {
	fleet := m.lab.Fleet(saturating, soak.Manner{})
	defer fleet.Stop()
	fleet.Random = m.random
	fleet.Load(m.tb.Context(), rate, warmUp)
	m.drain(fleet)
	at, parameters := fmt.Sprintf("/rate=%.0f", rate), map[string]float64{"offered": rate}
	committed := result.Measurement{Name: "commit" + at, Title: fmt.Sprintf("at %.0f records/s, due to COMMITTED", rate), Unit: "ms", Parameters: parameters}
	costs := newCosts(at, parameters)
	for range m.plan.Repetitions {
		end := m.account(costs)
		from := time.Now()
		fleet.Load(m.tb.Context(), rate, m.plan.Steady)
		to := time.Now()
		m.drain(fleet)
		end(soak.Sum(fleet.Settled(from, time.Now())))
		committed.Latencies = append(committed.Latencies, fleet.Commitment(from, to).Distribution())
	}
	m.add(committed)
	m.add(costs.all()...)
	m.tb.Logf("%.0f records a second: measured", rate)
}

// saturate offers more than the gateway can do and counts what is settled.
func (m *measurement) saturate(name string, kind soak.Kind) {
	fleet := m.lab.Fleet(saturating, soak.Manner{Kind: kind, Window: 4})
	defer fleet.Stop()
	end := fleet.Begin(plenty)
	defer end()
	m.pause(2 * warmUp)
	at := "/saturation/" + name
	throughput := result.Measurement{Name: "throughput" + at, Title: "sustained, committed and settled, " + name, Unit: "/s", Notes: []string{"The repetitions are stretches of one run."}}
	costs := newCosts(at, nil)
	for range m.plan.Repetitions {
		account := m.account(costs)
		settled, took := m.settled(fleet)
		account(settled)
		throughput.Values = append(throughput.Values, float64(settled)/took.Seconds())
	}
	end()
	fleet.Drop()
	m.drain(fleet)
	m.add(throughput)
	m.add(costs.all()...)
	m.tb.Logf("saturation, %s: measured", name)
}

// settled counts records for as long as planned, or until some have settled where the
// machine is very busy.
func (m *measurement) settled(fleet *soak.Fleet) (records int, took time.Duration) {
	for from := time.Now(); took < patience && m.tb.Context().Err() == nil; {
		m.pause(m.plan.Steady)
		to := time.Now()
		took = to.Sub(from)
		if records = soak.Sum(fleet.Settled(from, to)); records > 0 {
			return records, took
		}
	}
	m.tb.Fatalf("no record was settled within %s: the machine is too busy", took.Round(time.Second))
	return 0, 0
}

func (m *measurement) pause(d time.Duration) {
	select {
	case <-m.tb.Context().Done():
	case <-time.After(d):
	}
}

func (m *measurement) drain(fleet *soak.Fleet) {
	m.tb.Helper()
	ctx, cancel := context.WithTimeout(m.tb.Context(), patience)
	defer cancel()
	if err := fleet.Drain(ctx); err != nil {
		m.tb.Fatal(err)
	}
}
