package load_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/soak"
)

// costs are the measurements of what a record costs, by name.
func (s *stage) costs(at string, parameters map[string]float64) map[string]*result.Measurement {
	all := map[string]*result.Measurement{}
	for name, what := range map[string]struct{ title, unit string }{
		"cpu/network":   {"processor time of the whole network a record", "µs"},
		"cpu/gateway":   {"processor time of the gateway a record", "µs"},
		"cpu/peers":     {"processor time of the peers a record", "µs"},
		"cpu/orderers":  {"processor time of the orderers a record", "µs"},
		"cpu/chaincode": {"processor time of the chaincode services a record", "µs"},
		"memory":        {"memory of the gateway, at most", "MiB"},
		"disk/gateway":  {"bytes that the gateway had written to disk a record", "bytes"},
	} {
		all[name] = &result.Measurement{Name: name + at, Title: what.title, Unit: what.unit, Parameters: parameters}
	}
	return all
}

// usage is what the network used since it began.
type usage struct {
	stage   *stage
	pid     int32
	watch   *soak.Watch
	written float64
	seconds map[string]float64
}

func (s *stage) use(b *testing.B) *usage {
	b.Helper()
	pid, err := s.PID(soak.Gateway)
	require.NoError(b, err)
	u := &usage{stage: s, pid: pid}
	u.written, err = soak.Written(pid)
	require.NoError(b, err)
	u.seconds, err = s.ProcessorSeconds()
	require.NoError(b, err)
	u.watch, err = soak.NewWatch(pid)
	require.NoError(b, err)
	return u
}

// kinds are the nodes' kinds, by the name of the cost.
var kinds = map[string]string{"cpu/gateway": "gateway", "cpu/peers": "peer", "cpu/orderers": "orderer", "cpu/chaincode": "chaincode"}

// end divides it by the records, and keeps it.
func (u *usage) end(b *testing.B, records int, costs map[string]*result.Measurement) {
	b.Helper()
	used := u.watch.End()
	written, err := soak.Written(u.pid)
	require.NoError(b, err)
	seconds, err := u.stage.ProcessorSeconds()
	require.NoError(b, err)
	require.Positive(b, records)
	keep := func(name string, value float64) { costs[name].Values = append(costs[name].Values, value) }
	var all float64
	for kind, now := range seconds {
		all += now - u.seconds[kind]
	}
	keep("cpu/network", 1e6*all/float64(records))
	for name, kind := range kinds {
		keep(name, 1e6*(seconds[kind]-u.seconds[kind])/float64(records))
	}
	keep("memory", used.MaxRSS/(1<<20))
	keep("disk/gateway", (written-u.written)/float64(records))
}
