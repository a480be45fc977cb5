package contract_test

import (
	"strings"
	"testing"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// withHistories is a channel with two operators' histories, links, a correction
// and a dispute.
func withHistories(t testing.TB) *channel {
	c := enrolled(t)
	h := newHistory(t, noon, first)
	h.close(t, trunk(leg("a", 0), nil), linkRecord("a", "b", ledger.LinkPark, noon), ledger.Record{Omission: &ledger.Omission{At: ledger.TimeOf(noon), Leg: leg("a", 0), Reason: ledger.OmissionEmpty}})
	h.legs(t, 2)
	h.beat(t, true)
	c.put(h.told...)
	next := h.succeed(t, ledger.OpeningLost)
	next.legs(t, 1)
	c.put(next.told[1])
	c.anchored(segment(t, borealis, 1, []ledger.Record{trunk(leg("b", 0), func(call *ledger.Call) { call.BillsecMS = 0 })}))
	c.do(as(atlas, ledger.RoleCompliance, "calls:Correct", canonical(t, c.correction(leg("a", 0), ledger.Changes{DurationMS: ptr(1)}))))
	return c
}

// FuzzAnchorHistory tries segments of version 2, by the gateway and late by an admin.
func FuzzAnchorHistory(f *testing.F) {
	c := withHistories(f)
	h := newHistory(f, noon.Add(time.Hour), ledger.Opening{PrevEpoch: noon.UnixMilli(), PrevRoot: hexOf(32), PrevSeq: 4, Why: ledger.OpeningLost})
	h.close(f, h.leg(), trunk(leg("c", 0), nil), linkRecord("a", "c", ledger.LinkPark, noon), ledger.Record{Omission: &ledger.Omission{At: ledger.TimeOf(noon), Leg: leg("c", 0), Reason: ledger.OmissionEmpty}})
	h.close(f, ledger.Record{Beat: &ledger.Beat{At: ledger.TimeOf(noon), Closing: true, HighWater: []ledger.HighWater{{Boot: 1, Sequence: 2}}}})
	for _, segment := range h.told {
		text := canonical(f, []*ledger.SignedSegment{segment})
		f.Add(text, false)
		f.Add(text, true)
		f.Add(strings.Replace(text, `"v":2`, `"v":1`, 1), false)
		f.Add(strings.Replace(text, `"boots":[{`, `"boots":[{"boot":1,"count":1,"highest":1,"latest":"2026-03-01T12:00:00.000Z","lowest":1},{`, 1), false)
	}
	f.Fuzz(func(t *testing.T, segments string, late bool) {
		if late {
			fuzzed(t, c, ledger.RoleAdmin, nil, "calls:AnchorLate", segments)
		} else {
			fuzzed(t, c, ledger.RoleGateway, nil, "calls:Anchor", segments)
		}
	})
}

func FuzzCorrect(f *testing.F) {
	c := withHistories(f)
	good := canonical(f, c.correction(leg("a", 0), ledger.Changes{BillsecMS: ptr(5), HangupCause: ptr(0), Start: ledger.TimeOf(noon), Unanswered: true, Disposition: "BUSY"}))
	f.Add(good)
	f.Add(strings.Replace(good, `"n":2`, `"n":1`, 1))
	f.Add(strings.Replace(good, `"billsec_ms":5`, `"billsec_ms":-5`, 1))
	f.Fuzz(func(t *testing.T, correction string) {
		fuzzed(t, c, ledger.RoleCompliance, nil, "calls:Correct", correction)
	})
}

func FuzzDispute(f *testing.F) {
	c := withHistories(f)
	a, b := canonical(f, ledger.LegPlace{Leg: leg("a", 0), MSP: atlas, PBX: "pbx1"}), canonical(f, ledger.LegPlace{Leg: leg("b", 0), MSP: borealis, PBX: "pbx1"})
	f.Add(a, b)
	f.Add(b, a)
	f.Add(a, a)
	f.Add(a, strings.Replace(b, `"sequence":0`, `"sequence":-1`, 1))
	f.Fuzz(func(t *testing.T, a, b string) {
		fuzzed(t, c, ledger.RoleAuditor, nil, "calls:Dispute", a, b)
	})
}

func FuzzHistoryQueries(f *testing.F) {
	c := withHistories(f)
	f.Add("Gaps", atlas, "pbx1", number(noon.UnixMilli()), "2", "1", uint8(5))
	f.Add("Gaps", atlas, "pbx1", "0", "0", "1000", uint8(5))
	f.Add("Chain", atlas, "pbx1", "", "", "", uint8(2))
	f.Add("Conversation", atlas, "pbx1", "a", "", "", uint8(3))
	f.Add("Omissions", atlas, "pbx1", "a", "", "", uint8(3))
	f.Add("Corrections", atlas, "pbx1", "a", leg("a", 0).UniqueID, "0", uint8(5))
	f.Add("Reconcile", callRef, "", "", "", "", uint8(1))
	f.Add("Disputes", atlas, "", "", "", "", uint8(1))
	f.Fuzz(func(t *testing.T, function, a, b, d, e, g string, n uint8) {
		args := append([]string{"calls:" + function}, []string{a, b, d, e, g}[:n%6]...)
		for _, role := range []ledger.Role{ledger.RoleGateway, ledger.RoleAuditor} {
			fuzzed(t, c, role, nil, args...)
		}
	})
}
