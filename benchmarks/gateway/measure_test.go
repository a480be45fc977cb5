package gateway_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
	"github.com/callseal/callseal/soak"
)

var (
	lone   = flag.Duration("measure.lone", 100*time.Second, "how long one record a second is sent")
	steady = flag.Duration("measure.steady", 30*time.Second, "how long each other rate is held")
	kills  = flag.Int("measure.kills", 15, "how often something is killed")
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

const (
	patience = 3 * time.Minute
	// warmUp is what is left out at the beginning of each measurement.
	warmUp = 3 * time.Second
	// plenty is more than the gateway can do, in records a second.
	plenty = 20_000
	// saturating is how many adapters saturate the gateway.
	saturating = 16
)

// BenchmarkGateway measures everything on one network; it needs -benchtime 1x.
func BenchmarkGateway(b *testing.B) {
	for _, fact := range machine.Facts(b.Context(), b.TempDir()) {
		fmt.Printf("%s: %s\n", strings.ReplaceAll(fact.Name, " ", "-"), fact.Value)
	}
	lab := soak.NewLab(b)
	meter := lab.Meter()
	for _, one := range []struct {
		rate    float64
		clients int
		lasts   time.Duration
	}{{1, 1, *lone}, {50, 8, *steady}, {200, 16, *steady}} {
		b.Run(fmt.Sprintf("latency/rate=%.0f", one.rate), func(b *testing.B) {
			fleet := lab.On(b).Fleet(one.clients, soak.Manner{})
			at(b, lab.On(b), fleet, one.rate, one.lasts)
		})
	}
	for _, what := range []struct {
		name string
		kind soak.Kind
	}{{"details", soak.Calls}, {"no-details", soak.Omissions}} {
		var capacity float64
		b.Run("saturation/"+what.name, func(b *testing.B) { capacity = saturate(b, lab.On(b), meter, what.kind) })
		b.Run("latency-near-saturation/"+what.name, func(b *testing.B) {
			fleet := lab.On(b).Fleet(saturating, soak.Manner{Kind: what.kind, Window: 4})
			at(b, lab.On(b), fleet, 0.8*capacity, *steady)
		})
	}
	var killed []soak.Kill
	b.Run("kills", func(b *testing.B) {
		const rate = 200
		lab := lab.On(b)
		fleet := lab.Fleet(16, soak.Manner{})
		end := fleet.Begin(rate)
		defer end()
		killed = lab.Chaos(fleet, rand.New(rand.NewPCG(1, 1)), *kills, 3*time.Second, 2*time.Second)
		end()
		drain(b, fleet)
	})
	for _, victim := range soak.Victims {
		b.Run("recovery/"+strings.ReplaceAll(string(victim), " ", "-"), func(b *testing.B) {
			away, recovery := soak.Recoveries(killed, victim)
			require.NotEmpty(b, recovery)
			b.ReportMetric(float64(len(recovery)), "kills")
			b.ReportMetric(away[len(away)/2].Seconds(), "away-p50-s")
			b.ReportMetric(recovery[len(recovery)/2].Seconds(), "p50-s")
			b.ReportMetric(recovery[len(recovery)-1].Seconds(), "max-s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// at measures latencies at one rate.
func at(b *testing.B, lab *soak.Lab, fleet *soak.Fleet, rate float64, lasts time.Duration) {
	b.Helper()
	fleet.Load(b.Context(), max(rate, 5), warmUp)
	drain(b, fleet)
	used := account(b, lab)
	from := time.Now()
	fleet.Load(b.Context(), rate, lasts)
	to := time.Now()
	drain(b, fleet)
	used(soak.Sum(fleet.Settled(from, time.Now())))
	for name, latency := range map[string]*result.Recorder{
		"accepted": fleet.Acceptance(from, to), "committed": fleet.Commitment(from, to), "settled": fleet.Settlement(from, to),
	} {
		require.Positive(b, latency.Count())
		for _, p := range []float64{50, 95, 99} {
			b.ReportMetric(float64(latency.At(p).Microseconds())/1000, fmt.Sprintf("%s-p%.0f-ms", name, p))
		}
	}
	b.ReportMetric(rate, "offered/s")
	b.ReportMetric(0, "ns/op")
}

// saturate offers more than the gateway can do and counts what is settled.
func saturate(b *testing.B, lab *soak.Lab, meter *soak.Meter, kind soak.Kind) float64 {
	b.Helper()
	fleet := lab.Fleet(saturating, soak.Manner{Kind: kind, Window: 4})
	end := fleet.Begin(plenty)
	defer end()
	time.Sleep(2 * warmUp)
	used := account(b, lab)
	journaled, accepted := read(b, meter, journaledBytes), fleet.Accepted()
	behind := meter.Follow(lagBlocks, time.Millisecond)
	from := time.Now()
	time.Sleep(*steady)
	to := time.Now()
	settled := soak.Sum(fleet.Settled(from, to))
	used(settled)
	lag, err := behind()
	require.NoError(b, err)
	// A sample counts a block as a millisecond; the least that is recorded is nothing.
	b.ReportMetric(float64(lag.At(50)/time.Millisecond), "index-lag-p50-blocks")
	b.ReportMetric(float64(lag.At(99)/time.Millisecond), "index-lag-p99-blocks")
	b.ReportMetric((read(b, meter, journaledBytes)-journaled)/float64(fleet.Accepted()-accepted), "journal-B/record")
	end()
	fleet.Drop()
	drain(b, fleet)
	rate := float64(settled) / to.Sub(from).Seconds()
	b.ReportMetric(rate, "records/s")
	b.ReportMetric(0, "ns/op")
	return rate
}

// What the gateway measures of itself.
const (
	journaledBytes = "callseal_gateway_journal_written_bytes_total"
	lagBlocks      = "callseal_gateway_index_lag_blocks"
)

func read(b *testing.B, meter *soak.Meter, name string) float64 {
	b.Helper()
	value, err := meter.Read(b.Context(), name)
	require.NoError(b, err)
	return value
}

// account counts what the network uses until it is ended with the number of records,
// and reports that.
func account(b *testing.B, lab *soak.Lab) (end func(records int)) {
	b.Helper()
	counted, err := lab.Account()
	require.NoError(b, err)
	return func(records int) {
		b.Helper()
		cost, err := counted()
		require.NoError(b, err)
		require.Positive(b, records)
		b.ReportMetric(cost.Gateway.MaxRSS/1e6, "gateway-MB")
		b.ReportMetric(100*cost.Gateway.CPU/cost.Gateway.Wall, "gateway-cpu-%")
		b.ReportMetric(1e6*cost.Gateway.CPU/float64(records), "gateway-cpu-µs/record")
		b.ReportMetric(1e6*cost.Network()/float64(records), "network-cpu-µs/record")
		b.ReportMetric(cost.Written/float64(records), "disk-B/record")
	}
}

func drain(b *testing.B, fleet *soak.Fleet) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	require.NoError(b, fleet.Drain(ctx))
}
