package contract

import (
	"slices"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// maxSides bounds the legs of one call_ref.
const maxSides = 50

// Reconcile compares what the operators on a trunk say of one call, found by the
// call_ref they share: a ledger.Reconciliation. Answered or not, billed duration and
// start must agree, within the tolerance of the policy "reconciliation"; each
// operator's own corrections count. A call that one operator alone has seen is
// "not_comparable".
//
// Errors: INVALID_ARGUMENT, TOO_LARGE for a call_ref of more than 50 legs.
func (*Calls) Reconcile(ctx contractapi.TransactionContextInterface, callRef string) (string, error) {
	if err := ledger.CheckCallRef(callRef); err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	policy, err := policyOf(stub, ledger.PolicyReconciliation)
	if err != nil {
		return "", err
	}
	sides, err := sidesOf(stub, callRef)
	if err != nil {
		return "", err
	}
	result := &ledger.Reconciliation{
		CallRef: callRef, Comparisons: []ledger.Comparison{}, Outcome: ledger.OutcomeNotComparable, PolicyVersion: policy.Version, Sides: sides, V: ledger.SchemaVersion,
	}
	for i := range sides {
		for j := i + 1; j < len(sides); j++ {
			compared := ledger.Comparison{A: sides[i], B: sides[j], Outcome: ledger.OutcomeAgree}
			compared.Differences = policy.Policy.Reconciliation.Compare(&sides[i], &sides[j])
			if len(compared.Differences) > 0 {
				compared.Outcome = ledger.OutcomeDiffer
			}
			if result.Outcome != ledger.OutcomeDiffer {
				result.Outcome = compared.Outcome
			}
			result.Comparisons = append(result.Comparisons, compared)
		}
	}
	return text(result)
}

// sidesOf answers one side for each operator that has a leg with the call_ref, in
// order of their MSPs.
func sidesOf(stub shim.ChaincodeStubInterface, callRef string) ([]ledger.Side, error) {
	sides := []ledger.Side{}
	legs := 0
	err := scan(stub, ledger.TypeCallByRef, []string{callRef}, func(key string, _ []byte) error {
		if legs++; legs > maxSides {
			return ledger.Errorf(ledger.CodeTooLarge, "more than %d legs have this call_ref", maxSides)
		}
		place, err := placeOf(key)
		if err != nil {
			return err
		}
		record, corrections, err := legWithCorrections(stub, place)
		if err != nil {
			return err
		}
		side, err := ledger.SideOf(record, corrections)
		if err != nil {
			return err
		}
		// Keys are in order of MSPs.
		last := len(sides) - 1
		if last < 0 || sides[last].Place.MSP != place.MSP {
			side.Legs = 1
			sides = append(sides, *side)
			return nil
		}
		side.Legs = sides[last].Legs + 1
		if side.Answered && !sides[last].Answered {
			sides[last] = *side
		}
		sides[last].Legs = side.Legs
		return nil
	})
	return sides, err
}

// placeOf reads a leg's place from a key of the index by call_ref.
func placeOf(key string) (*ledger.LegPlace, error) {
	_, parts, err := ledger.SplitKey(key)
	if err != nil || len(parts) != 6 {
		return nil, ledger.Errorf(ledger.CodeInternal, "the index of call_refs holds a key that is none")
	}
	sequence, err := ledger.ParseKeyNumber(parts[5])
	if err != nil {
		return nil, ledger.Errorf(ledger.CodeInternal, "%v", err)
	}
	return &ledger.LegPlace{Leg: ledger.LegID{LinkedID: parts[3], UniqueID: parts[4], Sequence: sequence}, MSP: parts[1], PBX: parts[2]}, nil
}

// Dispute records that two operators tell a call they share differently, for both
// to see. A and b are the two legs, each a ledger.LegPlace in JSON, in any order; the
// caller is the gateway, the compliance or an auditor of one of the two. The
// contract compares the legs itself. The answer is the ledger.Dispute; raising one
// again answers the first.
//
// Errors: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND for a leg,
// FAILED_PRECONDITION where the legs share no call_ref, or agree.
func (*Calls) Dispute(ctx contractapi.TransactionContextInterface, a, b string) (string, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	places, err := disputed(a, b)
	if err != nil {
		return "", err
	}
	side := slices.IndexFunc(places, func(place ledger.LegPlace) bool { return place.MSP == who.msp })
	if side < 0 {
		return "", ledger.Errorf(ledger.CodeDenied, "%s has no part in this call: a dispute is raised by one of its two operators", who.msp)
	}
	if err := who.mayActFor(places[side].MSP, ledger.RoleGateway, ledger.RoleCompliance, ledger.RoleAuditor); err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	dispute := &ledger.Dispute{At: at, RaisedBy: who.msp, TxID: stub.GetTxID(), V: ledger.SchemaVersion}
	for i, into := range []*ledger.Side{&dispute.A, &dispute.B} {
		record, corrections, err := legWithCorrections(stub, &places[i])
		if err != nil {
			return "", err
		}
		ref := record.Call.CallRef
		if ref == "" || i > 0 && ref != dispute.CallRef {
			return "", ledger.Errorf(ledger.CodeState, "the two legs share no call_ref: they cannot be compared")
		}
		dispute.CallRef = ref
		told, err := ledger.SideOf(record, corrections)
		if err != nil {
			return "", err
		}
		*into = *told
	}
	return raise(ctx, dispute)
}

// disputed reads the two places, in order of their MSPs.
func disputed(a, b string) ([]ledger.LegPlace, error) {
	places := make([]ledger.LegPlace, 2)
	for i, given := range []string{a, b} {
		if err := ledger.DecodeStrict([]byte(given), &places[i]); err != nil {
			return nil, err
		}
		if err := places[i].Check(); err != nil {
			return nil, err
		}
	}
	if places[0].MSP == places[1].MSP {
		return nil, ledger.Errorf(ledger.CodeInvalid, "both legs are of one operator: a dispute is between two")
	}
	if places[0].MSP > places[1].MSP {
		slices.Reverse(places)
	}
	return places, nil
}

// raise records a dispute unless it is recorded, or there is none.
func raise(ctx contractapi.TransactionContextInterface, dispute *ledger.Dispute) (string, error) {
	stub := ctx.GetStub()
	a, b := &dispute.A.Place, &dispute.B.Place
	key := ledger.DisputeKey(dispute.CallRef, a, b)
	stored, err := stub.GetState(key)
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	if stored != nil {
		return string(stored), nil
	}
	policy, err := policyOf(stub, ledger.PolicyReconciliation)
	if err != nil {
		return "", err
	}
	dispute.PolicyVersion = policy.Version
	if dispute.Differences = policy.Policy.Reconciliation.Compare(&dispute.A, &dispute.B); len(dispute.Differences) == 0 {
		return "", ledger.Errorf(ledger.CodeState, "the two records agree within the tolerance: there is nothing to dispute")
	}
	value, err := encode(dispute)
	if err != nil {
		return "", err
	}
	return string(value), put(stub, []write{
		{key: key, value: value},
		{key: ledger.DisputeOfKey(a.MSP, dispute.CallRef, a, b), value: marker},
		{key: ledger.DisputeOfKey(b.MSP, dispute.CallRef, a, b), value: marker},
	})
}

// Disputes answers an operator's disputes in order of call_ref, a JSON array of
// ledger.Dispute.
func (*Calls) Disputes(ctx contractapi.TransactionContextInterface, msp string) (string, error) {
	if err := checkNames("msp", msp); err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	var disputes [][]byte
	err := scan(stub, ledger.TypeDisputeOf, []string{msp}, func(key string, _ []byte) error {
		_, parts, err := ledger.SplitKey(key)
		if err != nil || len(parts) != 3 {
			return ledger.Errorf(ledger.CodeInternal, "the index of disputes holds a key that is none")
		}
		value, err := get(stub, ledger.CompositeKey(ledger.TypeDispute, parts[1], parts[2]), "the index names a dispute that is not there")
		if err != nil {
			return err
		}
		disputes = append(disputes, value)
		return nil
	})
	return listText(disputes), err
}
