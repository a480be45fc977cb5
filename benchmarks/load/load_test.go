package load_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
	"github.com/callseal/callseal/soak"
)

var (
	out         = flag.String("load.out", "", "folder for the results; none are left without it")
	seed        = flag.Uint64("load.seed", 1, "decides when records are due")
	repetitions = flag.Int("load.repetitions", 3, "how often each figure is measured")
	lone        = flag.Int("load.lone", 100, "lone records a repetition")
	steady      = flag.Duration("load.steady", 15*time.Second, "how long each rate is held")
	profiles    = flag.String("load.profiles", "", "folder for profiles of the gateway at saturation; none are taken without it")
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

const (
	patience = 3 * time.Minute
	// warmUp is what is left out at the beginning of each measurement.
	warmUp = 3 * time.Second
	// plenty is more than any gateway can do, in records a second.
	plenty = 30_000
	// saturating is how many adapters saturate the gateway.
	saturating = 16
)

// BenchmarkLoad measures everything, on a network each; it needs -benchtime 1x.
func BenchmarkLoad(b *testing.B) {
	for _, one := range []struct {
		name, title string
		options     []networktest.Option
	}{
		{"callseal-bft", "Callseal, SmartBFT ordering", nil},
		{"callseal-raft", "Callseal, Raft ordering", []networktest.Option{networktest.WithRaft()}},
	} {
		b.Run(one.name, func(b *testing.B) {
			g := begin(b, one.name, one.title)
			s := &stage{Lab: soak.NewLab(b, one.options...), group: g, random: rand.New(rand.NewPCG(*seed, 0))}
			s.meter = s.Meter()
			b.Run("lone", s.lone)
			for _, rate := range []float64{50, 200} {
				b.Run(fmt.Sprintf("rate=%.0f", rate), func(b *testing.B) { s.rate(b, rate) })
			}
			b.Run("saturation/details", func(b *testing.B) { s.saturate(b, "details", soak.Calls) })
			b.Run("saturation/no-details", func(b *testing.B) { s.saturate(b, "no-details", soak.Omissions) })
			end(b, g)
		})
	}
}

// begin begins a group of results.
func begin(b *testing.B, name, title string) *result.Group {
	b.Helper()
	return &result.Group{
		Name: name, Title: title, Began: time.Now(), Facts: machine.Facts(b.Context(), b.TempDir()),
		Notes: []string{
			"The whole consortium of three operators and a regulator, with its orderers, peers, chaincode, one gateway and the clients, shares this machine's processors.",
			"Two operators endorse each record; every node syncs its disk as in production; latencies count from when a record was due until the client heard COMMITTED.",
		},
	}
}

// end leaves it.
func end(b *testing.B, g *result.Group) {
	b.Helper()
	g.Ended = time.Now()
	if *out != "" {
		require.NoError(b, g.Write(*out))
	}
}

// stage is a network with the gateway under load.
type stage struct {
	*soak.Lab
	meter  *soak.Meter
	group  *result.Group
	random *rand.Rand
}

// add keeps a measurement, and shows it as benchmarks do.
func (s *stage) add(b *testing.B, one result.Measurement) {
	b.Helper()
	s.group.Measurements = append(s.group.Measurements, one)
	unit := one.Unit
	if len(one.Latencies) > 0 {
		var p50, p99 []float64
		for _, latency := range one.Latencies {
			p50, p99 = append(p50, latency.P50), append(p99, latency.P99)
		}
		b.ReportMetric(median(p50), one.Name+"-p50-"+unit)
		b.ReportMetric(median(p99), one.Name+"-p99-"+unit)
	} else {
		b.ReportMetric(median(one.Values), one.Name+"-"+unit)
	}
	b.ReportMetric(0, "ns/op")
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// lone sends one record after the other, each when nothing is left to do of the one
// before it.
func (s *stage) lone(b *testing.B) {
	fleet := s.On(b).Fleet(1, soak.Manner{})
	one := func() {
		fleet.Offer(time.Now())
		drain(b, fleet)
		// What the disks and the index still do is no part of the next.
		time.Sleep(time.Duration(20+s.random.IntN(60)) * time.Millisecond)
	}
	for range 20 {
		one()
	}
	committed, settled := result.Measurement{Name: "commit/lone", Title: "a lone record, due to COMMITTED", Unit: "ms"}, result.Measurement{Name: "settle/lone", Title: "a lone record, due to details stored", Unit: "ms"}
	for range *repetitions {
		from := time.Now()
		for range *lone {
			one()
		}
		committed.Latencies = append(committed.Latencies, fleet.Commitment(from, time.Now()).Distribution())
		settled.Latencies = append(settled.Latencies, fleet.Settlement(from, time.Now()).Distribution())
	}
	s.add(b, committed)
	s.add(b, settled)
}

// rate measures latencies at a rate.
func (s *stage) rate(b *testing.B, rate float64) {
	fleet := s.On(b).Fleet(saturating, soak.Manner{})
	fleet.Random = s.random
	fleet.Load(b.Context(), rate, warmUp)
	drain(b, fleet)
	at := fmt.Sprintf("/rate=%.0f", rate)
	parameters := map[string]float64{"offered": rate}
	committed := result.Measurement{Name: "commit" + at, Title: fmt.Sprintf("at %.0f records/s, due to COMMITTED", rate), Unit: "ms", Parameters: parameters}
	costs := s.costs(at, parameters)
	for range *repetitions {
		used := s.use(b)
		from := time.Now()
		fleet.Load(b.Context(), rate, *steady)
		to := time.Now()
		drain(b, fleet)
		used.end(b, soak.Sum(fleet.Settled(from, time.Now())), costs)
		committed.Latencies = append(committed.Latencies, fleet.Commitment(from, to).Distribution())
	}
	s.add(b, committed)
	s.addAll(b, costs)
}

// saturate offers more than the gateway can do and counts what is settled.
func (s *stage) saturate(b *testing.B, name string, kind soak.Kind) {
	lab := s.On(b)
	fleet := lab.Fleet(saturating, soak.Manner{Kind: kind, Window: 4})
	end := fleet.Begin(plenty)
	defer end()
	time.Sleep(2 * warmUp)
	at := "/saturation/" + name
	throughput := result.Measurement{Name: "throughput" + at, Title: "sustained, committed and settled, " + name, Unit: "/s"}
	costs := s.costs(at, nil)
	if *profiles != "" {
		stop := s.profile(b, name)
		defer stop()
	}
	for range *repetitions {
		used := s.use(b)
		from := time.Now()
		time.Sleep(*steady)
		to := time.Now()
		settled := soak.Sum(fleet.Settled(from, to))
		used.end(b, settled, costs)
		throughput.Values = append(throughput.Values, float64(settled)/to.Sub(from).Seconds())
	}
	end()
	fleet.Drop()
	drain(b, fleet)
	s.add(b, throughput)
	s.addAll(b, costs)
}

func (s *stage) addAll(b *testing.B, all map[string]*result.Measurement) {
	b.Helper()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		s.add(b, *all[name])
	}
}

func drain(b *testing.B, fleet *soak.Fleet) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	require.NoError(b, fleet.Drain(ctx))
}
