package ledger

// ReconciliationPolicy says by how much two operators' records of one trunk leg
// may differ.
type ReconciliationPolicy struct{}

func (p *ReconciliationPolicy) check() error { return nil }

func defaultReconciliationPolicy() *ReconciliationPolicy { return &ReconciliationPolicy{} }
