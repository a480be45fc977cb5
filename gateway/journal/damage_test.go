package journal_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

var small = journal.Config{ReserveBytes: 1 << 16, MinFreeBytes: 1 << 16, MemTableBytes: 128 << 10, KeepSettled: 1000}

// crashed copies a journal's folder as it is while it is open: what a crash leaves.
func crashed(t testing.TB, dir string) string {
	t.Helper()
	copied := t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
	return copied
}

// held is what was acknowledged of an entry.
type held struct {
	number int64
	state  journal.State
}

// filled fills a journal with entries in all states and transactions under way, in
// several tables and logs, and says what was acknowledged.
func filled(t testing.TB, j *journal.Journal, entries int) map[journal.Name]held {
	t.Helper()
	ctx, all := t.Context(), map[journal.Name]held{}
	for i := range entries {
		a := accept(fmt.Sprintf("pbx%d", i%3), int64(i))
		a.Payload = append(a.Payload, noise(39*len(a.Payload))...)
		results, err := j.Append(ctx, a)
		require.NoError(t, err)
		number := results[0].Entry.Number
		state := journal.Queued
		id := fmt.Sprintf("%064x", i)
		if i%7 < 5 {
			require.NoError(t, j.Begin(ctx, journal.Transaction{ID: id, Stage: journal.Public, Numbers: []int64{number}, Envelope: a.Payload}))
		}
		commit := &journal.Commit{TransactionID: id, Block: uint64(i)}
		switch i % 7 {
		case 0:
			state = journal.Settled
			require.NoError(t, j.Resolve(ctx, id, journal.Outcome{Number: number, State: state, Commit: commit}))
		case 1:
			state = journal.Committed
			require.NoError(t, j.Resolve(ctx, id, journal.Outcome{Number: number, State: state, Commit: commit}))
		case 2:
			state = journal.Refused
			require.NoError(t, j.Resolve(ctx, id, journal.Outcome{Number: number, State: state, Problem: &journal.Problem{Kind: fault.Denied, Message: "no"}}))
		}
		all[a.Name] = held{number, state}
	}
	return all
}

// whole opens a journal and answers an error unless everything is there.
func whole(t testing.TB, dir string, all map[journal.Name]held) (err error) {
	t.Helper()
	j, err := journal.Open(dir, small, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { require.NoError(t, j.Close()) }()
	for name, want := range all {
		entry, err := j.Find(name)
		if err != nil {
			return err
		}
		require.Equal(t, want, held{entry.Number, entry.State}, "silently another state of %s", name)
		if want.state == journal.Settled {
			continue
		}
		payload, err := j.Payload(entry.Number)
		if err != nil {
			return err
		}
		require.True(t, bytes.HasPrefix(payload, accept(name.PBX, name.FirstSeq).Payload), "silently another payload of %s", name)
	}
	_, err = j.InFlight()
	return err
}

func TestDamageIsNeverSilent(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, small)
	all := filled(t, j, 250)
	image := crashed(t, dir)
	require.NoError(t, whole(t, crashed(t, image), all), "the undamaged copy")
	files, err := filepath.Glob(filepath.Join(image, "db", "*"))
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	logs, tables, said := 0, 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		name := filepath.Base(file)
		if len(text) == 0 || strings.HasPrefix(name, "OPTIONS") || name == "LOCK" {
			continue
		}
		switch filepath.Ext(name) {
		case ".log":
			logs++
		case ".sst":
			tables++
		}
		for round := range 12 {
			at := random.IntN(len(text))
			damaged := bytes.Clone(text)
			what := "a flipped bit"
			switch round % 4 {
			case 0:
				what, damaged = "a lost end", damaged[:at]
			case 1:
				what = "garbage to the end"
				for i := at; i < len(damaged); i++ {
					damaged[i] = byte(random.Uint32())
				}
			case 2:
				what = "zeros to the end"
				clear(damaged[at:])
			default:
				damaged[at] ^= 1 << random.IntN(8)
			}
			copied := crashed(t, image)
			require.NoError(t, os.WriteFile(filepath.Join(copied, "db", name), damaged, 0o600))
			err := whole(t, copied, all)
			if err == nil {
				require.NoError(t, os.RemoveAll(copied))
				continue // nothing that counts was hit
			}
			said++
			var known *journal.DamageError
			require.ErrorAs(t, err, &known, "%s of %s at %d", what, name, at)
			require.Contains(t, err.Error(), "move the journal's folder away")
			if !strings.HasPrefix(name, "MANIFEST") {
				require.NotEqual(t, filepath.Join(copied, "db"), known.File, "it names the file: %v", err)
			}
			require.NoError(t, os.RemoveAll(copied))
		}
		copied := crashed(t, image)
		require.NoError(t, os.Remove(filepath.Join(copied, "db", name)))
		err = whole(t, copied, all)
		var known *journal.DamageError
		if filepath.Ext(name) != ".log" || err != nil { // a log whose content was written out is not missed
			require.ErrorAs(t, err, &known, "%s is gone", name)
		}
	}
	require.GreaterOrEqual(t, logs, 1)
	require.GreaterOrEqual(t, tables, 1)
	require.Greater(t, said, 20)
}

// What a crash tore was never acknowledged: garbage after the last batch costs
// nothing.
func TestATornTailCostsNothing(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, small)
	all := filled(t, j, 30)
	image := crashed(t, dir)
	logs, err := filepath.Glob(filepath.Join(image, "db", "*.log"))
	require.NoError(t, err)
	newest := filepath.Base(logs[len(logs)-1])
	random := rand.New(rand.NewPCG(3, 4))
	for length := range 40 {
		copied := crashed(t, image)
		file, err := os.OpenFile(filepath.Join(copied, "db", newest), os.O_WRONLY|os.O_APPEND, 0)
		require.NoError(t, err)
		torn := make([]byte, length*37)
		for i := range torn {
			torn[i] = byte(random.Uint32())
		}
		_, err = file.Write(torn)
		require.NoError(t, err)
		require.NoError(t, file.Close())
		require.NoError(t, whole(t, copied, all), "%d bytes of garbage after the end", len(torn))
		require.NoError(t, os.RemoveAll(copied))
	}
}

// The mark may be given up by who accepts the loss.
func TestWithoutTheMarkWhatIsThereIsTaken(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, small)
	_, err := j.Append(t.Context(), accept("pbx1", 1))
	require.NoError(t, err)
	first := crashed(t, dir)
	_, err = j.Append(t.Context(), accept("pbx1", 2))
	require.NoError(t, err)
	mark, err := os.ReadFile(filepath.Join(dir, "acknowledged"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(first, "acknowledged"), mark, 0o600))
	one := map[journal.Name]held{{PBX: "pbx1", Epoch: 1, FirstSeq: 1}: {1, journal.Queued}}
	err = whole(t, first, one)
	require.ErrorContains(t, err, ".log")
	require.ErrorContains(t, err, "2 batches were acknowledged, 1 can be read")
	require.NoError(t, os.Remove(filepath.Join(first, "acknowledged")))
	require.NoError(t, whole(t, first, one))
}

func TestTwoJournalsInOneFolder(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, small)
	_, err := journal.Open(dir, small, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "another gateway")
}
