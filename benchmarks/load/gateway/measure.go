// Package gateway measures the gateway under load. Records are of the shape of real
// CDRs, and due at random moments that do not wait for answers, so that whoever is held
// up makes those behind it late too.
package gateway

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/callseal/callseal/benchmarks/result"
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
	// Ramp are rising rates, in records a second, each held for Step, until the network
	// does not keep up; those among Rates are not measured twice.
	Ramp []float64
	Step time.Duration
	// Mixed is how long writes and reads go on side by side each time; 0 for never.
	Mixed time.Duration
	// Evidence is how long evidence on reputation is reported each time; 0 for never.
	Evidence time.Duration
	// Seed decides when records are due.
	Seed uint64
}

// Measure measures a network's gateway into a group.
func Measure(tb testing.TB, plan Plan, group *result.Group, lab *soak.Lab) {
	tb.Helper()
	m := newMeasurement(tb, plan, group, lab)
	m.lone()
	for _, rate := range plan.Rates {
		m.rate(rate)
	}
	m.ramp()
	if plan.Mixed > 0 {
		m.mixed()
	}
	if plan.Steady == 0 {
		return
	}
	m.saturate("details", soak.Calls)
	m.saturate("no-details", soak.Omissions)
	if plan.Evidence > 0 {
		m.reputation()
	}
}

func newMeasurement(tb testing.TB, plan Plan, group *result.Group, lab *soak.Lab) *measurement {
	group.Notes = append(group.Notes,
		"The whole consortium of three operators and a regulator, with its orderers, peers, chaincode, one gateway and the clients, shares this machine's processors.",
		"Two operators endorse each record; every node syncs its disk as in production; latencies count from when a record was due until the client heard COMMITTED.")
	return &measurement{tb: tb, plan: plan, group: group, lab: lab, random: rand.New(rand.NewPCG(plan.Seed, 0)), kept: map[float64]bool{}}
}

type measurement struct {
	tb     testing.TB
	plan   Plan
	group  *result.Group
	lab    *soak.Lab
	random *rand.Rand
	// kept says of the rates that were held whether the network kept up.
	kept map[float64]bool
	// anchored counts what lone records and rates have brought onto the ledger.
	anchored int
	// calls is how many the ledger holds, where that is what is measured: it is in the
	// names then, and a parameter.
	calls int
}

// named makes a measurement of a name, with the calls on the ledger where those count.
func (m *measurement) named(name, title, unit string, parameters map[string]float64) result.Measurement {
	parameters = maps.Clone(parameters)
	if m.calls > 0 {
		if parameters == nil {
			parameters = map[string]float64{}
		}
		parameters["calls"] = float64(m.calls)
		name = fmt.Sprintf("%s/calls=%d", name, m.calls)
	}
	return result.Measurement{Name: name, Title: title, Unit: unit, Parameters: parameters}
}

func (m *measurement) add(all ...result.Measurement) {
	m.group.Measurements = append(m.group.Measurements, all...)
}

func (m *measurement) end(fleet *soak.Fleet) {
	fleet.Stop()
	m.anchored += int(fleet.Offered.Load())
}

// lone sends one record after the other, each when nothing is left to do of the one
// before it.
func (m *measurement) lone() {
	fleet := m.lab.Fleet(1, soak.Manner{})
	defer m.end(fleet)
	one := func() {
		fleet.Offer(time.Now())
		m.drain(fleet)
		m.pause(time.Duration(m.random.Int64N(int64(idle))))
	}
	for range 1 + m.plan.Lone/5 {
		one()
	}
	committed := m.named("commit/lone", "a lone record, due to COMMITTED", "ms", nil)
	settled := m.named("settle/lone", "a lone record, due to its details stored", "ms", nil)
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
	defer m.end(fleet)
	fleet.Random = m.random
	fleet.Load(m.tb.Context(), rate, warmUp)
	m.drain(fleet)
	at, parameters := fmt.Sprintf("/rate=%.0f", rate), map[string]float64{"offered": rate}
	committed := m.named("commit"+at, fmt.Sprintf("at %.0f records/s, due to COMMITTED", rate), "ms", parameters)
	achieved := m.named("throughput"+at, fmt.Sprintf("committed, at %.0f records/s", rate), "/s", parameters)
	costs := m.newCosts(at, parameters)
	load := stretches{fleet: fleet}
	for range m.plan.Repetitions {
		end := m.account(costs)
		load.one(m.tb.Context(), rate, m.plan.Steady)
		m.drain(fleet)
		end(soak.Sum(fleet.Settled(load.spans[len(load.spans)-1].from, time.Now())))
	}
	committed.Latencies, achieved.Values = load.latencies(), load.achieved
	m.kept[rate] = load.kept()
	m.add(committed)
	if m.calls == 0 { // the growth of latency is over the calls, not over the throughput
		m.add(achieved)
	}
	m.add(costs.all()...)
	m.tb.Logf("%.0f records a second: measured", rate)
}

// saturate offers more than the gateway can do and counts what is settled.
func (m *measurement) saturate(name string, kind soak.Kind) {
	fleet := m.lab.Fleet(saturating, soak.Manner{Kind: kind, Window: 4})
	defer fleet.Stop()
	began, end := time.Now(), fleet.Begin(plenty)
	defer end()
	m.first(fleet, began)
	m.pause(2 * warmUp)
	at := "/saturation/" + name
	throughput := result.Measurement{Name: "throughput" + at, Title: "sustained, committed and settled, " + name, Unit: "/s", Notes: []string{"The repetitions are stretches of one run."}}
	costs := m.newCosts(at, nil)
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

// first waits until something has settled: details come last, in company.
func (m *measurement) first(fleet *soak.Fleet, began time.Time) {
	m.tb.Helper()
	for soak.Sum(fleet.Settled(began, time.Now())) == 0 {
		if time.Since(began) > patience || m.tb.Context().Err() != nil {
			m.tooBusy(began)
		}
		m.pause(warmUp / 10)
	}
}

// settled counts records for as long as planned, or until some have settled where the
// machine is very busy.
func (m *measurement) settled(fleet *soak.Fleet) (records int, took time.Duration) {
	from := time.Now()
	for took < patience && m.tb.Context().Err() == nil {
		m.pause(m.plan.Steady)
		to := time.Now()
		took = to.Sub(from)
		if records = soak.Sum(fleet.Settled(from, to)); records > 0 {
			return records, took
		}
	}
	m.tooBusy(from)
	return 0, 0
}

func (m *measurement) tooBusy(since time.Time) {
	m.tb.Helper()
	m.tb.Fatalf("no record was settled within %s: the machine is too busy", time.Since(since).Round(time.Second))
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
