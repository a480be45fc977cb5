package ledger

// maxOperators bounds the consortium: every operator's vote stands in every
// enactment.
const maxOperators = 100

// ConsortiumPolicy says which operators vote on policy documents, this one
// included. It has no built-in default: it takes effect when all operators that it
// lists have voted for it.
type ConsortiumPolicy struct {
	// Operators are their MSPs, sorted.
	Operators []string `json:"operators"`
	// Votes is how many of them a document needs, more than half.
	Votes int64 `json:"votes"`
}

func (p *ConsortiumPolicy) check() error {
	for i, msp := range p.Operators {
		if err := CheckName("operators", msp); err != nil {
			return err
		}
		if i > 0 && p.Operators[i-1] >= msp {
			return Errorf(CodeInvalid, "operators must be sorted and named once")
		}
	}
	if len(p.Operators) > maxOperators {
		return Errorf(CodeInvalid, "a consortium has %d operators at most", maxOperators)
	}
	if n := int64(len(p.Operators)); n < 3 || p.Votes <= n/2 || p.Votes > n {
		return Errorf(CodeInvalid, "a consortium has three operators or more, and needs the votes of more than half of them")
	}
	return nil
}
