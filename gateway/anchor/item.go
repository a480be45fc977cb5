package anchor

import (
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

// State is how far a segment has come. A segment's states come in this order.
type State int

// The states.
const (
	// Rejected: it was not taken, and nothing is held of it.
	Rejected State = iota + 1
	// Accepted: it is in the journal, on disk.
	Accepted
	// Committed: its records stand in a VALID transaction.
	Committed
	// Settled: its details are in the operator's collection too.
	Settled
	// Refused: the ledger refuses it; it stands in the outbox.
	Refused
)

// Final says that nothing comes after it.
func (s State) Final() bool { return s == Rejected || s == Settled || s == Refused }

// Receipt is what became of a segment.
type Receipt struct {
	ledger.SegmentOutcome
	// Commit is the transaction that anchored it, also when that was earlier.
	Commit fabric.Commit
	// CommittedAt is when the peer said VALID, by the gateway's clock; zero when
	// that was earlier.
	CommittedAt time.Time
}

// Update tells of a state that a segment has reached.
type Update struct {
	Name    journal.Name
	Records int
	State   State
	// Receipt is set from Committed on.
	Receipt *Receipt
	// Problem is set where the state is Rejected or Refused.
	Problem *fault.Error
}

// Progress is told of the states that a segment reaches, in order. It must return
// at once.
type Progress func(Update)

// identity tells segments apart: two may claim the same name, which is a fork that
// the ledger judges.
type identity struct {
	name   journal.Name
	digest [32]byte
}

// item is a segment under way. All but what is said otherwise is guarded by the
// pipeline's lock.
type item struct {
	identity
	records   int
	wireBytes int
	// number is its place in the journal, 0 until it is there.
	number int64
	state  State // 0 until it is accepted
	// durable is closed once it is on disk or was rejected.
	durable chan struct{}
	// payload is nil where it has to be read from the journal.
	payload *payload
	// held says that the payload counts among what is held in memory.
	held bool
	// fork says that its name belongs to another.
	fork bool
	// recovered says that it was accepted before the gateway was started.
	recovered bool
	receipt   *Receipt
	// problem is why it was rejected or refused, or why it waits.
	problem    *fault.Error
	followers  []*follower
	acceptedAt time.Time
	// accepting is the span of its acceptance until that ends; trace is its context.
	accepting trace.Span
	trace     map[string]string
}

// follower is who wants to know of a segment.
type follower struct{ tell Progress }

func (i *item) update(state State) Update {
	return Update{Name: i.name, Records: i.records, State: state, Receipt: i.receipt, Problem: i.problem}
}

// reach moves the item to a state and tells its followers.
func (i *item) reach(state State) {
	i.state = state
	if i.accepting != nil {
		i.accepting.End()
		i.accepting = nil
	}
	update := i.update(state)
	for _, each := range i.followers {
		each.tell(update)
	}
	if state.Final() {
		i.followers = nil
	}
}

// catchUp tells a new follower of the states so far.
func (i *item) catchUp(one *follower) {
	for state := Accepted; state <= i.state && state <= Committed; state++ {
		one.tell(i.update(state))
	}
	if i.state > Committed {
		one.tell(i.update(i.state))
	}
}
