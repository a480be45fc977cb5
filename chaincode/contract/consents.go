package contract

import (
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Consents is the contract "consents": what the parties of a call agreed to, in
// statements that are only ever added, and the recordings that stand against
// them. Parties are pseudonyms of their operator (ledger.PartyRef).
type Consents struct{ contractapi.Contract }

// GetEvaluateTransactions names the functions that only read.
func (*Consents) GetEvaluateTransactions() []string {
	return []string{"Get", "ForCall", "Standing", "Violations", "Violating"}
}

// Declare puts a party's statement on a call of the caller's operator on the
// ledger. The caller is the operator's gateway or compliance role. The call need
// not be anchored yet: consent comes first.
//
// Statement is a ledger.ConsentStatement in JSON. It is put under its own key and
// names, by number and digest, the one it supersedes: granted, denied or revoked
// at first; after a grant granted again or revoked; after an objection granted.
// The same statement again is answered as it stands. The answer is the
// ledger.Consent.
//
// Errors: INVALID_ARGUMENT, TOO_LARGE, PERMISSION_DENIED, ALREADY_EXISTS for a
// number that another statement has, FAILED_PRECONDITION for one that does not
// follow the one before it.
func (*Consents) Declare(ctx contractapi.TransactionContextInterface, statement string) (string, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	if err := who.mayActFor(who.msp, ledger.RoleGateway, ledger.RoleCompliance); err != nil {
		return "", err
	}
	asked, err := checkedInput[ledger.ConsentStatement](ctx, "statement", statement)
	if err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	consent := &ledger.Consent{At: at, By: who.role, MSP: who.msp, Statement: asked, TxID: stub.GetTxID(), V: ledger.SchemaVersion}
	var taken ledger.Consent
	found, err := load(stub, consent.Key(), &taken)
	if err != nil {
		return "", err
	}
	if found {
		if taken.Statement == asked {
			return text(&taken)
		}
		return "", ledger.Errorf(ledger.CodeExists, "statement %d of this party stands already, with other content: read it and state the next one", asked.N)
	}
	before, err := superseded(stub, who.msp, &asked)
	if err != nil {
		return "", err
	}
	if err := asked.Follows(before, at); err != nil {
		return "", err
	}
	return store(ctx, consent.Key(), consent)
}

// superseded is the statement that this one names, nil for the first.
func superseded(stub shim.ChaincodeStubInterface, msp string, statement *ledger.ConsentStatement) (*ledger.Consent, error) {
	if statement.N == 1 {
		return nil, nil //nolint:nilnil // the first supersedes none
	}
	before := &ledger.Consent{}
	found, err := load(stub, ledger.ConsentKey(msp, statement.PBX, statement.LinkedID, statement.PartyRef, statement.Purpose, statement.N-1), before)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ledger.Errorf(ledger.CodeState, "there is no statement %d of this party to supersede: statements have no gaps", statement.N-1)
	}
	digest, err := before.Digest()
	if err != nil {
		return nil, ledger.Errorf(ledger.CodeInternal, "%v", err)
	}
	if digest != statement.Supersedes {
		return nil, ledger.Errorf(ledger.CodeState, "statement %d has another digest than the one this supersedes: read it and state again", statement.N-1)
	}
	return before, nil
}

// Get answers one statement, a ledger.Consent, or NOT_FOUND. N counts the
// party's statements on that purpose and call from 1.
func (*Consents) Get(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID, partyRef, purpose string, n int64) (string, error) {
	if err := checkNames("msp", msp); err != nil {
		return "", err
	}
	if err := ledger.CheckConsentChain(pbx, linkedID, partyRef, purpose); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("n", n); err != nil {
		return "", err
	}
	value, err := get(ctx.GetStub(), ledger.ConsentKey(msp, pbx, linkedID, partyRef, purpose, n), "there is no such statement")
	return string(value), err
}

// ForCall answers all statements of all parties of one call, by party, purpose
// and number, as a JSON array of ledger.Consent; empty where there are none.
func (*Consents) ForCall(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "linkedid", linkedID); err != nil {
		return "", err
	}
	return versions(ctx, ledger.TypeConsent, msp, pbx, linkedID)
}

// Standing answers whether a call may be recorded, or used for another purpose,
// at a time: what each party's statement in force says, and what follows by the
// policy "consent" and the jurisdictions' rules, of which the strictest wins.
//
// Question is a ledger.ConsentQuestion in JSON: the purpose, the parties that are
// on the call (who stated nothing has not consented), where they are, and the
// time. The answer is a ledger.ConsentDecision.
func (*Consents) Standing(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID, question string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "linkedid", linkedID); err != nil {
		return "", err
	}
	asked, err := checkedInput[ledger.ConsentQuestion](ctx, "question", question)
	if err != nil {
		return "", err
	}
	if asked.At.IsZero() {
		if asked.At, err = now(ctx); err != nil {
			return "", err
		}
	}
	stub := ctx.GetStub()
	policy, version, err := consentPolicy(stub)
	if err != nil {
		return "", err
	}
	consents, err := consentsOf(stub, msp, pbx, linkedID)
	if err != nil {
		return "", err
	}
	return text(asked.Decide(consents, policy, version))
}

// Report records that a recording stands against a party's denial or revocation,
// in a transaction of its own: anchoring does not read consents, because an
// endorser that lags would see others than the owner's. All that is needed is
// public, so that the gateway, auditor or compliance of any operator may report
// any operator's violation; the contract checks it.
//
// Report is a ledger.ViolationReport in JSON: the recording, and the number of
// the party's statement on recording that was in force when it ended. The answer
// is the ledger.Violation, the one that stands where it was reported before.
//
// Errors: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION
// with the reason where it is no violation.
func (*Consents) Report(ctx contractapi.TransactionContextInterface, report string) (string, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	if err := who.mayActFor(who.msp, ledger.RoleGateway, ledger.RoleAuditor, ledger.RoleCompliance); err != nil {
		return "", err
	}
	asked, err := checkedInput[ledger.ViolationReport](ctx, "report", report)
	if err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	var known ledger.Violation
	found, err := load(stub, asked.Key(), &known)
	if err != nil {
		return "", err
	}
	if found {
		return text(&known)
	}
	violation, err := verifyViolation(stub, &asked)
	if err != nil {
		return "", err
	}
	violation.At, violation.By, violation.ByMSP, violation.TxID, violation.V = at, who.role, who.msp, stub.GetTxID(), ledger.SchemaVersion
	return store(ctx, asked.Key(), violation)
}

// verifyViolation reads what the report names, by point keys alone.
func verifyViolation(stub shim.ChaincodeStubInterface, report *ledger.ViolationReport) (*ledger.Violation, error) {
	var record ledger.Record
	found, err := load(stub, ledger.RecordingKey(report.MSP, report.PBX, report.Recording.ID, report.Recording.Revision), &record)
	if err != nil {
		return nil, err
	}
	if !found || record.Recording == nil {
		return nil, ledger.Errorf(ledger.CodeNotFound, "no operator has anchored this recording")
	}
	linkedID := record.Recording.Leg.LinkedID
	key := func(n int64) string {
		return ledger.ConsentKey(report.MSP, report.PBX, linkedID, report.PartyRef, ledger.PurposeRecording, n)
	}
	var consent, next ledger.Consent
	if found, err = load(stub, key(report.N), &consent); err != nil {
		return nil, err
	}
	if !found {
		return nil, ledger.Errorf(ledger.CodeNotFound, "the party made no such statement on the recording of this call")
	}
	var after *ledger.Consent
	if found, err = load(stub, key(report.N+1), &next); err != nil {
		return nil, err
	}
	if found {
		after = &next
	}
	policy, version, err := consentPolicy(stub)
	if err != nil {
		return nil, err
	}
	if err := consent.Statement.Violates(record.Recording, after, policy); err != nil {
		return nil, err
	}
	digest, err := consent.Digest()
	if err != nil {
		return nil, ledger.Errorf(ledger.CodeInternal, "%v", err)
	}
	return &ledger.Violation{
		ClosedAt: record.Recording.ClosedAt, GivenAt: consent.Statement.GivenAt, LinkedID: linkedID, PolicyVersion: version, Report: *report,
		Rule: consent.Statement.Rule(policy), StatementDigest: digest, Status: consent.Statement.Status,
	}, nil
}

// Violations answers the violations recorded of a PBX's recordings as a JSON
// array of ledger.Violation; empty where there are none.
func (*Consents) Violations(ctx contractapi.TransactionContextInterface, msp, pbx string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx); err != nil {
		return "", err
	}
	return versions(ctx, ledger.TypeViolation, msp, pbx)
}

// Violating answers which recordings of a call stand against a party's objection
// and are not recorded as violations yet, as a JSON array of
// ledger.ViolationReport: what remains to be reported.
func (*Consents) Violating(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "linkedid", linkedID); err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	consents, err := consentsOf(stub, msp, pbx, linkedID)
	if err != nil {
		return "", err
	}
	due := []ledger.ViolationReport{}
	if len(consents) == 0 {
		return text(due) // of most calls
	}
	policy, _, err := consentPolicy(stub)
	if err != nil {
		return "", err
	}
	list, err := (&Recordings{}).ByLinkedID(ctx, msp, pbx, linkedID)
	if err != nil {
		return "", err
	}
	var recordings []ledger.Record
	if err := decodeStored([]byte(list), &recordings); err != nil {
		return "", err
	}
	for _, report := range ledger.Violating(recordings, consents, policy) {
		var known ledger.Violation
		found, err := load(stub, report.Key(), &known)
		if err != nil {
			return "", err
		}
		if !found {
			due = append(due, report)
		}
	}
	return text(due)
}

// consentsOf are all statements on a call, in the order of their keys.
func consentsOf(stub shim.ChaincodeStubInterface, msp, pbx, linkedID string) ([]ledger.Consent, error) {
	var consents []ledger.Consent
	err := scan(stub, ledger.TypeConsent, []string{msp, pbx, linkedID}, func(_ string, value []byte) error {
		var consent ledger.Consent
		if err := decodeStored(value, &consent); err != nil {
			return err
		}
		consents = append(consents, consent)
		return nil
	})
	return consents, err
}

// consentPolicy is the policy "consent" in force, and its version.
func consentPolicy(stub shim.ChaincodeStubInterface) (*ledger.ConsentPolicy, int64, error) {
	current, err := policyOf(stub, ledger.PolicyConsent)
	if err != nil {
		return nil, 0, err
	}
	if current.Policy.Consent == nil {
		return nil, 0, ledger.Errorf(ledger.CodeInternal, "the governance chaincode answered another policy than the one on consent")
	}
	return current.Policy.Consent, current.Version, nil
}
