package adapter

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

// testSourcesDisagree has somebody edit a row of the table after the call was told of:
// the ledger has an incident that names both sources, once, and another when the row
// is edited again.
func (s *scene) testSourcesDisagree(t *testing.T) {
	t.Helper()
	config := s.config(t, t.TempDir(), "csv", "table")
	r := run(t, config)
	earlier := len(s.incidents(t))
	s.place(t, "ANSWERED", "BUSY")
	r.until(t, "call anchored", 2)
	rows := s.truth(t)
	edited := rows[len(rows)-1]
	edit := func(statement string, args ...any) {
		result, err := s.root.Exec("UPDATE "+s.database+".cdr SET "+statement+" WHERE uniqueid = ?", append(args, edited.UniqueID)...)
		require.NoError(t, err)
		changed, err := result.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 1, changed)
	}
	edit("billsec = 4000, dst = ?", "0900123456")
	require.NoError(t, r.stop())
	// The whole day is read at the start.
	r = run(t, config)
	told := r.until(t, "two sources disagree", 1)[0]
	require.ElementsMatch(t, []any{told["first"], told["second"]}, []any{"csv", "table"})
	require.Equal(t, []any{"billsec", "dst"}, told["columns"])
	require.NotContains(t, r.String(), "0900123456")
	incidents := slices.DeleteFunc(s.requireIncidents(t, earlier+1), func(one *pb.Incident) bool { return one.GetKind() != ledger.IncidentDisagreement })
	require.Len(t, incidents, 1)
	require.Equal(t, []string{told["first"].(string), told["second"].(string)}, incidents[0].GetSources())
	require.NotEmpty(t, incidents[0].GetStoredDigest(), "it came after the leg")
	require.NoError(t, r.stop())

	// Told again it is no news; edited again it is.
	edit("billsec = 4001")
	again := run(t, config)
	again.until(t, "two sources disagree", 1)
	s.requireIncidents(t, earlier+2)
	require.NoError(t, again.stop())
	last := run(t, config)
	s.place(t, "BUSY")
	last.until(t, "call anchored", 1)
	require.NoError(t, last.stop())
	require.Empty(t, last.lines("two sources disagree"))
	s.requireIncidents(t, earlier+2)
}

// incidents are those of the PBX on the ledger.
func (s *scene) incidents(t *testing.T) []*pb.Incident {
	t.Helper()
	response, err := pb.NewLedgerServiceClient(s.auditor).ListIncidents(t.Context(), &pb.ListIncidentsRequest{Msp: s.owner.MSP, Pbx: s.owner.PBXs[0]})
	require.NoError(t, err)
	return response.GetIncidents()
}

// requireIncidents waits for so many on the ledger.
func (s *scene) requireIncidents(t *testing.T, wanted int) []*pb.Incident {
	t.Helper()
	var found []*pb.Incident
	require.Eventually(t, func() bool {
		found = s.incidents(t)
		return len(found) == wanted
	}, patience, 20*time.Millisecond)
	return found
}

// TestADisagreementFollowsItsLeg checks that what a second source tells differently
// is closed after the leg and once, over a restart too.
func TestADisagreementFollowsItsLeg(t *testing.T) {
	t.Parallel()
	a := newMapper(t)
	book, signer := newJournal(t), newSigner(t)
	row := parseRow(t, wholeRow)
	call, details, err := a.newCall(row)
	require.NoError(t, err)
	leg, known, err := book.Receive(&journal.Leg{Call: *call, Details: *details, Source: sourceCSV}, nil)
	require.NoError(t, err)
	require.False(t, known)
	sink := &closer{journal: book, signer: signer, log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1)}
	tells := newDisagreements(book, sink, newMetrics(), slog.New(slog.DiscardHandler))
	require.NoError(t, tells.compare(row, leg, sourceAMI), "the same")
	other := *row
	other.BillSec, other.Src = 500, "+351910000009"
	require.NoError(t, tells.compare(&other, leg, sourceAMI))
	require.NoError(t, tells.compare(&other, leg, sourceAMI), "told again, it is no news")
	require.Empty(t, sink.ready, "the leg is in no segment yet")

	_, err = book.CloseSegment(signer, []journal.Entry{{Call: call, Details: *details}})
	require.NoError(t, err)
	tells.settled(leg.Call.Leg)
	require.Len(t, sink.ready, 1)
	require.Equal(t, &ledger.Disagreement{At: sink.ready[0].entries[0].Disagreement.At, Differences: []ledger.ColumnDifference{
		{Column: "billsec", First: "5", Second: "500"}, {Column: "src"},
	}, First: sourceCSV, Leg: leg.Call.Leg, Second: sourceAMI}, sink.ready[0].entries[0].Disagreement)

	// A crash before it is closed, and one after.
	recovered := &closer{journal: book, signer: signer, log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1)}
	require.NoError(t, newDisagreements(book, recovered, newMetrics(), slog.New(slog.DiscardHandler)).recover())
	require.Len(t, recovered.ready, 1)
	_, err = book.CloseSegment(signer, []journal.Entry{recovered.ready[0].entries[0].Entry})
	require.NoError(t, err)
	last := &closer{journal: book, signer: signer, log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1)}
	require.NoError(t, newDisagreements(book, last, newMetrics(), slog.New(slog.DiscardHandler)).recover())
	require.Empty(t, last.ready)
	require.NoError(t, tells.compare(&other, leg, sourceAMI))
	other.BillSec = 501
	require.NoError(t, tells.compare(&other, leg, sourceAMI))
	require.Len(t, sink.ready, 2, "other content is news")
}
