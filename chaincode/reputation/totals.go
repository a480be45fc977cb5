package reputation

// Totals are the evidence one writer holds on one subject, as they stood at an
// instant. Counts are in thousandths, instants in milliseconds since 1970; an
// instant of 0 is "never".
type Totals struct {
	// Alpha and Beta are positive and negative evidence, weighed by kind.
	Alpha, Beta int64
	// Failures are negative events and Attempts the separate attempts (calls,
	// connections, dialogs) they happened in, neither weighed: a ban needs enough
	// of both. They age like the rest.
	Failures, Attempts int64
	// At is the instant the counts are aged to.
	At int64
	// NewestPositive and NewestNegative are when such evidence was added last.
	NewestPositive, NewestNegative int64
}

// Evidence is what is added to totals at one instant, in thousandths.
type Evidence struct {
	Alpha, Beta, Failures, Attempts int64
}

// AgedTo are the totals as they stand at an instant. One before t.At changes
// nothing, so a clock that steps back ages nothing twice.
func (t Totals) AgedTo(at, halfLife int64) Totals {
	if at <= t.At {
		return t
	}
	aged := t
	for _, count := range []*int64{&aged.Alpha, &aged.Beta, &aged.Failures, &aged.Attempts} {
		*count = Aged(*count, t.At, at, halfLife)
	}
	aged.At = at
	return aged
}

// Plus are the totals aged to the instant, with the evidence added. The sums stop
// at [MaxEvidence].
func (t Totals) Plus(e Evidence, at, halfLife int64) Totals {
	sum := t.AgedTo(at, halfLife)
	sum.Alpha, sum.Beta = add(sum.Alpha, e.Alpha), add(sum.Beta, e.Beta)
	sum.Failures, sum.Attempts = add(sum.Failures, e.Failures), add(sum.Attempts, e.Attempts)
	if e.Alpha > 0 {
		sum.NewestPositive = max(sum.NewestPositive, at)
	}
	if e.Beta > 0 {
		sum.NewestNegative = max(sum.NewestNegative, at)
	}
	return sum
}

// And is the evidence added up, stopping at [MaxEvidence].
func (e Evidence) And(other Evidence) Evidence {
	return Evidence{
		Alpha: add(e.Alpha, other.Alpha), Beta: add(e.Beta, other.Beta),
		Failures: add(e.Failures, other.Failures), Attempts: add(e.Attempts, other.Attempts),
	}
}

// Score is the score of these totals alone.
func (t Totals) Score() int64 { return Score(t.Alpha, t.Beta) }
