package ledger_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/ledger"
)

func TestNamesFitIntoKeysAndLogLines(t *testing.T) {
	for name, ok := range map[string]bool{
		"AtlasMSP": true, "pbx1-1772366400.10": true, "é": true, "電話": true, "a/b:c|d": true,
		strings.Repeat("a", 150): true, strings.Repeat("é", 75): true,
		"": false, strings.Repeat("a", 151): false, strings.Repeat("é", 76): false,
		"a\x00b": false, "\U0010ffff": false, "a b": false, " ": false, "a\n": false, "a\t": false, "\u00a0": false, "\u2028": false,
		"\x1b[31m": false, "\u200b": false, "\u202e": false, "\ufeff": false, "\ufffd": false, "\xff": false, "\xed\xa0\x80": false, "\ue000": false,
	} {
		err := ledger.CheckName("field", name)
		if ok {
			require.NoError(t, err, "%q", name)
			continue
		}
		requireCode(t, ledger.CodeInvalid, err)
		require.Contains(t, err.Error(), "field")
	}
}

func TestKeysAreTheShims(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.OneOf(anyName, rapid.StringMatching(`\PC{1,10}`)).Filter(func(s string) bool { return ledger.CheckName("part", s) == nil })
		objectType, parts := part.Draw(t, "type"), rapid.SliceOfN(part, 0, 6).Draw(t, "parts")
		key := ledger.CompositeKey(objectType, parts...)
		want, err := shim.CreateCompositeKey(objectType, parts)
		require.NoError(t, err)
		require.Equal(t, want, key)
		gotType, gotParts, err := ledger.SplitKey(key)
		require.NoError(t, err)
		require.Equal(t, objectType, gotType)
		require.True(t, slices.Equal(parts, gotParts))
	})
}

func TestKeysOfEveryKind(t *testing.T) {
	leg := ledger.LegID{LinkedID: "l", UniqueID: "u", Sequence: 7}
	for key, want := range map[string][]string{
		ledger.CallKey("m", "p", leg):                                        {"cdr", "m", "p", "l", "u", "0000000000000007"},
		ledger.SegmentKey("m", "p", 12, ledger.MaxInteger):                   {"seg", "m", "p", "0000000000000012", "9007199254740991"},
		ledger.RecordingKey("m", "p", "id", 1):                               {"rec", "m", "p", "id", "0000000000000001"},
		ledger.RecordingByCallKey("m", "p", leg, "id", 1):                    {"rec-by-call", "m", "p", "l", "u", "0000000000000007", "id", "0000000000000001"},
		ledger.RecordingByHashKey("hash", "m", "p", "id", 1):                 {"rec-by-sha256", "hash", "m", "p", "id", "0000000000000001"},
		ledger.IncidentKey("m", "p", "digest"):                               {"incident", "m", "p", "digest"},
		ledger.AdapterKey("m", "fingerprint"):                                {"adapter", "m", "fingerprint"},
		new(recordingRecord()).Key():                                         {"rec", "AtlasMSP", "pbx1", hexOf(16), "0000000000000001"},
		new(callRecord()).Key():                                              {"cdr", "AtlasMSP", "pbx1", "pbx1-1772366400.10", "pbx1-1772366400.11", "0000000000000007"},
		new(ledger.Segment{MSP: "m", PBX: "p", Epoch: 1, FirstSeq: 2}).Key(): {"seg", "m", "p", "0000000000000001", "0000000000000002"},
	} {
		objectType, parts, err := ledger.SplitKey(key)
		require.NoError(t, err)
		require.Equal(t, want, append([]string{objectType}, parts...))
	}
}

func TestNumbersInKeysSortAsNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Int64Range(0, ledger.MaxInteger)
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		require.Equal(t, a < b, ledger.SegmentKey("m", "p", 1, a) < ledger.SegmentKey("m", "p", 1, b))
		_, parts, err := ledger.SplitKey(ledger.SegmentKey("m", "p", 1, a))
		require.NoError(t, err)
		back, err := ledger.ParseKeyNumber(parts[3])
		require.NoError(t, err)
		require.Equal(t, a, back)
	})
	for _, text := range []string{"", "1", "00000000000000001", "-000000000000001", "+000000000000001", "000000000000000x", " 000000000000001", "9007199254740992", "9999999999999999"} {
		_, err := ledger.ParseKeyNumber(text)
		requireCode(t, ledger.CodeInvalid, err)
	}
	for n, ok := range map[int64]bool{0: true, ledger.MaxInteger: true, -1: false, ledger.MaxInteger + 1: false} {
		require.Equal(t, ok, ledger.CheckNumber("n", n) == nil)
	}
}

func TestLegIDs(t *testing.T) {
	good := ledger.LegID{LinkedID: "l", UniqueID: "u"}
	require.NoError(t, good.Check())
	for _, change := range []func(*ledger.LegID){
		func(l *ledger.LegID) { l.LinkedID = "" },
		func(l *ledger.LegID) { l.LinkedID = "a\x00b" },
		func(l *ledger.LegID) { l.UniqueID = "" },
		func(l *ledger.LegID) { l.UniqueID = strings.Repeat("u", 151) },
		func(l *ledger.LegID) { l.Sequence = -1 },
		func(l *ledger.LegID) { l.Sequence = ledger.MaxInteger + 1 },
	} {
		bad := good
		change(&bad)
		requireCode(t, ledger.CodeInvalid, bad.Check())
	}
}

func TestSplitKeyQuotesNothing(t *testing.T) {
	for _, key := range []string{"", "\x00", "\x00\x00", "cdr", "\x00cdr", "cdr\x00", "+351912345678"} {
		_, _, err := ledger.SplitKey(key)
		requireCode(t, ledger.CodeInvalid, err)
		require.NotContains(t, err.Error(), "912345678")
	}
}

func FuzzSplitKey(f *testing.F) {
	f.Add(ledger.CallKey("AtlasMSP", "pbx1", ledger.LegID{LinkedID: "l", UniqueID: "u", Sequence: 1}))
	f.Add("\x00a\x00")
	f.Add("\x00\x00\x00")
	f.Add("\x00a\x00\U0010ffff\x00")
	f.Fuzz(func(t *testing.T, key string) {
		objectType, parts, err := ledger.SplitKey(key)
		if err != nil {
			requireCode(t, ledger.CodeInvalid, err)
			return
		}
		require.Equal(t, key, ledger.CompositeKey(objectType, parts...), "taken apart and put together again")
		for _, part := range append([]string{objectType}, parts...) {
			require.NotContains(t, part, "\x00")
		}
		if utf8.ValidString(key) && !strings.ContainsRune(key, utf8.MaxRune) {
			want, err := shim.CreateCompositeKey(objectType, parts)
			require.NoError(t, err)
			require.Equal(t, want, key)
		}
	})
}
