package adapter

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// beatsPromised is how many beats may fail to come before a silence shows: a
	// machine may be slow.
	beatsPromised = 2
	// farewellWait bounds the wait for the ledger at the end; what it does not take by
	// then is sent at the next start.
	farewellWait = 2 * time.Second
)

// opening asks the ledger how the PBX's history ends and says how the journal's
// epoch follows from it. It asks until it is told: an opening that guesses would
// look like another adapter's.
func (a *Adapter) opening(ctx context.Context) (*ledger.Opening, error) {
	for {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		chain, err := a.ledger.GetChain(asking, &pb.GetChainRequest{Msp: a.config.MSP, Pbx: a.config.PBX})
		cancel()
		switch {
		case err == nil:
			return a.openingAfter(chain)
		case status.Code(err) == codes.NotFound:
			return &ledger.Opening{At: ledger.TimeOf(time.Now()), Why: ledger.OpeningFirst}, nil
		}
		if ctx.Err() == nil {
			a.log.Warn("the gateway cannot say how the PBX's history ends; asking again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// openingAfter is the opening of an epoch that follows another.
func (a *Adapter) openingAfter(chain *pb.GetChainResponse) (*ledger.Opening, error) {
	if chain.GetEpoch() >= a.journal.Epoch() {
		a.log.Warn("the ledger has an epoch of this PBX that began later than this new journal: its clock ran ahead once, or runs behind now",
			"epoch_began", time.UnixMilli(chain.GetEpoch()).UTC(), "journal_began", time.UnixMilli(a.journal.Epoch()).UTC())
		if err := a.journal.Follow(chain.GetEpoch()); err != nil {
			return nil, err
		}
	}
	opening := &ledger.Opening{
		At: ledger.TimeOf(time.Now()), PrevEpoch: chain.GetEpoch(), PrevRoot: chain.GetLastRoot(), PrevSeq: chain.GetLastSeq(), Why: ledger.OpeningLost,
	}
	if chain.GetClosing() {
		opening.Why = ledger.OpeningPlanned
	}
	return opening, nil
}

// beat says, as often as configured, that the adapter is there: what it promised
// holds though no call is made. After a start it says so at once.
func (a *Adapter) beat(ctx context.Context) error {
	if !a.journal.Fresh() && a.now().beat > 0 {
		if err := a.addBeat(); err != nil {
			return err
		}
	}
	for {
		var due <-chan time.Time // never, where there is to be none
		if every := a.now().beat; every > 0 {
			due = time.After(every)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.beatChanged:
			// What was promised before may be sooner than the new beat.
		case <-due:
		}
		if err := a.addBeat(); err != nil {
			return err
		}
	}
}

func (a *Adapter) addBeat() error {
	beat, err := a.newBeat(false)
	if err != nil {
		return err
	}
	a.closer.add(closing{Entry: journal.Entry{Beat: beat}})
	return nil
}

func (a *Adapter) newBeat(closing bool) (*ledger.Beat, error) {
	waters, err := a.journal.HighWater()
	if err != nil {
		return nil, err
	}
	if len(waters) == 0 {
		waters = nil
	}
	return &ledger.Beat{At: ledger.TimeOf(time.Now()), Closing: closing, HighWater: waters}, nil
}

// farewell closes the history and sends what still waits: whoever reads it sees that
// the adapter was told to stop, and was not cut off.
func (a *Adapter) farewell(ctx context.Context) {
	opened, err := a.journal.Opened()
	if err == nil && opened {
		err = a.closeHistory(ctx)
	}
	if err != nil {
		a.log.Error("the history could not be closed", "error", err)
	}
}

func (a *Adapter) closeHistory(ctx context.Context) error {
	beat, err := a.newBeat(true)
	if err != nil {
		return err
	}
	if _, err := a.journal.CloseSegment(a.closer.signer, []journal.Entry{{Beat: beat}}); err != nil {
		return err
	}
	waiting, _, err := a.journal.Outbox()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, farewellWait)
	defer cancel()
	if left := a.closer.uplink.finish(ctx, waiting); left != nil {
		a.log.Warn("segments wait in the journal for the next start", "first_seq", left.FirstSeq)
	}
	return nil
}
