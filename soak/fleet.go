package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

// Fleet are adapters of one operator, each with a PBX of its own.
type Fleet struct {
	Clients []*Client
	// Offered counts the records that were due.
	Offered atomic.Int64
	// Random, if given, has records due at random moments, as calls end (Poisson);
	// otherwise they are spread evenly.
	Random *rand.Rand

	stop context.CancelFunc
	runs sync.WaitGroup
}

// Launch starts a client for each identity; the fleet ends with the test, or when
// stopped.
func Launch(tb testing.TB, msp string, identities []connect.Config, pbxs []string, how Manner) *Fleet {
	tb.Helper()
	ctx, stop := context.WithCancel(context.Background())
	f := &Fleet{stop: stop}
	for i, access := range identities {
		adapter := gatewaytest.Load(tb, msp, pbxs[i], access.CertFile, access.KeyFile)
		client := newClient(&pbx{tb: tb, adapter: adapter, kind: how.Kind, boot: time.Now().Unix()}, access, how)
		f.Clients = append(f.Clients, client)
		f.runs.Go(func() { client.run(ctx) })
	}
	tb.Cleanup(f.Stop)
	return f
}

// Stop ends the clients. What they have not heard the end of stays so.
func (f *Fleet) Stop() {
	f.stop()
	f.runs.Wait()
}

// Offer has the first client send a record that was due at a moment.
func (f *Fleet) Offer(due time.Time) {
	f.Clients[0].Offer(due)
	f.Offered.Add(1)
}

// Load offers records at a rate a second, spread over time and clients, until the
// duration is over or the context ends. It is an open loop: a record is due at its
// moment, however long those before it take, and if this loop itself was held up, what
// it missed is offered with the moments at which it was due.
func (f *Fleet) Load(ctx context.Context, rate float64, duration time.Duration) {
	began := time.Now()
	every := float64(time.Second) / rate
	var after time.Duration
	for n := 0; ; n++ {
		if f.Random != nil {
			after += time.Duration(every * f.Random.ExpFloat64())
		} else {
			after = time.Duration(float64(n) * every)
		}
		if after >= duration || ctx.Err() != nil {
			return
		}
		due := began.Add(after)
		if wait := time.Until(due); wait > 0 {
			sleep(ctx, wait)
		}
		f.Clients[n%len(f.Clients)].Offer(due)
		f.Offered.Add(1)
	}
}

// Begin runs Load beside what follows, until the answer is called.
func (f *Fleet) Begin(rate float64) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var loading sync.WaitGroup
	loading.Go(func() { f.Load(ctx, rate, 24*time.Hour) })
	return func() { cancel(); loading.Wait() }
}

// Drop forgets what is due and in no segment yet, and says how many.
func (f *Fleet) Drop() (dropped int) {
	for _, client := range f.Clients {
		dropped += client.drop()
	}
	return dropped
}

// Drain waits until every client has heard the end of all its segments.
func (f *Fleet) Drain(ctx context.Context) error {
	for {
		due, open := 0, 0
		for _, client := range f.Clients {
			d, o := client.Backlog()
			due, open = due+d, open+o
		}
		if due == 0 && open == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d records are still due and the end of %d segments was not heard: %w", due, open, ctx.Err())
		}
		sleep(ctx, 50*time.Millisecond)
	}
}

// Stories are all segments, by PBX in the order in which they were closed, as
// they are now.
func (f *Fleet) Stories() [][]Story {
	all := make([][]Story, len(f.Clients))
	for i, client := range f.Clients {
		client.mu.Lock()
		all[i] = make([]Story, len(client.all))
		for j, story := range client.all {
			all[i][j] = *story
		}
		client.mu.Unlock()
	}
	return all
}

// Each visits all segments.
func (f *Fleet) Each(visit func(*Story)) {
	for _, client := range f.Clients {
		client.mu.Lock()
		for _, story := range client.all {
			visit(story)
		}
		client.mu.Unlock()
	}
}

// Tally adds up what the clients went through.
func (f *Fleet) Tally() Tally {
	sum := Tally{Rejected: map[string]int64{}}
	for _, client := range f.Clients {
		client.mu.Lock()
		sum.Streams += client.tally.Streams
		sum.Deaths += client.tally.Deaths
		for reason, n := range client.tally.Rejected {
			sum.Rejected[reason] += n
		}
		sum.Untyped = append(sum.Untyped, client.tally.Untyped...)
		client.mu.Unlock()
	}
	return sum
}

// Accepted counts the records that were accepted so far.
func (f *Fleet) Accepted() (records int) {
	f.Each(func(s *Story) {
		if !s.Accepted.IsZero() {
			records += len(s.Records)
		}
	})
	return records
}

// Recovery is how long after a moment the first record that was due after it was
// committed; ok is false as long as none is.
func (f *Fleet) Recovery(moment time.Time) (after time.Duration, ok bool) {
	f.Each(func(s *Story) {
		if s.Committed.IsZero() || !s.Records[0].Born.After(moment) {
			return
		}
		if took := s.Committed.Sub(moment); !ok || took < after {
			after, ok = took, true
		}
	})
	return after, ok
}
