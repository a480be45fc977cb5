package journal_test

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

func accept(pbx string, seq int64) journal.Accept {
	payload := fmt.Appendf(nil, "payload of %s %d", pbx, seq)
	return journal.Accept{Name: journal.Name{PBX: pbx, Epoch: 1, FirstSeq: seq}, Digest: sha256.Sum256(payload), Records: 1, Payload: payload}
}

func open(t testing.TB, dir string, config journal.Config) *journal.Journal {
	t.Helper()
	if config.ReserveBytes == 0 {
		config.ReserveBytes, config.MinFreeBytes = 1<<20, 1<<20
	}
	j, err := journal.Open(dir, config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, j.Close()) })
	return j
}

// An entry's way: accepted, begun, committed, its details begun, settled, dropped;
// at every step the journal is closed and opened again.
func TestAnEntrysWay(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	var j *journal.Journal
	again := func() {
		if j != nil {
			require.NoError(t, j.Close())
		}
		j = open(t, dir, journal.Config{KeepSettled: -1})
	}
	again()
	results, err := j.Append(ctx, accept("pbx1", 1), accept("pbx2", 1), accept("pbx1", 2))
	require.NoError(t, err)
	require.Len(t, results, 3)
	for i, result := range results {
		require.EqualValues(t, i+1, result.Entry.Number)
		require.False(t, result.Repeated)
	}
	again()
	require.Equal(t, []string{"pbx1", "pbx2"}, j.Lanes())
	pending, err := j.Pending("pbx1", 0, 10)
	require.NoError(t, err)
	require.Len(t, pending, 2)
	require.Equal(t, journal.Queued, pending[0].State)
	require.EqualValues(t, 3, pending[1].Number)

	require.NoError(t, j.Begin(ctx, journal.Transaction{ID: "aa", Stage: journal.Public, Envelope: []byte("sent"), Numbers: []int64{1, 2}}))
	require.Error(t, j.Begin(ctx, journal.Transaction{ID: "bb", Stage: journal.Public, Numbers: []int64{2, 3}}), "an entry in two transactions")
	again()
	flights, err := j.InFlight()
	require.NoError(t, err)
	require.Len(t, flights, 1)
	require.Equal(t, []byte("sent"), flights[0].Envelope)
	entry, err := j.Entry(2)
	require.NoError(t, err)
	require.Equal(t, "aa", entry.Transaction)

	commit := &journal.Commit{TransactionID: "aa", Block: 7}
	require.NoError(t, j.Resolve(ctx, "aa",
		journal.Outcome{Number: 1, State: journal.Committed, Commit: commit, Receipt: []byte("anchored")},
		journal.Outcome{Number: 2, State: journal.Refused, Problem: &journal.Problem{Kind: fault.Denied, Message: "no"}}))
	again()
	flights, err = j.InFlight()
	require.NoError(t, err)
	require.Empty(t, flights)
	require.Equal(t, []string{"pbx1"}, j.Lanes())
	refused, err := j.Refused(0, 10)
	require.NoError(t, err)
	require.Len(t, refused, 1)
	require.Equal(t, "no", refused[0].Problem.Message)

	require.NoError(t, j.Begin(ctx, journal.Transaction{ID: "cc", Stage: journal.Details, Numbers: []int64{1}}))
	require.NoError(t, j.Resolve(ctx, "cc", journal.Outcome{Number: 1, State: journal.Settled}))
	again()
	_, err = j.Payload(1)
	require.Equal(t, fault.NotFound, fault.Of(err).Kind)
	results, err = j.Append(ctx, accept("pbx1", 1))
	require.NoError(t, err)
	require.True(t, results[0].Repeated)
	require.Equal(t, journal.Settled, results[0].Entry.State)
	require.Equal(t, commit, results[0].Entry.Commit)
	require.Equal(t, []byte("anchored"), results[0].Entry.Receipt)

	other := accept("pbx1", 1)
	other.Digest[0]++
	results, err = j.Append(ctx, other)
	require.NoError(t, err)
	var conflict *journal.ConflictError
	require.ErrorAs(t, results[0].Err, &conflict)
	require.Equal(t, fault.Exists, fault.Of(results[0].Err).Kind)

	require.NoError(t, j.Replay(ctx, 2))
	again()
	require.Equal(t, []string{"pbx1", "pbx2"}, j.Lanes())

	dropped, err := j.Drop(ctx, 6)
	require.NoError(t, err)
	require.Zero(t, dropped, "its block is not projected yet")
	dropped, err = j.Drop(ctx, 7)
	require.NoError(t, err)
	require.Equal(t, 1, dropped)
	again()
	_, err = j.Find(journal.Name{PBX: "pbx1", Epoch: 1, FirstSeq: 1})
	require.Equal(t, fault.NotFound, fault.Of(err).Kind)
	stats, err := j.Stats()
	require.NoError(t, err)
	require.Equal(t, 2, stats.Queued)
	require.Zero(t, stats.Committed+stats.Refused+stats.Settled+stats.InFlight)
}

// noise is what cannot be packed.
func noise(size int) []byte {
	bytes := make([]byte, size)
	_, _ = rand.Read(bytes)
	return bytes
}
