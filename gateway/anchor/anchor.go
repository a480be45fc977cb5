// Package anchor takes an adapter's signed segment to the ledger: the public
// records by a transaction that two operators endorse, the sealed details by one
// that the owner alone endorses.
package anchor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json"

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
	// CommittedAt is when the peer said VALID, by the gateway's clock; zero when
	// that was earlier.
	CommittedAt time.Time
}

// Anchor answers once the segment's records are on the ledger and their details
// in the operator's collection, both in VALID transactions. Faults that may pass
// are retried until the context ends; because keys are put only if absent, a
// repetition never anchors twice.
func (a *Anchorer) Anchor(ctx context.Context, submission *Submission) (*Receipt, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 20*time.Millisecond, time.Second
	// When the context ends between two attempts, the last one's fault says more.
	var last error
	// What stands publicly is not sent again because the details have to be: the
	// answer would be that it was there already.
	var public *Receipt
	receipt, err := backoff.Retry(ctx, func() (*Receipt, error) {
		receipt, err := a.try(ctx, submission, &public)
		last = err
		if err != nil && !fault.Of(err).Retryable() {
			return nil, backoff.Permanent(err)
		}
		return receipt, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(maxAttempts))
	if err != nil {
		if last != nil {
			err = last
		}
		return nil, fmt.Errorf("anchor segment %d: %w", submission.Signed.Segment.FirstSeq, err)
	}
	return receipt, nil
}

// try runs what is left of both transactions once: first the public one, because
// the call is on the ledger when that is committed, then the owner's private one.
// Both at once would share the machine, and often not the block, and the call
// would wait.
func (a *Anchorer) try(ctx context.Context, submission *Submission, public **Receipt) (*Receipt, error) {
	if *public == nil {
		receipt, err := a.publish(ctx, submission)
		if err != nil {
			return nil, err
		}
		*public = receipt
	}
	receipt := *public
	if err := a.storeDetails(ctx, submission, &receipt.SegmentOutcome); err != nil {
		return nil, err
	}
	if receipt.Outcome == ledger.OutcomeAlready {
		return a.earlier(ctx, submission, receipt)
	}
	return receipt, nil
}

// publish runs the public transaction.
func (a *Anchorer) publish(ctx context.Context, submission *Submission) (*Receipt, error) {
	endorsed, err := a.channel.Endorse(ctx, fabric.Proposal{
		Function: "calls:Anchor", Args: []string{""},
		Transient: map[string][]byte{"segments": submission.wire},
	})
	if err != nil {
		return nil, err
	}
	outcome, err := segmentOutcome(endorsed.Result())
	if err != nil {
		return nil, err
	}
	receipt := &Receipt{SegmentOutcome: *outcome}
	if !changes(outcome) {
		return receipt, nil
	}
	return receipt, a.commit(ctx, endorsed, receipt)
}

// commit orders the public transaction and waits for it.
func (a *Anchorer) commit(ctx context.Context, public *fabric.Endorsed, receipt *Receipt) error {
	submitted, err := public.Submit(ctx)
	if err != nil {
		return err
	}
	if receipt.Commit, err = submitted.Wait(ctx); err != nil {
		return err
	}
	receipt.CommittedAt = time.Now()
	receipt.Commit.Endorsers, err = public.Endorsers()
	return err
}

// storeDetails seals the details of what was accepted and has the own peer, and no
// other, endorse them. The details of a refused record are not those of the
// record that stands there.
func (a *Anchorer) storeDetails(ctx context.Context, submission *Submission, outcome *ledger.SegmentOutcome) error {
	items := acceptedOf(submission, outcome)
	if len(items) == 0 {
		return nil
	}
	sealed, err := a.keyring.Seal(items)
	// None is left where all of them were erased: a replay brings nothing back.
	if err != nil || len(sealed) == 0 {
		return err
	}
	private, err := a.endorseDetails(ctx, sealed)
	if err != nil || private == nil {
		return err
	}
	submitted, err := private.Submit(ctx)
	if err != nil {
		return err
	}
	_, err = submitted.Wait(ctx)
	return err
}

// earlier fills in the commit of a segment that was anchored before.
func (a *Anchorer) earlier(ctx context.Context, submission *Submission, receipt *Receipt) (*Receipt, error) {
	segment := &submission.Signed.Segment
	stored, err := a.channel.Evaluate(ctx, "calls:Segment", segment.MSP, segment.PBX, fmt.Sprint(segment.Epoch), fmt.Sprint(segment.FirstSeq))
	if err != nil {
		return nil, err
	}
	var anchored ledger.AnchoredSegment
	if err := ledger.DecodeStrict(stored, &anchored); err != nil {
		return nil, err
	}
	receipt.Commit, err = a.channel.Commit(ctx, anchored.TxID)
	return receipt, err
}

// endorseDetails answers nil when the collection has all the details already.
func (a *Anchorer) endorseDetails(ctx context.Context, sealed []ledger.SealedRecord) (*fabric.Endorsed, error) {
	wire, err := ledger.Canonical(sealed)
	if err != nil {
		return nil, fmt.Errorf("encode the sealed details: %w", err)
	}
	endorsed, err := a.channel.Endorse(ctx, fabric.Proposal{
		Function: "details:Put", Transient: map[string][]byte{"details": wire}, EndorsedBy: []string{a.channel.MSP()},
	})
	if err != nil {
		return nil, err
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
		return nil, err
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
	for _, record := range outcome.Exceptions {
		if record.Outcome != ledger.OutcomeAlready {
			return true
		}
	}
	return false
}

// acceptedOf leaves out the details of refused records.
func acceptedOf(submission *Submission, outcome *ledger.SegmentOutcome) []seal.Item {
	refused := map[string]bool{}
	for i := range submission.Signed.Records {
		record := &submission.Signed.Records[i]
		if outcome.Of(record.Seq) == ledger.OutcomeConflict {
			refused[record.Key()] = true
		}
	}
	return slices.DeleteFunc(submission.items(), func(item seal.Item) bool { return refused[item.Key] })
}
