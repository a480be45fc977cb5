package stage

import (
	"testing"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/lab"
)

// HangUp places one call that is recorded into one mixed file, and answers how long after
// the phone's BYE it was on the ledger, its recording with it.
func (s *Stage) HangUp(tb testing.TB) time.Duration {
	tb.Helper()
	s.Forget()
	report, err := s.Asterisk.PlaceCall(tb.Context(), lab.Call{To: Mixed + lab.Answers})
	if err != nil {
		tb.Fatal(err)
	}
	var committed time.Time
	for _, one := range s.Wait(tb, func(lines []Line) bool { return Anchored(lines, 1) }) {
		if one.Msg == anchored && one.Committed.After(committed) {
			committed = one.Committed
		}
	}
	return committed.Sub(report.HungUp)
}

// anchored is what the adapter's log says once a call, or a part of it, is on the ledger.
const anchored = "call anchored"

// Anchored says whether a leg and so many recordings are on the ledger.
func Anchored(lines []Line, recordings int) bool {
	leg, found := false, 0
	for i := range lines {
		if lines[i].Msg == anchored {
			leg, found = leg || lines[i].CDR, found+len(lines[i].Recordings)
		}
	}
	return leg && found >= recordings
}
