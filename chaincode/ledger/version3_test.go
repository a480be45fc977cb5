package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

// records3 are a good record of each kind that version 3 added, and a leg and a
// recording with everything it added, by kind.
func records3() map[string]ledger.Record {
	at := ledger.TimeOf(noon.Add(5 * time.Second))
	progress, disagreement, call, recording := placed(), placed(), callRecord(), recordingRecord()
	l := call.Call.Leg
	progress.Progress = &ledger.Progress{
		At: at, Boot: 1_772_300_000_000, CalleeRef: hexOf(16), CallerRef: hexOf(16), Direction: "inbound", LinkedID: l.LinkedID,
		State: ledger.ProgressAnswered, Technology: "PJSIP", UniqueID: l.UniqueID,
	}
	disagreement.Disagreement = &ledger.Disagreement{At: at, Differences: []ledger.ColumnDifference{
		{Column: "billsec", First: "4", Second: "400"}, {Column: "dst"},
	}, First: "csv", Leg: l, Second: "table"}
	call.Call.Imported = true
	recording.Recording.Imported, recording.Recording.Track = true, ledger.TrackReceived
	recording.Recording.Recovered, recording.Recording.FoundSHA256 = ledger.RecoveredRepaired, hexOf(32)[2:]+"00"
	records := map[string]ledger.Record{"progress": progress, "disagreement": disagreement, "call": call, "recording": recording}
	for name, record := range records {
		record.V = 3
		records[name] = record
	}
	return records
}

func TestRecordsOfVersion3(t *testing.T) {
	keys := map[string]bool{}
	for name, record := range records3() {
		require.NoError(t, record.Check(), name)
		text, err := ledger.Canonical(&record)
		require.NoError(t, err)
		var back ledger.Record
		require.NoError(t, ledger.DecodeStrict(text, &back), name)
		require.Equal(t, record, back)
		objectType, parts, err := ledger.SplitKey(record.Key())
		require.NoError(t, err)
		require.Equal(t, []string{"AtlasMSP", "pbx1"}, parts[:2], "an operator writes under its own name")
		require.False(t, keys[objectType], "each kind has keys of its own")
		keys[objectType] = true
		require.False(t, record.Moment().IsZero(), name)
		old := record
		old.V = 2
		requireCode(t, ledger.CodeInvalid, old.Check())
	}
	disagreement := records3()["disagreement"]
	require.Equal(t, callRecord().Call.Leg, disagreement.Leg())
	require.Empty(t, disagreement.DetailsDigest(), "nothing personal to bind")
}

func TestBadRecordsOfVersion3AreRefused(t *testing.T) {
	for name, change := range map[string]func(map[string]ledger.Record){
		"an unknown track":    func(r map[string]ledger.Record) { r["recording"].Recording.Track = "left" },
		"an unknown recovery": func(r map[string]ledger.Record) { r["recording"].Recording.Recovered = "mended" },
		"a repair of nothing": func(r map[string]ledger.Record) {
			r["recording"].Recording.FoundSHA256 = r["recording"].Recording.SHA256
		},
		"a repair without what was": func(r map[string]ledger.Record) { r["recording"].Recording.FoundSHA256 = "" },
		"what was without a repair": func(r map[string]ledger.Record) { r["recording"].Recording.Recovered = ledger.RecoveredAsFound },
		"no CDR, and its number": func(r map[string]ledger.Record) {
			r["recording"].Recording.NoCDR, r["recording"].Recording.Leg.Sequence = true, 7
		},
		"progress of no channel":        func(r map[string]ledger.Record) { r["progress"].Progress.UniqueID = "" },
		"progress of no call":           func(r map[string]ledger.Record) { r["progress"].Progress.LinkedID = "" },
		"progress in free text":         func(r map[string]ledger.Record) { r["progress"].Progress.State = "talking" },
		"progress at no time":           func(r map[string]ledger.Record) { r["progress"].Progress.At = ledger.Time{} },
		"progress before Asterisk":      func(r map[string]ledger.Record) { r["progress"].Progress.Boot = -1 },
		"progress of a number":          func(r map[string]ledger.Record) { r["progress"].Progress.CallerRef = "351910000001" },
		"progress of a channel's name":  func(r map[string]ledger.Record) { r["progress"].Progress.Technology = "PJSIP/1001" },
		"progress in no direction":      func(r map[string]ledger.Record) { r["progress"].Progress.Direction = "up" },
		"a disagreement about nothing":  func(r map[string]ledger.Record) { r["disagreement"].Disagreement.Differences = nil },
		"a disagreement with nobody":    func(r map[string]ledger.Record) { r["disagreement"].Disagreement.Second = "" },
		"a disagreement about no leg":   func(r map[string]ledger.Record) { r["disagreement"].Disagreement.Leg = ledger.LegID{} },
		"a disagreement at no time":     func(r map[string]ledger.Record) { r["disagreement"].Disagreement.At = ledger.Time{} },
		"a personal value":              func(r map[string]ledger.Record) { r["disagreement"].Disagreement.Differences[1].Second = "1002" },
		"a column that is none":         func(r map[string]ledger.Record) { r["disagreement"].Disagreement.Differences[1].Column = "weather" },
		"a column that may not differ":  func(r map[string]ledger.Record) { r["disagreement"].Disagreement.Differences[1].Column = "uniqueid" },
		"columns out of order":          func(r map[string]ledger.Record) { r["disagreement"].Disagreement.Differences[1].Column = "answer" },
		"a difference that is none":     func(r map[string]ledger.Record) { r["disagreement"].Disagreement.Differences[0].Second = "4" },
		"a value that is more than one": func(r map[string]ledger.Record) { r["disagreement"].Disagreement.Differences[0].Second = "4\n5" },
	} {
		t.Run(name, func(t *testing.T) {
			records := records3()
			change(records)
			refused := 0
			for _, record := range records {
				if err := record.Check(); err != nil {
					requireCode(t, ledger.CodeInvalid, err)
					refused++
				}
			}
			require.Equal(t, 1, refused)
		})
	}
}

// TestAClockThatWasSetBack checks that a call during which it was stands as the CDR has
// it, and says so.
func TestAClockThatWasSetBack(t *testing.T) {
	record := callRecord()
	record.V = 3
	call := record.Call
	call.End = ledger.TimeOf(call.Start.Std().Add(-time.Hour))
	call.DurationMS, call.BillsecMS = -3_600_000, -3_600_000
	requireCode(t, ledger.CodeInvalid, record.Check())
	call.ClockSetBack = true
	require.NoError(t, record.Check())
	require.False(t, call.InOrder())
	record.V = 2
	requireCode(t, ledger.CodeInvalid, record.Check())
	ordered := callRecord()
	ordered.V, ordered.Call.ClockSetBack = 3, true
	requireCode(t, ledger.CodeInvalid, ordered.Check())
}

func TestAColumnIsSharedOrPersonal(t *testing.T) {
	require.True(t, ledger.SharedColumn("disposition"))
	require.False(t, ledger.SharedColumn("src"))
}

// wayDetails are details with everything that version 3 added.
func wayDetails() *ledger.Details {
	at := ledger.TimeOf(noon)
	return &ledger.Details{Call: &ledger.CallDetails{
		Cost: &ledger.CallCost{Currency: "EUR", Micros: 34_500, Rate: "351"}, Features: []string{"hold", "queue"},
		Journey:  []ledger.JourneyStep{{At: at, Kind: "extension", Place: "1002@from-internal"}, {At: at, Kind: "queue", Place: "support"}},
		Location: &ledger.CallLocation{Origin: "PT"}, Network: &ledger.CallNetwork{Remote: "192.0.2.7:5060", Transport: "udp"}, Src: "1001",
	}, Salt: hexOf(32), V: 3}
}

func TestDetailsOfVersion3(t *testing.T) {
	require.NoError(t, wayDetails().Check())
	for name, change := range map[string]func(*ledger.Details){
		"version 2":             func(d *ledger.Details) { d.V = 2 },
		"no feature":            func(d *ledger.Details) { d.Call.Features = []string{} },
		"features out of order": func(d *ledger.Details) { d.Call.Features = []string{"queue", "hold"} },
		"a feature twice":       func(d *ledger.Details) { d.Call.Features = []string{"hold", "hold"} },
		"an empty feature":      func(d *ledger.Details) { d.Call.Features = []string{""} },
		"too many features":     func(d *ledger.Details) { d.Call.Features = make([]string, 33) },
		"no step":               func(d *ledger.Details) { d.Call.Journey = []ledger.JourneyStep{} },
		"too many steps":        func(d *ledger.Details) { d.Call.Journey = make([]ledger.JourneyStep, ledger.MaxJourney+1) },
		"a step at no time":     func(d *ledger.Details) { d.Call.Journey[0].At = ledger.Time{} },
		"a step of no kind":     func(d *ledger.Details) { d.Call.Journey[0].Kind = "" },
		"steps out of order":    func(d *ledger.Details) { d.Call.Journey[1].At = ledger.TimeOf(noon.Add(-time.Second)) },
		"a currency in words":   func(d *ledger.Details) { d.Call.Cost.Currency = "euro" },
		"a currency in lower":   func(d *ledger.Details) { d.Call.Cost.Currency = "eur" },
		"a negative cost":       func(d *ledger.Details) { d.Call.Cost.Micros = -1 },
		"a cost beyond 2^53":    func(d *ledger.Details) { d.Call.Cost.Micros = ledger.MaxInteger + 1 },
		"a cost by no rate":     func(d *ledger.Details) { d.Call.Cost.Rate = "" },
		"a location of nowhere": func(d *ledger.Details) { d.Call.Location = &ledger.CallLocation{} },
		"a network of nothing":  func(d *ledger.Details) { d.Call.Network = &ledger.CallNetwork{} },
	} {
		t.Run(name, func(t *testing.T) {
			details := wayDetails()
			change(details)
			requireCode(t, ledger.CodeInvalid, details.Check())
		})
	}
}

func TestWhatMayStillBeWritten(t *testing.T) {
	require.NoError(t, ledger.CheckWritten("it", 2))
	require.NoError(t, ledger.CheckWritten("it", ledger.SchemaVersion))
	requireCode(t, ledger.CodeInvalid, ledger.CheckWritten("it", 1))
	requireCode(t, ledger.CodeInvalid, ledger.CheckWritten("it", ledger.SchemaVersion+1))
}
