package fabric

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
	"github.com/callseal/callseal/soak"
)

const (
	// patience bounds what has to happen sooner or later.
	patience = 2 * time.Minute
	// warmUp is left out at the beginning of saturation: the segments that gather while
	// others wait two seconds for their block, and two more for their details, have
	// reached their full size by then.
	warmUp = 16 * time.Second
	// warmUpPlain is that of applications, whose transactions fill blocks at once.
	warmUpPlain = 4 * time.Second
	// plenty is more than a gateway can do, in records a second.
	plenty = 20_000
	// adapters saturate the gateway, applications the peers; a peer takes 500 calls
	// at a time.
	adapters, applications = 16, 128
)

// Stock is the block cutting of fabric-samples' test network.
func Stock() network.Blocks {
	return network.Blocks{Timeout: 2 * time.Second, Messages: 10, PreferredBytes: 512 << 10}
}

// Plan says how much is measured.
type Plan struct {
	// Repetitions is how often each measurement is made, on one network.
	Repetitions int
	// Lone is how many lone calls are anchored each time; 0 leaves them out.
	Lone int
	// Saturated is how long saturation is counted.
	Saturated time.Duration
	// Gateway is whether the gateway is saturated too, which takes half a minute more.
	Gateway bool
	// Seed makes the pauses between lone calls.
	Seed uint64
}

// Measure starts a network and measures it into a group.
func Measure(tb testing.TB, plan Plan, group *result.Group) {
	tb.Helper()
	consortium := network.Development()
	consortium.Consensus, consortium.Blocks = network.Raft, Stock()
	m := &measurement{tb: tb, plan: plan, lab: soak.NewLab(tb, networktest.WithConsortium(consortium)), random: rand.New(rand.NewPCG(plan.Seed, 0))}
	cut := consortium.Cutting()
	group.Facts = append(group.Facts, machine.Fact{Name: "settings", Value: fmt.Sprintf("raft, three orderers; a block after %s, %d transactions or %d KiB", cut.Timeout, cut.Messages, cut.PreferredBytes>>10)})
	group.Notes = append(group.Notes,
		"The network, its policies (two of three operators endorse), mutual TLS, chaincode and peer settings are Callseal's own; only when blocks are cut is as in fabric-samples' test network. Nothing else of Fabric's defaults is measured here.",
		"Three operators' and the regulator's peers, the orderers and whoever sends share the machine.")
	application, err := newApplication(m.lab)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(application.close)
	m.application, m.writers = application, m.lab.Writers(applications)
	m.open()
	tb.Logf("%d applications enrolled and opened their books", applications)
	if plan.Lone > 0 {
		m.lones(group)
	}
	plain := result.Measurement{
		Name: "throughput/plain", Title: "records a second by plain applications, one a transaction, committed", Unit: "/s",
		Parameters: map[string]float64{"clients": applications}, Notes: []string{"Without details: with them each record would take a second transaction. The repetitions are stretches of one run."},
		Values: m.saturatedPlain(),
	}
	tb.Logf("plain applications measured")
	if plan.Gateway {
		group.Measurements = append(group.Measurements, result.Measurement{
			Name: "throughput/gateway", Title: "records a second through the gateway, committed and their details in place", Unit: "/s",
			Parameters: map[string]float64{"clients": adapters}, Notes: []string{"The gateway packs up to 1500 records into a transaction. The repetitions are stretches of one run."},
			Values: m.saturated(),
		})
	}
	group.Measurements = append(group.Measurements, plain)
}

// lones adds what lone calls take.
func (m *measurement) lones(group *result.Group) {
	m.tb.Helper()
	gateway := result.Measurement{Name: "commit/lone", Title: "a lone record through the gateway, sent to committed", Unit: "ms"}
	plain := result.Measurement{
		Name: "commit/lone-plain", Title: "a lone record by a plain application, submitted to committed", Unit: "ms",
		Notes: []string{"Without the record's details."},
	}
	for range m.plan.Repetitions {
		gateway.Latencies = append(gateway.Latencies, m.lone())
		plain.Latencies = append(plain.Latencies, m.lonePlain())
	}
	group.Measurements = append(group.Measurements, gateway, plain)
	m.tb.Logf("lone calls measured")
}

type measurement struct {
	tb          testing.TB
	plan        Plan
	lab         *soak.Lab
	random      *rand.Rand
	application *application
	writers     []*soak.Writer
}

// open has every writer anchor its first segment, which is larger than those measured.
func (m *measurement) open() {
	m.tb.Helper()
	group, ctx := errgroup.WithContext(m.tb.Context())
	for _, writer := range m.writers {
		group.Go(func() error { return m.application.anchor(ctx, writer) })
	}
	if err := group.Wait(); err != nil {
		m.tb.Fatal(err)
	}
}

// pause waits a random while, so that no call is bound to the beat of the last.
func (m *measurement) pause() {
	select {
	case <-m.tb.Context().Done():
	case <-time.After(time.Duration(m.random.Int64N(int64(300 * time.Millisecond)))):
	}
}

// lone has one call after another anchored, each when nothing of the last is left: any
// other transaction on its way would have its block cut earlier.
func (m *measurement) lone() result.Distribution {
	m.tb.Helper()
	fleet := m.lab.Fleet(1, soak.Manner{})
	defer fleet.Stop()
	recorder := result.NewRecorder()
	for n := range m.plan.Lone + 1 {
		m.pause()
		from := time.Now()
		fleet.Clients[0].Offer(from)
		m.drain(fleet)
		if n > 0 { // the first opens the PBX's books
			took := fleet.Commitment(from, time.Now())
			if took.Count() != 1 {
				m.tb.Fatalf("a lone call was not committed: %d were", took.Count())
			}
			recorder.Record(took.Max())
		}
	}
	return recorder.Distribution()
}

func (m *measurement) lonePlain() result.Distribution {
	m.tb.Helper()
	recorder := result.NewRecorder()
	for range m.plan.Lone {
		m.pause()
		from := time.Now()
		if err := m.application.anchor(m.tb.Context(), m.writers[0]); err != nil {
			m.tb.Fatal(err)
		}
		recorder.Record(time.Since(from))
	}
	return recorder.Distribution()
}

func (m *measurement) drain(fleet *soak.Fleet) {
	m.tb.Helper()
	ctx, cancel := context.WithTimeout(m.tb.Context(), patience)
	defer cancel()
	if err := fleet.Drain(ctx); err != nil {
		m.tb.Fatal(err)
	}
}

// saturated offers the gateway more than it can do and counts what is settled, in as
// many stretches as there are repetitions. It comes last: what is on its way then would
// take long to settle.
func (m *measurement) saturated() []float64 {
	m.tb.Helper()
	fleet := m.lab.Fleet(adapters, soak.Manner{Kind: soak.Calls, Window: 4})
	end := fleet.Begin(plenty)
	defer func() { end(); fleet.Stop() }()
	m.wait(warmUp)
	var rates []float64
	for range m.plan.Repetitions {
		from := time.Now()
		m.wait(m.plan.Saturated)
		to := time.Now()
		settled := soak.Sum(fleet.Settled(from, to))
		if settled == 0 {
			m.tb.Fatalf("nothing was settled within %s", to.Sub(from))
		}
		rates = append(rates, float64(settled)/to.Sub(from).Seconds())
	}
	return rates
}

func (m *measurement) wait(d time.Duration) {
	select {
	case <-m.tb.Context().Done():
	case <-time.After(d):
	}
}

// saturatedPlain has every application submit one call after the other and counts what
// is committed, in as many stretches as there are repetitions.
func (m *measurement) saturatedPlain() []float64 {
	m.tb.Helper()
	var committed atomic.Int64
	group, ctx := errgroup.WithContext(m.tb.Context())
	submitting, stop := context.WithCancel(ctx)
	defer stop()
	for _, writer := range m.writers {
		group.Go(func() error {
			for submitting.Err() == nil {
				if err := m.application.anchor(ctx, writer); err != nil {
					return err
				}
				committed.Add(1)
			}
			return nil
		})
	}
	m.wait(warmUpPlain)
	var rates []float64
	for range m.plan.Repetitions {
		before, from := committed.Load(), time.Now()
		m.wait(m.plan.Saturated)
		rates = append(rates, float64(committed.Load()-before)/time.Since(from).Seconds())
	}
	stop()
	if err := group.Wait(); err != nil {
		m.tb.Fatal(err)
	}
	return rates
}
