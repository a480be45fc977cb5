package ledger

// ReputationPolicy weighs evidence (P2 §3).
type ReputationPolicy struct{}

func (p *ReputationPolicy) check() error { return nil }

func defaultReputationPolicy() *ReputationPolicy { return &ReputationPolicy{} }
