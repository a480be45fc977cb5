package adapter

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

// desk is a pairing whose closer closes when the test says so.
type desk struct {
	*pairing
	t    *testing.T
	book *journal.Journal
	log  *logbook
}

func newDesk(t *testing.T, wait time.Duration) *desk {
	t.Helper()
	log := &logbook{}
	book := newJournal(t)
	closer := newCloser(book, newSigner(t), nil, firstOpening, log.logger())
	return &desk{newPairing(book, closer, wait, log.logger()), t, book, log}
}

func (d *desk) receive(uniqueID string, sequence int64, change func(*ledger.Call)) {
	d.t.Helper()
	d.leg(d.t.Context(), newLeg(d.t, d.book, uniqueID, sequence, change))
}

func (d *desk) record(uniqueID string) *finished {
	d.t.Helper()
	made := newRecording(d.t, uniqueID)
	d.give(made)
	return made
}

// give gives a recording that nothing stands in the way of.
func (d *desk) give(made *finished) {
	d.t.Helper()
	busy, err := d.recording(d.t.Context(), made)
	require.NoError(d.t, err)
	require.Nil(d.t, busy)
}

// close closes what is ready and says what.
func (d *desk) close() []string {
	d.t.Helper()
	segment, err := d.closer.closeReady()
	require.NoError(d.t, err)
	if segment == nil {
		return nil
	}
	return told(d.t, segment)
}

func notDue(call *ledger.Call) { call.RecordingDue = false }

func unanswered(call *ledger.Call) {
	call.RecordingDue, call.Disposition, call.Answer, call.BillsecMS = false, "NO ANSWER", ledger.Time{}, 0
}

func TestPairing(t *testing.T) {
	const forever = time.Hour
	for _, test := range []struct {
		name string
		wait time.Duration
		play func(t *testing.T, d *desk)
	}{
		{"leg first", forever, func(t *testing.T, d *desk) {
			t.Helper()
			d.receive("1.0", 0, nil)
			require.Empty(t, d.close())
			d.record("1.0")
			require.Equal(t, []string{"call 1.0/0", "recording 1.0/0"}, d.close())
		}},
		{"recording first", forever, func(t *testing.T, d *desk) {
			t.Helper()
			d.record("1.0")
			require.Empty(t, d.close())
			d.receive("1.0", 0, nil)
			require.Equal(t, []string{"call 1.0/0", "recording 1.0/0"}, d.close())
			require.Empty(t, d.recordings)
		}},
		{"recording late", time.Millisecond, func(t *testing.T, d *desk) {
			t.Helper()
			d.receive("1.0", 0, nil)
			d.log.until(t, "the recording due has not come", 1)
			require.Equal(t, []string{"call 1.0/0"}, d.close())
			d.record("1.0")
			require.Equal(t, []string{"recording 1.0/0"}, d.close())
		}},
		{"recording late while the leg is not in a segment yet", time.Millisecond, func(t *testing.T, d *desk) {
			t.Helper()
			d.receive("1.0", 0, nil)
			d.log.until(t, "the recording due has not come", 1)
			d.record("1.0")
			require.Equal(t, []string{"call 1.0/0", "recording 1.0/0"}, d.close())
			require.Empty(t, d.closing)
		}},
		{"not due", forever, func(t *testing.T, d *desk) {
			t.Helper()
			d.receive("1.0", 0, notDue)
			require.Equal(t, []string{"call 1.0/0"}, d.close())
			d.record("1.0")
			require.Equal(t, []string{"recording 1.0/0"}, d.close())
		}},
		{"no waiting", 0, func(t *testing.T, d *desk) {
			t.Helper()
			d.receive("1.0", 0, nil)
			require.Equal(t, []string{"call 1.0/0"}, d.close())
		}},
		{"two legs of one channel", forever, func(t *testing.T, d *desk) {
			t.Helper()
			d.receive("1.0", 0, nil)
			d.receive("1.0", 1, nil)
			require.Equal(t, []string{"call 1.0/1"}, d.close())
			d.record("1.0")
			require.Equal(t, []string{"call 1.0/0", "recording 1.0/0"}, d.close())
		}},
		{"two legs of one channel, the second answered", forever, func(t *testing.T, d *desk) {
			t.Helper()
			d.receive("1.0", 0, unanswered)
			require.Equal(t, []string{"call 1.0/0"}, d.close())
			d.receive("1.0", 1, nil)
			d.record("1.0")
			require.Equal(t, []string{"call 1.0/1", "recording 1.0/1"}, d.close())
			d.record("1.0")
			require.Equal(t, []string{"recording 1.0/1"}, d.close(), "another file goes to the answered leg")
		}},
		{"two recordings of one leg", forever, func(t *testing.T, d *desk) {
			t.Helper()
			d.record("1.0")
			second := newRecording(t, "1.0")
			second.file.Path = "/monitor/other/1.0.wav"
			d.give(second)
			d.receive("1.0", 0, nil)
			require.Equal(t, []string{"call 1.0/0", "recording 1.0/0", "recording 1.0/0"}, d.close())
		}},
		{"a file written to again before its leg came", forever, func(t *testing.T, d *desk) {
			t.Helper()
			d.record("1.0")
			later := d.record("1.0")
			d.receive("1.0", 0, nil)
			require.Equal(t, []string{"call 1.0/0", "recording 1.0/0"}, d.close())
			file, known, err := d.book.FileKnown(later.file.Path)
			require.NoError(t, err)
			require.True(t, known)
			later.file.Leg = ledger.LegID{LinkedID: "1.0", UniqueID: "1.0"}
			require.Equal(t, later.file, *file)
		}},
		{"a file written to again while it is on its way", forever, func(t *testing.T, d *desk) {
			t.Helper()
			d.record("1.0")
			d.receive("1.0", 0, nil)
			busy, err := d.recording(t.Context(), newRecording(t, "1.0"))
			require.NoError(t, err)
			require.NotNil(t, busy)
			require.Equal(t, []string{"call 1.0/0", "recording 1.0/0"}, d.close())
			<-busy // the journal knows what is on its way: now it can be told what the file is
			again := newRecording(t, "1.0")
			again.recording.Revision, again.file.Leg = 2, ledger.LegID{LinkedID: "another", UniqueID: "1.0"}
			d.give(again)
			require.Equal(t, []string{"recording 1.0/0"}, d.close(), "of the leg that it was of")
		}},
		{"a recording whose leg never comes", forever, func(t *testing.T, d *desk) {
			t.Helper()
			d.legless = time.Millisecond
			d.conversation = func(string) string { return "0.9" }
			d.record("1.0")
			d.log.until(t, "no CDR has come of a channel that was recorded", 1)
			require.Eventually(t, func() bool {
				segment, err := d.closer.closeReady()
				require.NoError(t, err)
				if segment == nil {
					return false
				}
				var record ledger.Record
				require.NoError(t, ledger.DecodeStrict(segment.Records[0], &record))
				require.True(t, record.Recording.NoCDR)
				require.Equal(t, ledger.LegID{LinkedID: "0.9", UniqueID: "1.0"}, record.Recording.Leg)
				return true
			}, patience, time.Millisecond)
			d.receive("1.0", 4, nil)
			d.log.until(t, "no CDR has come", 1)
			require.Empty(t, d.recordings)
		}},
		{"an invalid leg takes no other with it", forever, func(t *testing.T, d *desk) {
			t.Helper()
			d.receive("1.0", 0, unanswered)
			d.receive("2.0", 1, func(call *ledger.Call) { unanswered(call); call.Technology = "PJSIP/1001" })
			d.receive("3.0", 2, unanswered)
			require.Equal(t, []string{"call 1.0/0", "call 3.0/2"}, d.close())
			refused := d.log.lines("a record is not fit for the ledger")
			require.Len(t, refused, 1)
			require.Equal(t, "2.0", refused[0]["uniqueid"])
			unsettled, err := d.book.Unsettled()
			require.NoError(t, err)
			require.Len(t, unsettled, 1, "it stays in the journal")
		}},
		{"an invalid recording does not hold its leg up", forever, func(t *testing.T, d *desk) {
			t.Helper()
			bad := newRecording(t, "1.0")
			bad.recording.Bytes = 0
			d.give(bad)
			d.receive("1.0", 0, nil)
			require.Equal(t, []string{"call 1.0/0"}, d.close())
		}},
		{"a leg that the ledger has from an earlier epoch", forever, func(t *testing.T, d *desk) {
			t.Helper()
			leg := newLeg(t, d.book, "1.0", 0, nil)
			d.record("1.0")
			require.Empty(t, d.close())
			require.NoError(t, d.book.MarkElsewhere(leg.Call.Leg))
			d.elsewhere(t.Context(), leg.Call.Leg)
			require.Equal(t, []string{"recording 1.0/0"}, d.close())
			d.record("1.0")
			require.Equal(t, []string{"recording 1.0/0"}, d.close())
		}},
		{"the end of the run", time.Millisecond, func(t *testing.T, d *desk) {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			leg := newLeg(t, d.book, "1.0", 0, nil)
			d.leg(ctx, leg)
			d.giveUp(ctx, "1.0", d.legs["1.0"])
			require.Empty(t, d.close(), "what waits stays in the journal")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.play(t, newDesk(t, test.wait))
		})
	}
}

// TestDoneOnceClosed checks that a recording is acknowledged only when it is in
// the journal.
func TestDoneOnceClosed(t *testing.T) {
	d := newDesk(t, time.Hour)
	done := false
	recording := newRecording(t, "1.0")
	recording.done = func() {
		_, known, err := d.book.FileKnown(recording.file.Path)
		require.NoError(t, err)
		done = known
	}
	d.give(recording)
	d.receive("1.0", 0, nil)
	require.False(t, done)
	d.close()
	require.True(t, done)
}
