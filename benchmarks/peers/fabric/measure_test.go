package fabric

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// The measurement itself, short, on a real network: every figure is of calls that the
// peers committed. Saturating the gateway takes too long for a test; benchmarks/gateway
// has the same.
func TestMeasure(t *testing.T) {
	group := &result.Group{Name: "fabric-stock", Title: "Fabric", Began: time.Now()}
	Measure(t, Plan{Repetitions: 1, Lone: 1, Saturated: 2 * time.Second, Seed: 1}, group)
	group.Ended = time.Now()
	require.NoError(t, group.Write(t.TempDir()))
	for _, name := range []string{"commit/lone", "commit/lone-plain"} {
		lone := group.Find(name).Latencies[0]
		require.Equal(t, int64(1), lone.Count)
		// The orderers wait two seconds for a second transaction: it cannot be sooner.
		require.GreaterOrEqual(t, lone.Max, 2000.0)
	}
	require.Positive(t, group.Find("throughput/plain").Values[0])
}
