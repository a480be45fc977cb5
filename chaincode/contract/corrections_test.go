package contract_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

func ptr(n int64) *int64 { return &n }

// correction amends a leg of Atlas's as it stands.
func (c *channel) correction(l ledger.LegID, change ledger.Changes) ledger.Correction {
	c.t.Helper()
	var record ledger.Record
	c.ask(as(atlas, ledger.RoleAuditor, "calls:Get", atlas, "pbx1", l.LinkedID, l.UniqueID, number(l.Sequence)), &record)
	digest, err := record.ContentDigest()
	require.NoError(c.t, err)
	given := ledger.Correction{
		Amends: ledger.Amended{Digest: digest, Key: record.Key()}, Changes: &change, Leg: l, MSP: atlas, N: 1, PBX: "pbx1", Reason: ledger.CorrectClock, V: ledger.SchemaVersion,
	}
	for _, before := range c.corrections(l) {
		given.N++
		given.Amends.Key = before.Correction.Key()
		given.Amends.Digest, err = before.Correction.Digest()
		require.NoError(c.t, err)
	}
	return given
}

func (c *channel) corrections(l ledger.LegID) []ledger.AnchoredCorrection {
	c.t.Helper()
	var found []ledger.AnchoredCorrection
	c.ask(as(borealis, ledger.RoleAuditor, "calls:Corrections", atlas, "pbx1", l.LinkedID, l.UniqueID, number(l.Sequence)), &found)
	return found
}

func TestACorrectionStandsBesideTheLeg(t *testing.T) {
	c := enrolled(t)
	l := leg("a", 0)
	c.anchored(segment(t, atlas, 1, []ledger.Record{callRecord(l)}))
	before := c.do(as(atlas, ledger.RoleAuditor, "calls:Get", atlas, "pbx1", l.LinkedID, l.UniqueID, "0"))
	require.Empty(t, c.corrections(l))

	given := c.correction(l, ledger.Changes{BillsecMS: ptr(27_000), DurationMS: ptr(29_000), End: ledger.TimeOf(noon.Add(29 * time.Second))})
	call := as(atlas, ledger.RoleCompliance, "calls:Correct", canonical(t, given))
	var stored ledger.AnchoredCorrection
	require.NoError(t, ledger.DecodeStrict(c.do(call), &stored))
	require.Equal(t, given, stored.Correction)
	require.Equal(t, ledger.TimeOf(noon.Add(time.Hour)), stored.AnchoredAt)
	var again ledger.AnchoredCorrection
	require.NoError(t, ledger.DecodeStrict(c.do(call), &again))
	require.Equal(t, stored, again, "a repetition answers the first")

	second := c.correction(l, ledger.Changes{Unanswered: true, Disposition: "NO ANSWER", BillsecMS: ptr(0)})
	require.EqualValues(t, 2, second.N)
	second.EvidenceDigest, second.DetailsDigest = hexOf(32), hexOf(31)+"00"
	hidden := as(atlas, ledger.RoleCompliance, "calls:Correct", "")
	hidden.Transient = map[string][]byte{"correction": []byte(canonical(t, second))}
	c.do(hidden)
	found := c.corrections(l)
	require.Len(t, found, 2)
	record := callRecord(l)
	after, err := ledger.Corrected(record.Call, found)
	require.NoError(t, err)
	require.Equal(t, "NO ANSWER", after.Disposition)
	require.True(t, after.Answer.IsZero())
	require.EqualValues(t, 29_000, after.DurationMS)
	require.Equal(t, hexOf(31)+"00", after.DetailsDigest)
	require.Equal(t, ledger.Answered, record.Call.Disposition)

	require.Equal(t, string(before), string(c.do(as(atlas, ledger.RoleAuditor, "calls:Get", atlas, "pbx1", l.LinkedID, l.UniqueID, "0"))), "the leg never changes")
	require.Equal(t, found, c.conversation("a").Corrections)
}

func TestBadCorrectionsAreRefused(t *testing.T) {
	c := enrolled(t)
	l := leg("a", 0)
	c.anchored(segment(t, atlas, 1, []ledger.Record{callRecord(l), callRecord(leg("b", 0))}))
	good := c.correction(l, ledger.Changes{DurationMS: ptr(1)})
	for name, test := range map[string]struct {
		code   ledger.Code
		change func(*ledger.Correction)
	}{
		"no version":                {ledger.CodeInvalid, func(g *ledger.Correction) { g.V = 0 }},
		"a newer version":           {ledger.CodeNewer, func(g *ledger.Correction) { g.V = 9 }},
		"no leg":                    {ledger.CodeInvalid, func(g *ledger.Correction) { g.Leg = ledger.LegID{} }},
		"an unknown leg":            {ledger.CodeNotFound, func(g *ledger.Correction) { g.Leg.Sequence = 9 }},
		"another leg":               {ledger.CodeState, func(g *ledger.Correction) { g.Leg = leg("b", 0) }},
		"another operator's":        {ledger.CodeDenied, func(g *ledger.Correction) { g.MSP = borealis }},
		"no PBX":                    {ledger.CodeInvalid, func(g *ledger.Correction) { g.PBX = "" }},
		"an MSP that is none":       {ledger.CodeInvalid, func(g *ledger.Correction) { g.MSP = "a\x00" }},
		"number 0":                  {ledger.CodeInvalid, func(g *ledger.Correction) { g.N = 0 }},
		"number 2 before number 1":  {ledger.CodeState, func(g *ledger.Correction) { g.N = 2 }},
		"number 21":                 {ledger.CodeInvalid, func(g *ledger.Correction) { g.N = 21 }},
		"a reason in free text":     {ledger.CodeInvalid, func(g *ledger.Correction) { g.Reason = "Ana called" }},
		"another content amended":   {ledger.CodeState, func(g *ledger.Correction) { g.Amends.Digest = hexOf(32) }},
		"no content amended":        {ledger.CodeInvalid, func(g *ledger.Correction) { g.Amends.Digest = "" }},
		"another key amended":       {ledger.CodeState, func(g *ledger.Correction) { g.Amends.Key = "x" }},
		"nothing changed":           {ledger.CodeInvalid, func(g *ledger.Correction) { g.Changes = nil }},
		"no change":                 {ledger.CodeInvalid, func(g *ledger.Correction) { g.Changes = &ledger.Changes{} }},
		"what the leg says already": {ledger.CodeInvalid, func(g *ledger.Correction) { g.Changes = &ledger.Changes{DurationMS: ptr(30_000)} }},
		"a negative duration":       {ledger.CodeInvalid, func(g *ledger.Correction) { g.Changes.DurationMS = ptr(-1) }},
		"an end before the start":   {ledger.CodeInvalid, func(g *ledger.Correction) { g.Changes.End = ledger.TimeOf(noon.Add(-time.Hour)) }},
		"an unknown disposition":    {ledger.CodeInvalid, func(g *ledger.Correction) { g.Changes.Disposition = "GONE" }},
		"an unknown direction":      {ledger.CodeInvalid, func(g *ledger.Correction) { g.Changes.Direction = "up" }},
		"a cause beyond Q.850":      {ledger.CodeInvalid, func(g *ledger.Correction) { g.Changes.HangupCause = ptr(128) }},
		"answered and not":          {ledger.CodeInvalid, func(g *ledger.Correction) { g.Changes.Unanswered, g.Changes.Answer = true, ledger.TimeOf(noon) }},
		"details that are none":     {ledger.CodeInvalid, func(g *ledger.Correction) { g.DetailsDigest = "+351912345678" }},
		"evidence that is none":     {ledger.CodeInvalid, func(g *ledger.Correction) { g.EvidenceDigest = "see the letter" }},
	} {
		t.Run(name, func(t *testing.T) {
			given, changes := good, *good.Changes
			given.Changes = &changes
			test.change(&given)
			c.refuse(test.code, as(atlas, ledger.RoleCompliance, "calls:Correct", canonical(t, given)))
		})
	}
	for _, role := range []ledger.Role{ledger.RoleGateway, ledger.RoleAdapter, ledger.RoleAuditor, ledger.RoleAdmin} {
		c.refuse(ledger.CodeDenied, as(atlas, role, "calls:Correct", canonical(t, good)))
	}
	c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleCompliance, "calls:Correct", ""))
	c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleCompliance, "calls:Correct", "{}"))
	c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleCompliance, "calls:Correct", `{"changes":{"duration_ms":1.5}}`))
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAuditor, "calls:Corrections", atlas, "pbx1", "x", "y", "0"))
	c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAuditor, "calls:Corrections", atlas, "pbx1", "x", "", "0"))
	c.do(as(atlas, ledger.RoleCompliance, "calls:Correct", canonical(t, good)))
	other := good
	other.Reason = ledger.CorrectLate
	c.refuse(ledger.CodeExists, as(atlas, ledger.RoleCompliance, "calls:Correct", canonical(t, other)))
}

func TestALegHasTwentyCorrectionsAtMost(t *testing.T) {
	c := enrolled(t)
	l := leg("a", 0)
	c.anchored(segment(t, atlas, 1, []ledger.Record{callRecord(l)}))
	for n := range int64(ledger.MaxCorrections) {
		c.do(as(atlas, ledger.RoleCompliance, "calls:Correct", canonical(t, c.correction(l, ledger.Changes{DurationMS: ptr(n)}))))
	}
	c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleCompliance, "calls:Correct", canonical(t, c.correction(l, ledger.Changes{DurationMS: ptr(99)}))))
	require.Len(t, c.corrections(l), ledger.MaxCorrections)
}
