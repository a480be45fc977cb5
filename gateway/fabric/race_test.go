package fabric

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/fault"
)

var (
	errMendable = errors.New("try elsewhere")
	errFinal    = errors.New("refused")
)

// testPeer is a peer that is not connected.
func testPeer(address string, height uint64) *Peer {
	p := &Peer{address: address, metrics: NewMetrics(nil), log: slog.New(slog.DiscardHandler), ask: make(chan struct{}, 1), fell: make(chan struct{}), healthy: true}
	p.has(height)
	return p
}

func TestRace(t *testing.T) {
	fails := func(err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return "", err }
	}
	answers := func(text string) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return text, nil }
	}
	hangs := func(ctx context.Context) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}
	a, b := testPeer("a", 0), testPeer("b", 0)
	down := testPeer("down", 0)
	down.fall(errMendable)
	for name, c := range map[string]struct {
		attempts []attempt[string]
		want     string
		err      error
	}{
		"the first answers":                     {attempts: []attempt[string]{{peer: a, run: answers("1")}, {peer: b, run: answers("2")}}, want: "1"},
		"the second after a failure":            {attempts: []attempt[string]{{peer: a, run: fails(errMendable)}, {peer: b, run: answers("2")}}, want: "2"},
		"the same peer again":                   {attempts: []attempt[string]{{peer: a, run: fails(errMendable)}, {peer: a, run: answers("2")}}, want: "2"},
		"none after a refusal":                  {attempts: []attempt[string]{{peer: a, run: fails(errFinal)}, {peer: b, run: answers("2")}}, err: errFinal},
		"all fail":                              {attempts: []attempt[string]{{peer: a, run: fails(errMendable)}, {peer: b, run: fails(errFinal)}}, err: errFinal},
		"beside a slow one":                     {attempts: []attempt[string]{{peer: a, slow: time.Millisecond, run: hangs}, {peer: b, run: answers("2")}}, want: "2"},
		"beside a peer that does not answer":    {attempts: []attempt[string]{{peer: down, run: hangs}, {peer: b, run: answers("2")}}, want: "2"},
		"a third after the second failed":       {attempts: []attempt[string]{{peer: down, run: hangs}, {peer: b, run: fails(errMendable)}, {peer: a, run: answers("3")}}, want: "3"},
		"a slow one may yet answer":             {attempts: []attempt[string]{{peer: a, slow: time.Millisecond, run: func(context.Context) (string, error) { time.Sleep(30 * time.Millisecond); return "1", nil }}, {peer: b, run: hangs}}, want: "1"},
		"a single attempt has no one beside it": {attempts: []attempt[string]{{peer: down, slow: time.Millisecond, run: answers("1")}}, want: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got, err := race(ctx, c.attempts, func(err error) bool { return errors.Is(err, errMendable) })
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestRaceBeginsAnotherWhenAPeerFalls(t *testing.T) {
	a, b := testPeer("a", 0), testPeer("b", 0)
	begun := make(chan struct{})
	go func() {
		<-begun
		a.fall(errMendable)
	}()
	got, err := race(t.Context(), []attempt[string]{
		{peer: a, run: func(ctx context.Context) (string, error) { close(begun); <-ctx.Done(); return "", ctx.Err() }},
		{peer: b, run: func(context.Context) (string, error) { return "b", nil }},
	}, func(error) bool { return true })
	require.NoError(t, err)
	require.Equal(t, "b", got)
}

func TestRaceEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	var run atomic.Int32
	_, err := race(ctx, []attempt[string]{
		{peer: testPeer("a", 0), run: func(ctx context.Context) (string, error) { run.Add(1); <-ctx.Done(); return "", ctx.Err() }},
		{peer: testPeer("b", 0), run: func(context.Context) (string, error) { run.Add(1); return "", nil }},
	}, func(error) bool { return true })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.EqualValues(t, 1, run.Load(), "none begins after the end")
}

func TestOrder(t *testing.T) {
	tip, other, near, late, gone := testPeer("tip", 100), testPeer("other", 100), testPeer("near", 98), testPeer("late", 97), testPeer("gone", 100)
	gone.fall(errMendable)
	c := &shared{peers: []*Peer{late, gone, near, tip, other}}
	firsts := map[string]int{}
	for range 100 {
		order := c.order()
		firsts[order[0].address]++
		names := make([]string, len(order))
		for i, peer := range order {
			names[i] = peer.address
		}
		require.ElementsMatch(t, []string{"tip", "other"}, names[:2])
		require.Equal(t, []string{"near", "late", "gone"}, names[2:])
	}
	require.Len(t, firsts, 2, "in turn")
	gone.rose()
	gone.has(100)
	for range 100 {
		firsts[c.order()[0].address]++
	}
	require.NotZero(t, firsts["gone"], "one that returned is asked again")
	only := &shared{peers: []*Peer{gone}}
	gone.fall(errMendable)
	require.Equal(t, []*Peer{gone}, only.order(), "where there is no other, it is asked all the same")
}

func TestPace(t *testing.T) {
	var p pace
	require.Equal(t, time.Second, p.slow(time.Second, time.Minute))
	p.took(time.Second)
	require.Equal(t, 8*time.Second, p.slow(time.Second, time.Minute))
	require.Equal(t, 5*time.Second, p.slow(time.Second, 5*time.Second))
	for range 100 {
		p.took(2 * time.Second)
	}
	require.InDelta(t, float64(16*time.Second), float64(p.slow(0, time.Minute)), float64(10*time.Millisecond))
}

// A context that is over before anything begins is answered at once.
func TestRaceThatComesTooLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := race(ctx, []attempt[int]{{peer: &Peer{}, run: func(context.Context) (int, error) { return 1, nil }}}, func(error) bool { return true })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, fault.Unavailable, fault.Of(err).Kind)
}
