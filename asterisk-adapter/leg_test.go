package adapter

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/verify"
)

const (
	wholeRow = `"acc","+351910000001","600","from-trunk","""Ana"" <+351910000001>","PJSIP/trunk-00000001","PJSIP/600-00000002","Dial","PJSIP/600,30","2026-03-01 09:30:00","2026-03-01 09:30:02","2026-03-01 09:30:07",7,5,"ANSWERED","DOCUMENTATION","1772357400.1","note","peer","1772357400.0",4`
	// leastRow lacks userfield and answer.
	leastRow = `"","600","601","elsewhere","601","Local","","","","2026-03-01 09:30:00",,"2026-03-01 09:30:07",7,0,"NO ANSWER","","1772357400.1","","1772357400.0",0`
)

func newMapper(t *testing.T) *Adapter {
	t.Helper()
	a := &Adapter{config: &Config{PBX: testPBX, Contexts: map[string]string{"from-trunk": "inbound"}}}
	a.config.Recordings.Due = dueAnswered
	var err error
	a.pseudonyms, err = openPseudonyms("", t.TempDir(), testPBX)
	require.NoError(t, err)
	a.software.set(instance{version: "Asterisk 22.10.1", started: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)})
	return a
}

func parseRow(t *testing.T, line string) *cdr.Row {
	t.Helper()
	row, err := cdr.ParseCSV([]byte(line), time.UTC)
	require.NoError(t, err)
	return &row
}

func at(t *testing.T, text string) ledger.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return ledger.TimeOf(parsed)
}

// TestNewCall checks which column of a row becomes what, and that nothing
// personal is public.
func TestNewCall(t *testing.T) {
	t.Parallel()
	a := newMapper(t)
	row := parseRow(t, wholeRow)
	call, details, err := a.newCall(row)
	require.NoError(t, err)
	digest, err := details.Digest()
	require.NoError(t, err)
	require.Equal(t, &ledger.Call{
		Leg:   ledger.LegID{LinkedID: "1772357400.0", UniqueID: "1772357400.1", Sequence: 4},
		Start: at(t, "2026-03-01T09:30:00Z"), Answer: at(t, "2026-03-01T09:30:02Z"), End: at(t, "2026-03-01T09:30:07Z"),
		DurationMS: 7000, BillsecMS: 5000, Disposition: "ANSWERED", Direction: "inbound", Technology: "PJSIP",
		CallerRef: ledger.PartyRef(a.pseudonyms.key, "tel:+351910000001"), CalleeRef: ledger.PartyRef(a.pseudonyms.key, "ext:600@pbx1"),
		DetailsDigest: digest, Software: "Asterisk 22.10.1", RecordingDue: true, Boot: 1772355600000,
	}, call)
	require.Equal(t, &ledger.CallDetails{
		AccountCode: "acc", AMAFlags: "DOCUMENTATION", Channel: "PJSIP/trunk-00000001", CLID: `"Ana" <+351910000001>`, DContext: "from-trunk",
		Dst: "600", DstChannel: "PJSIP/600-00000002", LastApp: "Dial", LastData: "PJSIP/600,30", PeerAccount: "peer", Src: "+351910000001", UserField: "note",
	}, details.Call)
	require.NoError(t, details.Check())
	public, err := ledger.Canonical(call)
	require.NoError(t, err)
	for _, personal := range []string{"351910000001", `"600"`, "Ana", "note", "peer", `"acc"`, "trunk"} {
		require.NotContains(t, string(public), personal)
	}
	require.Empty(t, verify.CDR(row.Columns(), call, details.Call))

	again, other, err := a.newCall(row)
	require.NoError(t, err)
	require.NotEqual(t, details.Salt, other.Salt)
	require.NotEqual(t, call.DetailsDigest, again.DetailsDigest)

	row = parseRow(t, leastRow)
	call, details, err = a.newCall(row)
	require.NoError(t, err)
	require.True(t, call.Answer.IsZero())
	require.False(t, call.RecordingDue)
	require.Empty(t, call.Technology)
	require.Empty(t, call.Direction)
	require.Equal(t, []string{"userfield"}, details.Call.Absent)
	require.Empty(t, verify.CDR(row.Columns(), call, details.Call))
	draft := ledger.Record{Call: call, Epoch: 1, MSP: testMSP, PBX: testPBX, Segment: 1, Seq: 1, V: ledger.SchemaVersion}
	require.NoError(t, draft.Check())
}

func TestObserve(t *testing.T) {
	t.Parallel()
	moment := time.Date(2026, 3, 1, 9, 30, 0, 123_456_789, time.UTC)
	for _, test := range []struct {
		name  string
		times ari.ChannelTimes
		want  ledger.Call
	}{
		{"nothing", ari.ChannelTimes{}, ledger.Call{}},
		{"all", ari.ChannelTimes{Created: moment, Answered: moment.Add(time.Second), Destroyed: moment.Add(time.Minute), Cause: 16}, ledger.Call{
			Observed:    &ledger.Observed{Start: ledger.TimeOf(moment), Answer: ledger.TimeOf(moment.Add(time.Second)), End: ledger.TimeOf(moment.Add(time.Minute))},
			HangupCause: 16,
		}},
		{"end only", ari.ChannelTimes{Destroyed: moment}, ledger.Call{Observed: &ledger.Observed{End: ledger.TimeOf(moment)}}},
		{"a cause beyond Q.850", ari.ChannelTimes{Cause: 128}, ledger.Call{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var call ledger.Call
			observe(&call, test.times)
			require.Equal(t, test.want, call)
		})
	}
}

func TestTechnology(t *testing.T) {
	t.Parallel()
	for channel, want := range map[string]string{"PJSIP/1001-00000001": "PJSIP", "Local/600@ctx-00000001;2": "Local", "": "", "odd": ""} {
		require.Equal(t, want, technology(channel))
	}
}

func TestSoftwareLabel(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"22.10.1": "Asterisk 22.10.1", "22.10.1~dfsg+~cs6.13.40431414-1": "Asterisk 22.10.1", "certified/20.7-cert2": "Asterisk certified/20.7-cert2",
		"GIT-22-abc123M": "Asterisk GIT-22-abc123M", "": "", " x": "", strings.Repeat("9", 200): "Asterisk " + strings.Repeat("9", 61),
	} {
		require.Equal(t, want, softwareLabel(version))
		call := ledger.Call{
			Leg: ledger.LegID{LinkedID: "1.0", UniqueID: "1.0"}, Start: ledger.TimeOf(time.Unix(1, 0)), End: ledger.TimeOf(time.Unix(1, 0)), Disposition: "BUSY",
			DetailsDigest: strings.Repeat("01", 32), Software: softwareLabel(version),
		}
		record := ledger.Record{Call: &call, Epoch: 1, MSP: testMSP, PBX: testPBX, Segment: 1, Seq: 1, V: ledger.SchemaVersion}
		require.NoError(t, record.Check())
	}
}

func TestPseudonyms(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	first, err := openPseudonyms("", state, testPBX)
	require.NoError(t, err)
	again, err := openPseudonyms("", state, testPBX)
	require.NoError(t, err)
	require.Equal(t, first.key, again.key, "the key made at the first start stays")
	info, err := os.Stat(filepath.Join(state, "party.key"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	second, err := openPseudonyms(filepath.Join(state, "party.key"), t.TempDir(), "pbx2")
	require.NoError(t, err)

	const phone = "+351910000001"
	require.Equal(t, first.of(phone), second.of(phone), "a number is the same person at every PBX of the operator")
	require.NotEqual(t, first.of("600"), second.of("600"), "an extension is another at each")
	require.Empty(t, first.of(""))
	for _, number := range []string{"351910000001", "00351910000001", "+0351910000001", "+35191", "+3519100000012345", "+35191000000a", " +351910000001", "anonymous", "a@b"} {
		require.Equal(t, ledger.PartyRef(first.key, "ext:"+number+"@pbx1"), first.of(number), "nothing is guessed")
	}
	require.Len(t, first.of(phone), 32)
	require.NotContains(t, first.of(phone), "910000001")
}

func TestPartyKeyRefusals(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, text := range map[string]string{"short": "abcd", "long": strings.Repeat("ab", 33), "no hex": strings.Repeat("xy", 32), "empty": ""} {
		file := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := openPseudonyms(file, folder, testPBX)
		require.ErrorContains(t, err, "must hold 32 bytes in hexadecimal: make it with `openssl rand -hex 32`")
		require.NotContains(t, err.Error(), "xy")
	}
	_, err := openPseudonyms(filepath.Join(folder, "missing"), folder, testPBX)
	require.ErrorContains(t, err, "read the party key", "a configured key is never made anew: the operator's other PBXs have it")
	_, err = os.Stat(filepath.Join(folder, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
