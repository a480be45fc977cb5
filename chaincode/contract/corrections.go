package contract

import (
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Correct adds a correction to a leg: a ledger.Correction in JSON, as the argument
// or as transient data named "correction". The caller is the owner's compliance.
// The leg's record stays; Get and ByLinkedID answer it unchanged, Corrections and
// Conversation answer both. The answer is the ledger.AnchoredCorrection. Sending
// the same correction again changes nothing.
//
// Errors: INVALID_ARGUMENT, also where the leg would be none after it;
// PERMISSION_DENIED, NOT_FOUND for the leg, ALREADY_EXISTS where another correction
// has that number, FAILED_PRECONDITION where it amends something else than what
// stands there.
func (*Calls) Correct(ctx contractapi.TransactionContextInterface, correction string) (string, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	given, err := checkedInput[ledger.Correction](ctx, "correction", correction)
	if err != nil {
		return "", err
	}
	if err := who.mayActFor(given.MSP, ledger.RoleCompliance); err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	record, before, err := legWithCorrections(stub, &ledger.LegPlace{Leg: given.Leg, MSP: given.MSP, PBX: given.PBX})
	if err != nil {
		return "", err
	}
	if int64(len(before)) >= given.N {
		return answerStanding(&before[given.N-1], &given)
	}
	if err := checkAmends(&given, record, before); err != nil {
		return "", err
	}
	call, err := ledger.Corrected(record.Call, before)
	if err != nil {
		return "", err
	}
	if _, err := given.Apply(call); err != nil {
		return "", err
	}
	return store(ctx, given.Key(), &ledger.AnchoredCorrection{AnchoredAt: at, Correction: given, TxID: stub.GetTxID(), V: ledger.SchemaVersion})
}

// answerStanding answers the correction that has the number already, if it says
// the same.
func answerStanding(standing *ledger.AnchoredCorrection, given *ledger.Correction) (string, error) {
	theirs, err := standing.Correction.Digest()
	if err != nil {
		return "", err
	}
	ours, err := given.Digest()
	if err != nil {
		return "", err
	}
	if theirs != ours {
		return "", ledger.Errorf(ledger.CodeExists, "the leg has another correction %d: read the corrections and amend the last", given.N)
	}
	return text(standing)
}

// checkAmends answers CodeState unless the correction amends what stands there.
func checkAmends(given *ledger.Correction, record *ledger.Record, before []ledger.AnchoredCorrection) error {
	n := int64(len(before))
	if given.N != n+1 {
		return ledger.Errorf(ledger.CodeState, "the leg has %d corrections, so the next is number %d, not %d", n, n+1, given.N)
	}
	want := ledger.Amended{Key: record.Key()}
	var err error
	if n == 0 {
		want.Digest, err = record.ContentDigest()
	} else {
		last := &before[n-1].Correction
		want.Key = last.Key()
		want.Digest, err = last.Digest()
	}
	if err != nil {
		return err
	}
	if given.Amends != want {
		return ledger.Errorf(ledger.CodeState, "the correction does not amend what stands there: name the key and the digest of the leg's record, or of its last correction")
	}
	return nil
}

// legWithCorrections reads a leg and its corrections by their keys: it has its
// place in transactions that write.
func legWithCorrections(stub shim.ChaincodeStubInterface, place *ledger.LegPlace) (*ledger.Record, []ledger.AnchoredCorrection, error) {
	keys := []string{ledger.CallKey(place.MSP, place.PBX, place.Leg)}
	for n := range int64(ledger.MaxCorrections) {
		keys = append(keys, ledger.CorrectionKey(place.MSP, place.PBX, place.Leg, n+1))
	}
	values, err := stub.GetMultipleStates(keys...)
	if err != nil {
		return nil, nil, ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	// A peer whose database fails answers with fewer values and no error.
	if len(values) != len(keys) {
		return nil, nil, ledger.Errorf(ledger.CodeInternal, "read state: the peer answered %d of %d keys", len(values), len(keys))
	}
	if values[0] == nil {
		return nil, nil, ledger.Errorf(ledger.CodeNotFound, "no operator has anchored this CDR leg")
	}
	record := &ledger.Record{}
	if err := decodeStored(values[0], record); err != nil {
		return nil, nil, err
	}
	var corrections []ledger.AnchoredCorrection
	for _, value := range values[1:] {
		if value == nil {
			break
		}
		var correction ledger.AnchoredCorrection
		if err := decodeStored(value, &correction); err != nil {
			return nil, nil, err
		}
		corrections = append(corrections, correction)
	}
	return record, corrections, nil
}

// Corrections answers a leg's corrections in order, a JSON array of
// ledger.AnchoredCorrection, empty where there are none.
func (*Calls) Corrections(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID, uniqueID string, sequence int64) (string, error) {
	place := &ledger.LegPlace{Leg: ledger.LegID{LinkedID: linkedID, UniqueID: uniqueID, Sequence: sequence}, MSP: msp, PBX: pbx}
	if err := place.Check(); err != nil {
		return "", err
	}
	_, corrections, err := legWithCorrections(ctx.GetStub(), place)
	if err != nil {
		return "", err
	}
	if corrections == nil {
		corrections = []ledger.AnchoredCorrection{}
	}
	return text(corrections)
}
