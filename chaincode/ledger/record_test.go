package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

func TestGoodRecordsPass(t *testing.T) {
	for name, change := range map[string]func(*ledger.Call){
		"as it is":          func(*ledger.Call) {},
		"not answered":      func(c *ledger.Call) { c.Answer, c.BillsecMS, c.Disposition = ledger.Time{}, 0, "NO ANSWER" },
		"busy":              func(c *ledger.Call) { c.Disposition = "BUSY" },
		"failed":            func(c *ledger.Call) { c.Disposition = "FAILED" },
		"congestion":        func(c *ledger.Call) { c.Disposition = "CONGESTION" },
		"cancelled":         func(c *ledger.Call) { c.Disposition = "CANCEL" },
		"outbound":          func(c *ledger.Call) { c.Direction = "outbound" },
		"internal":          func(c *ledger.Call) { c.Direction = "internal" },
		"direction unknown": func(c *ledger.Call) { c.Direction = "" },
		"over at once":      func(c *ledger.Call) { c.End, c.Answer, c.DurationMS, c.BillsecMS = c.Start, c.Start, 0, 0 },
		"nothing optional": func(c *ledger.Call) {
			c.CalleeRef, c.CallerRef, c.HangupCause, c.Observed, c.Software, c.Technology = "", "", 0, nil, "", ""
		},
		"answered without an answer":  func(c *ledger.Call) { c.Answer = ledger.Time{} },
		"ten years":                   func(c *ledger.Call) { c.DurationMS = 10 * 366 * 24 * 3600 * 1000 },
		"the last cause":              func(c *ledger.Call) { c.HangupCause = 127 },
		"the first leg of a sequence": func(c *ledger.Call) { c.Leg.Sequence = 0 },
	} {
		record := callRecord()
		change(record.Call)
		require.NoError(t, record.Check(), name)
	}
	for name, change := range map[string]func(*ledger.Recording){
		"as it is":         func(*ledger.Recording) {},
		"bridge":           func(r *ledger.Recording) { r.Method = "ari-bridge" },
		"method unknown":   func(r *ledger.Recording) { r.Method = "" },
		"a later revision": func(r *ledger.Recording) { r.Revision = 9 },
		"other media":      func(r *ledger.Recording) { r.MediaType = "application/vnd.x+y" },
	} {
		record := recordingRecord()
		change(record.Recording)
		require.NoError(t, record.Check(), name)
	}
}

func TestBadRecordsAreRefused(t *testing.T) {
	at := func(d time.Duration) ledger.Time { return ledger.TimeOf(noon.Add(d)) }
	for name, change := range map[string]func(*ledger.Record){
		"a negative version":     func(r *ledger.Record) { r.V = -1 },
		"no version":             func(r *ledger.Record) { r.V = 0 },
		"no MSP":                 func(r *ledger.Record) { r.MSP = "" },
		"an MSP with a NUL":      func(r *ledger.Record) { r.MSP = "a\x00b" },
		"no PBX":                 func(r *ledger.Record) { r.PBX = "" },
		"a long PBX":             func(r *ledger.Record) { r.PBX = strings.Repeat("p", 151) },
		"no epoch":               func(r *ledger.Record) { r.Epoch = 0 },
		"a negative epoch":       func(r *ledger.Record) { r.Epoch = -1 },
		"a huge epoch":           func(r *ledger.Record) { r.Epoch = ledger.MaxInteger + 1 },
		"no seq":                 func(r *ledger.Record) { r.Seq = 0 },
		"a negative seq":         func(r *ledger.Record) { r.Seq = -1 },
		"no segment":             func(r *ledger.Record) { r.Segment = 0 },
		"neither call nor media": func(r *ledger.Record) { r.Call = nil },
		"both":                   func(r *ledger.Record) { r.Recording = recordingRecord().Recording },

		"no linkedid":               func(r *ledger.Record) { r.Call.Leg.LinkedID = "" },
		"a linkedid with a space":   func(r *ledger.Record) { r.Call.Leg.LinkedID = "a b" },
		"a negative sequence":       func(r *ledger.Record) { r.Call.Leg.Sequence = -1 },
		"an unknown disposition":    func(r *ledger.Record) { r.Call.Disposition = "answered" },
		"no disposition":            func(r *ledger.Record) { r.Call.Disposition = "" },
		"an unknown direction":      func(r *ledger.Record) { r.Call.Direction = "sideways" },
		"no start":                  func(r *ledger.Record) { r.Call.Start = ledger.Time{} },
		"no end":                    func(r *ledger.Record) { r.Call.End = ledger.Time{} },
		"an end before the start":   func(r *ledger.Record) { r.Call.End, r.Call.Answer = at(-time.Millisecond), ledger.Time{} },
		"an answer before start":    func(r *ledger.Record) { r.Call.Answer = at(-time.Millisecond) },
		"an answer after the end":   func(r *ledger.Record) { r.Call.Answer = at(31 * time.Second) },
		"a negative duration":       func(r *ledger.Record) { r.Call.DurationMS = -1 },
		"an endless duration":       func(r *ledger.Record) { r.Call.DurationMS = 10*366*24*3600*1000 + 1 },
		"a negative billsec":        func(r *ledger.Record) { r.Call.BillsecMS = -1 },
		"a negative cause":          func(r *ledger.Record) { r.Call.HangupCause = -1 },
		"a cause beyond Q.850":      func(r *ledger.Record) { r.Call.HangupCause = 128 },
		"no details digest":         func(r *ledger.Record) { r.Call.DetailsDigest = "" },
		"a short details digest":    func(r *ledger.Record) { r.Call.DetailsDigest = hexOf(31) },
		"an upper-case digest":      func(r *ledger.Record) { r.Call.DetailsDigest = strings.ToUpper(hexOf(32)) },
		"a digest with a space":     func(r *ledger.Record) { r.Call.DetailsDigest = hexOf(31) + " a" },
		"a number as a ref":         func(r *ledger.Record) { r.Call.CallerRef = "+351912345678" },
		"a long ref":                func(r *ledger.Record) { r.Call.CalleeRef = hexOf(17) },
		"an empty observation":      func(r *ledger.Record) { r.Call.Observed = &ledger.Observed{} },
		"a two-line software":       func(r *ledger.Record) { r.Call.Software = "a\nb" },
		"a long software":           func(r *ledger.Record) { r.Call.Software = strings.Repeat("s", 101) },
		"a channel as a technology": func(r *ledger.Record) { r.Call.Technology = "PJSIP/600-00000001" },

		"an empty recording":         func(r *ledger.Record) { *r = recordingRecord(); r.Recording.Bytes = 0 },
		"a negative size":            func(r *ledger.Record) { *r = recordingRecord(); r.Recording.Bytes = -1 },
		"no closing":                 func(r *ledger.Record) { *r = recordingRecord(); r.Recording.ClosedAt = ledger.Time{} },
		"no id":                      func(r *ledger.Record) { *r = recordingRecord(); r.Recording.ID = "" },
		"a file name as an id":       func(r *ledger.Record) { *r = recordingRecord(); r.Recording.ID = "600-912345678.wav" },
		"a recording without leg":    func(r *ledger.Record) { *r = recordingRecord(); r.Recording.Leg = ledger.LegID{} },
		"revision 0":                 func(r *ledger.Record) { *r = recordingRecord(); r.Recording.Revision = 0 },
		"a negative revision":        func(r *ledger.Record) { *r = recordingRecord(); r.Recording.Revision = -1 },
		"a short sha256":             func(r *ledger.Record) { *r = recordingRecord(); r.Recording.SHA256 = hexOf(31) },
		"a sha256 for sha512":        func(r *ledger.Record) { *r = recordingRecord(); r.Recording.SHA512 = hexOf(32) },
		"no details of the file":     func(r *ledger.Record) { *r = recordingRecord(); r.Recording.DetailsDigest = "" },
		"an unknown method":          func(r *ledger.Record) { *r = recordingRecord(); r.Recording.Method = "monitor" },
		"no media type":              func(r *ledger.Record) { *r = recordingRecord(); r.Recording.MediaType = "" },
		"half a media type":          func(r *ledger.Record) { *r = recordingRecord(); r.Recording.MediaType = "audio/" },
		"an extension as media type": func(r *ledger.Record) { *r = recordingRecord(); r.Recording.MediaType = "wav" },
		"a path as media type":       func(r *ledger.Record) { *r = recordingRecord(); r.Recording.MediaType = "audio/wav/600" },
		"parameters of a media type": func(r *ledger.Record) { *r = recordingRecord(); r.Recording.MediaType = "audio/wav; rate=8000" },
	} {
		t.Run(name, func(t *testing.T) {
			record := callRecord()
			change(&record)
			requireCode(t, ledger.CodeInvalid, record.Check())
		})
	}
}

func TestContentDigestIsWithoutThePlace(t *testing.T) {
	digest := func(record ledger.Record) string {
		sum, err := record.ContentDigest()
		require.NoError(t, err)
		return sum
	}
	record := callRecord()
	want := digest(record)
	moved := callRecord()
	moved.Epoch, moved.Seq, moved.Segment = 2, 3, 3
	require.Equal(t, want, digest(moved))
	for _, change := range []func(*ledger.Record){
		func(r *ledger.Record) { r.PBX = "pbx2" },
		func(r *ledger.Record) { r.MSP = "BorealisMSP" },
		func(r *ledger.Record) { r.Call.DurationMS++ },
		func(r *ledger.Record) { r.Call.DetailsDigest = hexOf(31) + "00" },
		func(r *ledger.Record) { r.Call.Observed = nil },
	} {
		other := callRecord()
		change(&other)
		require.NotEqual(t, want, digest(other))
	}
	require.EqualValues(t, 1, record.Seq, "the record itself is left alone")
}

func TestARecordTellsWhatItIsAbout(t *testing.T) {
	call, recording := callRecord(), recordingRecord()
	recording.Recording.DetailsDigest = hexOf(31) + "00"
	require.Equal(t, call.Call.End, call.Moment())
	require.Equal(t, recording.Recording.ClosedAt, recording.Moment())
	require.Equal(t, hexOf(32), call.DetailsDigest())
	require.Equal(t, hexOf(31)+"00", recording.DetailsDigest())
	require.Equal(t, call.Leg(), recording.Leg())
}
