package backfill

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Summary is what came of an import.
type Summary struct {
	DryRun     bool  `json:"dry_run"`
	Records    Count `json:"records"`
	Recordings Count `json:"recordings"`
	// LeftOut are the places of what was left out or differs, in the order of reading.
	LeftOut []Left `json:"left_out"`
	// More is how many more there are that LeftOut has no room for.
	More int64 `json:"more,omitempty"`
	// Seconds is how long the import took.
	Seconds float64 `json:"seconds"`

	began time.Time
}

// Count counts outcomes.
type Count struct {
	Read      int64 `json:"read"`
	Imported  int64 `json:"imported"`
	Known     int64 `json:"known"`
	Watched   int64 `json:"watched"`
	Differing int64 `json:"differing"`
	LeftOut   int64 `json:"left_out"`
}

// Left is a stretch of lines, or a file, that was left out or differs.
type Left struct {
	File string `json:"file"`
	// First and Last are lines, from 1; 0 for a whole file.
	First   int64   `json:"first_line,omitempty"`
	Last    int64   `json:"last_line,omitempty"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"`
}

func (l Left) String() string {
	place := l.File
	switch {
	case l.First > 0 && l.First != l.Last:
		place += fmt.Sprintf(", lines %d to %d", l.First, l.Last)
	case l.First > 0:
		place += fmt.Sprintf(", line %d", l.First)
	}
	return place + ": " + l.Reason
}

// maxLeft bounds what is kept of what was left out: whoever has more has one reason for
// most of it.
const maxLeft = 10_000

// Whole says that nothing was left out and nothing differs.
func (s *Summary) Whole() bool {
	return s.Records.LeftOut+s.Records.Differing+s.Recordings.LeftOut+s.Recordings.Differing == 0
}

// place is where a thing was read.
type place struct {
	file string
	line int64 // 0 where there are no lines
}

// count takes one result into account.
func (s *Summary) count(in *Count, at place, result Result) {
	switch result.Outcome {
	case Imported, Wanted:
		in.Imported++
	case Known:
		in.Known++
	case Watched:
		in.Watched++
	case Differing:
		in.Differing++
		s.left(at, Differing, "the ledger has other content for it: "+result.Reason)
	default:
		in.LeftOut++
		s.left(at, LeftOut, result.Reason)
	}
}

// order puts what was left out of one file, from an index on, in the order of its lines:
// records are judged in batches, lines at once.
func (s *Summary) order(from int) {
	slices.SortStableFunc(s.LeftOut[from:], func(a, b Left) int { return cmp.Compare(a.First, b.First) })
}

func (s *Summary) left(at place, outcome Outcome, reason string) {
	if n := len(s.LeftOut); n > 0 && at.line > 0 {
		last := &s.LeftOut[n-1]
		if last.File == at.file && last.Last == at.line-1 && last.Outcome == outcome && last.Reason == reason {
			last.Last = at.line
			return
		}
	}
	if len(s.LeftOut) >= maxLeft {
		s.More++
		return
	}
	s.LeftOut = append(s.LeftOut, Left{File: at.file, First: at.line, Last: at.line, Outcome: outcome, Reason: reason})
}
