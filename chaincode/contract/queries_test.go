package contract_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/ledger"
)

// number renders an argument.
func number(n int64) string { return fmt.Sprint(n) }

// populated is a channel with two conversations on Atlas's pbx1, the first of
// two legs with a recording of two revisions, and one on Borealis's.
func populated(t testing.TB) (c *channel, first, second string, id string) {
	c = enrolled(t)
	first, second, id = "pbx1-1772366400.10", "pbx1-1772366400.100", strings.Repeat("ab", 16)
	c.anchored(segment(t, atlas, 1, []ledger.Record{
		callRecord(leg(first, 0)), callRecord(leg(first, 1)), callRecord(leg(second, 0)),
		recordingRecord(leg(first, 1), id, 1, hexOf(32)), recordingRecord(leg(first, 1), id, 2, strings.Repeat("c3", 32)),
	}))
	c.anchored(segment(t, borealis, 1, []ledger.Record{
		callRecord(leg(first, 0)), recordingRecord(leg(first, 0), strings.Repeat("cd", 16), 1, hexOf(32)),
	}))
	return c, first, second, id
}

// keysOf are the keys of records.
func keysOf(records []ledger.Record) []string {
	keys := []string{}
	for i := range records {
		keys = append(keys, records[i].Key())
	}
	return keys
}

func TestAnyMemberReadsACall(t *testing.T) {
	c, first, _, _ := populated(t)
	for _, reader := range []string{atlas, borealis, corvus} {
		var record ledger.Record
		c.ask(as(reader, ledger.RoleAuditor, "calls:Get", atlas, "pbx1", first, leg(first, 1).UniqueID, "1"), &record)
		require.Equal(t, leg(first, 1), record.Call.Leg)
		require.Equal(t, atlas, record.MSP)
	}
	for _, missing := range [][]string{
		{corvus, "pbx1", first, leg(first, 0).UniqueID, "0"}, {atlas, "pbx2", first, leg(first, 0).UniqueID, "0"},
		{atlas, "pbx1", first, leg(first, 0).UniqueID, "2"},
	} {
		c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAuditor, append([]string{"calls:Get"}, missing...)...))
	}
}

func TestTheLegsOfAConversation(t *testing.T) {
	c, first, second, _ := populated(t)
	var legs []ledger.Record
	c.ask(as(corvus, ledger.RoleAuditor, "calls:ByLinkedID", atlas, "pbx1", first), &legs)
	require.Equal(t, []string{ledger.CallKey(atlas, "pbx1", leg(first, 0)), ledger.CallKey(atlas, "pbx1", leg(first, 1))}, keysOf(legs), "and not those of %s", second)
	c.ask(as(corvus, ledger.RoleAuditor, "calls:ByLinkedID", atlas, "pbx1", "nothing"), &legs)
	require.Empty(t, legs)
	response, _ := c.simulate(as(corvus, ledger.RoleAuditor, "calls:ByLinkedID", atlas, "pbx1", "nothing"))
	require.Equal(t, "[]", string(response.GetPayload()))
}

func TestPagesOfCalls(t *testing.T) {
	c := enrolled(t)
	var want []string
	for i := range 7 {
		records := []ledger.Record{callRecord(leg(fmt.Sprintf("pbx1-%d", i), 0))}
		c.anchored(segment(t, atlas, int64(i+1), records))
		c.anchored(segment(t, borealis, int64(i+1), []ledger.Record{callRecord(leg(fmt.Sprintf("pbx1-%d", i), 0))}))
		want = append(want, ledger.CallKey(atlas, "pbx1", leg(fmt.Sprintf("pbx1-%d", i), 0)))
	}
	for _, size := range []int{1, 2, 3, 7, 8, 1000} {
		var got []string
		pages := 0
		for bookmark := ""; ; pages++ {
			var page contract.Page
			c.ask(as(corvus, ledger.RoleAuditor, "calls:List", atlas, "pbx1", number(int64(size)), bookmark), &page)
			require.LessOrEqual(t, len(page.Records), size)
			got = append(got, keysOf(page.Records)...)
			if bookmark = page.Bookmark; bookmark == "" {
				break
			}
		}
		require.Equal(t, want, got)
		require.Equal(t, (7-1)/size, pages)
	}
	var page contract.Page
	c.ask(as(corvus, ledger.RoleAuditor, "calls:List", corvus, "pbx1", "10", ""), &page)
	require.Equal(t, contract.Page{Records: []ledger.Record{}}, page)

	for _, size := range []string{"0", "-1", "1001", "2147483648", "", "1.0", "01", "+1", " 1", "x"} {
		c.refuse(ledger.CodeInvalid, as(corvus, ledger.RoleAuditor, "calls:List", atlas, "pbx1", size, ""))
	}
	for _, bookmark := range []string{
		"x", "\x00", "\x00cdr\x00", ledger.CompositeKey(ledger.TypeCall, borealis, "pbx1"), ledger.CompositeKey(ledger.TypeCall, atlas, "pbx0"),
		ledger.CompositeKey(ledger.TypeAdapter, atlas), ledger.CompositeKey(ledger.TypeSegment, atlas, "pbx1"), "\U0010ffff", "\xff",
	} {
		c.refuse(ledger.CodeInvalid, as(corvus, ledger.RoleAuditor, "calls:List", atlas, "pbx1", "10", bookmark))
	}
}

func TestSegmentsAreRead(t *testing.T) {
	c, _, _, _ := populated(t)
	var stored ledger.AnchoredSegment
	c.ask(as(corvus, ledger.RoleAuditor, "calls:Segment", atlas, "pbx1", number(epoch), "1"), &stored)
	require.EqualValues(t, 5, stored.Segment.Count)
	c.refuse(ledger.CodeNotFound, as(corvus, ledger.RoleAuditor, "calls:Segment", atlas, "pbx1", number(epoch), "2"))
	c.refuse(ledger.CodeInvalid, as(corvus, ledger.RoleAuditor, "calls:Segment", atlas, "pbx1", number(epoch), "-1"))
	c.refuse(ledger.CodeInvalid, as(corvus, ledger.RoleAuditor, "calls:Segment", atlas, "pbx1", number(ledger.MaxInteger+1), "1"))
}

func TestRecordingsAreFound(t *testing.T) {
	c, first, second, id := populated(t)
	var record ledger.Record
	c.ask(as(corvus, ledger.RoleAuditor, "recordings:Get", atlas, "pbx1", id, "2"), &record)
	require.Equal(t, ledger.RecordingKey(atlas, "pbx1", id, 2), record.Key())
	c.refuse(ledger.CodeNotFound, as(corvus, ledger.RoleAuditor, "recordings:Get", atlas, "pbx1", id, "3"))
	c.refuse(ledger.CodeInvalid, as(corvus, ledger.RoleAuditor, "recordings:Get", atlas, "pbx1", id, "-1"))

	var records []ledger.Record
	c.ask(as(corvus, ledger.RoleAuditor, "recordings:ByLinkedID", atlas, "pbx1", first), &records)
	require.Equal(t, []string{ledger.RecordingKey(atlas, "pbx1", id, 1), ledger.RecordingKey(atlas, "pbx1", id, 2)}, keysOf(records))
	c.ask(as(corvus, ledger.RoleAuditor, "recordings:ByLinkedID", atlas, "pbx1", second), &records)
	require.Empty(t, records)

	// A file is found whichever operator anchored it.
	c.ask(as(corvus, ledger.RoleAuditor, "recordings:BySHA256", hexOf(32)), &records)
	require.Equal(t, []string{ledger.RecordingKey(atlas, "pbx1", id, 1), ledger.RecordingKey(borealis, "pbx1", strings.Repeat("cd", 16), 1)}, keysOf(records))
	c.ask(as(corvus, ledger.RoleAuditor, "recordings:BySHA256", strings.Repeat("00", 32)), &records)
	require.Empty(t, records)
	for _, digest := range []string{"", "5a", strings.ToUpper(hexOf(32)), hexOf(33), "file.wav"} {
		c.refuse(ledger.CodeInvalid, as(corvus, ledger.RoleAuditor, "recordings:BySHA256", digest))
	}
}

func TestQueriesRefuseMalformedNames(t *testing.T) {
	c := enrolled(t)
	good := map[string][]string{
		"calls:Get":                {atlas, "pbx1", "l", "u", "1"},
		"calls:ByLinkedID":         {atlas, "pbx1", "l"},
		"calls:List":               {atlas, "pbx1", "10", ""},
		"calls:Segment":            {atlas, "pbx1", "1", "1"},
		"calls:Incidents":          {atlas, "pbx1"},
		"recordings:Get":           {atlas, "pbx1", "id", "1"},
		"recordings:ByLinkedID":    {atlas, "pbx1", "l"},
		"recordings:BySHA256":      {hexOf(32)},
		"adapters:Get":             {atlas, hexOf(32)},
		"adapters:List":            {atlas},
		"details:GetCall":          {atlas, "pbx1", "l", "u", "1"},
		"details:GetRecording":     {atlas, "pbx1", "id", "1"},
		"calls:get":                {atlas, "pbx1", "l", "u", "1"}, // contract-api takes either case
		"Get":                      {atlas, "pbx1", "l", "u", "1"}, // of the default contract
		"org.hyperledger.fabric:x": nil,
	}
	for function, arguments := range good {
		for i := range arguments {
			if function == "calls:List" && i == 3 {
				continue
			}
			for _, bad := range []string{"", "a\x00b", "\U0010ffff", "a b", "\xff", strings.Repeat("a", 151)} {
				changed := append([]string{function}, arguments...)
				changed[i+1] = bad
				c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleGateway, changed...))
			}
		}
		for _, wrong := range [][]string{append([]string{function, "more"}, arguments...), append([]string{function}, arguments[:max(0, len(arguments)-1)]...)} {
			if len(arguments) == 0 {
				continue
			}
			c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleGateway, wrong...))
		}
	}
}

func TestAQueryDoesNotLeaveResultsOut(t *testing.T) {
	c := enrolled(t)
	for i := range 3 {
		c.anchored(segment(t, atlas, int64(i*400+1), func() []ledger.Record {
			records := make([]ledger.Record, 400)
			for j := range records {
				records[j] = callRecord(leg("pbx1-1", i*400+j))
			}
			return records
		}()))
	}
	require.Contains(t, c.refuse(ledger.CodeTooLarge, as(atlas, ledger.RoleAuditor, "calls:ByLinkedID", atlas, "pbx1", "pbx1-1")), "1000")
}
