package demo

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/asterisk-adapter/lab/sample"
	"github.com/callseal/callseal/audit"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// TestDemo runs the demo as a user does and reads what it prints.
func TestDemo(t *testing.T) {
	for _, mode := range []struct {
		name      string
		arguments []string
		says      string
	}{
		{"bundled", []string{"demo", "--bundled"}, "Use the bundled calls"},
		{"live", []string{"demo"}, "hung up, committed"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			if mode.name == "live" {
				lab.Require(t)
			}
			bin := networktest.Build(t, "callseal", "callseal-gateway", "callseal-chaincode", "callseal-asterisk-adapter")
			folder := t.TempDir()
			command := exec.CommandContext(t.Context(), filepath.Join(bin, "callseal"), mode.arguments...)
			command.Env = append(os.Environ(), "TMPDIR="+folder)
			// Interrupted, it stops what it started.
			command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
			command.WaitDelay = time.Minute
			output, err := command.CombinedOutput()
			require.NoError(t, err, "%s", output)
			text := string(output)
			require.Contains(t, text, mode.says)
			require.Contains(t, text, "In all: intact 1 time, altered 3 times")
			require.Contains(t, text, "this is the recording that was made, bit for bit")
			require.Contains(t, text, "the row is as Asterisk wrote it")
			require.Regexp(t, `endorsed by \w+MSP and \w+MSP`, text)
			require.Equal(t, 3, strings.Count(text, "with the gateway of Atlas stopped, asked the peer of Borealis: ALTERED"), text)
			require.Contains(t, text, "everything is stopped")
			left, err := os.ReadDir(folder)
			require.NoError(t, err)
			for _, entry := range left {
				require.False(t, strings.HasPrefix(entry.Name(), "callseal-demo-") || strings.HasPrefix(entry.Name(), "callseal-asterisk-"), entry.Name())
			}
		})
	}
}

// sampleLedger is a ledger that holds the bundled calls' legs.
type sampleLedger struct{ legs []*ledger.Record }

func (l *sampleLedger) Source() string { return "the sample" }

func (l *sampleLedger) Legs(_ context.Context, _, _, linkedID string) ([]*ledger.Record, error) {
	return slices.DeleteFunc(slices.Clone(l.legs), func(leg *ledger.Record) bool { return leg.Call.Leg.LinkedID != linkedID }), nil
}

func (l *sampleLedger) Recordings(context.Context, string, string, string) ([]*ledger.Record, error) {
	return nil, nil
}

func (l *sampleLedger) RecordingsBySHA256(context.Context, string) ([]*ledger.Record, error) {
	return nil, nil
}

func (l *sampleLedger) Corrections(context.Context, string, string, string) ([]ledger.AnchoredCorrection, error) {
	return nil, nil
}

func (l *sampleLedger) Endorsement(context.Context, *ledger.Record) (*audit.Endorsement, error) {
	return &audit.Endorsement{Validation: "VALID", Endorsers: []string{"AtlasMSP", "BorealisMSP"}}, nil
}

// newSampleLedger anchors the bundled rows and answers the disclosure of each.
func newSampleLedger(t *testing.T, content []byte) (*sampleLedger, []cdr.Row, [][]byte) {
	t.Helper()
	held := &sampleLedger{}
	var rows []cdr.Row
	var disclosures [][]byte
	for line := range strings.Lines(string(content)) {
		row, err := cdr.ParseCSV([]byte(strings.TrimRight(line, "\n")), time.UTC)
		require.NoError(t, err)
		details := ledger.Details{Call: &ledger.CallDetails{
			AccountCode: row.AccountCode, AMAFlags: row.AMAFlags, Channel: row.Channel, CLID: row.CLID, DContext: row.DContext, Dst: row.Dst,
			DstChannel: row.DstChannel, LastApp: row.LastApp, LastData: row.LastData, PeerAccount: row.PeerAccount, Src: row.Src, UserField: row.UserField,
		}, Salt: strings.Repeat("5a", 32), V: ledger.SchemaVersion}
		digest, err := details.Digest()
		require.NoError(t, err)
		disclosure, err := ledger.Canonical(&details)
		require.NoError(t, err)
		held.legs = append(held.legs, &ledger.Record{
			Call: &ledger.Call{
				Leg: ledger.LegID{LinkedID: row.LinkedID, UniqueID: row.UniqueID, Sequence: row.Sequence}, Disposition: row.Disposition, DetailsDigest: digest,
				Start: ledger.TimeOf(row.Start), Answer: ledger.TimeOf(row.Answer), End: ledger.TimeOf(row.End), DurationMS: row.Duration * 1000, BillsecMS: row.BillSec * 1000,
			},
			Epoch: 1, MSP: "AtlasMSP", PBX: "atlas-pbx-1", Segment: 1, Seq: int64(len(held.legs) + 1), V: ledger.SchemaVersion,
		})
		rows, disclosures = append(rows, row), append(disclosures, disclosure)
	}
	return held, rows, disclosures
}

// TestEveryColumnEditIsFound edits each column of each bundled row in turn: every
// edit changes the row, and every changed row is found altered.
func TestEveryColumnEditIsFound(t *testing.T) {
	content, err := sample.Files.ReadFile("Master.csv")
	require.NoError(t, err)
	held, rows, disclosures := newSampleLedger(t, content)
	require.Len(t, rows, 2)
	file := filepath.Join(t.TempDir(), "Master.csv")
	ask := func(row cdr.Row, disclosures [][]byte) *audit.Verdict {
		verdict, err := audit.Ask(t.Context(), held, audit.Question{
			MSP: "AtlasMSP", PBX: "atlas-pbx-1", LinkedID: row.LinkedID, CDR: file, Zone: time.UTC, Disclosures: disclosures,
		})
		require.NoError(t, err)
		return verdict
	}
	for _, row := range rows {
		for column, name := range cdrColumns {
			require.NoError(t, os.WriteFile(file, content, 0o600))
			require.Equal(t, audit.Intact, ask(row, disclosures).Outcome)
			what, err := editColumn(file, row.UniqueID, column)
			require.NoError(t, err)
			require.Contains(t, what, "column "+name+": ")
			edited, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NotEqual(t, string(content), string(edited))
			require.Len(t, strings.Split(string(edited), "\n"), len(strings.Split(string(content), "\n")))
			verdict := ask(row, disclosures)
			require.Equal(t, audit.Altered, verdict.Outcome, "%s: %s: %+v", what, verdict.Findings[0].Statement, verdict.Findings[0].Differences)
		}
	}
	_, err = editRow(file, "1.1")
	require.ErrorContains(t, err, "no row of 1.1 is in the CDR file")
}

func TestEdited(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"2": "3", "": `"edited"`, `""`: `"edited"`, `"ANSWERED"`: `"NO ANSWER"`, `"DOCUMENTATION"`: `"BILLING"`, `"1001"`: `"1007"`, `"1007"`: `"1008"`,
		`"""Ana, Prado"" <1001>"`: `"""Ana, Prado"" <1007>"`, `"2026-11-21 07:35:15"`: `"2026-11-21 07:35:17"`,
		`"say ""hi"""`: `"say ""h7"""`, `">"`: `"edited"`,
	} {
		require.Equal(t, want, edited(value))
	}
}

// TestFlipByte changes one bit and no more, and what was remembered comes back.
func TestFlipByte(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.wav")
	original := []byte("RIFF and what follows")
	require.NoError(t, os.WriteFile(file, original, 0o600))
	restore, err := remember(file)
	require.NoError(t, err)
	_, err = flipByte(file)
	require.NoError(t, err)
	changed, err := os.ReadFile(file)
	require.NoError(t, err)
	bits := 0
	for i := range original {
		for difference := original[i] ^ changed[i]; difference != 0; difference &= difference - 1 {
			bits++
		}
	}
	require.Equal(t, 1, bits)
	require.NoError(t, restore())
	back, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, original, back)
}
