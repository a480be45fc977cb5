package pairs

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/benchmarks/rivs/broker"
	"github.com/callseal/callseal/benchmarks/rivs/event"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// The measurement itself, short, on a real broker, database and network.
func TestMeasure(t *testing.T) {
	group := &result.Group{Name: "rivs", Title: "RiVS", Began: time.Now()}
	Measure(t, Plan{Repetitions: 1, Singles: 2, Saturated: 3 * time.Second, Seed: 1}, group)
	group.Ended = time.Now()
	require.NoError(t, group.Write(t.TempDir()))
	pairs := map[string]int{}
	for _, one := range group.Measurements {
		what, _, _ := strings.Cut(one.Name, "/")
		pairs[what]++
		for _, value := range one.Values {
			require.Positive(t, value, one.Name)
		}
	}
	require.Equal(t, map[string]int{"row": 3, "message": 5, "score": 6, "event": 2, "memory": 2}, pairs)
}

// As many messages as the broker takes, from publishing to their consumer.
func TestMessages(t *testing.T) {
	calls, err := event.Calls(1, 100)
	require.NoError(t, err)
	s := &scene{tb: t, calls: calls, broker: broker.Start(t), plan: Plan{Saturated: 3 * time.Second}}
	for range 2 { // a second round must not be disturbed by what the first left
		rate, err := s.messages()
		require.NoError(t, err)
		require.Positive(t, rate)
	}
}
