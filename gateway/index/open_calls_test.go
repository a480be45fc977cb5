package index_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/index/chaintest"
)

// TestOpenCalls lists the answered calls of whose end nothing is known: no leg, under
// whichever linkedid, and no word that they were cut or ended.
func TestOpenCalls(t *testing.T) {
	x, chain := openSQLite(t), chaintest.New("one")
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	seq := int64(0)
	put := func(record ledger.Record) chaintest.Put {
		seq++
		record.MSP, record.PBX, record.Epoch, record.Segment, record.Seq, record.V = "AtlasMSP", "pbx1", 1, 1, seq, ledger.SchemaVersion
		value, err := ledger.Canonical(&record)
		require.NoError(t, err)
		return chaintest.Put{Key: record.Key(), Value: value}
	}
	progress := func(linkedID, uniqueID, state string, at time.Time) chaintest.Put {
		return put(ledger.Record{Progress: &ledger.Progress{At: ledger.TimeOf(at), LinkedID: linkedID, State: state, UniqueID: uniqueID}})
	}
	leg := func(linkedID, uniqueID string, start time.Time) chaintest.Put {
		return put(ledger.Record{Call: &ledger.Call{
			Leg: ledger.LegID{LinkedID: linkedID, UniqueID: uniqueID}, Start: ledger.TimeOf(start), Answer: ledger.TimeOf(start), End: ledger.TimeOf(start.Add(time.Minute)),
			DurationMS: 60_000, BillsecMS: 60_000, Disposition: ledger.Answered, DetailsDigest: strings.Repeat("00", 32),
		}})
	}
	chain.Add(chaintest.Transaction{Puts: []chaintest.Put{
		progress("1.0", "1.0", ledger.ProgressAnswered, noon), leg("1.0", "1.0", noon),
		progress("2.0", "2.0", ledger.ProgressAnswered, noon), leg("9.0", "2.0", noon.Add(-time.Hour)), // transferred since
		progress("3.0", "3.0", ledger.ProgressAnswered, noon), progress("3.0", "3.0", ledger.ProgressCut, noon.Add(time.Minute)),
		progress("4.0", "4.0", ledger.ProgressAnswered, noon), progress("4.0", "4.0", ledger.ProgressEnded, noon.Add(time.Minute)),
		progress("5.0", "5.0", ledger.ProgressAnswered, noon),
		progress("6.0", "6.1", ledger.ProgressAnswered, noon.Add(time.Second)), leg("6.0", "6.0", noon), // another channel's
		progress("7.0", "7.0", ledger.ProgressAnswered, noon.Add(-48*time.Hour)),
	}})
	projected(t, x, chain)
	found, err := x.OpenCalls(t.Context(), "AtlasMSP", "pbx1", noon.Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, []index.OpenCall{
		{LinkedID: "6.0", UniqueID: "6.1", AnsweredMS: noon.Add(time.Second).UnixMilli()}, {LinkedID: "5.0", UniqueID: "5.0", AnsweredMS: noon.UnixMilli()},
	}, found)
	found, err = x.OpenCalls(t.Context(), "AtlasMSP", "pbx2", time.Time{})
	require.NoError(t, err)
	require.Empty(t, found)
	_, err = x.OpenCalls(t.Context(), "AtlasMSP", "", noon)
	require.ErrorContains(t, err, "name msp and pbx")
}
