package fabric

import (
	"context"

	"github.com/callseal/callseal/gateway/fault"
)

// Finish orders the transaction and waits until it is known what became of it. A
// fault of kind Unknown says that this could not be found out in time; finishing
// it again sends the same envelope, which counts once.
func (e *Endorsed) Finish(ctx context.Context) (Commit, error) {
	var commit Commit
	submitted, err := e.Submit(ctx)
	if err == nil {
		commit, err = submitted.Wait(ctx)
	}
	if err != nil && fault.Of(err).Kind == fault.Unknown {
		return e.channel.settle(ctx, e.ID(), err)
	}
	return commit, err
}
