package idempotency

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path, DefaultConfig(), NewMetrics(nil))
	require.NoError(t, err)
	return s
}

func request(key, content string) Request {
	return Request{Caller: "alice", Key: key, Method: "/m", Content: []byte(content)}
}

func answers(text string, final bool) func(context.Context) (Answer, bool) {
	return func(context.Context) (Answer, bool) { return Answer{Content: []byte(text)}, final }
}

func never(t *testing.T) func(context.Context) (Answer, bool) {
	t.Helper()
	return func(context.Context) (Answer, bool) {
		t.Error("run again")
		return Answer{}, true
	}
}

func TestTheFirstAnswerHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.db")
	s := open(t, path)
	first, err := s.Do(t.Context(), request("k", "a"), answers("one", true))
	require.NoError(t, err)
	again, err := s.Do(t.Context(), request("k", "a"), never(t))
	require.NoError(t, err)
	require.Equal(t, first, again)
	_, err = s.Do(t.Context(), request("k", "b"), never(t))
	require.Equal(t, fault.Exists, fault.Of(err).Kind)
	other := request("k", "b")
	other.Caller = "bob"
	_, err = s.Do(t.Context(), other, answers("two", true))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	s = open(t, path)
	again, err = s.Do(t.Context(), request("k", "a"), never(t))
	require.NoError(t, err)
	require.Equal(t, first, again)
	// Kept for the promised time, and no longer.
	require.NoError(t, s.Sweep(time.Now().Add(24*time.Hour)))
	_, err = s.Do(t.Context(), request("k", "a"), never(t))
	require.NoError(t, err)
	require.NoError(t, s.Sweep(time.Now().Add(49*time.Hour)))
	_, err = s.Do(t.Context(), request("k", "b"), answers("three", true))
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestWhatMayPassIsRunAgain(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "keys.db"))
	defer func() { require.NoError(t, s.Close()) }()
	_, err := s.Do(t.Context(), request("k", "a"), answers("busy", false))
	require.NoError(t, err)
	second, err := s.Do(t.Context(), request("k", "a"), answers("done", true))
	require.NoError(t, err)
	require.Equal(t, "done", string(second.Content))
}

func TestManyAtOnceRunOnce(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "keys.db"))
	defer func() { require.NoError(t, s.Close()) }()
	var runs atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			answer, err := s.Do(t.Context(), request("k", "a"), func(context.Context) (Answer, bool) {
				runs.Add(1)
				time.Sleep(20 * time.Millisecond)
				return Answer{Content: []byte("x")}, true
			})
			if err != nil || string(answer.Content) != "x" {
				t.Errorf("%v %v", answer, err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, runs.Load())
}

func TestTooManyKeys(t *testing.T) {
	config := DefaultConfig()
	config.Most = 1
	s, err := Open(filepath.Join(t.TempDir(), "keys.db"), config, NewMetrics(nil))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	_, err = s.Do(t.Context(), request("1", "a"), answers("x", true))
	require.NoError(t, err)
	_, err = s.Do(t.Context(), request("2", "a"), never(t))
	require.Equal(t, fault.Busy, fault.Of(err).Kind)
	require.Positive(t, fault.Of(err).RetryAfter)
}

// ledgerOf is a ledger on which transactions are named by their function.
type ledgerOf struct {
	committed map[string]int
	crash     string // dies after sending this one
	lost      bool   // which then never arrives
}

var errCrash = errors.New("killed")

func (l *ledgerOf) Transact(_ context.Context, what fabric.Proposal) (fabric.Outcome, error) {
	if err := what.Keeping([]byte(what.Function)); err != nil {
		return fabric.Outcome{}, err
	}
	if l.crash == what.Function {
		l.crash = ""
		if !l.lost {
			l.committed[what.Function]++
		}
		return fabric.Outcome{}, errCrash
	}
	l.committed[what.Function]++
	return fabric.Outcome{Result: []byte("result of " + what.Function)}, nil
}

func (l *ledgerOf) Resume(_ context.Context, envelope []byte) (fabric.Outcome, error) {
	if l.committed[string(envelope)] == 0 {
		l.committed[string(envelope)]++ // the very envelope is sent once more
	}
	return fabric.Outcome{Result: []byte("result of " + string(envelope))}, nil
}

// Whichever transaction a crash comes after, each is on the ledger once, choices stay
// as they were made first, and the answer is that of an undisturbed run.
func TestACrashIsResumed(t *testing.T) {
	for _, crash := range []string{"", "first", "second"} {
		for _, lost := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "keys.db")
			ledger := &ledgerOf{committed: map[string]int{}, crash: crash, lost: lost}
			notes := 0
			handle := func(ctx context.Context) (Answer, bool) {
				id, err := Note(ctx, "id", func() ([]byte, error) { notes++; return []byte("random"), nil })
				if err != nil {
					return Answer{}, false
				}
				text := string(id)
				for _, function := range []string{"first", "second"} {
					outcome, err := Transact(ctx, ledger, fabric.Proposal{Function: function})
					if err != nil {
						return Answer{}, false
					}
					text += ", " + string(outcome.Result)
				}
				return Answer{Content: []byte(text)}, true
			}
			s := open(t, path)
			answer, err := s.Do(t.Context(), request("k", "a"), handle)
			require.NoError(t, err)
			require.NoError(t, s.Close())
			s = open(t, path)
			if crash != "" {
				answer, err = s.Do(t.Context(), request("k", "a"), handle)
				require.NoError(t, err)
			}
			require.Equal(t, "random, result of first, result of second", string(answer.Content))
			require.Equal(t, map[string]int{"first": 1, "second": 1}, ledger.committed)
			require.Equal(t, 1, notes)
			require.NoError(t, s.Close())
		}
	}
}
