package adapter

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/asterisk-adapter/recording"
	"github.com/callseal/callseal/chaincode/ledger"
)

// TestOmissions checks which recordings are given up, why, and once.
func TestOmissions(t *testing.T) {
	log := &logbook{}
	book := newJournal(t)
	c := newCloser(book, newSigner(t), nil, firstOpening, log.logger())
	o := newOmissions(book, c, time.Minute, newMetrics())
	closed := func() []string {
		t.Helper()
		segment, err := c.closeReady()
		require.NoError(t, err)
		if segment == nil {
			return nil
		}
		var reasons []string
		for _, canonical := range segment.Records {
			var record ledger.Record
			require.NoError(t, ledger.DecodeStrict(canonical, &record))
			if record.Omission != nil {
				reasons = append(reasons, record.Omission.Leg.UniqueID+" "+record.Omission.Reason)
			}
		}
		return reasons
	}
	leg := func(id string, sequence int64, change func(*ledger.Call)) *journal.Leg {
		leg := newLeg(t, book, id, sequence, change)
		c.add(closing{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}})
		return leg
	}
	leg("1.1", 0, nil) // its recording never comes
	leg("2.2", 1, nil) // is empty
	leg("3.3", 2, nil) // was cut off
	leg("4.4", 3, nil) // cannot be read
	leg("5.5", 4, nil) // is gone
	leg("6.6", 5, unanswered)
	leg("7.7", 6, func(call *ledger.Call) { call.RecordingDue = false })
	paired := leg("8.8", 7, nil)
	c.add(recordingEntry(paired.Call.Leg, newRecording(t, "8.8")))
	leg("8.8", 8, nil) // another leg of the same channel
	late := leg("9.9", 9, nil)
	require.Empty(t, closed())
	for id, err := range map[string]error{"2.2": recording.ErrNoAudio, "3.3": recording.ErrUnfinished, "4.4": recording.ErrNotRegular, "5.5": recording.ErrMissing} {
		o.failed(id, err, t.TempDir())
	}
	c.add(recordingEntry(late.Call.Leg, newRecording(t, "9.9"))) // comes late, and in time
	require.Empty(t, closed())

	require.NoError(t, o.giveUp(time.Now().Add(30*time.Second)))
	require.Empty(t, closed(), "there is time yet")
	require.NoError(t, o.giveUp(time.Now().Add(2*time.Minute)))
	require.NoError(t, o.giveUp(time.Now().Add(2*time.Minute)), "once")
	require.Equal(t, []string{"1.1 file_missing", "2.2 empty", "3.3 crashed", "4.4 unreadable", "5.5 file_missing"}, closed())
	require.NoError(t, o.giveUp(time.Now().Add(time.Hour)))
	require.Empty(t, closed())
	require.Len(t, log.lines("a recording was due and has not come"), 5)
}

// TestOmissionsSurviveARestart checks that what is due is in the journal.
func TestOmissionsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	b := newBench(t, path, &gatewayEdge{})
	leg := newLeg(t, b.book, "1.1", 0, nil)
	b.add(closing{Entry: journal.Entry{Call: &leg.Call, Details: leg.Details}})
	b.untilEmpty(t)
	short, enough := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer enough()
	require.ErrorIs(t, newOmissions(b.book, b.closer, 0, newMetrics()).run(short), context.DeadlineExceeded)
	require.Zero(t, b.closer.waiting(), "none is asked for")
	require.ErrorIs(t, b.end(), context.Canceled)

	again := newBench(t, path, &gatewayEdge{})
	o := newOmissions(again.book, again.closer, 10*time.Millisecond, newMetrics())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.run(ctx) }()
	require.Eventually(t, func() bool { return len(again.edge.order()) == 1 }, patience, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	again.untilEmpty(t)
	overdue, err := again.book.Overdue(time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Empty(t, overdue)
}
