package audit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/audit"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/verify"
)

const linkedID = "1772357400.4"

// fakeLedger holds records as a ledger would, and may be away.
type fakeLedger struct {
	legs, recordings []*ledger.Record
	corrections      []ledger.AnchoredCorrection
	validation       string
	away             error
}

func (f *fakeLedger) Source() string { return "a peer" }

func (f *fakeLedger) Legs(_ context.Context, _, _, linkedID string) ([]*ledger.Record, error) {
	return with(f.legs, func(r *ledger.Record) bool { return r.Call.Leg.LinkedID == linkedID }), f.away
}

func (f *fakeLedger) Recordings(_ context.Context, _, _, linkedID string) ([]*ledger.Record, error) {
	return with(f.recordings, func(r *ledger.Record) bool { return r.Recording.Leg.LinkedID == linkedID }), f.away
}

func (f *fakeLedger) RecordingsBySHA256(_ context.Context, sha256 string) ([]*ledger.Record, error) {
	return with(f.recordings, func(r *ledger.Record) bool { return r.Recording.SHA256 == sha256 }), f.away
}

func (f *fakeLedger) Corrections(context.Context, string, string, string) ([]ledger.AnchoredCorrection, error) {
	return f.corrections, f.away
}

func (f *fakeLedger) Endorsement(context.Context, *ledger.Record) (*audit.Endorsement, error) {
	validation := f.validation
	if validation == "" {
		validation = "VALID"
	}
	return &audit.Endorsement{TransactionID: "ab12", Block: 7, Endorsers: []string{"AtlasMSP", "BorealisMSP"}, Validation: validation}, f.away
}

func with(records []*ledger.Record, wanted func(*ledger.Record) bool) []*ledger.Record {
	var found []*ledger.Record
	for _, record := range records {
		if wanted(record) {
			found = append(found, record)
		}
	}
	return found
}

func recordingOf(t *testing.T, linkedID, audio string, revision int64) *ledger.Record {
	t.Helper()
	digests, err := verify.Digest(strings.NewReader(audio))
	require.NoError(t, err)
	return &ledger.Record{MSP: "AtlasMSP", PBX: "pbx1", Recording: &ledger.Recording{
		Bytes: digests.Bytes, SHA256: digests.SHA256, SHA512: digests.SHA512, ID: strings.Repeat("5a", 16), Revision: revision,
		Leg: ledger.LegID{LinkedID: linkedID, UniqueID: linkedID, Sequence: 3},
	}}
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func ask(t *testing.T, source audit.Ledger, question audit.Question) *audit.Verdict {
	t.Helper()
	question.MSP, question.PBX = "AtlasMSP", "pbx1"
	verdict, err := audit.Ask(t.Context(), source, question)
	require.NoError(t, err)
	require.Equal(t, "a peer", verdict.Asked)
	for _, finding := range verdict.Findings {
		require.NotEmpty(t, finding.Statement)
	}
	return verdict
}

func TestRecordingVerdicts(t *testing.T) {
	const other = "1772357411.9"
	full := func(t *testing.T) *fakeLedger {
		return &fakeLedger{recordings: []*ledger.Record{recordingOf(t, linkedID, "the audio", 1), recordingOf(t, other, "another", 1)}}
	}
	for name, c := range map[string]struct {
		audio, call string
		change      func(*testing.T, *fakeLedger)
		outcome     audit.Outcome
		says        string
		differences []string
		notes       string
	}{
		"by digest, intact":  {audio: "the audio", outcome: audit.Intact, says: "bit for bit"},
		"by digest, altered": {audio: "the audiO", outcome: audit.Undecided, says: "name its call with --call"},
		"by digest, invalid transaction": {
			audio: "the audio", change: func(_ *testing.T, f *fakeLedger) { f.validation = "MVCC_READ_CONFLICT" }, outcome: audit.Undecided, says: "no operator has endorsed",
		},
		"by digest, SHA-512 differs": {
			audio: "the audio", change: func(_ *testing.T, f *fakeLedger) { f.recordings[0].Recording.SHA512 = "00" }, outcome: audit.Undecided, says: "no operator has endorsed",
		},
		"by call, intact":  {audio: "the audio", call: linkedID, outcome: audit.Intact, says: "bit for bit"},
		"by call, altered": {audio: "the audiO", call: linkedID, outcome: audit.Altered, says: "sha256 and sha512 differ", differences: []string{"sha256", "sha512"}},
		"by call, cut":     {audio: "the aud", call: linkedID, outcome: audit.Altered, says: "bytes, sha256 and sha512", differences: []string{"bytes", "sha256", "sha512"}},
		"by call, emptied": {audio: "", call: linkedID, outcome: audit.Altered, says: "bytes, sha256 and sha512", differences: []string{"bytes", "sha256", "sha512"}},
		"by call, swapped": {
			audio: "another", call: linkedID, outcome: audit.Altered, says: "is not the recording that was made of call " + linkedID,
			differences: []string{"bytes", "sha256", "sha512"}, notes: "the recording of another call: " + other,
		},
		"by call, unknown call": {audio: "the audio", call: "1772357499.1", outcome: audit.Undecided, says: "no recording of call", notes: linkedID},
		"by call, invalid transaction": {
			audio: "the audio", call: linkedID, change: func(_ *testing.T, f *fakeLedger) { f.validation = "BAD_RWSET" }, outcome: audit.Undecided, says: "is not valid",
		},
		"by call, second revision": {
			audio: "the audio, continued", call: linkedID,
			change: func(t *testing.T, f *fakeLedger) {
				f.recordings = append(f.recordings, recordingOf(t, linkedID, "the audio, continued", 2))
			},
			outcome: audit.Intact, says: "bit for bit",
		},
		"by call, first of two revisions": {
			audio: "the audio", call: linkedID,
			change: func(t *testing.T, f *fakeLedger) {
				f.recordings = append(f.recordings, recordingOf(t, linkedID, "the audio, continued", 2))
			},
			outcome: audit.Intact, says: "bit for bit", notes: "revision 2",
		},
		"by call, closest of two recordings": {
			audio: "the audiO", call: linkedID,
			change: func(t *testing.T, f *fakeLedger) {
				second := recordingOf(t, linkedID, "of another length", 1)
				second.Recording.ID = strings.Repeat("6b", 16)
				f.recordings = append(f.recordings, second)
			},
			outcome: audit.Altered, says: "sha256 and sha512 differ", differences: []string{"sha256", "sha512"},
		},
		"ledger away":          {audio: "the audio", change: func(_ *testing.T, f *fakeLedger) { f.away = errors.New("no answer") }, outcome: audit.Undecided, says: "could not be asked: no answer"},
		"ledger away, by call": {audio: "the audio", call: linkedID, change: func(_ *testing.T, f *fakeLedger) { f.away = errors.New("no answer") }, outcome: audit.Undecided, says: "could not be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			source := full(t)
			if c.change != nil {
				c.change(t, source)
			}
			verdict := ask(t, source, audit.Question{Recording: file(t, "a.wav", c.audio), LinkedID: c.call})
			require.Len(t, verdict.Findings, 1)
			finding := verdict.Findings[0]
			require.Equal(t, c.outcome, verdict.Outcome, finding.Statement)
			require.Equal(t, c.outcome, finding.Outcome)
			require.Contains(t, finding.Statement, c.says)
			require.Equal(t, c.differences, fieldsOf(finding.Differences))
			require.Contains(t, strings.Join(finding.Notes, "\n"), c.notes)
			if c.outcome != audit.Undecided {
				require.Equal(t, "ab12", finding.Endorsement.TransactionID)
				require.NotNil(t, finding.Recording)
			}
		})
	}
}

func fieldsOf(differences []verify.Difference) []string {
	var fields []string
	for _, difference := range differences {
		fields = append(fields, difference.Field)
	}
	return fields
}

// The columns of cdr_csv in its order, with a value each and another.
var cdrColumns = []struct{ name, value, edited string }{
	{"accountcode", "acc", "acd"},
	{"src", "+351912345678", "+351912345679"},
	{"dst", "600", "601"},
	{"dcontext", "internal", "external"},
	{"clid", `"Alice" <+351912345678>`, `"Mallory" <+351912345678>`},
	{"channel", "PJSIP/alice-0001", "PJSIP/mallory-0001"},
	{"dstchannel", "PJSIP/bob-0002", "PJSIP/eve-0002"},
	{"lastapp", "Dial", "Hangup"},
	{"lastdata", "PJSIP/bob,30", "PJSIP/eve,30"},
	{"start", "2026-03-01 09:30:00", "2026-03-01 09:29:59"},
	{"answer", "2026-03-01 09:30:02", "2026-03-01 09:30:03"},
	{"end", "2026-03-01 09:30:30", "2026-03-01 09:30:31"},
	{"duration", "30", "31"},
	{"billsec", "28", "27"},
	{"disposition", "ANSWERED", "BUSY"},
	{"amaflags", "DOCUMENTATION", "BILLING"},
	{"uniqueid", "1772357400.5", "1772357400.6"},
	{"userfield", "user", "usher"},
	{"peeraccount", "peer", "pear"},
	{"linkedid", linkedID, "1772357400.3"},
	{"sequence", "3", "4"},
}

// row is a line of cdr_csv, with some columns edited.
func row(edits map[string]string) string {
	var values []string
	for _, column := range cdrColumns {
		value := column.value
		if edited, is := edits[column.name]; is {
			value = edited
		}
		switch column.name {
		case "duration", "billsec", "sequence":
			values = append(values, value)
		default:
			values = append(values, `"`+strings.ReplaceAll(value, `"`, `""`)+`"`)
		}
	}
	return strings.Join(values, ",") + "\n"
}

// stranger is a row of another call.
func stranger() string {
	return row(map[string]string{
		"uniqueid": "1772359199.1", "linkedid": "1772359199.1", "sequence": "9", "dst": "700",
		"start": "2026-03-01 10:00:00", "answer": "", "end": "2026-03-01 10:00:05", "duration": "5", "billsec": "0", "disposition": "NO ANSWER",
	})
}

// anchored is the leg of the row, and the disclosure of its details.
func anchored(t *testing.T) (*ledger.Record, []byte) {
	t.Helper()
	v := map[string]string{}
	for _, column := range cdrColumns {
		v[column.name] = column.value
	}
	at := func(name string) ledger.Time {
		parsed, err := time.Parse(time.DateTime, v[name])
		require.NoError(t, err)
		return ledger.TimeOf(parsed)
	}
	details := &ledger.Details{Call: &ledger.CallDetails{
		AccountCode: v["accountcode"], AMAFlags: v["amaflags"], Channel: v["channel"], CLID: v["clid"], DContext: v["dcontext"], Dst: v["dst"],
		DstChannel: v["dstchannel"], LastApp: v["lastapp"], LastData: v["lastdata"], PeerAccount: v["peeraccount"], Src: v["src"], UserField: v["userfield"],
	}, Salt: strings.Repeat("5a", 32), V: ledger.SchemaVersion}
	disclosure, err := ledger.Canonical(details)
	require.NoError(t, err)
	return &ledger.Record{MSP: "AtlasMSP", PBX: "pbx1", Call: &ledger.Call{
		Start: at("start"), Answer: at("answer"), End: at("end"), DurationMS: 30_000, BillsecMS: 28_000, Disposition: v["disposition"],
		DetailsDigest: ledger.Digest(disclosure), Leg: ledger.LegID{LinkedID: v["linkedid"], UniqueID: v["uniqueid"], Sequence: 3},
	}}, disclosure
}

// An edit in any of the 21 columns is found and named; in a personal one once the
// owner has disclosed the details.
func TestEveryColumn(t *testing.T) {
	leg, disclosure := anchored(t)
	source := &fakeLedger{legs: []*ledger.Record{leg}}
	public := verify.CDRFields(leg.Call, nil)
	require.Len(t, cdrColumns, 21)
	for _, column := range cdrColumns {
		for _, disclosed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, disclosed %t", column.name, disclosed), func(t *testing.T) {
				question := audit.Question{CDR: file(t, "Master.csv", stranger()+row(map[string]string{column.name: column.edited})), LinkedID: linkedID}
				if disclosed {
					question.Disclosures = [][]byte{[]byte("{}"), disclosure}
				}
				verdict := ask(t, source, question)
				require.Len(t, verdict.Findings, 1)
				finding := verdict.Findings[0]
				if _, seen := public[column.name]; !seen && !disclosed {
					require.Equal(t, audit.Intact, verdict.Outcome)
					require.Contains(t, strings.Join(finding.Notes, "\n"), "personal columns (numbers, names, channels) were not compared")
					return
				}
				require.Equal(t, audit.Altered, verdict.Outcome, finding.Statement)
				require.Equal(t, []string{column.name}, fieldsOf(finding.Differences))
				require.Contains(t, finding.Statement, "the row was altered: "+column.name)
				require.Equal(t, 1, verdict.Outcome.ExitCode())
			})
		}
	}
}

// TestCorrectedRows checks that a row is judged by what the owner corrected too, and
// that only a row which says the same is let pass.
func TestCorrectedRows(t *testing.T) {
	leg, _ := anchored(t)
	leg.Call.Direction = "inbound"
	billed := int64(27_000)
	source := &fakeLedger{legs: []*ledger.Record{leg}, corrections: []ledger.AnchoredCorrection{{
		AnchoredAt: leg.Call.End,
		Correction: ledger.Correction{Changes: &ledger.Changes{BillsecMS: &billed}, Leg: leg.Call.Leg, N: 1, Reason: ledger.CorrectClock},
	}}}
	for _, test := range []struct {
		billsec string
		outcome audit.Outcome
		says    string
	}{
		{"28", audit.Intact, "as Asterisk wrote it"},
		{"27", audit.Intact, "the row is not as Asterisk wrote it; it says what the owner's correction 1 says"},
		{"26", audit.Altered, "the row was altered: billsec"},
	} {
		verdict := ask(t, source, audit.Question{CDR: file(t, "Master.csv", row(map[string]string{"billsec": test.billsec})), LinkedID: linkedID})
		require.Equal(t, test.outcome, verdict.Outcome, test.billsec)
		require.Contains(t, verdict.Findings[0].Statement, test.says)
		require.Contains(t, strings.Join(verdict.Findings[0].Notes, "\n"), "corrections of this leg by its owner: 1, the last at 2026-03-01T09:30:30.000Z because of clock")
	}
	other := leg.Call.Leg
	other.Sequence++
	source.corrections[0].Correction.Leg = other
	verdict := ask(t, source, audit.Question{CDR: file(t, "Master.csv", row(map[string]string{"billsec": "27"})), LinkedID: linkedID})
	require.Equal(t, audit.Altered, verdict.Outcome, "another leg's correction does not count")
	require.NotContains(t, strings.Join(verdict.Findings[0].Notes, "\n"), "corrections of this leg")
}

func TestCDRVerdicts(t *testing.T) {
	whole := row(nil)
	for name, c := range map[string]struct {
		text    string
		change  func(*fakeLedger)
		outcome audit.Outcome
		says    string
		notes   string
	}{
		"intact":              {text: stranger() + whole, outcome: audit.Intact, says: "as Asterisk wrote it"},
		"row missing":         {text: stranger(), outcome: audit.Altered, says: "is missing from the file", notes: "1772359199.1"},
		"file empty":          {text: "", outcome: audit.Altered, says: "no readable row"},
		"row unreadable":      {text: strings.Replace(whole, `"2026-03-01 09:30:30"`, `"yesterday"`, 1), outcome: audit.Altered, says: "no readable row", notes: "not one Asterisk wrote"},
		"row cut":             {text: stranger() + strings.SplitN(whole, ",", 6)[0] + ",600\n", outcome: audit.Altered, says: "is missing from the file", notes: "not one Asterisk wrote"},
		"row of another call": {text: strings.ReplaceAll(stranger(), "1772359199.1", linkedID), outcome: audit.Altered, says: "is missing from the file"},
		"invalid transaction": {text: whole, change: func(f *fakeLedger) { f.validation = "BAD_RWSET" }, outcome: audit.Undecided, says: "is not valid"},
		"unknown call":        {text: whole, change: func(f *fakeLedger) { f.legs = nil }, outcome: audit.Undecided, says: "no leg of call"},
		"ledger away":         {text: whole, change: func(f *fakeLedger) { f.away = errors.New("no answer") }, outcome: audit.Undecided, says: "could not be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			leg, disclosure := anchored(t)
			source := &fakeLedger{legs: []*ledger.Record{leg}}
			if c.change != nil {
				c.change(source)
			}
			verdict := ask(t, source, audit.Question{CDR: file(t, "Master.csv", c.text), LinkedID: linkedID, Disclosures: [][]byte{disclosure}})
			require.Len(t, verdict.Findings, 1)
			require.Equal(t, c.outcome, verdict.Outcome, verdict.Findings[0].Statement)
			require.Contains(t, verdict.Findings[0].Statement, c.says)
			require.Contains(t, strings.Join(verdict.Findings[0].Notes, "\n"), c.notes)
		})
	}
}

// Altered outweighs undecided, which outweighs intact, whichever comes first.
func TestOutcomes(t *testing.T) {
	leg, disclosure := anchored(t)
	good := recordingOf(t, linkedID, "the audio", 1)
	question := audit.Question{LinkedID: linkedID, Disclosures: [][]byte{disclosure}}
	for name, c := range map[string]struct {
		source  *fakeLedger
		audio   string
		edits   map[string]string
		outcome audit.Outcome
		code    int
	}{
		"both intact":                       {&fakeLedger{legs: []*ledger.Record{leg}, recordings: []*ledger.Record{good}}, "the audio", nil, audit.Intact, 0},
		"recording altered":                 {&fakeLedger{legs: []*ledger.Record{leg}, recordings: []*ledger.Record{good}}, "x", nil, audit.Altered, 1},
		"row altered":                       {&fakeLedger{legs: []*ledger.Record{leg}, recordings: []*ledger.Record{good}}, "the audio", map[string]string{"dst": "1"}, audit.Altered, 1},
		"recording unknown":                 {&fakeLedger{legs: []*ledger.Record{leg}}, "the audio", nil, audit.Undecided, 2},
		"leg unknown":                       {&fakeLedger{recordings: []*ledger.Record{good}}, "the audio", nil, audit.Undecided, 2},
		"recording unknown and row altered": {&fakeLedger{legs: []*ledger.Record{leg}}, "the audio", map[string]string{"dst": "1"}, audit.Altered, 1},
	} {
		t.Run(name, func(t *testing.T) {
			question := question
			question.Recording, question.CDR = file(t, "a.wav", c.audio), file(t, "Master.csv", row(c.edits))
			verdict := ask(t, c.source, question)
			require.Equal(t, c.outcome, verdict.Outcome)
			require.Equal(t, c.code, verdict.Outcome.ExitCode())
			require.Len(t, verdict.Findings, 2)
		})
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for name, c := range map[string]struct {
		question audit.Question
		says     string
	}{
		"recording":    {audit.Question{Recording: none}, "open the recording"},
		"CDR file":     {audit.Question{CDR: none, LinkedID: linkedID}, "open the CDR file"},
		"CDR, no call": {audit.Question{CDR: file(t, "Master.csv", row(nil))}, "name one with --call"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := audit.Ask(t.Context(), &fakeLedger{}, c.question)
			require.ErrorContains(t, err, c.says)
		})
	}
}
