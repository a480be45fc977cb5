package ledger_test

import (
	"bytes"
	"encoding/base64"
	stdjson "encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/ledger"
)

// rfc8785 is an independent canonicalizer.
func rfc8785(t require.TestingT, text []byte) []byte {
	value := jsontext.Value(bytes.Clone(text))
	require.NoError(t, value.Canonicalize())
	return value
}

// storedTypes are all types that are stored or sent.
var storedTypes = []any{
	ledger.Record{}, ledger.Call{}, ledger.Observed{}, ledger.Recording{}, ledger.Pause{}, ledger.Link{}, ledger.Omission{}, ledger.Opening{}, ledger.Beat{}, ledger.HighWater{}, ledger.BootRange{}, ledger.Gaps{}, ledger.EpochSummary{}, ledger.Finding{}, ledger.SignerRun{}, ledger.GapsPlace{}, ledger.Chain{},
	ledger.Correction{}, ledger.Changes{}, ledger.AnchoredCorrection{}, ledger.Amended{}, ledger.Conversation{}, ledger.Dispute{}, ledger.Side{}, ledger.Difference{},
	ledger.Reconciliation{}, ledger.Comparison{}, ledger.LegPlace{}, ledger.ReconciliationPolicy{}, ledger.LegID{}, ledger.Segment{}, ledger.SignedSegment{},
	ledger.AnchoredSegment{}, ledger.AbsentLeaf{}, ledger.AnchorResult{}, ledger.SegmentOutcome{}, ledger.RecordOutcome{}, ledger.Incident{},
	ledger.Enrolment{}, ledger.Details{}, ledger.CallDetails{}, ledger.RecordingDetails{}, ledger.Sealed{}, ledger.SealedRecord{},
}

func TestStructMembersAreDeclaredInCanonicalOrder(t *testing.T) {
	for _, v := range storedTypes {
		typ := reflect.TypeOf(v)
		var names []string
		for field := range typ.Fields() {
			name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			require.NotEmpty(t, name, "%s.%s has no JSON name", typ, field.Name)
			require.Contains(t, []string{"", "omitzero"}, options, "%s.%s", typ, field.Name)
			names = append(names, name)
			require.NotContains(t, []reflect.Kind{reflect.Map, reflect.Float32, reflect.Float64, reflect.Interface}, field.Type.Kind(), "%s.%s", typ, field.Name)
			if field.Type.Kind() == reflect.Pointer {
				require.Equal(t, "omitzero", options, "%s.%s: a nil pointer would be null", typ, field.Name)
			}
		}
		require.True(t, slices.IsSorted(names), "%s: %q", typ, names)
		require.Len(t, slices.Compact(names), len(names), typ)
	}
}

func TestCanonicalIsAFixedPointAndDecodesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(anySigned, 0, 2).Draw(t, "segments")
		text, err := ledger.Canonical(want)
		require.NoError(t, err)
		require.Equal(t, string(rfc8785(t, text)), string(text))

		var got []ledger.SignedSegment
		require.NoError(t, ledger.DecodeStrict(text, &got))
		again, err := ledger.Canonical(got)
		require.NoError(t, err)
		require.Equal(t, string(text), string(again))
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, want[i].Segment, got[i].Segment)
			require.Len(t, got[i].Records, len(want[i].Records))
			for j := range want[i].Records {
				require.Equal(t, want[i].Records[j], got[i].Records[j])
			}
			require.True(t, bytes.Equal(want[i].Signature, got[i].Signature))
		}

		// The same value, written by a person: other order, other white space.
		var loose any
		decoder := stdjson.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		require.NoError(t, decoder.Decode(&loose))
		indented, err := stdjson.MarshalIndent(loose, "", "\t")
		require.NoError(t, err)
		var third []ledger.SignedSegment
		require.NoError(t, ledger.DecodeStrict(indented, &third))
		require.Equal(t, got, third)
	})
}

func TestSegmentsAreDecodedWithTheirLeaves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, err := ledger.Canonical(rapid.SliceOfN(anySigned, 0, 3).Draw(t, "segments"))
		require.NoError(t, err)
		if rapid.Bool().Draw(t, "spaced") {
			text = append([]byte(" "), text...)
		}
		requireSameSegments(t, text)
	})
	requireSameSegments(t, []byte(`[`))
	requireSameSegments(t, []byte(`[{}]`))
	requireSameSegments(t, []byte(`[{"records":[]}]`))
	identity := adapter(t)
	signed := signedSegment(t, identity, 3)
	text, err := ledger.Canonical([]*ledger.SignedSegment{signed})
	require.NoError(t, err)
	segments, leaves, err := ledger.DecodeSegments(text)
	require.NoError(t, err)
	require.NoError(t, segments[0].CheckDecoded(leaves[0]))
	leaves[0][1] = leaves[0][0]
	requireCode(t, ledger.CodeUnauthentic, segments[0].CheckDecoded(leaves[0]))
	segments[0].Segment.Count++
	requireCode(t, ledger.CodeInvalid, segments[0].CheckDecoded(leaves[0]))
}

// requireSameSegments asserts that DecodeSegments takes what DecodeStrict takes,
// reads the same and gives every record's canonical form.
func requireSameSegments(t require.TestingT, text []byte) {
	var want []ledger.SignedSegment
	wantErr := ledger.DecodeStrict(text, &want)
	got, leaves, err := ledger.DecodeSegments(text)
	if wantErr != nil {
		require.Error(t, err)
		require.Equal(t, ledger.AsError(wantErr).Code, ledger.AsError(err).Code)
		require.Nil(t, got)
		require.Nil(t, leaves)
		return
	}
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Len(t, leaves, len(got))
	for i := range got {
		require.Len(t, leaves[i], len(got[i].Records))
		for j := range got[i].Records {
			leaf, err := ledger.Canonical(&got[i].Records[j])
			require.NoError(t, err)
			require.Equal(t, string(leaf), string(leaves[i][j]))
		}
	}
}

func TestCanonicalSortsWhatGoDoesNot(t *testing.T) {
	// By UTF-16 code units U+1F600 (D83D DE00) comes before U+FB33, by bytes after it.
	text, err := ledger.Canonical(map[string]int{"\ufb33": 1, "\U0001f600": 2, "a": 3})
	require.NoError(t, err)
	require.Equal(t, "{\"a\":3,\"\U0001f600\":2,\"\ufb33\":1}", string(text))
	text, err = ledger.Canonical(struct {
		B int `json:"b"`
		A int `json:"a"`
	}{1, 2})
	require.NoError(t, err)
	require.Equal(t, `{"a":2,"b":1}`, string(text))
	text, err = ledger.Canonical(ledger.CallDetails{CLID: "\"Ana\" <é\u2028/\\\x07\n>&'"})
	require.NoError(t, err)
	require.Equal(t, "{\"clid\":\"\\\"Ana\\\" <é\u2028/\\\\\\u0007\\n>&'\"}", string(text))
}

func TestCanonicalRefusesWhatAStoredValueCannotHold(t *testing.T) {
	for name, v := range map[string]any{
		"an integer others would round": ledger.LegID{Sequence: ledger.MaxInteger + 1},
		"a negative one":                ledger.LegID{Sequence: -ledger.MaxInteger - 1},
		"the largest":                   ledger.LegID{Sequence: math.MaxInt64},
		"a float":                       1.5,
		"a null":                        (*ledger.LegID)(nil),
		"a null within":                 []*ledger.LegID{nil},
		"text that is not UTF-8":        ledger.LegID{LinkedID: "\xff"},
		"a time that is not set":        ledger.Incident{},
		"no value":                      nil,
	} {
		_, err := ledger.Canonical(v)
		require.Error(t, err, name)
	}
}

func TestAbsentMembersAreLeftOut(t *testing.T) {
	call := *callRecord().Call
	call.Answer, call.CalleeRef, call.CallerRef, call.Direction, call.HangupCause = ledger.Time{}, "", "", "", 0
	call.Observed, call.Software, call.Technology = nil, "", ""
	text, err := ledger.Canonical(call)
	require.NoError(t, err)
	require.Equal(t, `{"billsec_ms":28000,"details_digest":"`+hexOf(32)+`","disposition":"ANSWERED","duration_ms":30000,`+
		`"end":"2026-03-01T12:00:30.000Z","leg":{"linkedid":"pbx1-1772366400.10","sequence":7,"uniqueid":"pbx1-1772366400.11"},`+
		`"recording_due":true,"start":"2026-03-01T12:00:00.000Z"}`, string(text))
	// What has a meaning at zero is always there.
	text, err = ledger.Canonical(ledger.LegID{})
	require.NoError(t, err)
	require.Equal(t, `{"linkedid":"","sequence":0,"uniqueid":""}`, string(text))
	text, err = ledger.Canonical([]ledger.SignedSegment(nil))
	require.NoError(t, err)
	require.Equal(t, `[]`, string(text), "a nil slice is an empty array")
}

func TestDecodeStrictTakesOneReadingOnly(t *testing.T) {
	const good = `{"linkedid":"l","sequence":1,"uniqueid":"u"}`
	for name, c := range map[string]struct {
		text string
		into any
		ok   bool
	}{
		"canonical":                {good, new(ledger.LegID), true},
		"other order and spaces":   {"\n{ \"uniqueid\" : \"u\",\t\"sequence\":1, \"linkedid\":\"l\"}\r\n", new(ledger.LegID), true},
		"escapes where not needed": {`{"linkedid":"\u006c","sequence":1,"uniqueid":"\u0075"}`, new(ledger.LegID), true},
		"an escaped pair":          {`{"linkedid":"\ud83d\ude00","sequence":1,"uniqueid":"u"}`, new(ledger.LegID), true},
		"an escaped member name":   {`{"\u006cinkedid":"l","sequence":1,"uniqueid":"u"}`, new(ledger.LegID), true},
		"2^53-1":                   {`{"linkedid":"l","sequence":9007199254740991,"uniqueid":"u"}`, new(ledger.LegID), true},
		"-(2^53-1)":                {`{"linkedid":"l","sequence":-9007199254740991,"uniqueid":"u"}`, new(ledger.LegID), true},

		"2^53":                       {`{"linkedid":"l","sequence":9007199254740992,"uniqueid":"u"}`, new(ledger.LegID), false},
		"2^53+1":                     {`{"linkedid":"l","sequence":9007199254740993,"uniqueid":"u"}`, new(ledger.LegID), false},
		"-2^53":                      {`{"linkedid":"l","sequence":-9007199254740992,"uniqueid":"u"}`, new(ledger.LegID), false},
		"2^63":                       {`{"linkedid":"l","sequence":9223372036854775808,"uniqueid":"u"}`, new(ledger.LegID), false},
		"a float":                    {`{"linkedid":"l","sequence":1.5,"uniqueid":"u"}`, new(ledger.LegID), false},
		"a whole float":              {`{"linkedid":"l","sequence":1.0,"uniqueid":"u"}`, new(ledger.LegID), false},
		"an exponent":                {`{"linkedid":"l","sequence":1e3,"uniqueid":"u"}`, new(ledger.LegID), false},
		"minus zero":                 {`{"linkedid":"l","sequence":-0,"uniqueid":"u"}`, new(ledger.LegID), false},
		"a leading zero":             {`{"linkedid":"l","sequence":01,"uniqueid":"u"}`, new(ledger.LegID), false},
		"a quoted number":            {`{"linkedid":"l","sequence":"1","uniqueid":"u"}`, new(ledger.LegID), false},
		"a duplicate member":         {`{"linkedid":"l","linkedid":"l","sequence":1,"uniqueid":"u"}`, new(ledger.LegID), false},
		"a duplicate, escaped":       {`{"linkedid":"l","\u006cinkedid":"l","sequence":1,"uniqueid":"u"}`, new(ledger.LegID), false},
		"an unknown member":          {`{"linkedid":"l","more":1,"sequence":1,"uniqueid":"u"}`, new(ledger.LegID), false},
		"another case":               {`{"LinkedID":"l","sequence":1,"uniqueid":"u"}`, new(ledger.LegID), false},
		"a missing member":           {`{"linkedid":"l","sequence":1}`, new(ledger.LegID), false},
		"null":                       {`null`, new(ledger.LegID), false},
		"null for a slice":           {`null`, new([]ledger.SignedSegment), false},
		"a null member":              {`{"linkedid":null,"sequence":1,"uniqueid":"u"}`, new(ledger.LegID), false},
		"a null optional member":     {`{"answer":null}`, new(ledger.Observed), false},
		"a null pointer":             {`{"call":null,"recording":{"file":"f"},"salt":"","v":1}`, new(ledger.Details), false},
		"an empty optional member":   {`{"clid":""}`, new(ledger.CallDetails), false},
		"an empty optional time":     {`{"answer":""}`, new(ledger.Observed), false},
		"not UTF-8":                  {"{\"linkedid\":\"\xff\",\"sequence\":1,\"uniqueid\":\"u\"}", new(ledger.LegID), false},
		"a surrogate in UTF-8":       {"{\"linkedid\":\"\xed\xa0\x80\",\"sequence\":1,\"uniqueid\":\"u\"}", new(ledger.LegID), false},
		"a lone high surrogate":      {`{"linkedid":"\ud800","sequence":1,"uniqueid":"u"}`, new(ledger.LegID), false},
		"a lone low surrogate":       {`{"linkedid":"\udc00","sequence":1,"uniqueid":"u"}`, new(ledger.LegID), false},
		"a pair the wrong way round": {`{"linkedid":"\ude00\ud83d","sequence":1,"uniqueid":"u"}`, new(ledger.LegID), false},
		"a byte order mark":          {"\ufeff" + good, new(ledger.LegID), false},
		"a raw control character":    {"{\"linkedid\":\"\n\",\"sequence\":1,\"uniqueid\":\"u\"}", new(ledger.LegID), false},
		"trailing data":              {good + " x", new(ledger.LegID), false},
		"a second value":             {good + good, new(ledger.LegID), false},
		"nothing":                    {``, new(ledger.LegID), false},
		"a cut":                      {good[:20], new(ledger.LegID), false},
		"a trailing comma":           {`{"linkedid":"l","sequence":1,"uniqueid":"u",}`, new(ledger.LegID), false},
		"a comment":                  {`{"linkedid":"l",/*x*/"sequence":1,"uniqueid":"u"}`, new(ledger.LegID), false},
		"an array for an object":     {`[1]`, new(ledger.LegID), false},
		"deep nesting":               {strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), new([]ledger.SignedSegment), false},
		"deep nesting, unknown":      {`{"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, new(ledger.LegID), false},
		"deep nesting, never closed": {strings.Repeat(`{"call":`, 50_000), new(ledger.Record), false},
		"base64 without padding":     {`{"alg":"A256GCM","ciphertext":"YQ","nonce":"","v":1}`, new(ledger.Sealed), false},
		"base64 with spare bits":     {`{"alg":"A256GCM","ciphertext":"YR==","nonce":"","v":1}`, new(ledger.Sealed), false},
		"base64 with a line break":   {`{"alg":"A256GCM","ciphertext":"Y\nQ==","nonce":"","v":1}`, new(ledger.Sealed), false},
		"base64url":                  {`{"alg":"A256GCM","ciphertext":"_-8=","nonce":"","v":1}`, new(ledger.Sealed), false},
		"bytes as an array":          {`{"alg":"A256GCM","ciphertext":[97],"nonce":"","v":1}`, new(ledger.Sealed), false},
		"a time in another zone":     {`{"answer":"2026-03-01T13:00:00.000+01:00"}`, new(ledger.Observed), false},
		"a boolean as a number":      {`{"billsec_ms":1,"recording_due":1}`, new(ledger.Call), false},
	} {
		t.Run(name, func(t *testing.T) {
			err := ledger.DecodeStrict([]byte(c.text), c.into)
			if c.ok {
				require.NoError(t, err)
				return
			}
			requireCode(t, ledger.CodeInvalid, err)
		})
	}
}

func TestDecodeErrorsQuoteNothingAndSayWhere(t *testing.T) {
	const secret = "+351912345678"
	template := `[{"records":[{"call":%s,"epoch":1,"msp":"m","pbx":"p","segment":1,"seq":1,"v":1}],"segment":{},"signature":""}]`
	for _, c := range []struct{ call, want string }{
		{`{"start":"` + secret + `"}`, "/0/records/0/call/start does not fit, a time such as"},
		{`{"leg":{"sequence":"` + secret + `"}}`, "/0/records/0/call/leg/sequence does not fit, an integer"},
		{`{"leg":{"sequence":351912345678351912345678}}`, "/0/records/0/call/leg/sequence does not fit, an integer"},
		{`{"` + secret + `":1}`, "/0/records/0/call has an unknown member"},
		{`{"software":{"` + secret + `":1}}`, "/0/records/0/call/software does not fit, a string"},
		{`{"software":{"` + secret + `":1,"` + secret + `":1}}`, ""},
		{`{"leg":{"linkedid":"` + secret + `","linkedid":1}}`, "duplicate member within /0/records/0/call/leg"},
		{`{"software":"` + secret + `\ud800"}`, "well-formed"},
		{`{"software":"` + secret + `\x"}`, "well-formed"},
		{`{"software":"` + secret + `"} ` + secret, "well-formed"},
		{`"` + secret + `"`, "/0/records/0/call does not fit, an object"},
		{`{"hangup_cause":351912345678.5}`, "/0/records/0/call/hangup_cause does not fit, an integer"},
		{`{"recording_due":"` + secret + `"}`, "/0/records/0/call/recording_due does not fit, true or false"},
		{`[` + secret[1:] + `]`, "/0/records/0/call does not fit, an object"},
	} {
		var segments []ledger.SignedSegment
		err := ledger.DecodeStrict(fmt.Appendf(nil, template, c.call), &segments)
		requireCode(t, ledger.CodeInvalid, err)
		require.NotContains(t, err.Error(), secret[1:7], c.call)
		require.Contains(t, err.Error(), c.want, c.call)
	}
	var sealed ledger.Sealed
	err := ledger.DecodeStrict([]byte(`{"ciphertext":"`+secret+`"}`), &sealed)
	requireCode(t, ledger.CodeInvalid, err)
	require.Contains(t, err.Error(), "/ciphertext does not fit, a base64 string")
	var segments []ledger.SignedSegment
	err = ledger.DecodeStrict([]byte(`{"a":1}`), &segments)
	require.Contains(t, err.Error(), "the value does not fit, an array")
}

func TestDigestIsLowerCaseSHA256(t *testing.T) {
	require.Equal(t, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", ledger.Digest([]byte("abc")))
}

// fuzzDecode checks that whatever is taken has one reading: its canonical form
// is that of the text itself, is taken again, and means the same.
func fuzzDecode[T any](t *testing.T, data []byte) {
	var first T
	if err := ledger.DecodeStrict(data, &first); err != nil {
		requireCode(t, ledger.CodeInvalid, err)
		return
	}
	own, err := ledger.Canonical(&first)
	require.NoError(t, err)
	require.Equal(t, string(rfc8785(t, data)), string(own), "what was understood is what was written")
	var second T
	require.NoError(t, ledger.DecodeStrict(own, &second))
	require.Equal(t, first, second)

	// Another parser reads the same numbers.
	decoder := stdjson.NewDecoder(bytes.NewReader(data))
	var loose any
	require.NoError(t, decoder.Decode(&loose))
	rounded, err := stdjson.Marshal(loose) // through float64, as JavaScript does
	require.NoError(t, err)
	require.Equal(t, string(own), string(rfc8785(t, rounded)))
}

func FuzzDecodeStrictSegments(f *testing.F) {
	identity := adapter(f)
	for n := range 3 {
		text, err := ledger.Canonical([]*ledger.SignedSegment{signedSegment(f, identity, n)})
		require.NoError(f, err)
		f.Add(text)
	}
	text, err := ledger.Canonical([]*ledger.SignedSegment{signedSegment(f, identity, 1, func(s *ledger.SignedSegment) {
		s.Records[0] = recordingV2()
	})})
	require.NoError(f, err)
	f.Add(text)
	for _, record := range newRecords() {
		text, err := ledger.Canonical([]*ledger.SignedSegment{signedSegment(f, identity, 1, func(s *ledger.SignedSegment) {
			s.Segment.V, s.Records[0] = 2, record
		})})
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add(bytes.Replace(text, []byte(`"v":1`), []byte(`"v":9007199254740993`), 1))
	f.Add(bytes.Replace(text, []byte(`"v":1`), []byte(`"v":-0`), 1))
	f.Add([]byte(`[]`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzDecode[[]ledger.SignedSegment](t, data)
		requireSameSegments(t, data)
		var segments []ledger.SignedSegment
		if ledger.DecodeStrict(data, &segments) != nil {
			return
		}
		for i := range segments {
			leaves, err := segments[i].Check()
			if err != nil {
				require.NotEqual(t, ledger.CodeInternal, ledger.AsError(err).Code, err.Error())
				continue
			}
			require.Len(t, leaves, len(segments[i].Records))
			root, err := ledger.Root(leaves)
			require.NoError(t, err)
			require.Equal(t, segments[i].Segment.Root, root)
		}
	})
}

func FuzzDecodeStrictDetails(f *testing.F) {
	f.Add([]byte(`{"call":{"clid":"\"Ana\" <+351912345678>","dst":"600","src":"+351912345678"},"salt":"` + hexOf(32) + `","v":1}`))
	f.Add([]byte(`{"recording":{"file":"2026/03/01/600.wav"},"salt":"` + hexOf(32) + `","v":1}`))
	f.Add([]byte(`{"alg":"A256GCM","ciphertext":"` + base64.StdEncoding.EncodeToString(make([]byte, 20)) + `","nonce":"AAAAAAAAAAAAAAAA","v":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzDecode[ledger.Details](t, data)
		fuzzDecode[ledger.Sealed](t, data)
		var details ledger.Details
		if ledger.DecodeStrict(data, &details) == nil && details.Check() == nil {
			digest, err := details.Digest()
			require.NoError(t, err)
			require.Equal(t, ledger.Digest(rfc8785(t, data)), digest, "anybody can compute the digest from the text")
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	call, recording := callRecord(), recordingRecord()
	details := callDetails()
	for name, value := range map[string]any{
		"call": &call, "recording": &recording, "details": &details, "opinion": follow(b, opinion(b), ledger.EvidenceItem{Attempts: 3, Count: 8, Kind: ledger.EvidenceAuthFailure}),
		// Its members are in no order of their own, so that it takes a second pass.
		"unordered": map[string]any{"v": 3, "call": &call, "recording": &recording},
	} {
		b.Run(name, func(b *testing.B) {
			text, err := ledger.Canonical(value)
			require.NoError(b, err)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ledger.Canonical(value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeSegments reads what a gateway hands the chaincode, of calls that
// differ, and answers the canonical records beside it.
func BenchmarkDecodeSegments(b *testing.B) {
	identity := adapter(b)
	for _, n := range []int{1, 50, 500} {
		text, err := ledger.Canonical([]*ledger.SignedSegment{busySegment(b, identity, n)})
		require.NoError(b, err)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				_, leaves, err := ledger.DecodeSegments(text)
				if err != nil || len(leaves[0]) != n {
					b.Fatal(len(leaves), err)
				}
			}
		})
	}
}

func BenchmarkDecodeStrict(b *testing.B) {
	identity := adapter(b)
	for _, n := range []int{1, 500} {
		text, err := ledger.Canonical([]*ledger.SignedSegment{signedSegment(b, identity, n)})
		require.NoError(b, err)
		var indented bytes.Buffer
		require.NoError(b, stdjson.Indent(&indented, text, "", " "))
		for name, data := range map[string][]byte{"canonical": text, "indented": indented.Bytes()} {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					var segments []ledger.SignedSegment
					if err := ledger.DecodeStrict(data, &segments); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
