package contract

import (
	"slices"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Reputation is the contract "reputation" (P2): what operators hold on numbers,
// addresses and accounts, and what they make of it together. Every writer has a
// key of its own on every subject, and writes it without reading it, so that any
// number of events on one subject never conflict.
type Reputation struct{ contractapi.Contract }

// GetEvaluateTransactions names the functions that only read.
func (*Reputation) GetEvaluateTransactions() []string {
	return []string{"Get", "Opinion", "Opinions", "Written", "Appeals"}
}

// Record writes opinions, a JSON array of 1 to 500 ledger.Opinion, as argument or
// as transient data "writes". The caller is a gateway of the operator that holds
// them. Each names the policy document in force, the epoch in force, the totals
// before it and their digest, the evidence, and the totals it comes to, which are
// computed again (P2 §3.1: ageing, then evidence by kind and weight). The key is
// not read: whoever follows the ledger checks the chain with ledger.CheckChain.
// Answers a ledger.RecordResult.
//
// Errors: INVALID_ARGUMENT (no opinion, wrong arithmetic, unknown kind, an instant
// away from the transaction's time, a subject twice), TOO_LARGE,
// PERMISSION_DENIED, FAILED_PRECONDITION for another epoch or policy than is in
// force and for a subject that is exempt.
func (*Reputation) Record(ctx contractapi.TransactionContextInterface, writes string) (string, error) {
	return recordOpinions(ctx, writes, false)
}

// Carry writes the first opinions of an epoch on subjects that the operator held
// opinions on in the epoch before: as Record, each with the totals carried over
// and no previous ones. It does not name the subject of the epoch before, nor read
// it: that would tell everybody which pseudonyms are the same.
//
// Errors: as for Record.
func (*Reputation) Carry(ctx contractapi.TransactionContextInterface, writes string) (string, error) {
	return recordOpinions(ctx, writes, true)
}

func recordOpinions(ctx contractapi.TransactionContextInterface, argument string, carried bool) (string, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	if err := who.mayActFor(who.msp, ledger.RoleGateway); err != nil {
		return "", err
	}
	data, err := input(ctx, "writes", argument)
	if err != nil {
		return "", err
	}
	var opinions []ledger.Opinion
	if err := ledger.DecodeStrict(data, &opinions); err != nil {
		return "", err
	}
	if len(opinions) == 0 {
		return "", ledger.Errorf(ledger.CodeInvalid, "there is no opinion to write: send 1 to %d", ledger.MaxOpinions)
	}
	if len(opinions) > ledger.MaxOpinions {
		return "", ledger.Errorf(ledger.CodeTooLarge, "there are %d opinions, at most %d are written at once", len(opinions), ledger.MaxOpinions)
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	policies, err := reputationPolicies(stub)
	if err != nil {
		return "", err
	}
	writes := make([]write, len(opinions))
	taken := make(map[string]bool, len(opinions))
	for i := range opinions {
		opinion := &opinions[i]
		if err := who.mayActFor(opinion.MSP, ledger.RoleGateway); err != nil {
			return "", err
		}
		if err := policies.check(opinion, carried, at); err != nil {
			return "", err
		}
		key := ledger.OpinionKey(opinion.Epoch, opinion.Subject, opinion.MSP, opinion.Writer)
		if taken[key] {
			return "", ledger.Errorf(ledger.CodeInvalid, "opinion %d is on a subject that an opinion before it is on: add the evidence up", i+1)
		}
		taken[key] = true
		value, err := encode(opinion)
		if err != nil {
			return "", err
		}
		writes[i] = write{key: key, value: value}
	}
	if err := put(stub, writes); err != nil {
		return "", err
	}
	return text(&ledger.RecordResult{V: ledger.SchemaVersion, Written: int64(len(writes))})
}

// inForce are the two policy documents that reputation follows.
type inForce struct {
	weighing   *ledger.ReputationPolicy
	version    int64
	pseudonyms *ledger.PseudonymPolicy
}

func reputationPolicies(stub shim.ChaincodeStubInterface) (*inForce, error) {
	weighing, err := policyOf(stub, ledger.PolicyReputation)
	if err != nil {
		return nil, err
	}
	pseudonyms, err := policyOf(stub, ledger.PolicyPseudonyms)
	if err != nil {
		return nil, err
	}
	if weighing.Policy.Reputation == nil || pseudonyms.Policy.Pseudonyms == nil {
		return nil, ledger.Errorf(ledger.CodeInternal, "the governance chaincode answered with another document")
	}
	return &inForce{weighing.Policy.Reputation, weighing.Version, pseudonyms.Policy.Pseudonyms}, nil
}

// check answers unless the opinion may be written now.
func (p *inForce) check(opinion *ledger.Opinion, carried bool, at ledger.Time) error {
	if err := p.checkEpoch(opinion.Epoch); err != nil {
		return err
	}
	if opinion.PolicyVersion != p.version {
		return ledger.Errorf(ledger.CodeState, "the opinion was weighed by version %d of the reputation policy, version %d is in force: weigh it anew", opinion.PolicyVersion, p.version)
	}
	if slices.Contains(p.pseudonyms.Exempt, opinion.Subject) {
		return ledger.Errorf(ledger.CodeState, "the subject is exempt: emergency numbers are never scored")
	}
	if carried != (opinion.Carried != nil) {
		return ledger.Errorf(ledger.CodeInvalid, "opinions with carried totals, and no others, are written by reputation:Carry")
	}
	if carried && p.pseudonyms.Epoch == 1 {
		return ledger.Errorf(ledger.CodeState, "the first epoch is in force: there is none before it to carry over from")
	}
	return opinion.Check(p.weighing, at)
}

// checkEpoch answers CodeState unless the epoch is the one in force.
func (p *inForce) checkEpoch(epoch int64) error {
	if epoch != p.pseudonyms.Epoch {
		return ledger.Errorf(ledger.CodeState, "epoch %d of the pseudonyms is in force, not %d: use that epoch's key", p.pseudonyms.Epoch, epoch)
	}
	return nil
}

// Get answers a subject's reputation, merged over all operators at the
// transaction's time, a ledger.Reputation. Epoch 0 is the one in force. A subject
// that nobody knows has the score 5.000 and the standing "unknown". How it is
// merged is reputation.Merge's to say; Opinions answers what went into it.
func (*Reputation) Get(ctx contractapi.TransactionContextInterface, epoch int64, subject string) (string, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	policies, err := reputationPolicies(ctx.GetStub())
	if err != nil {
		return "", err
	}
	if epoch == 0 {
		epoch = policies.pseudonyms.Epoch
	}
	held, err := heldOn(ctx.GetStub(), epoch, subject)
	if err != nil {
		return "", err
	}
	merged := policies.weighing.Merge(ledger.Question{
		At: at, Asker: who.msp, Epoch: epoch, Exempt: slices.Contains(policies.pseudonyms.Exempt, subject), Subject: subject, Version: policies.version,
	}, held)
	return text(&merged)
}

// Opinions answers all that is held on a subject, a ledger.Opinions: every
// operator's opinions as they were written, pardons and allowances.
func (*Reputation) Opinions(ctx contractapi.TransactionContextInterface, epoch int64, subject string) (string, error) {
	held, err := heldOn(ctx.GetStub(), epoch, subject)
	if err != nil {
		return "", err
	}
	return text(held)
}

// Opinion answers what one writer of an operator holds on a subject, a
// ledger.Opinion, or NOT_FOUND.
func (*Reputation) Opinion(ctx contractapi.TransactionContextInterface, epoch int64, subject, msp string, writer int64) (string, error) {
	if err := checkPlace(epoch, subject, msp); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("writer", writer); err != nil {
		return "", err
	}
	value, err := get(ctx.GetStub(), ledger.OpinionKey(epoch, subject, msp, writer), "this writer holds no opinion on the subject")
	return string(value), err
}

// Written answers what one writer of an operator holds on many subjects, a JSON array of
// 1 to 500 of their pseudonyms: a ledger.Opinions with those opinions, in the order in
// which it was asked. A subject on which the writer holds none is left out.
//
// Errors: INVALID_ARGUMENT (no subject, one that is no pseudonym), TOO_LARGE.
func (*Reputation) Written(ctx contractapi.TransactionContextInterface, epoch int64, msp string, writer int64, subjects string) (string, error) {
	if err := ledger.CheckNumber("writer", writer); err != nil {
		return "", err
	}
	var asked []string
	if err := ledger.DecodeStrict([]byte(subjects), &asked); err != nil {
		return "", err
	}
	if len(asked) == 0 {
		return "", ledger.Errorf(ledger.CodeInvalid, "no subject is asked for: name 1 to %d", ledger.MaxOpinions)
	}
	if len(asked) > ledger.MaxOpinions {
		return "", ledger.Errorf(ledger.CodeTooLarge, "there are %d subjects, at most %d are answered at once", len(asked), ledger.MaxOpinions)
	}
	keys := make([]string, len(asked))
	for i, subject := range asked {
		if err := checkPlace(epoch, subject, msp); err != nil {
			return "", err
		}
		keys[i] = ledger.OpinionKey(epoch, subject, msp, writer)
	}
	values, err := ctx.GetStub().GetMultipleStates(keys...)
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	if len(values) != len(keys) {
		return "", ledger.Errorf(ledger.CodeInternal, "read state: the peer answered %d of %d keys", len(values), len(keys))
	}
	held := &ledger.Opinions{V: ledger.SchemaVersion}
	for _, value := range values {
		if value == nil {
			continue
		}
		var one ledger.Opinion
		if err := decodeStored(value, &one); err != nil {
			return "", err
		}
		held.Opinions = append(held.Opinions, one)
	}
	return text(held)
}

// heldOn reads all that is held on a subject.
func heldOn(stub shim.ChaincodeStubInterface, epoch int64, subject string) (*ledger.Opinions, error) {
	if err := checkPlace(epoch, subject, ""); err != nil {
		return nil, err
	}
	held, prefix := &ledger.Opinions{V: ledger.SchemaVersion}, ledger.SubjectPrefix(epoch, subject)
	if err := scanInto(stub, ledger.TypeOpinion, prefix, &held.Opinions); err != nil {
		return nil, err
	}
	if err := scanInto(stub, ledger.TypePardon, prefix, &held.Pardons); err != nil {
		return nil, err
	}
	return held, scanInto(stub, ledger.TypeAllowance, prefix, &held.Allowances)
}

// scanInto decodes all values under a partial composite key.
func scanInto[T any](stub shim.ChaincodeStubInterface, objectType string, parts []string, all *[]T) error {
	return scan(stub, objectType, parts, func(_ string, value []byte) error {
		var one T
		if err := decodeStored(value, &one); err != nil {
			return err
		}
		*all = append(*all, one)
		return nil
	})
}

// checkPlace answers CodeInvalid unless epoch, subject and operator may stand in a
// key; an empty operator is not checked.
func checkPlace(epoch int64, subject, msp string) error {
	if err := ledger.CheckNumber("epoch", epoch); err != nil {
		return err
	}
	if err := ledger.CheckSubject(subject); err != nil {
		return err
	}
	if msp == "" {
		return nil
	}
	return ledger.CheckName("msp", msp)
}
