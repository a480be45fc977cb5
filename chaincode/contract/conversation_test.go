package contract_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

// linkRecord joins two linkedids.
func linkRecord(from, to, kind string, at time.Time) ledger.Record {
	return ledger.Record{Link: &ledger.Link{At: ledger.TimeOf(at), From: from, Kind: kind, To: to}, V: 2}
}

func (c *channel) conversation(linkedID string) *ledger.Conversation {
	c.t.Helper()
	var found ledger.Conversation
	c.ask(as(borealis, ledger.RoleAuditor, "calls:Conversation", atlas, "pbx1", linkedID), &found)
	return &found
}

func TestAConversationIsFoundFromAnyOfItsEnds(t *testing.T) {
	c := enrolled(t)
	// a is transferred to b, b is parked and becomes c; d forwards to b. e is apart.
	records := []ledger.Record{
		linkRecord("a", "b", ledger.LinkBlindTransfer, noon), linkRecord("b", "c", ledger.LinkPark, noon.Add(time.Second)),
		linkRecord("d", "b", ledger.LinkForward, noon), linkRecord("b", "c", ledger.LinkPickup, noon.Add(time.Second)),
		{Omission: &ledger.Omission{At: ledger.TimeOf(noon), Leg: leg("c", 0), Reason: ledger.OmissionMissing}, V: 2},
		recordingRecord(leg("a", 0), hexOf(16), 1, hexOf(32)),
	}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		records = append(records, callRecord(leg(id, 1)), callRecord(leg(id, 0)))
	}
	c.anchored(segment(t, atlas, 1, records))
	whole := c.conversation("a")
	require.Equal(t, []string{"a", "b", "c", "d"}, whole.LinkedIDs)
	require.Len(t, whole.Links, 4)
	require.Len(t, whole.Legs, 8)
	require.Equal(t, []ledger.LegID{leg("a", 0), leg("a", 1), leg("b", 0)}, []ledger.LegID{whole.Legs[0].Call.Leg, whole.Legs[1].Call.Leg, whole.Legs[2].Call.Leg})
	require.Len(t, whole.Recordings, 1)
	require.Len(t, whole.Omissions, 1)
	require.Empty(t, whole.Corrections)
	require.False(t, whole.Cut)
	for _, end := range []string{"b", "c", "d"} {
		require.Equal(t, whole, c.conversation(end), "from %s", end)
	}
	require.Equal(t, []string{"e"}, c.conversation("e").LinkedIDs)
	require.Empty(t, c.conversation("unknown").Legs)

	var omissions []ledger.Record
	c.ask(as(borealis, ledger.RoleAuditor, "calls:Omissions", atlas, "pbx1", "c"), &omissions)
	require.Len(t, omissions, 1)
	require.Equal(t, ledger.OmissionMissing, omissions[0].Omission.Reason)
	c.ask(as(borealis, ledger.RoleAuditor, "calls:Omissions", atlas, "pbx1", "a"), &omissions)
	require.Empty(t, omissions)

	for _, args := range [][]string{{"", "pbx1", "a"}, {atlas, "", "a"}, {atlas, "pbx1", ""}, {atlas, "pbx1", "a\x00"}, {atlas, "pbx1", "a b"}} {
		c.refuse(ledger.CodeInvalid, as(borealis, ledger.RoleAuditor, append([]string{"calls:Conversation"}, args...)...))
		c.refuse(ledger.CodeInvalid, as(borealis, ledger.RoleAuditor, append([]string{"calls:Omissions"}, args...)...))
	}
}

func TestAnEndlessConversationIsCut(t *testing.T) {
	c := enrolled(t)
	var records []ledger.Record
	for i := range 70 {
		records = append(records, linkRecord(fmt.Sprintf("c%02d", i), fmt.Sprintf("c%02d", (i+1)%70), ledger.LinkPark, noon))
	}
	c.anchored(segment(t, atlas, 1, records))
	ring := c.conversation("c35")
	require.True(t, ring.Cut)
	require.Len(t, ring.LinkedIDs, ledger.MaxConversation)
}

func TestNewKindsOfRecordsAreAnchoredOnce(t *testing.T) {
	c := enrolled(t)
	h := newHistory(t, noon, first)
	omission := ledger.Record{Omission: &ledger.Omission{At: ledger.TimeOf(noon), Leg: leg("a", 0), Reason: ledger.OmissionMissing}}
	h.close(t, linkRecord("a", "b", ledger.LinkPark, noon), omission)
	h.beat(t, true)
	c.put(h.told...)
	c.put(h.told...) // a repetition changes nothing
	other := omission
	changed := *omission.Omission
	changed.Reason = ledger.OmissionEmpty
	other.Omission = &changed
	h.close(t, other, linkRecord("a", "b", ledger.LinkPark, noon))
	result := c.anchored(h.told[3])
	require.Equal(t, []ledger.Outcome{ledger.OutcomeConflict, ledger.OutcomeAlready}, outcomes(result.Segments[0], 2))

	// What the header tells must be true.
	lying := h.legs(t, 1)
	lying.Segment.Boots[0].Highest++
	h.sign(t, lying)
	c.refuse(ledger.CodeInvalid, anchor(t, atlas, lying))
}
