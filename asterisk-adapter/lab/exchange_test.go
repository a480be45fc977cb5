package lab_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/lab"
)

// talk is long enough for a tone to be measured, and for billsec to be 1.
const talk = 1200 * time.Millisecond

// TestExchange plays what an office does, and listens to what was recorded.
func TestExchange(t *testing.T) {
	ast := start(t, lab.Exchange())
	placed := func(call lab.Call) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			_, err := ast.PlaceCall(t.Context(), call)
			require.NoError(t, err)
		}
	}
	begin := func(t *testing.T, call lab.Call) *lab.Ongoing {
		t.Helper()
		ongoing, err := ast.BeginCall(t.Context(), call)
		require.NoError(t, err)
		_, err = ongoing.Answered(t.Context())
		require.NoError(t, err)
		return ongoing
	}
	var known int
	for _, play := range []struct {
		name string
		play func(t *testing.T)
		// legs are the dispositions that Asterisk writes, sorted.
		legs []string
		// tones says that both talk in the one recording from end to end.
		tones bool
	}{
		{"PCMA", placed(lab.Call{From: lab.ALaw, Duration: talk}), []string{"ANSWERED"}, true},
		{"G.722", placed(lab.Call{From: lab.Wide, Duration: talk}), []string{"ANSWERED"}, true},
		{"TLS and SDES-SRTP", placed(lab.Call{From: lab.Secure, Duration: talk}), []string{"ANSWERED"}, true},
		{"not there", placed(lab.Call{To: lab.Absent, Refused: 404}), nil, false},
		{"out of order", placed(lab.Call{To: lab.Failing}), []string{"CONGESTION", "CONGESTION"}, false},
		{"early media", placed(lab.Call{To: lab.Early, Duration: talk}), []string{"ANSWERED"}, true},
		{"forwarded", placed(lab.Call{To: lab.Forwards, Duration: talk}), []string{"ANSWERED", "ANSWERED", "CANCEL"}, false},
		{"queue", placed(lab.Call{To: lab.Queue, Duration: talk}), []string{"ANSWERED"}, true},
		{"hold", placed(lab.Call{Hold: true, Duration: talk / 2}), []string{"ANSWERED"}, false},
		{"transferred by the callee", placed(lab.Call{To: lab.Transfers, Duration: 2 * talk}), []string{"ANSWERED", "ANSWERED"}, false},
		{"attended transfer", func(t *testing.T) {
			t.Helper()
			first := begin(t, lab.Call{Transfers: true})
			second := begin(t, lab.Call{To: lab.Second, Waits: true})
			require.NoError(t, first.TransferTo(t.Context(), second))
			for _, ongoing := range []*lab.Ongoing{first, second} {
				_, err := ongoing.Wait(t.Context())
				require.NoError(t, err)
			}
			// Both that are left only wait for the other to hang up.
			_, err := ast.Command(t.Context(), "channel request hangup all")
			require.NoError(t, err)
		}, []string{"ANSWERED", "ANSWERED", "ANSWERED"}, false},
	} {
		t.Run(play.name, func(t *testing.T) {
			play.play(t)
			var rows []cdr.Row
			require.Eventually(t, func() bool {
				content, err := os.ReadFile(ast.CSV())
				rows = nil
				for line := range strings.Lines(string(content)) {
					row, err := cdr.ParseCSV([]byte(strings.TrimSuffix(line, "\n")), time.UTC)
					require.NoError(t, err)
					rows = append(rows, row)
				}
				return err == nil && len(rows) >= known+len(play.legs)
			}, patience, 10*time.Millisecond)
			rows, known = rows[known:], len(rows)
			var legs []string
			for i := range rows {
				legs = append(legs, rows[i].Disposition)
			}
			slices.Sort(legs)
			require.Equal(t, play.legs, legs)
			if play.tones {
				require.FileExists(t, filepath.Join(ast.ClosedDir(), rows[0].UniqueID))
				requireTones(t, filepath.Join(ast.RecordingDir(), rows[0].UniqueID+".wav"))
			}
		})
	}
}
