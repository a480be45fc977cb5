package reputation

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

// keeping is a tally with a journal in a folder, which runs until the test ends.
func keeping(t testing.TB, to link, dir string, config Config) *Tally {
	t.Helper()
	tally, _ := keepingUntil(t, to, dir, config)
	return tally
}

// keepingUntil answers how to stop it sooner, too.
func keepingUntil(t testing.TB, w link, dir string, config Config) (*Tally, func()) {
	t.Helper()
	kept, err := journal.Open(dir, JournalConfig(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	tally := newTally(w, atlas, config, slog.New(slog.DiscardHandler))
	require.NoError(t, tally.Keep(kept))
	ctx, cancel := context.WithCancel(context.Background())
	var runs sync.WaitGroup
	runs.Go(func() { tally.Run(ctx) })
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			runs.Wait()
			require.NoError(t, kept.Close())
		})
	}
	t.Cleanup(stop)
	return tally, stop
}

// crashed is what a crash leaves of a folder.
func crashed(t testing.TB, dir string) string {
	t.Helper()
	copied := t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
	return copied
}

func keyed(name string, evidence []Evidence) Key {
	return Key{Name: sha256.Sum256([]byte(name)), Digest: sha256.Sum256(fmt.Append(nil, evidence))}
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestAKeyCountsOnce(t *testing.T) {
	w, dir := newWire(t), t.TempDir()
	tally, stop := keepingUntil(t, w, dir, config())
	evidence := []Evidence{success(caller), failures(source, 3), success(caller)}
	first, err := tally.ReportOnce(within(t), keyed("a", evidence), evidence)
	require.NoError(t, err)
	for range 3 {
		again, err := tally.ReportOnce(within(t), keyed("a", evidence), evidence)
		require.NoError(t, err)
		require.Equal(t, first, again)
	}
	other := []Evidence{failures(caller, 1), success(source), success(source), success(source)}
	_, err = tally.ReportOnce(within(t), keyed("a", other), other)
	require.Equal(t, fault.Exists, fault.Of(err).Kind)
	stop()
	tally = keeping(t, w, dir, config())
	again, err := tally.ReportOnce(within(t), keyed("a", evidence), evidence)
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.EqualValues(t, 2000, w.opinion(t, caller).Totals.Alpha)
	require.EqualValues(t, 3000, w.opinion(t, source).Totals.Failures)
	require.Zero(t, tally.Counters().Reports)
	_, err = tally.ReportOnce(within(t), keyed("b", evidence), evidence)
	require.NoError(t, err)
	require.EqualValues(t, 4000, w.opinion(t, caller).Totals.Alpha)
}

// Whenever the gateway is killed, what was reported with a key counts once, and
// reporting it again tells where.
func TestKilledAtAnyStage(t *testing.T) {
	lost := &fault.Error{Kind: fault.Unknown, Stage: fault.StageCommit, Message: "not known yet"}
	never := &fault.Error{Kind: fault.Contended, Stage: fault.StageCommit, Message: "not VALID"}
	for name, c := range map[string]struct {
		held     bool      // nothing is endorsed before it is killed
		outcomes []outcome // of the run that is killed
		later    []outcome // and of the next
		resumed  int
	}{
		"before it is sent":                 {held: true},
		"sent, and it counted":              {outcomes: []outcome{{lost, true}}, resumed: 1},
		"begun, and it had not left":        {outcomes: []outcome{{lost, false}}, resumed: 1},
		"begun, and it never will":          {outcomes: []outcome{{lost, false}}, later: []outcome{{never, false}}, resumed: 1},
		"begun, and the network is away":    {outcomes: []outcome{{lost, false}}, later: []outcome{{lost, false}, {lost, false}}, resumed: 3},
		"counted, and away when asked, too": {outcomes: []outcome{{lost, true}}, later: []outcome{{lost, true}}, resumed: 2},
	} {
		t.Run(name, func(t *testing.T) {
			w, dir := newWire(t), t.TempDir()
			_, err := running(t, w, config()).Report(t.Context(), []Evidence{success(caller)})
			require.NoError(t, err)
			if c.held {
				w.hold = make(chan struct{})
			}
			w.outcomes = c.outcomes
			dead := make(chan struct{})
			victim := keeping(t, killed{w, dead}, dir, config())
			evidence := []Evidence{success(caller), failures(caller, 2), success(source)}
			impatient, cancel := context.WithCancel(t.Context())
			heard := make(chan error, 1)
			go func() {
				_, err := victim.ReportOnce(impatient, keyed("k", evidence), evidence)
				heard <- err
			}()
			var image string
			require.Eventually(t, func() bool {
				stats, err := victim.journal.Stats()
				if err != nil || stats.Queued != len(evidence) || !c.held && (stats.InFlight == 0 || !w.spent()) {
					return false
				}
				image = crashed(t, dir)
				return true
			}, 30*time.Second, time.Millisecond)
			close(dead)
			cancel()
			err = <-heard
			require.True(t, fault.Of(err).Retryable(), "%v", err)
			require.ErrorContains(t, err, "same key")

			w.mu.Lock()
			if c.held {
				w.hold = make(chan struct{})
				close(w.hold)
			}
			w.outcomes = c.later
			w.resumed = 0
			w.mu.Unlock()
			tally := keeping(t, w, image, config())
			receipts, err := tally.ReportOnce(within(t), keyed("k", evidence), evidence)
			require.NoError(t, err)
			require.Len(t, receipts, 3)
			again, err := tally.ReportOnce(within(t), keyed("k", evidence), evidence)
			require.NoError(t, err)
			require.Equal(t, receipts, again)
			_, err = tally.Report(t.Context(), []Evidence{success(caller)})
			require.NoError(t, err)
			opinion := w.opinion(t, caller)
			require.EqualValues(t, 3000, opinion.Totals.Alpha)
			require.EqualValues(t, 2000, opinion.Totals.Failures)
			require.EqualValues(t, 1000, w.opinion(t, source).Totals.Alpha)
			require.EqualValues(t, 3, opinion.Seq)
			require.Equal(t, c.resumed, w.resumed)
		})
	}
}

// killed is a wire to a gateway that hears nothing more once an outcome is lost, and
// that gets nothing done once it is dead.
type killed struct {
	*wire
	dead chan struct{}
}

func (k killed) Endorse(ctx context.Context, function string, writes []byte) (transaction, error) {
	made, err := k.wire.Endorse(ctx, function, writes)
	if err != nil {
		return nil, err
	}
	select {
	case <-k.dead:
		<-ctx.Done()
		return nil, ctx.Err()
	default:
		return silenced{made}, nil
	}
}

type silenced struct{ transaction }

func (s silenced) Finish(ctx context.Context) (fabric.Commit, error) {
	commit, err := s.transaction.Finish(ctx)
	if err != nil {
		<-ctx.Done()
	}
	return commit, err
}

func (w *wire) spent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.outcomes) == 0
}
