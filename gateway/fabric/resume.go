package fabric

import (
	"context"

	"github.com/callseal/callseal/gateway/fault"
)

// Resume finds out what became of a transaction of an earlier run, of which there is
// the envelope: one that is not on the ledger is sent once more, which counts once.
// A fault of stage commit that is not of kind Unknown says that it is not VALID and
// never will be; any other leaves that open.
func (c *Channel) Resume(ctx context.Context, envelope []byte) (Outcome, error) {
	endorsed, err := c.Reopen(envelope)
	if err != nil {
		return Outcome{}, err
	}
	outcome := Outcome{Result: endorsed.Result()}
	outcome.Commit, err = c.Commit(ctx, endorsed.ID())
	switch {
	case err == nil && outcome.Validation != valid:
		return Outcome{}, invalidated(endorsed.ID(), outcome.Validation)
	case err == nil:
		return outcome, nil
	case fault.Of(err).Kind != fault.NotFound:
		return Outcome{}, err
	}
	if outcome.Commit, err = endorsed.Finish(ctx); err != nil {
		return Outcome{}, err
	}
	outcome.Endorsers, err = endorsed.Endorsers()
	return outcome, err
}
