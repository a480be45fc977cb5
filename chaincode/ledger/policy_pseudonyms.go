package ledger

// PseudonymPolicy says under which consortium key pseudonyms are made.
type PseudonymPolicy struct{}

func (p *PseudonymPolicy) check() error { return nil }

func defaultPseudonymPolicy() *PseudonymPolicy { return &PseudonymPolicy{} }
