// Package anchor takes an adapter's signed segment to the ledger: the public
// records by a transaction that two operators endorse, the sealed details by one
// that the owner alone endorses.
package anchor

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/seal"
)

// maxAttempts bounds the tries of one request; the caller's deadline bounds them
// sooner.
const maxAttempts = 8

// Anchorer anchors segments of one operator. It is safe for concurrent use.
type Anchorer struct {
	channel *fabric.Channel
	keyring *seal.Keyring
}

// New makes an Anchorer.
func New(channel *fabric.Channel, keyring *seal.Keyring) *Anchorer {
	return &Anchorer{channel: channel, keyring: keyring}
}

// Receipt is what became of a segment.
type Receipt struct {
	ledger.SegmentOutcome
	// Commit is the transaction that anchored it, also when that was earlier.
	Commit fabric.Commit
}

// Anchor answers once the segment's records are on the ledger and their details
// in the operator's collection, both in VALID transactions. Faults that may pass
// are retried until the context ends; because keys are put only if absent, a
// repetition never anchors twice.
func (a *Anchorer) Anchor(ctx context.Context, submission *Submission) (*Receipt, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 20*time.Millisecond, time.Second
	receipt, err := backoff.Retry(ctx, func() (*Receipt, error) {
		receipt, err := a.try(ctx, submission)
		if err != nil && !fault.Of(err).Retryable() {
			return nil, backoff.Permanent(err)
		}
		return receipt, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(maxAttempts))
	if err != nil {
		return nil, fmt.Errorf("anchor segment %d: %w", submission.Signed.Segment.FirstSeq, err)
	}
	return receipt, nil
}

// try runs both transactions once.
func (a *Anchorer) try(ctx context.Context, submission *Submission) (*Receipt, error) {
	sealed, err := a.keyring.Seal(submission.items())
	if err != nil {
		return nil, err //nolint:wrapcheck // says what failed already
	}
	var public, private *fabric.Endorsed
	endorsing, endorseCtx := errgroup.WithContext(ctx)
	endorsing.Go(func() (err error) {
		public, err = a.channel.Endorse(endorseCtx, fabric.Proposal{
			Function: "calls:Anchor", Args: []string{""},
			Transient: map[string][]byte{"segments": submission.wire},
		})
		return err
	})
	endorsing.Go(func() (err error) {
		private, err = a.endorseDetails(endorseCtx, sealed)
		return err
	})
	if err := endorsing.Wait(); err != nil {
		return nil, err
	}
	outcome, err := segmentOutcome(public.Result())
	if err != nil {
		return nil, err
	}
	// The details of a record that was refused are not those of the record that
	// stands there.
	if accepted := acceptedOf(outcome, sealed); len(accepted) < len(sealed) {
		if private, err = a.endorseDetails(ctx, accepted); err != nil {
			return nil, err
		}
	}
	return a.commit(ctx, submission, outcome, public, private)
}

// commit orders both transactions, the public one first so that it makes the
// earlier block, and waits for both.
func (a *Anchorer) commit(ctx context.Context, submission *Submission, outcome *ledger.SegmentOutcome, public, private *fabric.Endorsed) (*Receipt, error) {
	receipt := &Receipt{SegmentOutcome: *outcome}
	waiting, waitCtx := errgroup.WithContext(ctx)
	if changes(outcome) {
		submitted, err := public.Submit(ctx)
		if err != nil {
			return nil, err //nolint:wrapcheck // a fault already
		}
		waiting.Go(func() (err error) {
			receipt.Commit, err = submitted.Wait(waitCtx)
			return err
		})
	}
	if private != nil {
		submitted, err := private.Submit(ctx)
		if err != nil {
			return nil, err //nolint:wrapcheck // a fault already
		}
		waiting.Go(func() error {
			_, err := submitted.Wait(waitCtx)
			return err
		})
	}
	if err := waiting.Wait(); err != nil {
		return nil, err //nolint:wrapcheck // a fault already
	}
	if outcome.Outcome == ledger.OutcomeAlready {
		return a.earlier(ctx, submission, receipt)
	}
	endorsers, err := public.Endorsers()
	if err != nil {
		return nil, err //nolint:wrapcheck // says what failed already
	}
	receipt.Commit.Endorsers = endorsers
	return receipt, nil
}

// earlier fills in the commit of a segment that was anchored before.
func (a *Anchorer) earlier(ctx context.Context, submission *Submission, receipt *Receipt) (*Receipt, error) {
	segment := &submission.Signed.Segment
	stored, err := a.channel.Evaluate(ctx, "calls:Segment", segment.MSP, segment.PBX, fmt.Sprint(segment.Epoch), fmt.Sprint(segment.FirstSeq))
	if err != nil {
		return nil, err //nolint:wrapcheck // a fault already
	}
	var anchored ledger.AnchoredSegment
	if err := ledger.DecodeStrict(stored, &anchored); err != nil {
		return nil, err //nolint:wrapcheck // coded already
	}
	receipt.Commit, err = a.channel.Commit(ctx, anchored.TxID)
	return receipt, err
}

// endorseDetails has the own peer, and no other, endorse the sealed details. It
// answers nil when there is nothing to store.
func (a *Anchorer) endorseDetails(ctx context.Context, sealed []ledger.SealedRecord) (*fabric.Endorsed, error) {
	if len(sealed) == 0 {
		return nil, nil //nolint:nilnil // nothing to store is not an error
	}
	wire, err := ledger.Canonical(sealed)
	if err != nil {
		return nil, fmt.Errorf("encode the sealed details: %w", err)
	}
	endorsed, err := a.channel.Endorse(ctx, fabric.Proposal{
		Function: "details:Put", Transient: map[string][]byte{"details": wire}, EndorsedBy: []string{a.channel.MSP()},
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // a fault already
	}
	var result struct {
		Already int `json:"already"`
		Stored  int `json:"stored"`
	}
	if err := json.Unmarshal(endorsed.Result(), &result); err != nil {
		return nil, fmt.Errorf("read the contract's answer: %w", err)
	}
	if result.Stored == 0 {
		return nil, nil //nolint:nilnil // nothing to store is not an error
	}
	return endorsed, nil
}

// segmentOutcome reads what calls:Anchor answered for the one segment sent.
func segmentOutcome(result []byte) (*ledger.SegmentOutcome, error) {
	var answer ledger.AnchorResult
	if err := ledger.DecodeStrict(result, &answer); err != nil {
		return nil, err //nolint:wrapcheck // coded already
	}
	if len(answer.Segments) != 1 {
		return nil, fmt.Errorf("the contract answered for %d segments, one was sent", len(answer.Segments))
	}
	return &answer.Segments[0], nil
}

// changes says whether the transaction writes anything: a mere replay does not
// and need not be ordered.
func changes(outcome *ledger.SegmentOutcome) bool {
	if outcome.Outcome != ledger.OutcomeAlready {
		return true
	}
	for _, record := range outcome.Records {
		if record.Outcome != ledger.OutcomeAlready {
			return true
		}
	}
	return false
}

// acceptedOf leaves out the details of refused records.
func acceptedOf(outcome *ledger.SegmentOutcome, sealed []ledger.SealedRecord) []ledger.SealedRecord {
	refused := map[string]bool{}
	for _, record := range outcome.Records {
		if record.Outcome == ledger.OutcomeConflict {
			refused[record.Key] = true
		}
	}
	if len(refused) == 0 {
		return sealed
	}
	var accepted []ledger.SealedRecord
	for _, record := range sealed {
		if !refused[record.Key] {
			accepted = append(accepted, record)
		}
	}
	return accepted
}
