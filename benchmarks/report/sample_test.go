package report

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
)

// sampler makes results of the shape of real ones. Their figures are made up.
type sampler struct {
	random *rand.Rand
	began  time.Time
	all    Results
}

func sample(t testing.TB) Results {
	t.Helper()
	copied := Results{}
	for name, group := range made() {
		require.NoError(t, group.Check())
		copied[name] = clone(group)
	}
	return copied
}

// clone copies a group, for tests that change it.
func clone(group *result.Group) *result.Group {
	copied := *group
	copied.Facts = slices.Clone(group.Facts)
	copied.Measurements = slices.Clone(group.Measurements)
	for i, one := range copied.Measurements {
		copied.Measurements[i].Values = slices.Clone(one.Values)
		copied.Measurements[i].Latencies = slices.Clone(one.Latencies)
		for n, latency := range one.Latencies {
			copied.Measurements[i].Latencies[n].Points = slices.Clone(latency.Points)
		}
	}
	return &copied
}

// made are the results, made once.
var made = sync.OnceValue(func() Results {
	s := &sampler{random: rand.New(rand.NewPCG(6, 6)), began: time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC), all: Results{}}
	s.callseal()
	s.growth()
	s.ethereum()
	s.peers()
	for _, group := range s.all {
		group.Version = result.Version
	}
	return s.all
})

func (s *sampler) group(name, title string, notes []string, facts ...machine.Fact) *result.Group {
	s.began = s.began.Add(3 * time.Minute)
	g := &result.Group{
		Name: name, Title: title, Notes: notes, Began: s.began, Ended: s.began.Add(2*time.Minute + 31*time.Second),
		Facts: append([]machine.Fact{
			{Name: "date", Value: s.began.Format("2006-01-02 15:04 MST")}, {Name: "commit", Value: "0123456789ab"},
			{Name: "machine", Value: "2 × Example Processor, 8 GiB"}, {Name: "system", Value: "debian 12, Linux 6.1"}, {Name: "go", Value: "go1.26.8"},
			{Name: "load before", Value: fmt.Sprintf("%.1f", s.random.Float64())}, {Name: "fsync of 4 KiB", Value: fmt.Sprintf("p50 %.2f ms, p99 1.10 ms", 0.3+s.random.Float64()/10)},
		}, facts...),
	}
	s.all[name] = g
	return g
}

// latencies are three repetitions of count latencies each, in ms.
func (s *sampler) latencies(count int, one func() float64) []result.Distribution {
	var all []result.Distribution
	for range 3 {
		bias := 1 + s.random.NormFloat64()/50
		recorder := result.NewRecorder()
		for range count {
			recorder.Record(time.Duration(one() * bias * float64(time.Millisecond)))
		}
		all = append(all, recorder.Distribution())
	}
	return all
}

// skewed are latencies around a median with a tail.
func (s *sampler) skewed(median, sigma float64) func() float64 {
	return func() float64 { return median * math.Exp(sigma*s.random.NormFloat64()) }
}

func (s *sampler) even(from, to float64) func() float64 {
	return func() float64 { return from + (to-from)*s.random.Float64() }
}

func (s *sampler) values(around float64) []float64 {
	return []float64{around * (1 + s.random.NormFloat64()/60), around * (1 + s.random.NormFloat64()/60), around * (1 + s.random.NormFloat64()/60)}
}

func (s *sampler) latency(g *result.Group, name, title string, count int, one func() float64, parameters map[string]float64) {
	g.Measurements = append(g.Measurements, result.Measurement{Name: name, Title: title, Unit: "ms", Parameters: parameters, Latencies: s.latencies(count, one)})
}

func (s *sampler) value(g *result.Group, name, title, unit string, around float64, parameters map[string]float64) {
	g.Measurements = append(g.Measurements, result.Measurement{Name: name, Title: title, Unit: unit, Parameters: parameters, Values: s.values(around)})
}

func (s *sampler) callseal() {
	notes := []string{
		"The whole consortium of three operators and a regulator, with its orderers, peers, chaincode, one gateway and the clients, shares this machine's processors.",
		"Two operators endorse each record; every node syncs its disk as in production.",
	}
	for _, one := range []struct {
		name, title            string
		lone, details, without float64
	}{{"callseal-bft", "Callseal, SmartBFT ordering", 15.1, 3210, 6800}, {"callseal-raft", "Callseal, Raft ordering", 12.4, 3620, 7350}} {
		g := s.group(one.name, one.title, notes, machine.Fact{Name: "fabric", Value: "v3.1.1"})
		s.latency(g, "commit/lone", "a lone record, due to COMMITTED", 100, s.skewed(one.lone, 0.16), nil)
		s.latency(g, "settle/lone", "a lone record, due to details stored", 100, s.skewed(2*one.lone, 0.16), nil)
		for _, rate := range []float64{50, 200, 500, 1000, 2000, 3000} {
			load := rate / one.details
			at := fmt.Sprintf("rate=%.0f", rate)
			s.latency(g, "commit/"+at, fmt.Sprintf("at %.0f records/s, due to COMMITTED", rate), 1000, s.skewed(one.lone*(1.3+2*load*load*load/(1.05-load)), 0.3), map[string]float64{"offered": rate})
		}
		for name, throughput := range inNames(map[string]float64{"details": one.details, "no-details": one.without}) {
			s.value(g, "throughput/saturation/"+name, "sustained, committed and settled, "+name, "/s", throughput, nil)
			share := 2e6 / throughput
			for kind, part := range inNames(map[string]float64{"gateway": 0.11, "peers": 0.47, "orderers": 0.12, "chaincode": 0.17, "network": 0.87}) {
				s.value(g, "cpu/"+kind+"/saturation/"+name, "processor time of "+kind+" a record", "µs", share*part, nil)
			}
			s.value(g, "memory/saturation/"+name, "memory of the gateway, at most", "MiB", 118, nil)
		}
	}
	g := s.all["callseal-bft"]
	for name, took := range inNames(map[string]float64{"gateway": 640, "network": 3900}) {
		g.Measurements = append(g.Measurements, result.Measurement{Name: "cpu/" + name + "/rate=200", Title: "processor time of " + name + " a record", Unit: "µs", Values: []float64{took - 1, took, took + 1}})
	}
	s.value(g, "throughput/reputation/hot", "evidence counted, one hot subject", "/s", 5400, nil)
	s.value(g, "throughput/reputation/cold", "evidence counted, cold subjects", "/s", 5150, nil)
	for _, name := range []string{"conflicts", "mismatches"} {
		g.Measurements = append(g.Measurements, result.Measurement{Name: name + "/reputation", Title: name + " while evidence was counted", Unit: "none", Values: []float64{0, 0, 0}})
	}
}

// inNames goes through a map in the order of its names.
func inNames(of map[string]float64) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		for _, name := range slices.Sorted(maps.Keys(of)) {
			if !yield(name, of[name]) {
				return
			}
		}
	}
}

func (s *sampler) growth() {
	g := s.group("callseal-growth", "Callseal as its ledger grows", nil)
	for _, calls := range []float64{1e4, 1e5, 1e6} {
		at, parameters := fmt.Sprintf("/calls=%.0f", calls), map[string]float64{"calls": calls}
		s.latency(g, "commit/lone"+at, "a lone record, due to COMMITTED", 100, s.skewed(15*(1+math.Log10(calls/1e4)/50), 0.16), parameters)
		s.latency(g, "commit/rate=200"+at, "at 200 records/s, due to COMMITTED", 500, s.skewed(21*(1+math.Log10(calls/1e4)/40), 0.3), parameters)
		s.value(g, "throughput/details"+at, "sustained, with details", "/s", 3200*(1-math.Log10(calls/1e4)/60), parameters)
	}
}

func (s *sampler) ethereum() {
	notes := []string{"One sequencer on loopback, with no wide-area network and no other user's load: a lower bound for public rollups."}
	processes := map[string]float64{"l1-geth": 120, "op-geth": 155, "op-node": 82, "op-batcher": 51}
	for _, one := range []struct {
		name, title    string
		from, to, safe float64
	}{{"op-stack-defaults", "OP Stack, 2 s blocks, op-geth at its defaults", 1960, 3980, 1}, {"op-stack-tuned", "OP Stack, 2 s blocks, op-geth with --miner.recommit 100ms", 50, 2020, 1},
		{"anvil-1s", "anvil, a block every 1s", 20, 1020, 0}, {"anvil-250ms", "anvil, a block every 250ms", 10, 262, 0}, {"anvil-automine", "anvil, mining every transaction at once", 1.2, 3.9, 0}} {
		g := s.group(one.name, one.title, notes)
		s.latency(g, "latency/lone", "one record at a time, sent to receipt in the latest block", 30, s.even(one.from, one.to), nil)
		s.latency(g, "latency/open", "Poisson arrivals, due to receipt in the latest block", 400, s.even(one.from, one.to), map[string]float64{"offered": 20})
		total := 0.0
		if one.safe > 0 {
			s.latency(g, "latency/safe", "the same records, due to safe head", 400, s.even(23800, 40300), nil)
			for _, process := range []string{"l1-geth", "op-geth", "op-node", "op-batcher"} {
				s.value(g, "memory/"+process, "memory of "+process, "MiB", processes[process], nil)
				s.value(g, "cpu/"+process, "processor of "+process+", of one core", "%", processes[process]/20, nil)
				total += processes[process]
			}
		} else {
			total = 41
			s.value(g, "memory/anvil", "memory of anvil", "MiB", total, nil)
		}
		s.value(g, "memory/total", "memory of total", "MiB", total, nil)
	}
	g := s.group("gas", "gas and fees of one CDR", []string{"Fees are arithmetic on that gas at stated prices, not what anybody paid: L2 gas 0.001 gwei, ether 3000 USD."})
	for _, one := range []struct {
		name, title string
		gas         float64
	}{{"struct", "two-slot struct and event", 68906}, {"slot", "one slot and event", 46017}, {"event", "event only", 24408}, {"merkle-1", "Merkle root over 1", 45932}, {"merkle-10", "Merkle root over 10", 4593.2}, {"merkle-100", "Merkle root over 100", 459.3}, {"merkle-500", "Merkle root over 500", 91.9}} {
		s.value(g, "gas/"+one.name, one.title+", per CDR", "gas", one.gas, nil)
		s.value(g, "fee-l2/"+one.name, one.title+", fee for execution per CDR", "USD", one.gas*1e-12*3000, nil)
		s.value(g, "fee-l1/"+one.name, one.title+", fee for the L1 per CDR", "USD", one.gas*1e-12*400, nil)
		s.value(g, "fee/"+one.name, one.title+", whole fee per CDR", "USD", one.gas*1e-12*3400, nil)
	}
}

func (s *sampler) peers() {
	for _, one := range []struct {
		name, title      string
		interval, tuples float64
	}{{"tessera-default", "Tessera on POSIX, default settings", 10000, 8200}, {"tessera-tuned", "Tessera on POSIX, tuned", 1000, 9100}} {
		g := s.group(one.name, one.title, []string{"A log is kept and signed by one party: nobody endorses, nobody else has a copy."}, machine.Fact{Name: "tessera", Value: "v1.0.0"})
		s.latency(g, "proof/lone", "one record a second at random moments, to a verified proof", 20, s.even(one.interval/20, one.interval*1.05), map[string]float64{"offered": 1})
		s.latency(g, "proof/quiet", "a record after a quiet while, to a verified proof", 8, s.even(90, 300), nil)
		s.latency(g, "proof/rate=200", "200 records a second at random moments, to a verified proof", 1500, s.even(one.interval/20, one.interval*1.05), map[string]float64{"offered": 200})
		s.value(g, "throughput/saturation", "records a second that signed checkpoints commit to", "/s", one.tuples, map[string]float64{"clients": 4096})
	}
	g := s.group("fabric-stock", "Fabric with its samples' block cutting", []string{"Only when blocks are cut is as in fabric-samples' test network."})
	s.latency(g, "commit/lone", "a lone record through the gateway, sent to committed", 5, s.even(2011, 2031), nil)
	s.latency(g, "commit/lone-plain", "a lone record by a plain application, submitted to committed", 5, s.even(2012, 2034), nil)
	s.value(g, "throughput/gateway", "records a second through the gateway", "/s", 2100, nil)
	s.value(g, "throughput/plain", "records a second by plain applications", "/s", 205, nil)
	g = s.group("rivs", "RiVS's way and Callseal's", []string{"P2 ran Python programs; here each is a small Go program."})
	for _, one := range []struct {
		name   string
		median float64
	}{{"row/process", 2.1}, {"row/sql", 0.21}, {"message/process", 9}, {"message/rabbitmq", 2.2}, {"message/gateway", 1.4}, {"score/process", 6}, {"score/sql", 1.1}, {"score/gateway", 16}, {"event/rivs", 15}, {"event/callseal", 17}} {
		s.latency(g, one.name, one.name, 50, s.skewed(one.median, 0.2), nil)
	}
	s.value(g, "row/parser", "a CDR row by the adapter's parser", "µs", 4.1, nil)
	for _, one := range []struct {
		name   string
		around float64
	}{{"message/rabbitmq-peak", 5100}, {"message/gateway-peak", 7900}, {"score/sql-peak", 1900}, {"score/gateway-peak", 5200}} {
		s.value(g, one.name, one.name, "/s", one.around, nil)
	}
	s.value(g, "memory/rabbitmq", "resident memory of RabbitMQ", "MiB", 142, nil)
	s.value(g, "memory/gateway", "resident memory of the gateway", "MiB", 121, nil)
}
