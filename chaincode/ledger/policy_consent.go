package ledger

// ConsentPolicy says whose consent the jurisdictions want.
type ConsentPolicy struct{}

func (p *ConsentPolicy) check() error { return nil }

func defaultConsentPolicy() *ConsentPolicy { return &ConsentPolicy{} }
