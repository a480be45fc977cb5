package ledger

// ReconciliationPolicy says by how much two operators' records of one trunk leg
// may differ, and when a segment counts as late.
type ReconciliationPolicy struct {
	// DurationMS is by how much the billed durations may differ, in ms: CDRs count
	// whole seconds, and each end sees the answer at another time.
	DurationMS int64 `json:"duration_ms"`
	// LateMS is how long after the end of what it tells of a segment may come before
	// calls:Gaps notes it, in ms.
	LateMS int64 `json:"late_ms"`
	// StartMS is by how much the starts may differ, in ms: clocks differ.
	StartMS int64 `json:"start_ms"`
}

// maxToleranceMS bounds the tolerances: calls an hour apart are not the same.
const maxToleranceMS = 3600 * 1000

func (p *ReconciliationPolicy) check() error {
	for _, bound := range []struct {
		field      string
		value, max int64
	}{{"duration_ms", p.DurationMS, maxToleranceMS}, {"late_ms", p.LateMS, maxDurationMS}, {"start_ms", p.StartMS, maxToleranceMS}} {
		if bound.value < 0 || bound.value > bound.max {
			return Errorf(CodeInvalid, "%s is %d, it must lie between 0 and %d", bound.field, bound.value, bound.max)
		}
	}
	return nil
}

func defaultReconciliationPolicy() *ReconciliationPolicy {
	return &ReconciliationPolicy{DurationMS: 2_000, LateMS: 3600 * 1000, StartMS: 5_000}
}
