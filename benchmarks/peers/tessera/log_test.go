package tessera

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/soak"
)

func open(t *testing.T) *Log {
	t.Helper()
	l, err := Open(t.Context(), t.TempDir(), Tuned())
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, l.Close(ctx))
	})
	return l
}

func TestARealLogProvesARecordAndNoOther(t *testing.T) {
	l, records := open(t), soak.Records(t, "AtlasMSP", "pbx", 300)
	require.Len(t, records, 300)
	pending := make([]*Pending, len(records))
	for i, record := range records {
		pending[i] = l.Add(t.Context(), record)
	}
	for i, record := range records {
		require.NoError(t, pending[i].Integrated())
		found, err := pending[i].Prove(t.Context())
		require.NoError(t, err)
		require.NoError(t, l.Verify(record, found))
		require.ErrorIs(t, l.Verify(records[(i+1)%len(records)], found), ErrProof, "another record")
	}
	size, err := l.Published(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(len(records)), size)
}

func TestWrongProofs(t *testing.T) {
	l, other := open(t), open(t)
	record := soak.Records(t, "AtlasMSP", "pbx", 1)[0]
	first := l.Add(t.Context(), []byte("another"))
	require.NoError(t, first.Integrated())
	add := func(l *Log) Proof {
		found, err := l.Add(t.Context(), record).Prove(t.Context())
		require.NoError(t, err)
		require.NoError(t, l.Verify(record, found))
		return *found
	}
	shown, foreign := add(l), add(other)
	for name, spoil := range map[string]func(*Proof){
		"another place":        func(p *Proof) { p.Index = 0 },
		"beyond the log":       func(p *Proof) { p.Index = 7 },
		"a shorter path":       func(p *Proof) { p.Path = nil },
		"another log's":        func(p *Proof) { p.Checkpoint = foreign.Checkpoint },
		"an unsigned":          func(p *Proof) { p.Checkpoint = p.Checkpoint[:len(p.Checkpoint)-30] },
		"a checkpoint changed": func(p *Proof) { p.Checkpoint = append([]byte("x"), p.Checkpoint...) },
	} {
		t.Run(name, func(t *testing.T) {
			wrong := shown
			spoil(&wrong)
			require.ErrorIs(t, l.Verify(record, &wrong), ErrProof)
		})
	}
	require.NoError(t, l.Verify(record, &shown))
}

func TestAFolderThatCannotBeWritten(t *testing.T) {
	_, err := Open(t.Context(), "/proc/no-log", Default())
	require.ErrorContains(t, err, "start the log")
}

// The measurement itself, short: what it answers must be of the records it added.
func TestMeasure(t *testing.T) {
	group := &result.Group{Name: "tessera-tuned", Title: "Tessera", Began: time.Now()}
	Measure(t, Tuned(), Plan{Repetitions: 1, Lone: 4 * time.Second, Steady: time.Second, Rates: []float64{50}, Quiet: true, Saturation: true, Seed: 1}, group)
	group.Ended = time.Now()
	require.NoError(t, group.Write(t.TempDir()))
	var names []string
	for _, one := range group.Measurements {
		names = append(names, one.Name)
		require.Len(t, one.Values, map[string]int{"/s": 1}[one.Unit])
		require.Len(t, one.Latencies, map[string]int{"ms": 1}[one.Unit])
	}
	require.Equal(t, []string{"proof/lone", "integrated/lone", "proof/quiet", "proof/rate=50", "throughput/saturation"}, names)
	proof, durable := group.Find("proof/lone").Latencies[0], group.Find("integrated/lone").Latencies[0]
	require.Equal(t, proof.Count, durable.Count)
	require.GreaterOrEqual(t, proof.Mean, durable.Mean, "no proof before the record is durable")
}
