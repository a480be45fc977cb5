package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/ledger"
)

// placed is a record of version 2 that holds nothing yet.
func placed() ledger.Record {
	record := callRecord()
	record.Call, record.V = nil, 2
	return record
}

// newRecords are a good record of each kind that version 2 added, by kind, and a
// call with everything it added.
func newRecords() map[string]ledger.Record {
	at := ledger.TimeOf(noon.Add(5 * time.Second))
	l := callRecord().Call.Leg
	other := ledger.LegID{LinkedID: "pbx1-1772366405.14", UniqueID: "pbx1-1772366405.14", Sequence: 9}
	link, omission, opening, beat, call := placed(), placed(), placed(), placed(), callRecord()
	link.Link = &ledger.Link{At: at, From: l.LinkedID, FromLeg: &l, Kind: ledger.LinkBlindTransfer, To: other.LinkedID, ToLeg: &other}
	omission.Omission = &ledger.Omission{At: at, Leg: l, Reason: ledger.OmissionMissing}
	opening.Opening = &ledger.Opening{At: at, PrevEpoch: 5, PrevRoot: hexOf(32), PrevSeq: 17, Why: ledger.OpeningLost}
	beat.Beat = &ledger.Beat{At: at, Closing: true, HighWater: []ledger.HighWater{{Boot: 1, Sequence: 0}, {Boot: 2, Sequence: 7}}}
	call.V = 2
	call.Call.Attestation, call.Call.Boot, call.Call.CallRef, call.Call.ClockOffsetMS, call.Call.Verdict = "A", 1_772_300_000_000, hexOf(16), -12, ledger.VerdictPassed
	return map[string]ledger.Record{"link": link, "omission": omission, "opening": opening, "beat": beat, "call": call}
}

func TestRecordsOfVersion2(t *testing.T) {
	keys := map[string]bool{}
	for name, record := range newRecords() {
		require.NoError(t, record.Check(), name)
		text, err := ledger.Canonical(&record)
		require.NoError(t, err)
		require.Equal(t, string(rfc8785(t, text)), string(text))
		var back ledger.Record
		require.NoError(t, ledger.DecodeStrict(text, &back), name)
		require.Equal(t, record, back)

		objectType, parts, err := ledger.SplitKey(record.Key())
		require.NoError(t, err)
		require.Equal(t, []string{"AtlasMSP", "pbx1"}, parts[:2], "an operator writes under its own name")
		require.False(t, keys[objectType], "each kind has keys of its own")
		keys[objectType] = true
		require.False(t, record.Moment().IsZero(), name)
		if name != "call" {
			require.Empty(t, record.DetailsDigest(), "%s: nothing personal to bind", name)
		}
		old := record
		old.V = 1
		requireCode(t, ledger.CodeInvalid, old.Check())
		twice := record
		twice.Recording = recordingRecord().Recording
		requireCode(t, ledger.CodeInvalid, twice.Check())
	}
	all := newRecords()
	link, call := all["link"], all["call"]
	require.Equal(t, []string{ledger.LinkToKey("AtlasMSP", "pbx1", link.Link)}, link.Indexes())
	require.Equal(t, []string{ledger.CallByRefKey(hexOf(16), "AtlasMSP", "pbx1", call.Call.Leg)}, call.Indexes())
	require.Empty(t, link.Leg())
	omission := all["omission"]
	require.Equal(t, call.Leg(), omission.Leg())
}

func TestBadRecordsOfVersion2AreRefused(t *testing.T) {
	for name, change := range map[string]func(map[string]ledger.Record){
		"an unknown attestation": func(r map[string]ledger.Record) { r["call"].Call.Attestation = "D" },
		"an unknown verdict":     func(r map[string]ledger.Record) { r["call"].Call.Verdict = "fine" },
		"a negative boot":        func(r map[string]ledger.Record) { r["call"].Call.Boot = -1 },
		"a boot beyond 2^53":     func(r map[string]ledger.Record) { r["call"].Call.Boot = ledger.MaxInteger + 1 },
		"a Call-ID as call_ref":  func(r map[string]ledger.Record) { r["call"].Call.CallRef = "a84b4c76e66710@pc33" },
		"a long call_ref":        func(r map[string]ledger.Record) { r["call"].Call.CallRef = hexOf(32) },
		"a clock a day off":      func(r map[string]ledger.Record) { r["call"].Call.ClockOffsetMS = 24*3600*1000 + 1 },
		"a clock a day behind":   func(r map[string]ledger.Record) { r["call"].Call.ClockOffsetMS = -24*3600*1000 - 1 },

		"a link without from":      func(r map[string]ledger.Record) { r["link"].Link.From = "" },
		"a link without to":        func(r map[string]ledger.Record) { r["link"].Link.To = "a b" },
		"a link to itself":         func(r map[string]ledger.Record) { r["link"].Link.To = r["link"].Link.From },
		"an unknown kind of link":  func(r map[string]ledger.Record) { r["link"].Link.Kind = "merge" },
		"a link at no time":        func(r map[string]ledger.Record) { r["link"].Link.At = ledger.Time{} },
		"a link before 1970":       func(r map[string]ledger.Record) { r["link"].Link.At = ledger.TimeOf(time.UnixMilli(-1)) },
		"a leg of another call":    func(r map[string]ledger.Record) { r["link"].Link.FromLeg.LinkedID = "pbx1-1.1" },
		"a leg that is none":       func(r map[string]ledger.Record) { r["link"].Link.ToLeg.UniqueID = "" },
		"the ends exchanged":       func(r map[string]ledger.Record) { l := r["link"].Link; l.FromLeg, l.ToLeg = l.ToLeg, l.FromLeg },
		"an omission for nothing":  func(r map[string]ledger.Record) { r["omission"].Omission.Reason = "" },
		"an omission in free text": func(r map[string]ledger.Record) { r["omission"].Omission.Reason = "Ana asked for it" },
		"an omission at no time":   func(r map[string]ledger.Record) { r["omission"].Omission.At = ledger.Time{} },
		"an omission of no leg":    func(r map[string]ledger.Record) { r["omission"].Omission.Leg = ledger.LegID{} },

		"an opening that is not first":    func(r map[string]ledger.Record) { o := r["opening"]; o.Seq, o.Segment = 2, 2; r["opening"] = o },
		"an opening for no reason":        func(r map[string]ledger.Record) { r["opening"].Opening.Why = "" },
		"a first with a past":             func(r map[string]ledger.Record) { r["opening"].Opening.Why = ledger.OpeningFirst },
		"a later one without":             func(r map[string]ledger.Record) { r["opening"].Opening.PrevEpoch = 0 },
		"a later one after itself":        func(r map[string]ledger.Record) { r["opening"].Opening.PrevEpoch = r["opening"].Epoch },
		"a later one after nothing":       func(r map[string]ledger.Record) { r["opening"].Opening.PrevSeq = 0 },
		"a later one with half a root":    func(r map[string]ledger.Record) { r["opening"].Opening.PrevRoot = hexOf(16) },
		"an opening at no time":           func(r map[string]ledger.Record) { r["opening"].Opening.At = ledger.Time{} },
		"a beat at no time":               func(r map[string]ledger.Record) { r["beat"].Beat.At = ledger.Time{} },
		"a beat with an empty list":       func(r map[string]ledger.Record) { r["beat"].Beat.HighWater = []ledger.HighWater{} },
		"a beat with a start twice":       func(r map[string]ledger.Record) { r["beat"].Beat.HighWater[1].Boot = 1 },
		"a beat with starts out of order": func(r map[string]ledger.Record) { r["beat"].Beat.HighWater[0].Boot = 3 },
		"a beat without a start":          func(r map[string]ledger.Record) { r["beat"].Beat.HighWater[0].Boot = 0 },
		"a beat below 0":                  func(r map[string]ledger.Record) { r["beat"].Beat.HighWater[0].Sequence = -1 },
		"a beat of too many starts":       func(r map[string]ledger.Record) { r["beat"].Beat.HighWater = make([]ledger.HighWater, 21) },
	} {
		t.Run(name, func(t *testing.T) {
			records := newRecords()
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

// opened is a segment of version 2 that begins an epoch: an opening, two legs of
// one start of Asterisk, and a closing beat.
func opened(t require.TestingT, change ...func(*ledger.SignedSegment)) *ledger.SignedSegment {
	all := newRecords()
	first, second := all["call"], all["call"]
	copied := *second.Call
	second.Call = &copied
	second.Call.Leg.Sequence = 12
	identity := adapter(t)
	return signedSegment(t, identity, 4, append([]func(*ledger.SignedSegment){func(s *ledger.SignedSegment) {
		s.Records = []ledger.Record{all["opening"], first, second, all["beat"]}
		for i := range s.Records {
			s.Records[i].Seq = int64(i + 1)
		}
		s.Segment.V, s.Segment.Closing = 2, true
		s.Segment.Boots = []ledger.BootRange{{Boot: 1_772_300_000_000, Count: 2, Highest: 12, Latest: ledger.TimeOf(noon), Lowest: 7}}
	}}, change...)...)
}

func TestSegmentsOfVersion2TellTheTruth(t *testing.T) {
	_, err := opened(t).Check()
	require.NoError(t, err)
	promising := opened(t, func(s *ledger.SignedSegment) {
		s.Segment.Closing, s.Records[3].Beat.Closing = false, false
		s.Segment.NextBy = s.Segment.ClosedAt
	})
	_, err = promising.Check()
	require.NoError(t, err)
	for name, change := range map[string]func(*ledger.SignedSegment){
		"no opening":         func(s *ledger.SignedSegment) { s.Records, s.Segment.Count = s.Records[1:], 3; renumber(s) },
		"boots left out":     func(s *ledger.SignedSegment) { s.Segment.Boots = nil },
		"boots empty":        func(s *ledger.SignedSegment) { s.Segment.Boots = []ledger.BootRange{} },
		"another count":      func(s *ledger.SignedSegment) { s.Segment.Boots[0].Count++ },
		"another high water": func(s *ledger.SignedSegment) { s.Segment.Boots[0].Highest++ },
		"another low water":  func(s *ledger.SignedSegment) { s.Segment.Boots[0].Lowest-- },
		"another time":       func(s *ledger.SignedSegment) { s.Segment.Boots[0].Latest = s.Segment.ClosedAt },
		"another start":      func(s *ledger.SignedSegment) { s.Segment.Boots[0].Boot-- },
		"a start too many": func(s *ledger.SignedSegment) {
			s.Segment.Boots = append(s.Segment.Boots, ledger.BootRange{Boot: 1 << 50, Latest: s.Segment.ClosedAt})
		},
		"twenty-one starts": func(s *ledger.SignedSegment) {
			for range 20 {
				s.Segment.Boots = append(s.Segment.Boots, s.Segment.Boots[0])
			}
		},
		"closing not told":        func(s *ledger.SignedSegment) { s.Segment.Closing = false },
		"closing without a beat":  func(s *ledger.SignedSegment) { s.Records[3].Beat.Closing = false },
		"a promise after closing": func(s *ledger.SignedSegment) { s.Segment.NextBy = s.Segment.ClosedAt },
		"a promise that passed": func(s *ledger.SignedSegment) {
			s.Segment.Closing, s.Records[3].Beat.Closing = false, false
			s.Segment.NextBy = ledger.TimeOf(noon)
		},
		"members that version 1 lacks": func(s *ledger.SignedSegment) { s.Segment.V = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := opened(t, change).Check()
			requireCode(t, ledger.CodeInvalid, err)
		})
	}
}

// renumber gives a segment's records their places.
func renumber(s *ledger.SignedSegment) {
	for i := range s.Records {
		s.Records[i].Seq = s.Segment.FirstSeq + int64(i)
	}
}

func TestBootsAreSummedUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[int64]ledger.BootRange{}
		var records []ledger.Record
		for range rapid.IntRange(0, 40).Draw(t, "legs") {
			record := callRecord()
			boot, sequence := rapid.Int64Range(0, 3).Draw(t, "boot"), rapid.Int64Range(0, 99).Draw(t, "sequence")
			record.Call.Boot, record.Call.Leg.Sequence = boot, sequence
			record.Call.Start = ledger.TimeOf(noon.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "start")) * time.Second))
			records = append(records, record, recordingRecord())
			if boot == 0 {
				continue
			}
			sum, found := want[boot]
			if !found {
				sum = ledger.BootRange{Boot: boot, Highest: sequence, Latest: record.Call.Start, Lowest: sequence}
			}
			sum.Count, sum.Highest, sum.Lowest = sum.Count+1, max(sum.Highest, sequence), min(sum.Lowest, sequence)
			if record.Call.Start.UnixMilli() > sum.Latest.UnixMilli() {
				sum.Latest = record.Call.Start
			}
			want[boot] = sum
		}
		got := ledger.BootsOf(records)
		require.Len(t, got, len(want))
		for i, boot := range got {
			require.Equal(t, want[boot.Boot], boot)
			require.True(t, i == 0 || got[i-1].Boot < boot.Boot)
		}
	})
}

func TestACallRefIsKeyedAndApart(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	ref := ledger.CallRef(key, "a84b4c76e66710@pc33.example.com")
	require.NoError(t, ledger.CheckCallRef(ref))
	require.Equal(t, "f49cd14f2c98bfbabd932dfbae7f46a0", ref, "as openssl computes it")
	require.NotEqual(t, ref, ledger.CallRef(key, "a84b4c76e66710@pc33.example.org"))
	require.NotEqual(t, ref, ledger.CallRef(key[1:], "a84b4c76e66710@pc33.example.com"))
	require.NotEqual(t, ref, ledger.PartyRef(key, "a84b4c76e66710@pc33.example.com"), "a number and a Call-ID are never mistaken for each other")
}
