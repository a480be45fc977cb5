package ledger

import (
	"slices"
	"time"
)

// maxRetentionMS is a hundred years: a longer term is an error.
const maxRetentionMS = 100 * 366 * 24 * 3600 * 1000

// RetentionPolicy says how long records are kept before their owner may erase
// what is personal of them, and on which grounds it may do so sooner.
type RetentionPolicy struct {
	// Calls is the term of CDR legs, from a leg's end.
	Calls RetentionTerm `json:"calls"`
	// EarlyReasons are the reasons on which a record may be erased before its
	// term is over, sorted; see EraseSubjectRequest and EraseCourtOrder.
	EarlyReasons []string `json:"early_reasons,omitzero"`
	// Recordings is the term of recordings, from the closing of the file.
	Recordings RetentionTerm `json:"recordings"`
}

// RetentionTerm bounds how long one kind of record is kept, in ms.
type RetentionTerm struct {
	// DefaultMS holds where nobody asked for another.
	DefaultMS int64 `json:"default_ms"`
	// MaximumMS is the longest an operator may keep a record: what must be kept
	// longer is put under a legal hold.
	MaximumMS int64 `json:"maximum_ms"`
	// MinimumMS is the shortest: until then a record can prove something.
	MinimumMS int64 `json:"minimum_ms"`
}

// Bounds are the first and the last time until which a record that began its
// term at from may be kept.
func (t RetentionTerm) Bounds(from Time) (first, last Time) {
	return from.after(t.MinimumMS), from.after(t.MaximumMS)
}

// Until is until when a record that began its term at from is kept: as asked,
// within the bounds, or for the default where asked is not set.
func (t RetentionTerm) Until(from, asked Time) Time {
	first, last := t.Bounds(from)
	switch {
	case asked.IsZero():
		return from.after(t.DefaultMS)
	case asked.Before(first):
		return first
	case last.Before(asked):
		return last
	default:
		return asked
	}
}

// AllowsEarly says whether a record may be erased for that reason before its
// term is over.
func (p *RetentionPolicy) AllowsEarly(reason string) bool {
	return slices.Contains(p.EarlyReasons, reason)
}

func (p *RetentionPolicy) check() error {
	for _, term := range []struct {
		field string
		RetentionTerm
	}{{"calls", p.Calls}, {"recordings", p.Recordings}} {
		if term.MinimumMS < 0 || term.DefaultMS < term.MinimumMS || term.MaximumMS < term.DefaultMS || term.MaximumMS > maxRetentionMS {
			return Errorf(CodeInvalid, "the term of %s must be 0 ≤ minimum_ms ≤ default_ms ≤ maximum_ms ≤ a hundred years", term.field)
		}
	}
	for i, reason := range p.EarlyReasons {
		if reason != EraseCourtOrder && reason != EraseSubjectRequest {
			return Errorf(CodeInvalid, "early_reasons may hold %s and %s", EraseCourtOrder, EraseSubjectRequest)
		}
		if i > 0 && p.EarlyReasons[i-1] >= reason {
			return Errorf(CodeInvalid, "early_reasons must be sorted and named once")
		}
	}
	return nil
}

// The default terms: a recording is kept half a year and a CDR leg, which
// billing needs, a year; neither less than 30 days nor more than ten years.
func defaultRetentionPolicy() *RetentionPolicy {
	const day = int64(24 * time.Hour / time.Millisecond)
	return &RetentionPolicy{
		Calls:        RetentionTerm{DefaultMS: 365 * day, MaximumMS: 3652 * day, MinimumMS: 30 * day},
		EarlyReasons: []string{EraseCourtOrder, EraseSubjectRequest},
		Recordings:   RetentionTerm{DefaultMS: 180 * day, MaximumMS: 3652 * day, MinimumMS: 30 * day},
	}
}

// after is t plus ms, at most the last millisecond that has a stored form.
func (t Time) after(ms int64) Time {
	last := TimeOf(time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC))
	if t.ms > last.ms-ms {
		return last
	}
	return Time{ms: t.ms + ms, set: true}
}
