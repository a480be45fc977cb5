package fabric

import (
	"context"
	"time"

	"github.com/callseal/callseal/gateway/fault"
)

// attempt is one way of doing something.
type attempt[T any] struct {
	// peer is where it is done.
	peer *Peer
	// slow is after how long the next is tried beside it; zero waits for the peer
	// to fall.
	slow time.Duration
	run  func(context.Context) (T, error)
}

// race tries one attempt after the other until one succeeds or says what no other
// could mend. The next one begins when the one before it failed, when its peer
// stops answering, or when it takes too long; whichever succeeds first counts, and
// the rest are cancelled. When none does, the last one's error says why.
func race[T any](ctx context.Context, attempts []attempt[T], mendable func(error) bool) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		value T
		err   error
		of    int
	}
	answers := make(chan answer, len(attempts))
	next, running, latest := 0, 0, -1
	var last error
	var fell <-chan struct{}
	slow := time.NewTimer(time.Hour)
	defer slow.Stop()
	begin := func() {
		fell = nil
		slow.Stop()
		if next == len(attempts) || ctx.Err() != nil {
			return
		}
		of, one := next, attempts[next]
		next, running = next+1, running+1
		if next < len(attempts) {
			if one.peer != attempts[next].peer {
				_, fell = one.peer.state()
			}
			if one.slow > 0 {
				slow.Reset(one.slow)
			}
		}
		go func() {
			value, err := one.run(ctx)
			answers <- answer{value, err, of}
		}()
	}
	begin()
	if running == 0 { // nothing was begun, so nothing will answer
		var none T
		return none, &fault.Error{Kind: fault.Unavailable, Stage: fault.StageRequest, Message: "the time for this was over before a peer was asked: try again", Err: ctx.Err()}
	}
	for {
		select {
		case got := <-answers:
			running--
			if got.err == nil || !mendable(got.err) {
				return got.value, got.err
			}
			if got.of > latest {
				latest, last = got.of, got.err
			}
			// One that was overtaken is followed by no third before the second failed too.
			if got.of+1 == next || running == 0 {
				begin()
			}
			if running == 0 {
				var none T
				return none, last
			}
		case <-fell:
			begin()
		case <-slow.C:
			begin()
		}
	}
}
