package ledger

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
