package gateway

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/networktest"
	"github.com/callseal/callseal/soak"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// The measurement itself, short, on a real network that was up before.
func TestMeasure(t *testing.T) {
	group := &result.Group{Name: "callseal-raft", Title: "Callseal, Raft ordering", Began: time.Now()}
	plan := Plan{
		Repetitions: 1, Lone: 3, Steady: time.Second, Rates: []float64{20}, Ramp: []float64{30}, Step: time.Second,
		Mixed: 2 * time.Second, Evidence: time.Second, Seed: 1,
	}
	started := networktest.Start(t, networktest.WithRaft(), networktest.WithGateways())
	running, err := Running(t.Context(), started.Layout().Root())
	require.NoError(t, err)
	Measure(t, plan, group, soak.Join(t, running))
	group.Ended = time.Now()
	require.NoError(t, group.Write(t.TempDir()))
	require.Equal(t, int64(3), group.Find("commit/lone").Latencies[0].Count)
	for _, rate := range []string{"20", "30"} {
		require.Positive(t, group.Find("commit/rate=" + rate).Latencies[0].Count)
		require.Positive(t, group.Find("throughput/rate=" + rate).Values[0])
	}
	for _, name := range []string{"throughput/saturation/details", "throughput/saturation/no-details", "throughput/reputation/hot", "throughput/reputation/cold"} {
		require.Positive(t, group.Find(name).Values[0], name)
	}
	for _, name := range []string{"mixed/commit", "mixed/read/point", "mixed/read/conversation", "mixed/read/list"} {
		require.Positive(t, group.Find(name).Latencies[0].Count, name)
	}
	for _, name := range []string{"conflicts/reputation", "mismatches/reputation"} {
		require.Equal(t, []float64{0}, group.Find(name).Values, name)
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

// What the ramp makes of a load that the network does not keep up with, and of one that
// it does, on the fleet's own account.
func TestKeepingUp(t *testing.T) {
	require.True(t, (&stretches{due: 100, done: 90}).kept())
	require.False(t, (&stretches{due: 100, done: 89}).kept())
}

func TestALedgerThatDoesNotFit(t *testing.T) {
	require.NoError(t, fits(1_000_000, 20e9, 30e9, "/tmp"))
	err := fits(1_000_000, 20e9, 21e9, "/tmp")
	require.ErrorIs(t, err, errDisk)
	require.ErrorContains(t, err, "a ledger of 1000000 calls would take about 20.0 GB more, with 2.1 GB to spare, and 21.0 GB are free on the disk of /tmp")
}

// The growth, to a hundred calls and some, on a real network.
func TestGrow(t *testing.T) {
	group := &result.Group{Name: "callseal-growth", Title: "Callseal as its ledger grows", Began: time.Now()}
	lab := soak.NewLab(t)
	Grow(t, Plan{Repetitions: 1, Lone: 3, Steady: time.Second, Rates: []float64{20}, Seed: 1}, []int{60, 150}, group, lab)
	group.Ended = time.Now()
	require.NoError(t, group.Write(t.TempDir()))
	for _, calls := range []string{"60", "150"} {
		for _, name := range []string{"commit/lone", "commit/rate=20", "read/point", "read/conversation", "read/list"} {
			one := group.Find(name + "/calls=" + calls)
			require.NotNil(t, one, name)
			require.Positive(t, one.Latencies[0].Count)
			require.Contains(t, one.Parameters, "calls")
		}
		require.Positive(t, group.Find("throughput/fill/calls=" + calls).Values[0])
	}
	require.Greater(t, group.Find("disk/peer/calls=150").Values[0], group.Find("disk/peer/calls=60").Values[0])
	// The ledger itself says how many calls there are.
	chain, err := lab.ReadChain()
	require.NoError(t, err)
	calls := 0
	for key := range chain.Writes {
		kind, _, err := ledger.SplitKey(key)
		require.NoError(t, err)
		if kind == ledger.TypeCall {
			calls++
		}
	}
	require.GreaterOrEqual(t, calls, 150)
}
