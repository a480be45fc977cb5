package anchor_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

func submit(segment *pb.SignedSegment) (*anchor.Submission, error) {
	return anchor.NewSubmission(segment.GetSegmentJson(), segment.GetSignature(), segment.GetRecordsJson(), segment.GetDetailsJson())
}

func TestSubmissionIsTaken(t *testing.T) {
	for name, n := range map[string]int{"one record": 1, "many records": 37, "as many as allowed": ledger.MaxRecords} {
		t.Run(name, func(t *testing.T) {
			adapter := gatewaytest.New(t, "AtlasMSP", "pbx1")
			submission, err := submit(adapter.Segment(t, gatewaytest.Calls(t, n)))
			require.NoError(t, err)
			require.Len(t, submission.Signed.Records, n)
			submission, err = submit(adapter.Segment(t, gatewaytest.Calls(t, 1)))
			require.NoError(t, err)
			require.NotEmpty(t, submission.Signed.Segment.PrevRoot)
		})
	}
}

func TestSubmissionIsRefused(t *testing.T) {
	replace := func(text *[]byte, from, to string) {
		*text = bytes.Replace(*text, []byte(from), []byte(to), 1)
	}
	for name, bad := range map[string]struct {
		records int
		before  func(*ledger.SignedSegment) // before it is closed and signed
		after   func(*pb.SignedSegment)
		kind    fault.Kind
		says    string
	}{
		"501 records":          {records: 501, kind: fault.TooLarge, says: "at most 500"},
		"no record":            {records: 0, kind: fault.Invalid, says: "at least one"},
		"record of 2 MB":       {records: 2, after: func(s *pb.SignedSegment) { s.RecordsJson[1] = bytes.Repeat([]byte{' '}, 2<<20) }, kind: fault.TooLarge, says: "record 2 of the segment has 2097152 bytes"},
		"details of 2 MB":      {records: 2, after: func(s *pb.SignedSegment) { s.DetailsJson[1] = bytes.Repeat([]byte{' '}, 2<<20) }, kind: fault.TooLarge, says: "details of record 2 have 2097152 bytes"},
		"details missing":      {records: 2, after: func(s *pb.SignedSegment) { s.DetailsJson = s.DetailsJson[:1] }, kind: fault.Invalid, says: "2 records and 1 details"},
		"details too many":     {records: 1, after: func(s *pb.SignedSegment) { s.DetailsJson = append(s.DetailsJson, s.DetailsJson[0]) }, kind: fault.Invalid, says: "1 records and 2 details"},
		"details swapped":      {records: 2, after: func(s *pb.SignedSegment) { s.DetailsJson[0], s.DetailsJson[1] = s.DetailsJson[1], s.DetailsJson[0] }, kind: fault.Invalid, says: "do not hash"},
		"details altered":      {records: 1, after: func(s *pb.SignedSegment) { replace(&s.DetailsJson[0], gatewaytest.Caller, "+351900000000") }, kind: fault.Invalid, says: "do not hash"},
		"details without salt": {records: 1, after: func(s *pb.SignedSegment) { s.DetailsJson[0] = []byte(`{"call":{},"salt":"","v":1}`) }, kind: fault.Invalid, says: "salt"},
		"details null":         {records: 1, after: func(s *pb.SignedSegment) { s.DetailsJson[0] = []byte(`null`) }, kind: fault.Invalid, says: "null"},
		"details empty":        {records: 1, after: func(s *pb.SignedSegment) { s.DetailsJson[0] = nil }, kind: fault.Invalid, says: "well-formed"},
		"details for an opening": {records: 1, before: func(s *ledger.SignedSegment) {
			s.Segment.V, s.Records[0].Call, s.Records[0].Opening = 2, nil, &ledger.Opening{At: s.Segment.ClosedAt, Why: ledger.OpeningFirst}
		}, kind: fault.Invalid, says: "a kind that has no details"},
		"gap":                       {records: 3, before: func(s *ledger.SignedSegment) { s.Records[1].Seq, s.Records[2].Seq = 3, 4 }, kind: fault.Invalid, says: "gap"},
		"records out of order":      {records: 2, after: func(s *pb.SignedSegment) { s.RecordsJson[0], s.RecordsJson[1] = s.RecordsJson[1], s.RecordsJson[0] }, kind: fault.Invalid, says: "gap"},
		"record left out":           {records: 2, after: func(s *pb.SignedSegment) { s.RecordsJson, s.DetailsJson = s.RecordsJson[:1], s.DetailsJson[:1] }, kind: fault.Invalid, says: "announces 2 records and carries 1"},
		"wrong root":                {records: 1, after: func(s *pb.SignedSegment) { replace(&s.RecordsJson[0], `"billsec_ms":28000`, `"billsec_ms":27000`) }, kind: fault.Invalid, says: "do not hash to its root"},
		"another PBX in a record":   {records: 2, before: func(s *ledger.SignedSegment) { s.Records[1].PBX = "pbx2" }, kind: fault.Invalid, says: "another PBX"},
		"another MSP in a record":   {records: 2, before: func(s *ledger.SignedSegment) { s.Records[1].MSP = "BorealisMSP" }, kind: fault.Invalid, says: "another PBX"},
		"another epoch in a record": {records: 1, before: func(s *ledger.SignedSegment) { s.Records[0].Epoch++ }, kind: fault.Invalid, says: "another segment or epoch"},
		"end before start": {records: 1, before: func(s *ledger.SignedSegment) {
			s.Records[0].Call.End, s.Records[0].Call.Start = s.Records[0].Call.Start, s.Records[0].Call.End
		}, kind: fault.Invalid, says: "before it starts"},
		"neither call nor recording": {
			records: 1, before: func(s *ledger.SignedSegment) { s.Records[0].Call = nil }, kind: fault.Invalid, says: "exactly one of call, recording",
		},
		"root of the one before missing": {records: 1, before: func(s *ledger.SignedSegment) { s.Segment.FirstSeq, s.Records[0].Segment, s.Records[0].Seq = 2, 2, 2 }, kind: fault.Invalid, says: "as the one before it"},
		"unknown version":                {records: 1, before: func(s *ledger.SignedSegment) { s.Segment.V = 9 }, kind: fault.State, says: "version 9"},
		"header null":                    {records: 1, after: func(s *pb.SignedSegment) { s.SegmentJson = []byte("null") }, kind: fault.Invalid, says: "null"},
		"header empty":                   {records: 1, after: func(s *pb.SignedSegment) { s.SegmentJson = nil }, kind: fault.Invalid, says: "well-formed"},
		"header with an unknown member":  {records: 1, after: func(s *pb.SignedSegment) { replace(&s.SegmentJson, `{`, `{"x":1,`) }, kind: fault.Invalid, says: "unknown member"},
		"record null":                    {records: 1, after: func(s *pb.SignedSegment) { s.RecordsJson[0] = []byte("null") }, kind: fault.Invalid, says: "null"},
		"record with a null member":      {records: 1, after: func(s *pb.SignedSegment) { replace(&s.RecordsJson[0], `"seq":1`, `"seq":null`) }, kind: fault.Invalid, says: "null"},
		"record with a float":            {records: 1, after: func(s *pb.SignedSegment) { replace(&s.RecordsJson[0], `"seq":1`, `"seq":1.0`) }, kind: fault.Invalid, says: "integer"},
		"record with a duplicate member": {records: 1, after: func(s *pb.SignedSegment) { replace(&s.RecordsJson[0], `"seq":1`, `"seq":1,"seq":1`) }, kind: fault.Invalid, says: "duplicate member"},
		"record in another character set": {
			records: 1, after: func(s *pb.SignedSegment) { replace(&s.RecordsJson[0], "PJSIP", "PJ\xffIP") }, kind: fault.Invalid, says: "UTF-8",
		},
		"text after the record": {records: 1, after: func(s *pb.SignedSegment) { s.RecordsJson[0] = append(s.RecordsJson[0], '1') }, kind: fault.Invalid, says: "well-formed"},
	} {
		t.Run(name, func(t *testing.T) {
			var changes []func(*ledger.SignedSegment)
			if bad.before != nil {
				changes = append(changes, bad.before)
			}
			segment := gatewaytest.New(t, "AtlasMSP", "pbx1").Segment(t, gatewaytest.Calls(t, bad.records), changes...)
			if bad.after != nil {
				bad.after(segment)
			}
			_, err := submit(segment)
			require.Error(t, err)
			what := fault.Of(err)
			require.Equal(t, bad.kind, what.Kind, "%v", err)
			require.Contains(t, what.Message, bad.says)
			require.False(t, what.Retryable())
			require.NotContains(t, err.Error(), gatewaytest.Caller, "errors hold nothing personal")
			require.NotContains(t, what.Message, "\n")
		})
	}
}

// A segment whose public part would be committed and whose details the contracts
// then refuse for their size must not get that far.
func TestSubmissionThatWouldBeHalfWrittenIsRefused(t *testing.T) {
	entries := gatewaytest.Calls(t, 40)
	for i := range entries {
		entries[i].Details.Call.UserField = strings.Repeat("x", 60_000)
		entries[i].Rebind(t)
	}
	_, err := submit(gatewaytest.New(t, "AtlasMSP", "pbx1").Segment(t, entries))
	require.Equal(t, fault.TooLarge, fault.Of(err).Kind, "%v", err)
	require.ErrorContains(t, err, "close segments sooner")
}

// The digest binds the canonical form, in whatever order the members came.
func TestSubmissionTakesDetailsInAnyOrder(t *testing.T) {
	segment := gatewaytest.New(t, "AtlasMSP", "pbx1").Segment(t, gatewaytest.Calls(t, 1))
	text := segment.DetailsJson[0]
	segment.DetailsJson[0] = append([]byte(`{ "v" : 3, `), bytes.Replace(text[1:], []byte(`,"v":3`), nil, 1)...)
	_, err := submit(segment)
	require.NoError(t, err)
}

// Run it with -fuzzminimizetime 20x: what the decoder remembers of types makes
// coverage differ from run to run, and minimizing would take all the time.
func FuzzNewSubmission(f *testing.F) {
	adapter := gatewaytest.New(f, "AtlasMSP", "pbx1")
	for range 2 {
		segment := adapter.Segment(f, gatewaytest.Calls(f, 1))
		f.Add(segment.GetSegmentJson(), segment.GetSignature(), segment.GetRecordsJson()[0], segment.GetDetailsJson()[0])
	}
	f.Add([]byte("null"), []byte(nil), []byte("null"), []byte("null"))
	f.Add([]byte("{}"), []byte{0}, []byte(`{"call":{},"recording":{}}`), []byte(`{"call":{},"salt":""}`))
	f.Fuzz(func(t *testing.T, header, signature, record, details []byte) {
		submission, err := anchor.NewSubmission(header, signature, [][]byte{record}, [][]byte{details})
		if err != nil {
			kind := fault.Of(err).Kind
			if kind != fault.Invalid && kind != fault.TooLarge {
				t.Fatalf("bad input is %s: %v", kind, err)
			}
			return
		}
		if _, err := submission.Signed.Check(); err != nil {
			t.Fatalf("what was taken does not hold: %v", err)
		}
		if digest := submission.Signed.Records[0].DetailsDigest(); len(digest) != 64 {
			t.Fatalf("what was taken binds no details: %q", digest)
		}
	})
}

// BenchmarkSubmission is all that the gateway checks of a segment without the ledger:
// parsing, canonical forms, the tree's root, and the digest of each record's details.
func BenchmarkSubmission(b *testing.B) {
	for _, n := range []int{1, 50, 500} {
		segment := gatewaytest.New(b, "AtlasMSP", "pbx1").Segment(b, gatewaytest.Calls(b, n))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(slices.Concat(segment.GetRecordsJson()...)) + len(slices.Concat(segment.GetDetailsJson()...))))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := submit(segment); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
