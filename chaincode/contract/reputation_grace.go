package contract

import (
	"crypto/sha256"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// This file holds what people decide about a subject: allowlists, pardons and
// appeals. The caller is of the role compliance or admin.

// Allow puts a subject of the epoch in force on the operator's own allowlist, for
// a reason (court_order, own_subscriber, partner, public_service,
// test_equipment): whatever others hold against it, reputation:Get answers the
// operator "allowed". Answers the ledger.Allowance.
//
// Errors: INVALID_ARGUMENT, PERMISSION_DENIED, FAILED_PRECONDITION for another
// epoch than is in force.
func (*Reputation) Allow(ctx contractapi.TransactionContextInterface, epoch int64, subject, reason string) (string, error) {
	who, at, err := graceful(ctx, epoch, subject)
	if err != nil {
		return "", err
	}
	if err := ledger.CheckAllowanceReason(reason); err != nil {
		return "", err
	}
	return store(ctx, ledger.AllowanceKey(epoch, subject, who.msp), &ledger.Allowance{
		At: at, Epoch: epoch, MSP: who.msp, Reason: reason, Subject: subject, TxID: ctx.GetStub().GetTxID(), V: ledger.SchemaVersion,
	})
}

// Disallow takes a subject off the operator's own allowlist. Answers the
// ledger.Allowance that ended; once more changes nothing.
//
// Errors: as for Allow, NOT_FOUND for a subject that was never on it.
func (*Reputation) Disallow(ctx contractapi.TransactionContextInterface, epoch int64, subject string) (string, error) {
	who, at, err := graceful(ctx, epoch, subject)
	if err != nil {
		return "", err
	}
	key := ledger.AllowanceKey(epoch, subject, who.msp)
	stored, err := get(ctx.GetStub(), key, "the subject is not on the operator's allowlist")
	if err != nil {
		return "", err
	}
	var allowance ledger.Allowance
	if err := decodeStored(stored, &allowance); err != nil {
		return "", err
	}
	if !allowance.WithdrawnAt.IsZero() {
		return string(stored), nil
	}
	allowance.WithdrawnAt = at
	return store(ctx, key, &allowance)
}

// Pardon has the operator's own negative evidence on a subject of the epoch in
// force disregarded for so many milliseconds, at most a year, for a reason
// (appeal, court_order, false_positive, reassigned, remedied, shared_address,
// spoofed). It replaces a pardon that stands; 0 ms ends one. Answers the
// ledger.Pardon.
//
// Errors: as for Allow.
func (*Reputation) Pardon(ctx contractapi.TransactionContextInterface, epoch int64, subject string, durationMS int64, reason string) (string, error) {
	who, at, err := graceful(ctx, epoch, subject)
	if err != nil {
		return "", err
	}
	pardon, err := ledger.NewPardon(at, durationMS, reason)
	if err != nil {
		return "", err
	}
	pardon.Epoch, pardon.MSP, pardon.Subject, pardon.TxID, pardon.V = epoch, who.msp, subject, ctx.GetStub().GetTxID(), ledger.SchemaVersion
	return store(ctx, ledger.PardonKey(epoch, subject, who.msp), pardon)
}

// Appeal objects to what another operator holds on a subject of the epoch in
// force, for a reason (false_positive, reassigned, remedied, shared_address,
// spoofed) and with the SHA-256 of what proves it, which is handed over outside
// the ledger. Answers the ledger.Appeal, open. An appeal that was decided may be
// followed by another.
//
// Errors: as for Allow, ALREADY_EXISTS where the operator's appeal is open.
func (*Reputation) Appeal(ctx contractapi.TransactionContextInterface, epoch int64, subject, against, reason, evidenceDigest string) (string, error) {
	who, at, err := graceful(ctx, epoch, subject)
	if err != nil {
		return "", err
	}
	if err := ledger.CheckName("against", against); err != nil {
		return "", err
	}
	if err := ledger.CheckAppealReason(reason); err != nil {
		return "", err
	}
	if err := ledger.CheckHex("evidence_digest", evidenceDigest, sha256.Size); err != nil {
		return "", err
	}
	key := ledger.AppealKey(against, epoch, subject, who.msp)
	stored, err := ctx.GetStub().GetState(key)
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	if stored != nil {
		var before ledger.Appeal
		if err := decodeStored(stored, &before); err != nil {
			return "", err
		}
		if before.State == ledger.AppealOpen {
			return "", ledger.Errorf(ledger.CodeExists, "the appeal of %s is open: wait for %s to decide it", before.At, against)
		}
	}
	return store(ctx, key, &ledger.Appeal{
		Against: against, At: at, Epoch: epoch, EvidenceDigest: evidenceDigest, MSP: who.msp, Reason: reason,
		State: ledger.AppealOpen, Subject: subject, TxID: ctx.GetStub().GetTxID(), V: ledger.SchemaVersion,
	})
}

// Decide decides another operator's open appeal against the caller's: "upheld"
// stands by the evidence (duration 0), "pardoned" pardons the subject for so many
// milliseconds, at most a year. Answers the ledger.Appeal.
//
// Errors: as for Allow, NOT_FOUND, FAILED_PRECONDITION where it was decided.
func (*Reputation) Decide(ctx contractapi.TransactionContextInterface, epoch int64, subject, appellant, decision string, durationMS int64) (string, error) {
	who, at, err := graceful(ctx, epoch, subject)
	if err != nil {
		return "", err
	}
	if err := ledger.CheckName("appellant", appellant); err != nil {
		return "", err
	}
	pardons := decision == ledger.AppealPardoned
	if !pardons && decision != ledger.AppealUpheld || pardons != (durationMS != 0) {
		return "", ledger.Errorf(ledger.CodeInvalid, "an appeal is decided as %s for 0 ms or as %s for some", ledger.AppealUpheld, ledger.AppealPardoned)
	}
	key := ledger.AppealKey(who.msp, epoch, subject, appellant)
	stored, err := get(ctx.GetStub(), key, "there is no such appeal against the operator")
	if err != nil {
		return "", err
	}
	var appeal ledger.Appeal
	if err := decodeStored(stored, &appeal); err != nil {
		return "", err
	}
	if appeal.State != ledger.AppealOpen {
		return "", ledger.Errorf(ledger.CodeState, "the appeal was decided at %s: %s", appeal.DecidedAt, appeal.State)
	}
	appeal.State, appeal.DecidedAt = decision, at
	answer, err := encode(&appeal)
	if err != nil {
		return "", err
	}
	writes := []write{{key: key, value: answer}}
	if pardons {
		pardon, err := ledger.NewPardon(at, durationMS, ledger.ReasonAppeal)
		if err != nil {
			return "", err
		}
		pardon.Epoch, pardon.MSP, pardon.Subject, pardon.TxID, pardon.V = epoch, who.msp, subject, ctx.GetStub().GetTxID(), ledger.SchemaVersion
		value, err := encode(pardon)
		if err != nil {
			return "", err
		}
		writes = append(writes, write{key: ledger.PardonKey(epoch, subject, who.msp), value: value})
	}
	return string(answer), put(ctx.GetStub(), writes)
}

// Appeals answers the appeals against an operator as a JSON array of
// ledger.Appeal: those of one epoch where it is not 0, and on one subject where
// that is not empty.
func (*Reputation) Appeals(ctx contractapi.TransactionContextInterface, against string, epoch int64, subject string) (string, error) {
	if err := ledger.CheckName("against", against); err != nil {
		return "", err
	}
	parts := []string{against}
	if err := ledger.CheckNumber("epoch", epoch); err != nil {
		return "", err
	}
	switch {
	case epoch == 0 && subject != "":
		return "", ledger.Errorf(ledger.CodeInvalid, "a subject belongs to an epoch: name it")
	case epoch != 0 && subject == "":
		parts = append(parts, ledger.SubjectPrefix(epoch, "")[0])
	case epoch != 0:
		if err := ledger.CheckSubject(subject); err != nil {
			return "", err
		}
		parts = append(parts, ledger.SubjectPrefix(epoch, subject)...)
	}
	var appeals [][]byte
	err := scan(ctx.GetStub(), ledger.TypeAppeal, parts, func(_ string, value []byte) error {
		appeals = append(appeals, value)
		return nil
	})
	return listText(appeals), err
}

// graceful checks what the functions of this file have in common, and answers the
// caller and the transaction's time.
func graceful(ctx contractapi.TransactionContextInterface, epoch int64, subject string) (caller, ledger.Time, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return caller{}, ledger.Time{}, err
	}
	if err := who.mayActFor(who.msp, ledger.RoleCompliance, ledger.RoleAdmin); err != nil {
		return caller{}, ledger.Time{}, err
	}
	if err := checkPlace(epoch, subject, ""); err != nil {
		return caller{}, ledger.Time{}, err
	}
	at, err := now(ctx)
	if err != nil {
		return caller{}, ledger.Time{}, err
	}
	policies, err := reputationPolicies(ctx.GetStub())
	if err != nil {
		return caller{}, ledger.Time{}, err
	}
	return who, at, policies.checkEpoch(epoch)
}
