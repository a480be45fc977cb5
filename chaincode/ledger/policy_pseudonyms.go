package ledger

import (
	"slices"

	"github.com/callseal/callseal/chaincode/reputation"
)

// PseudonymPolicy says under which consortium key the subjects of reputation are
// made pseudonyms. The key itself is the operators' secret.
type PseudonymPolicy struct {
	// Commitment binds the epoch's key, see reputation.Commitment: a gateway that
	// was given another key refuses to work. The built-in policy has none; one
	// that is voted must.
	Commitment string `json:"commitment,omitzero"`
	// Epoch counts the keys from 1. A new epoch makes all subjects new; operators
	// carry over what they hold.
	Epoch int64 `json:"epoch"`
	// Exempt are the epoch's subjects that nobody may score, sorted: the
	// emergency numbers under its key.
	Exempt []string `json:"exempt,omitzero"`
}

func (p *PseudonymPolicy) check() error {
	if err := CheckNumber("epoch", p.Epoch); err != nil {
		return err
	}
	if p.Epoch == 0 {
		return Errorf(CodeInvalid, "epoch is 0, it starts at 1")
	}
	if p.Commitment == "" {
		if p.Epoch > 1 || len(p.Exempt) > 0 {
			return Errorf(CodeInvalid, "commitment is missing: without it operators cannot tell that they hold the same key")
		}
	} else if err := CheckHex("commitment", p.Commitment, 32); err != nil {
		return err
	}
	return checkSubjects("exempt", p.Exempt)
}

// The built-in policy: the first epoch, of whatever key the operators have given
// their gateways.
func defaultPseudonymPolicy() *PseudonymPolicy { return &PseudonymPolicy{Epoch: 1} }

// NextEpoch is the document that puts another consortium key into force, for the
// operators to vote on: the epoch after this one, the key's commitment, and the
// emergency numbers' pseudonyms under it.
//
// Errors: INVALID_ARGUMENT for a key or a number that is none.
func (p *PseudonymPolicy) NextEpoch(key []byte, emergencyNumbers []string) (*PseudonymPolicy, error) {
	commitment, err := reputation.Commitment(key)
	if err != nil {
		return nil, Errorf(CodeInvalid, "%v", err)
	}
	next := &PseudonymPolicy{Commitment: commitment, Epoch: p.Epoch + 1}
	if commitment == p.Commitment {
		return nil, Errorf(CodeInvalid, "this key is the one in force: draw a new one")
	}
	for _, number := range emergencyNumbers {
		address, err := reputation.EmergencyAddress(number)
		if err != nil {
			return nil, Errorf(CodeInvalid, "the policy's emergency numbers hold one that is none")
		}
		subject, err := address.Subject(key)
		if err != nil {
			return nil, Errorf(CodeInvalid, "%v", err)
		}
		next.Exempt = append(next.Exempt, subject)
	}
	slices.Sort(next.Exempt)
	next.Exempt = slices.Compact(next.Exempt)
	return next, next.check()
}
