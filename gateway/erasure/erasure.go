// Package erasure takes the erasure of a record's details through its steps: the
// public statement on the ledger, then the destruction of the record's key, then
// the purge of the sealed details. Each step is journaled and repeatable, so that
// a gateway that stops at any point goes on where it was.
package erasure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/seal"
)

// Chain is what an Eraser needs of the channel.
type Chain interface {
	// MSP is the own operator's.
	MSP() string
	// Evaluate runs a query on the own peer.
	Evaluate(ctx context.Context, function string, args ...string) ([]byte, error)
	// Transact has a transaction endorsed and committed.
	Transact(ctx context.Context, what fabric.Proposal) (fabric.Outcome, error)
	// Commit finds a committed transaction.
	Commit(ctx context.Context, transactionID string) (fabric.Commit, error)
}

// Record names a record of the own operator: a CDR leg or a recording, exactly
// one of the two.
type Record struct {
	PBX       string              `json:"pbx"`
	Call      *ledger.LegID       `json:"call,omitzero"`
	Recording *ledger.RecordingID `json:"recording,omitzero"`
}

// Request asks for the erasure of a record's details.
type Request struct {
	Record
	// Audio is set where the audio is to be erased too: the statement covers it,
	// and its holder destroys the audio's key once the statement stands.
	Audio *ledger.DestroyedKey `json:"audio,omitzero"`
	// EvidenceDigest, Reason and RequestedBy are as in ledger.Destruction.
	EvidenceDigest string `json:"evidence_digest,omitzero"`
	Reason         string `json:"reason"`
	RequestedBy    string `json:"requested_by,omitzero"`
}

// Progress is how far an erasure has come; a receipt once PurgedAt is set.
type Progress struct {
	Request Request `json:"request"`
	// Statement is the public erasure, and Stated the transaction that put it on
	// the ledger.
	Statement *ledger.Erasure `json:"statement,omitzero"`
	Stated    fabric.Commit   `json:"stated,omitzero"`
	// KeyDestroyedAt is when the record's key was destroyed, by the gateway's
	// clock.
	KeyDestroyedAt time.Time `json:"key_destroyed_at,omitzero"`
	// PurgeID is the purge transaction that was sent last.
	PurgeID string `json:"purge_id,omitzero"`
	// Purged is the transaction that purged the sealed details; none where there
	// were none any more.
	Purged   fabric.Commit `json:"purged,omitzero"`
	PurgedAt time.Time     `json:"purged_at,omitzero"`
	// Pending says why the last try came no further; empty when all is done.
	Pending string `json:"pending,omitzero"`
}

// Done says whether nothing is left but the compaction of the peer's files.
func (p *Progress) Done() bool { return !p.PurgedAt.IsZero() }

// retryEvery is how often Run takes up what could not be finished.
const retryEvery = 30 * time.Second

// Eraser erases for one operator. It is safe for concurrent use.
type Eraser struct {
	chain   Chain
	keyring *seal.Keyring
	journal *Journal
	log     *slog.Logger
	turn    chan struct{} // one erasure at a time
}

// New makes an Eraser.
func New(chain Chain, keyring *seal.Keyring, journal *Journal, log *slog.Logger) *Eraser {
	return &Eraser{chain: chain, keyring: keyring, journal: journal, log: log, turn: make(chan struct{}, 1)}
}

// Erase erases the record's details. Once the public statement stands it answers
// without an error: where the steps after it could not be finished yet, Pending
// says why, and Run goes on with them. Asked again it goes on or answers the same
// receipt.
func (e *Eraser) Erase(ctx context.Context, request Request) (*Progress, error) {
	key, err := e.key(&request.Record)
	if err != nil {
		return nil, err
	}
	if request.Reason == "" || !slices.Contains(ledger.EraseReasons, request.Reason) {
		return nil, fault.New(fault.Invalid, "the reason of an erasure is one of %v", ledger.EraseReasons)
	}
	release, err := e.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	progress, err := e.journal.load(key)
	if errors.Is(err, errUnknown) {
		progress = &Progress{Request: request}
		err = e.journal.save(key, progress)
	}
	if err != nil {
		return nil, err
	}
	if progress.Statement != nil && progress.Statement.Audio == nil && request.Audio != nil {
		// The details went before; now the audio does.
		progress.Request.Audio, progress.Statement = request.Audio, nil
	}
	return e.proceed(ctx, key, progress)
}

// Get answers how far the erasure of a record has come, or a NotFound fault where
// this gateway was not asked for one.
func (e *Eraser) Get(record Record) (*Progress, error) {
	key, err := e.key(&record)
	if err != nil {
		return nil, err
	}
	progress, err := e.journal.load(key)
	if errors.Is(err, errUnknown) {
		return nil, fault.New(fault.NotFound, "this gateway was not asked to erase this record")
	}
	return progress, err
}

// Run finishes what was begun, now and whenever something is left, until the
// context ends.
func (e *Eraser) Run(ctx context.Context) {
	again := time.NewTicker(retryEvery)
	defer again.Stop()
	for {
		if err := e.Resume(ctx); err != nil && ctx.Err() == nil {
			e.log.Warn("erasures are left to finish", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// Resume tries once to finish every erasure that was begun.
func (e *Eraser) Resume(ctx context.Context) error {
	pending, err := e.journal.pending()
	if err != nil {
		return err
	}
	var failures []error
	for _, key := range pending {
		failures = append(failures, e.resume(ctx, key))
	}
	return errors.Join(failures...)
}

func (e *Eraser) resume(ctx context.Context, key string) error {
	release, err := e.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	progress, err := e.journal.load(key)
	if errors.Is(err, errUnknown) || err == nil && progress.Done() {
		return nil
	}
	if err != nil {
		return err
	}
	progress, err = e.proceed(ctx, key, progress)
	if err == nil && !progress.Done() {
		err = errors.New(progress.Pending)
	}
	return err
}

// take waits for the one erasure under way.
func (e *Eraser) take(ctx context.Context) (release func(), err error) {
	select {
	case e.turn <- struct{}{}:
		return func() { <-e.turn }, nil
	case <-ctx.Done():
		return nil, fault.New(fault.Busy, "another erasure is under way: ask again")
	}
}

// key is the record's key on the ledger.
func (e *Eraser) key(record *Record) (string, error) {
	if err := ledger.CheckName("pbx", record.PBX); err != nil {
		return "", err
	}
	switch {
	case record.Call != nil && record.Recording == nil:
		return ledger.CallKey(e.chain.MSP(), record.PBX, *record.Call), record.Call.Check()
	case record.Recording != nil && record.Call == nil:
		return ledger.RecordingKey(e.chain.MSP(), record.PBX, record.Recording.ID, max(0, record.Recording.Revision)), record.Recording.Check()
	default:
		return "", fault.New(fault.Invalid, "name a leg or a recording")
	}
}

// call names a function of the record's contract and the arguments that name the
// record.
func (e *Eraser) call(record *Record, function string) (string, []string) {
	if call := record.Call; call != nil {
		return "calls:" + function, []string{e.chain.MSP(), record.PBX, call.LinkedID, call.UniqueID, fmt.Sprint(call.Sequence)}
	}
	return "recordings:" + function, []string{e.chain.MSP(), record.PBX, record.Recording.ID, fmt.Sprint(record.Recording.Revision)}
}
