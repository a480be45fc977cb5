// Package consent reports recordings that stand against a party's objection: the
// operator's own gateway looks at each conversation when a recording or a statement
// of it comes out of the index, off the way of anchoring, from a place that it keeps
// on disk. Should it not, any other operator's auditor may (consents:Report).
package consent

import (
	"container/heap"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/index"
)

const (
	// maxWaiting bounds the conversations that wait: while there are so many, no more
	// are taken out of the index.
	maxWaiting = 4096
	// lookAfter is when a conversation is looked at: what is anchored of it
	// together is looked at once, and other operators' peers have caught up.
	lookAfter = 200 * time.Millisecond
	// maxTries bounds the tries of one look, and the waits between them double
	// from firstWait to longestWait: a peer that is away for ten minutes is
	// outlived.
	maxTries    = 10
	firstWait   = time.Second
	longestWait = 2 * time.Minute
)

// Ledger is the part of a channel that a Watch needs.
type Ledger interface {
	Evaluate(ctx context.Context, function string, args ...string) ([]byte, error)
	Transact(ctx context.Context, what fabric.Proposal) (fabric.Outcome, error)
}

// Watch looks for violations. It is safe for concurrent use.
type Watch struct {
	ledger Ledger
	log    *slog.Logger

	mu      sync.Mutex
	waiting looks
	known   map[conversation]bool
	// unsettled are the places on the chain whose conversations are not yet done with,
	// in order; read is the place that was read last.
	unsettled []*look
	read      index.Cursor
	wake      chan struct{}
	settled   chan struct{}
}

// conversation names what is looked at.
type conversation struct{ msp, pbx, linkedID string }

// look is one look at a conversation.
type look struct {
	conversation
	at    index.Cursor // where on the chain it was asked for
	due   time.Time
	tries int
	done  bool
}

// New makes a Watch; Run makes it look.
func New(channel Ledger, log *slog.Logger) *Watch {
	return &Watch{ledger: channel, log: log, known: map[conversation]bool{}, wake: make(chan struct{}, 1), settled: make(chan struct{}, 1)}
}

// take has a conversation looked at, for what stands at a place on the chain. It
// answers false, and takes nothing, while too many wait.
func (w *Watch) take(of conversation, at index.Cursor) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known[of] { // it waits for its first look, which will see this too
		return true
	}
	if len(w.unsettled) >= maxWaiting {
		return false
	}
	w.known[of] = true
	one := &look{conversation: of, at: at, due: time.Now().Add(lookAfter)}
	w.unsettled = append(w.unsettled, one)
	w.add(one)
	return true
}

// add puts a look into its place.
func (w *Watch) add(one *look) {
	heap.Push(&w.waiting, one)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// settle is done with a look.
func (w *Watch) settle(one *look) {
	one.done = true
	for len(w.unsettled) > 0 && w.unsettled[0].done {
		w.unsettled = w.unsettled[1:]
	}
	select {
	case w.settled <- struct{}{}:
	default:
	}
}

// place is the place up to which all conversations are done with.
func (w *Watch) place() index.Cursor {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.unsettled) == 0 {
		return w.read
	}
	return w.unsettled[0].at.Back()
}

// Run looks, one conversation after the other, until the context ends.
func (w *Watch) Run(ctx context.Context) {
	for {
		one, wait := w.next(time.Now())
		if one == nil {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-w.wake:
				timer.Stop()
			case <-timer.C:
			}
			continue
		}
		w.try(ctx, one)
		if ctx.Err() != nil {
			return
		}
	}
}

// next takes the look that is due, or says how long there is none.
func (w *Watch) next(now time.Time) (*look, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 {
		return nil, time.Hour
	}
	if wait := w.waiting[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	one, _ := heap.Pop(&w.waiting).(*look)
	delete(w.known, one.conversation) // what comes from now on asks for another look
	return one, 0
}

// try looks once and decides what comes after.
func (w *Watch) try(ctx context.Context, one *look) {
	reported, err := w.report(ctx, one.conversation)
	for range reported {
		w.log.Warn("a recording stands against a party's objection; the violation is on the ledger", "pbx", one.pbx, "linkedid", one.linkedID)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case err == nil:
		w.settle(one)
	case one.tries+1 >= maxTries:
		w.log.Error("a recorded call cannot be compared with consents: report it with `callseal consent report`", "pbx", one.pbx, "linkedid", one.linkedID, "tries", one.tries+1, "error", fault.Of(err).Message)
		w.settle(one)
	default:
		wait := min(firstWait<<one.tries, longestWait)
		one.tries++
		one.due = time.Now().Add(wait)
		w.log.Info("a recorded call is compared with consents later", "pbx", one.pbx, "linkedid", one.linkedID, "after", wait, "error", fault.Of(err).Message)
		w.add(one)
	}
}

// report asks what of a conversation is due and reports it. Of an endorser that
// lags behind the own peer it is refused, and asked again.
func (w *Watch) report(ctx context.Context, of conversation) (int, error) {
	answer, err := w.ledger.Evaluate(ctx, "consents:Violating", of.msp, of.pbx, of.linkedID)
	if err != nil {
		return 0, err
	}
	var due []ledger.ViolationReport
	if err := ledger.DecodeStrict(answer, &due); err != nil {
		return 0, err
	}
	for i := range due {
		wire, err := ledger.Canonical(&due[i])
		if err != nil {
			return i, err
		}
		if _, err := w.ledger.Transact(ctx, fabric.Proposal{Function: "consents:Report", Args: []string{string(wire)}}); err != nil {
			return i, err
		}
	}
	return len(due), nil
}

// looks is a heap by the time they are due.
type looks []*look

func (l looks) Len() int           { return len(l) }
func (l looks) Less(i, j int) bool { return l[i].due.Before(l[j].due) }
func (l looks) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }

// Push implements heap.Interface.
func (l *looks) Push(x any) {
	one, _ := x.(*look)
	*l = append(*l, one)
}

// Pop implements heap.Interface.
func (l *looks) Pop() any {
	last := len(*l) - 1
	one := (*l)[last]
	*l = (*l)[:last]
	return one
}
