package contract

import (
	"crypto/sha256"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Hold puts a conversation under legal hold for one case: while a case holds it,
// neither details nor audio of any leg of the linkedid may be erased. The caller
// is the owner's compliance role. A conversation may be held before anything of
// it is anchored, and by several cases at once; a case that holds it already is
// placed anew, with the reason and the end given.
//
// Request is a ledger.HoldRequest in JSON: the digest of the case (the order is
// kept elsewhere), a reason, the version it follows (0 for the first) and an end
// where there is one. The answer is the new ledger.Hold.
//
// Errors: INVALID_ARGUMENT, PERMISSION_DENIED, FAILED_PRECONDITION when another
// version came first, TOO_LARGE for more than 20 cases.
func (*Recordings) Hold(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID, request string) (string, error) {
	var asked ledger.HoldRequest
	if err := ledger.DecodeStrict([]byte(request), &asked); err != nil {
		return "", err
	}
	if err := asked.Check(); err != nil {
		return "", err
	}
	return changeHold(ctx, msp, pbx, linkedID, asked.After, func(before *ledger.Hold, at ledger.Time) (*ledger.Hold, error) {
		return before.Place(&asked, at, ctx.GetStub().GetTxID())
	})
}

// Release lets a conversation go from one case, named by its digest; other cases
// go on holding it. The caller is the owner's compliance role. After is the
// version this follows. The answer is the new ledger.Hold.
//
// Errors: as Hold, and NOT_FOUND where the case does not hold the conversation.
func (*Recordings) Release(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID, caseDigest string, after int64) (string, error) {
	if err := ledger.CheckHex("case_digest", caseDigest, sha256.Size); err != nil {
		return "", err
	}
	return changeHold(ctx, msp, pbx, linkedID, after, func(before *ledger.Hold, at ledger.Time) (*ledger.Hold, error) {
		return before.Release(caseDigest, at, ctx.GetStub().GetTxID())
	})
}

// changeHold writes the next version of a conversation's hold.
func changeHold(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID string, after int64, change func(*ledger.Hold, ledger.Time) (*ledger.Hold, error)) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "linkedid", linkedID); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("after", after); err != nil {
		return "", err
	}
	if err := mustActFor(ctx, msp, ledger.RoleCompliance); err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	before, err := holdOf(ctx.GetStub(), msp, pbx, linkedID)
	if err != nil {
		return "", err
	}
	if before.Version() != after {
		return "", ledger.Errorf(ledger.CodeState, "the hold of this conversation is at version %d, not %d: look at it and ask again", before.Version(), after)
	}
	next, err := change(before, at)
	if err != nil {
		return "", err
	}
	next.MSP, next.PBX, next.LinkedID = msp, pbx, linkedID
	return storeVersion(ctx, next, ledger.HoldKey(msp, pbx, linkedID), ledger.HoldVersionKey(msp, pbx, linkedID, next.N))
}

// Holds answers every version of a conversation's hold, the first first, as a
// JSON array of ledger.Hold; empty where it was never held.
func (*Recordings) Holds(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "linkedid", linkedID); err != nil {
		return "", err
	}
	return versions(ctx, ledger.TypeHoldVersion, msp, pbx, linkedID)
}
