package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

// recordingV2 is a recording with everything that version 2 added.
func recordingV2() ledger.Record {
	record := recordingRecord()
	record.V = 2
	r := record.Recording
	r.Method, r.SegmentRoot, r.VaultManifest = "ari-channel", hexOf(32), hexOf(32)
	r.RetentionUntil = ledger.TimeOf(noon.Add(365 * 24 * time.Hour))
	r.Pauses = []ledger.Pause{{FromMS: 0, Reason: ledger.PauseCard, ToMS: 5_000}, {FromMS: 5_000, Reason: ledger.PauseCard, ToMS: 7_000}}
	return record
}

func TestRecordingsOfVersion2(t *testing.T) {
	record := recordingV2()
	require.NoError(t, record.Check())
	text, err := ledger.Canonical(&record)
	require.NoError(t, err)
	require.Contains(t, string(text), `"pauses":[{"from_ms":0,"reason":"payment_card","to_ms":5000}`)
	var back ledger.Record
	require.NoError(t, ledger.DecodeStrict(text, &back))
	require.Equal(t, record, back)

	for name, change := range map[string]func(*ledger.Recording){
		"pauses": func(r *ledger.Recording) {
			r.Method, r.SegmentRoot, r.VaultManifest, r.RetentionUntil = "", "", "", ledger.Time{}
		},
		"retention": func(r *ledger.Recording) { r.Method, r.SegmentRoot, r.VaultManifest, r.Pauses = "", "", "", nil },
		"segment root": func(r *ledger.Recording) {
			r.Method, r.VaultManifest, r.Pauses, r.RetentionUntil = "", "", nil, ledger.Time{}
		},
		"vault": func(r *ledger.Recording) {
			r.Method, r.SegmentRoot, r.Pauses, r.RetentionUntil = "", "", nil, ledger.Time{}
		},
		"channel": func(r *ledger.Recording) { *r = *recordingRecord().Recording; r.Method = "ari-channel" },
	} {
		record := recordingV2()
		change(record.Recording)
		require.NoError(t, record.Check(), name)
		record.V = 1
		requireCode(t, ledger.CodeInvalid, record.Check())
	}
	for name, change := range map[string]func(*ledger.Recording){
		"no pause":           func(r *ledger.Recording) { r.Pauses = []ledger.Pause{} },
		"another reason":     func(r *ledger.Recording) { r.Pauses[0].Reason = "lunch" },
		"a negative start":   func(r *ledger.Recording) { r.Pauses[0].FromMS = -1 },
		"an empty pause":     func(r *ledger.Recording) { r.Pauses[0].ToMS = 0 },
		"a backward pause":   func(r *ledger.Recording) { r.Pauses[1].ToMS = 4_999 },
		"an endless pause":   func(r *ledger.Recording) { r.Pauses[1].ToMS = ledger.MaxInteger },
		"overlapping pauses": func(r *ledger.Recording) { r.Pauses[1].FromMS = 4_999 },
		"unsorted pauses":    func(r *ledger.Recording) { r.Pauses[0], r.Pauses[1] = r.Pauses[1], r.Pauses[0] },
		"too many pauses": func(r *ledger.Recording) {
			r.Pauses = nil
			for i := range int64(101) {
				r.Pauses = append(r.Pauses, ledger.Pause{FromMS: 2 * i, Reason: ledger.PauseCard, ToMS: 2*i + 1})
			}
		},
		"a short root":     func(r *ledger.Recording) { r.SegmentRoot = hexOf(31) },
		"a short manifest": func(r *ledger.Recording) { r.VaultManifest = "file.wav" },
	} {
		record := recordingV2()
		change(record.Recording)
		require.Error(t, record.Check(), name)
		requireCode(t, ledger.CodeInvalid, record.Check())
	}
}
