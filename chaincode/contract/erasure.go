package contract

import (
	"encoding/hex"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Erase states on the ledger that the owner erases details, audio or both of one
// revision of a recording. Only then may details:Purge remove the sealed details.
// The caller is the owner's compliance role, or its gateway acting for a person
// of that role. What was erased before stays as it was stated then.
//
// Request is a ledger.ErasureRequest in JSON; the answer is the ledger.Erasure.
//
// Errors: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION
// while a legal hold stands, or before the record's term is over, unless the
// policy "retention" lets the reason go before it.
func (*Recordings) Erase(ctx contractapi.TransactionContextInterface, msp, pbx, id string, revision int64, request string) (string, error) {
	what, err := recordingSubject(msp, pbx, id, revision)
	if err != nil {
		return "", err
	}
	return what.erase(ctx, request)
}

// Erase states on the ledger that the owner erases the details of a CDR leg. It
// is as recordings:Erase; a leg has no audio of its own.
func (*Calls) Erase(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID, uniqueID string, sequence int64, request string) (string, error) {
	what, err := callSubject(msp, pbx, ledger.LegID{LinkedID: linkedID, UniqueID: uniqueID, Sequence: sequence})
	if err != nil {
		return "", err
	}
	return what.erase(ctx, request)
}

func (s *subject) erase(ctx contractapi.TransactionContextInterface, request string) (string, error) {
	var asked ledger.ErasureRequest
	if err := ledger.DecodeStrict([]byte(request), &asked); err != nil {
		return "", err
	}
	if err := asked.Check(); err != nil {
		return "", err
	}
	if s.call != nil && asked.Audio != nil {
		return "", ledger.Errorf(ledger.CodeInvalid, "a CDR leg has no audio: erase that of its recordings")
	}
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	if err := who.mayActFor(s.msp, ledger.RoleCompliance, ledger.RoleGateway); err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	if err := s.read(stub); err != nil {
		return "", err
	}
	next := ledger.Erasure{Call: s.call, MSP: s.msp, PBX: s.pbx, Recording: s.recording, V: ledger.SchemaVersion}
	if s.erasure != nil {
		next = *s.erasure
	}
	entry := ledger.Destruction{
		At: at, By: who.role, EvidenceDigest: asked.EvidenceDigest, Reason: asked.Reason, RequestedBy: asked.RequestedBy, TxID: stub.GetTxID(),
	}
	changed := false
	if asked.Audio != nil && next.Audio == nil {
		audio := entry
		audio.KeyCommitment = asked.Audio.KeyCommitment
		next.Audio, changed = &audio, true
	}
	if asked.Details != nil && next.Details == nil {
		details := entry
		details.KeyCommitment = asked.Details.KeyCommitment
		if details.SealedDigest, err = privateDigest(ctx, collectionOf(s.msp), s.key); err != nil {
			return "", err
		}
		next.Details, changed = &details, true
	}
	if !changed {
		return text(&next)
	}
	if err := s.mayBeErased(ctx, asked.Reason, at); err != nil {
		return "", err
	}
	key, err := ledger.ErasureKey(s.key)
	if err != nil {
		return "", err
	}
	return store(ctx, key, &next)
}

// mayBeErased answers CodeState where a hold or the record's term forbids it.
func (s *subject) mayBeErased(ctx contractapi.TransactionContextInterface, reason string, at ledger.Time) error {
	if err := checkNotHeld(s.hold, at); err != nil {
		return err
	}
	policy, err := retentionPolicy(ctx.GetStub())
	if err != nil {
		return err
	}
	if until := s.keptUntil(policy); at.Before(until) && !policy.AllowsEarly(reason) {
		return ledger.Errorf(ledger.CodeState, "the record is kept until %s, and %s is no reason to erase it before", until, reason)
	}
	return nil
}

// checkNotHeld answers CodeState while a case holds the conversation.
func checkNotHeld(hold *ledger.Hold, at ledger.Time) error {
	if standing := hold.InForce(at); standing != nil {
		return ledger.Errorf(ledger.CodeState, "a legal hold of %d cases stands on this conversation: nothing of it may be erased until they are released", len(standing.Cases))
	}
	return nil
}

// privateDigest is the SHA-256 of a private value, which every peer has; empty
// where there is none.
func privateDigest(ctx contractapi.TransactionContextInterface, collection, key string) (string, error) {
	hash, err := ctx.GetStub().GetPrivateDataHash(collection, key)
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "read the collection: %v", err)
	}
	return hex.EncodeToString(hash), nil
}
