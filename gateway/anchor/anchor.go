package anchor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/callseal/callseal/gateway/fault"
)

// answerAfter is how long a caller that waits for a segment's end is left without
// an answer while the network fails: then it hears why. The segment goes on.
const answerAfter = 3 * time.Second

// Anchor takes a segment and answers once its records are on the ledger and their
// details in the operator's collection, both in VALID transactions. A retryable
// fault, or the context's end, says that this is not so yet: a segment that was
// accepted gets there all the same, and sending it again is answered with how far
// it has come.
func (p *Pipeline) Anchor(ctx context.Context, s *Submission) (*Receipt, error) {
	ended := &ending{done: make(chan struct{})}
	following, err := p.Accept(ctx, s, ended.tell)
	if err != nil {
		return nil, fmt.Errorf("anchor segment %d: %w", s.Signed.Segment.FirstSeq, err)
	}
	defer following.End()
	impatient := time.NewTicker(answerAfter)
	defer impatient.Stop()
	for {
		select {
		case <-ended.done:
			if ended.last.Problem != nil {
				return nil, ended.last.Problem
			}
			return ended.last.Receipt, nil
		case <-impatient.C:
			if problem := following.problem(); problem != nil {
				return nil, problem
			}
		case <-ctx.Done():
			if problem := following.problem(); problem != nil {
				return nil, problem
			}
			return nil, &fault.Error{
				Kind: fault.Unknown, Stage: fault.StageCommit, Err: ctx.Err(),
				Message: "the segment is not settled on the ledger yet, and is on its way if it was accepted: send the same request again",
			}
		}
	}
}

// problem is why the segment waits, nil where it does not.
func (f *Following) problem() *fault.Error {
	f.pipeline.mu.Lock()
	defer f.pipeline.mu.Unlock()
	if f.item.problem == nil || !f.item.problem.Retryable() {
		return nil
	}
	problem := *f.item.problem
	return &problem
}

// ending keeps a segment's last state.
type ending struct {
	once sync.Once
	last Update
	done chan struct{}
}

func (e *ending) tell(update Update) {
	if !update.State.Final() {
		return
	}
	e.once.Do(func() {
		e.last = update
		close(e.done)
	})
}
