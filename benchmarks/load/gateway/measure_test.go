package gateway

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// The measurement itself, short, on a real network.
func TestMeasure(t *testing.T) {
	group := &result.Group{Name: "callseal-raft", Title: "Callseal, Raft ordering", Began: time.Now()}
	Measure(t, Plan{Repetitions: 1, Lone: 3, Steady: time.Second, Rates: []float64{20}, Seed: 1}, group, networktest.WithRaft())
	group.Ended = time.Now()
	require.NoError(t, group.Write(t.TempDir()))
	require.Equal(t, int64(3), group.Find("commit/lone").Latencies[0].Count)
	require.Positive(t, group.Find("commit/rate=20").Latencies[0].Count)
	for _, name := range []string{"throughput/saturation/details", "throughput/saturation/no-details"} {
		require.Positive(t, group.Find(name).Values[0], name)
	}
	for _, at := range []string{"/rate=20", "/saturation/details", "/saturation/no-details"} {
		network := group.Find("cpu/network" + at).Values[0]
		parts := 0.0
		for _, part := range []string{"cpu/gateway", "cpu/peers", "cpu/orderers", "cpu/chaincode"} {
			value := group.Find(part + at).Values[0]
			require.Positive(t, value, part+at)
			parts += value
		}
		require.InEpsilon(t, network, parts, 1e-6, "the kinds of nodes are all there is")
	}
}
