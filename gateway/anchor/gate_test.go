package anchor

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/fault"
)

// While the network is away, any number of waiting tries cost it one at a time, at
// intervals; when one succeeds, all go.
func TestGate(t *testing.T) {
	g := newGate()
	require.NoError(t, g.pass(t.Context()))
	g.failed()
	require.True(t, g.isShut())
	var away atomic.Bool
	away.Store(true)
	var tries, atOnce, most atomic.Int64
	var waiting sync.WaitGroup
	for range 100 {
		waiting.Go(func() {
			for {
				if g.pass(t.Context()) != nil {
					return
				}
				if !away.Load() {
					g.passed()
					return
				}
				tries.Add(1)
				if now := atOnce.Add(1); now > most.Load() {
					most.Store(now)
				}
				time.Sleep(time.Millisecond)
				atOnce.Add(-1)
				g.failed()
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	require.EqualValues(t, 1, most.Load())
	require.Less(t, tries.Load(), int64(30), "waits grow")
	require.Positive(t, tries.Load())
	away.Store(false)
	waiting.Wait()
	require.False(t, g.isShut())
}

func TestGateEndsWithItsContext(t *testing.T) {
	g := newGate()
	g.failed()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, g.pass(ctx), context.Canceled)
}

func TestRetryAfterFollowsTheRateAtWhichSegmentsLeave(t *testing.T) {
	began := time.Unix(1_800_000_000, 0)
	rate := func(perSecond int) *drain {
		d := &drain{}
		for second := range 60 {
			d.leave(began.Add(time.Duration(second)*time.Second), perSecond)
		}
		return d
	}
	after := began.Add(60 * time.Second)
	for perSecond, wanted := range map[int]time.Duration{10: 5 * time.Second, 100: 500 * time.Millisecond, 10_000: leastRetry} {
		require.InDelta(t, wanted.Seconds(), rate(perSecond).retryAfter(after, 1000).Seconds(), 0.2*wanted.Seconds(), "%d a second", perSecond)
	}
	// Nothing leaves any more: waits grow, and stay bounded.
	stopped := rate(100)
	require.Greater(t, stopped.retryAfter(after.Add(20*time.Second), 1000), time.Second)
	require.LessOrEqual(t, stopped.retryAfter(after.Add(time.Hour), 1000), mostRetry)
	require.Positive(t, (&drain{}).retryAfter(after, 1000))
}

func TestWhichRefusalsMayBeMended(t *testing.T) {
	for kind, mendable := range map[fault.Kind]bool{
		fault.Invalid: false, fault.TooLarge: false, // what was signed stays as it is
		fault.Denied: true,                       // an admin enrols the adapter
		fault.State:  true,                       // the chaincode is upgraded
		fault.Exists: true, fault.NotFound: true, // the ledger may change
		fault.Internal: true, // the contract is mended
	} {
		told := problemFor(&fault.Error{Kind: kind, Contract: true})
		require.Equal(t, mendable, told.Mendable, kind)
		require.Equal(t, mendable, told.RetryAfter > 0, kind)
	}
}
