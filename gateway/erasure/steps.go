package erasure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/seal"
)

// proceed takes an erasure as far as it goes. The order matters: while nothing
// stands on the ledger nothing is destroyed, and the key goes before the purge,
// because a peer's disk keeps what was purged until it is compacted.
func (e *Eraser) proceed(ctx context.Context, key string, progress *Progress) (*Progress, error) {
	if err := e.state(ctx, key, progress); err != nil {
		return nil, err
	}
	err := e.destroy(key, progress)
	if err == nil {
		err = e.purge(ctx, key, progress)
	}
	pending := ""
	if err != nil {
		what := fault.Of(err)
		pending = what.Message
		e.log.Warn("an erasure is not finished yet", "kind", string(what.Kind), "stage", string(what.Stage), "transaction", what.TransactionID, "error", what.Error())
	}
	if pending != progress.Pending {
		progress.Pending = pending
		if err := e.journal.save(key, progress); err != nil {
			return nil, err
		}
	}
	return progress, nil
}

// state puts the public statement on the ledger, unless it stands there. What the
// contract refuses is forgotten: nothing was begun.
func (e *Eraser) state(ctx context.Context, key string, progress *Progress) error {
	if progress.Statement != nil {
		return nil
	}
	stands, err := e.standing(ctx, progress)
	if err == nil && stands == nil {
		stands, progress.Stated, err = e.submitStatement(ctx, key, progress)
	}
	if err != nil {
		if refused(err) && progress.KeyDestroyedAt.IsZero() {
			if forgotten := e.journal.forget(key); forgotten != nil {
				return forgotten
			}
		}
		return err
	}
	if progress.Stated.TransactionID == "" {
		if progress.Stated, err = e.chain.Commit(ctx, stands.Details.TxID); err != nil {
			return err
		}
	}
	progress.Statement = stands
	return e.journal.save(key, progress)
}

// refused says whether the contract said no, so that nothing of the request can
// come onto the ledger any more. Of anything else it may have.
func refused(err error) bool {
	switch fault.Of(err).Kind {
	case fault.Invalid, fault.TooLarge, fault.NotFound, fault.Exists, fault.Denied, fault.State:
		return true
	default:
		return false
	}
}

// standing is the statement on the ledger, nil where it does not cover what was
// asked for.
func (e *Eraser) standing(ctx context.Context, progress *Progress) (*ledger.Erasure, error) {
	function, args := e.call(&progress.Request.Record, "State")
	answer, err := e.chain.Evaluate(ctx, function, args...)
	if err != nil {
		return nil, err
	}
	var custody ledger.Custody
	if err := ledger.DecodeStrict(answer, &custody); err != nil {
		return nil, fmt.Errorf("read the record's state: %w", err)
	}
	stands := custody.Erasure
	if stands == nil || stands.Details == nil || progress.Request.Audio != nil && stands.Audio == nil {
		return nil, nil //nolint:nilnil // that nothing stands is not an error
	}
	return stands, nil
}

func (e *Eraser) submitStatement(ctx context.Context, key string, progress *Progress) (*ledger.Erasure, fabric.Commit, error) {
	request := &progress.Request
	asked := ledger.ErasureRequest{
		Audio: request.Audio, Details: &ledger.DestroyedKey{}, EvidenceDigest: request.EvidenceDigest, Reason: request.Reason, RequestedBy: request.RequestedBy,
	}
	// No key: the details were never sealed here, or it was lost.
	if commitment, err := e.keyring.Commitment(key); err == nil {
		asked.Details.KeyCommitment = commitment
	} else if !errors.Is(err, seal.ErrNoKey) {
		return nil, fabric.Commit{}, err
	}
	argument, err := ledger.Canonical(&asked)
	if err != nil {
		return nil, fabric.Commit{}, err
	}
	function, args := e.call(&request.Record, "Erase")
	outcome, err := e.chain.Transact(ctx, fabric.Proposal{Function: function, Args: append(args, string(argument))})
	if err != nil {
		return nil, fabric.Commit{}, err
	}
	statement := &ledger.Erasure{}
	if err := ledger.DecodeStrict(outcome.Result, statement); err != nil {
		return nil, fabric.Commit{}, fmt.Errorf("read the contract's answer: %w", err)
	}
	return statement, outcome.Commit, nil
}

// destroy destroys the record's key; what is destroyed stays destroyed.
func (e *Eraser) destroy(key string, progress *Progress) error {
	if !progress.KeyDestroyedAt.IsZero() {
		return nil
	}
	told, err := e.keyring.Destroy(key)
	if err != nil {
		return err
	}
	if stated := progress.Statement.Details.KeyCommitment; stated != told[0].Commitment {
		e.log.Warn("the erasure on the ledger names another key than the one that was destroyed", "stated", stated, "destroyed", told[0].Commitment)
	}
	progress.KeyDestroyedAt = told[0].At
	return e.journal.save(key, progress)
}

// purge removes the sealed details from the operator's collection.
func (e *Eraser) purge(ctx context.Context, key string, progress *Progress) error {
	if progress.Done() {
		return nil
	}
	function, args := e.call(&progress.Request.Record, "Get")
	detailsFunction := "details:GetCall"
	if function == "recordings:Get" {
		detailsFunction = "details:GetRecording"
	}
	_, err := e.chain.Evaluate(ctx, detailsFunction, args...)
	switch {
	case err == nil:
		err = e.submitPurge(ctx, key, progress)
	case fault.Of(err).Kind == fault.NotFound && progress.PurgeID != "":
		// They are gone, and this gateway sent a purge before it stopped.
		progress.Purged, err = e.chain.Commit(ctx, progress.PurgeID)
		if err != nil && fault.Of(err).Kind == fault.NotFound || err == nil && progress.Purged.Validation != "VALID" {
			progress.Purged, err = fabric.Commit{}, nil
		}
	case fault.Of(err).Kind == fault.NotFound:
		err = nil
	}
	if err != nil {
		return err
	}
	progress.PurgedAt = time.Now().UTC().Truncate(time.Millisecond)
	progress.Pending = ""
	return e.journal.save(key, progress)
}

func (e *Eraser) submitPurge(ctx context.Context, key string, progress *Progress) error {
	keys, err := ledger.Canonical([]string{key})
	if err != nil {
		return err
	}
	outcome, err := e.chain.Transact(ctx, fabric.Proposal{
		Function: "details:Purge", Transient: map[string][]byte{"keys": keys}, EndorsedBy: []string{e.chain.MSP()},
		Submitting: func(transactionID string) error {
			progress.PurgeID = transactionID
			return e.journal.save(key, progress)
		},
	})
	progress.Purged = outcome.Commit
	return err
}
