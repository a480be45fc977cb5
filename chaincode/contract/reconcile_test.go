package contract_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

// callRef is what a test's trunk legs share.
var callRef = ledger.CallRef([]byte("the consortium's key of the epoch"), "a84b4c76e66710@pc33.example.com")

// trunk is a leg with the call_ref.
func trunk(l ledger.LegID, change func(*ledger.Call)) ledger.Record {
	record := callRecord(l)
	record.V, record.Call.CallRef = 2, callRef
	if change != nil {
		change(record.Call)
	}
	return record
}

// shared is a channel on which two operators tell of one call.
func shared(t *testing.T, theirs func(*ledger.Call)) *channel {
	c := enrolled(t)
	c.anchored(segment(t, atlas, 1, []ledger.Record{trunk(leg("a", 0), nil)}))
	c.anchored(segment(t, borealis, 1, []ledger.Record{trunk(leg("b", 0), theirs)}))
	return c
}

func (c *channel) reconciled(ref string) *ledger.Reconciliation {
	c.t.Helper()
	var result ledger.Reconciliation
	c.ask(as(corvus, ledger.RoleAuditor, "calls:Reconcile", ref), &result)
	return &result
}

func place(t *testing.T, msp string, l ledger.LegID) string {
	t.Helper()
	return canonical(t, ledger.LegPlace{Leg: l, MSP: msp, PBX: "pbx1"})
}

func TestTwoOperatorsRecordsAreCompared(t *testing.T) {
	for name, test := range map[string]struct {
		theirs func(*ledger.Call)
		fields []string
	}{
		"the same":             {nil, nil},
		"within the tolerance": {func(c *ledger.Call) { c.BillsecMS += 2_000; c.Start = ledger.TimeOf(noon.Add(-5 * time.Second)) }, nil},
		"a billed second more": {func(c *ledger.Call) { c.BillsecMS += 2_001 }, []string{"billsec_ms"}},
		"a billed second less": {func(c *ledger.Call) { c.BillsecMS -= 2_001 }, []string{"billsec_ms"}},
		"another start":        {func(c *ledger.Call) { c.Start = ledger.TimeOf(noon.Add(-5_001 * time.Millisecond)) }, []string{"start"}},
		"not answered":         {func(c *ledger.Call) { c.Disposition, c.Answer, c.BillsecMS = "NO ANSWER", ledger.Time{}, 0 }, []string{"answered"}},
		"not answered, and later": {func(c *ledger.Call) {
			c.Disposition, c.Answer, c.Start = "BUSY", ledger.Time{}, ledger.TimeOf(noon.Add(6*time.Second))
		}, []string{"answered", "start"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := shared(t, test.theirs)
			result := c.reconciled(callRef)
			require.Len(t, result.Sides, 2)
			require.Len(t, result.Comparisons, 1)
			require.Equal(t, atlas, result.Comparisons[0].A.Place.MSP)
			var fields []string
			for _, difference := range result.Comparisons[0].Differences {
				fields = append(fields, difference.Field)
			}
			require.Equal(t, test.fields, fields)
			dispute := as(borealis, ledger.RoleCompliance, "calls:Dispute", place(t, borealis, leg("b", 0)), place(t, atlas, leg("a", 0)))
			if test.fields == nil {
				require.Equal(t, ledger.OutcomeAgree, result.Outcome)
				c.refuse(ledger.CodeState, dispute)
				return
			}
			require.Equal(t, ledger.OutcomeDiffer, result.Outcome)
			var raised ledger.Dispute
			require.NoError(t, ledger.DecodeStrict(c.do(dispute), &raised))
			require.Equal(t, result.Comparisons[0].Differences, raised.Differences)
			require.Equal(t, []string{atlas, borealis, borealis}, []string{raised.A.Place.MSP, raised.B.Place.MSP, raised.RaisedBy})
			// The other side sees it, and raising it again answers the first.
			again := c.do(as(atlas, ledger.RoleGateway, "calls:Dispute", place(t, atlas, leg("a", 0)), place(t, borealis, leg("b", 0))))
			require.Equal(t, canonical(t, raised), string(again))
			for msp, n := range map[string]int{atlas: 1, borealis: 1, corvus: 0} {
				var disputes []ledger.Dispute
				c.ask(as(msp, ledger.RoleAuditor, "calls:Disputes", msp), &disputes)
				require.Len(t, disputes, n, msp)
			}
		})
	}
}

func TestAnOperatorsCorrectionsCount(t *testing.T) {
	c := shared(t, func(call *ledger.Call) { call.BillsecMS = 20_000 })
	require.Equal(t, ledger.OutcomeDiffer, c.reconciled(callRef).Outcome)
	c.do(as(atlas, ledger.RoleCompliance, "calls:Correct", canonical(t, c.correction(leg("a", 0), ledger.Changes{BillsecMS: ptr(20_500)}))))
	result := c.reconciled(callRef)
	require.Equal(t, ledger.OutcomeAgree, result.Outcome)
	require.EqualValues(t, 1, result.Sides[0].Corrections)
	c.refuse(ledger.CodeState, as(atlas, ledger.RoleAuditor, "calls:Dispute", place(t, atlas, leg("a", 0)), place(t, borealis, leg("b", 0))))
}

func TestWhatCannotBeCompared(t *testing.T) {
	c := enrolled(t)
	c.anchored(segment(t, atlas, 1, []ledger.Record{
		trunk(leg("a", 0), func(call *ledger.Call) { call.Disposition, call.Answer = "BUSY", ledger.Time{} }), trunk(leg("a", 1), nil), callRecord(leg("c", 0)),
	}))
	c.anchored(segment(t, borealis, 1, []ledger.Record{
		trunk(leg("b", 0), func(call *ledger.Call) { call.CallRef = hexOf(16) }), callRecord(leg("c", 0)),
	}))
	result := c.reconciled(callRef)
	require.Equal(t, ledger.OutcomeNotComparable, result.Outcome, "one side alone")
	require.Len(t, result.Sides, 1)
	require.EqualValues(t, 2, result.Sides[0].Legs)
	require.Equal(t, leg("a", 1), result.Sides[0].Place.Leg, "the leg that was answered counts")
	require.Empty(t, result.Comparisons)
	require.Equal(t, ledger.OutcomeNotComparable, c.reconciled(hexOf(15)+"00").Outcome)
	for _, ref := range []string{"", "a84b4c76e66710@pc33.example.com", hexOf(32)} {
		c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAuditor, "calls:Reconcile", ref))
	}
	a, b := place(t, atlas, leg("a", 0)), place(t, borealis, leg("b", 0))
	for _, test := range []struct {
		code ledger.Code
		msp  string
		role ledger.Role
		a, b string
	}{
		{ledger.CodeState, atlas, ledger.RoleGateway, a, b},                                                                                 // other refs
		{ledger.CodeState, atlas, ledger.RoleGateway, place(t, atlas, leg("c", 0)), place(t, borealis, leg("c", 0))},                        // none
		{ledger.CodeNotFound, atlas, ledger.RoleGateway, place(t, atlas, leg("a", 9)), b},                                                   // no leg
		{ledger.CodeInvalid, atlas, ledger.RoleGateway, a, place(t, atlas, leg("a", 1))},                                                    // one operator
		{ledger.CodeInvalid, atlas, ledger.RoleGateway, a, "{}"},                                                                            // no leg named
		{ledger.CodeInvalid, atlas, ledger.RoleGateway, a, ""},                                                                              // nothing
		{ledger.CodeInvalid, atlas, ledger.RoleGateway, a, `{"leg":{"linkedid":"b","sequence":0,"uniqueid":"u"},"msp":"\u0000","pbx":"p"}`}, // a key that is none
		{ledger.CodeDenied, corvus, ledger.RoleGateway, a, b},                                                                               // no part in it
		{ledger.CodeDenied, atlas, ledger.RoleAdapter, a, b},
		{ledger.CodeDenied, atlas, ledger.RoleAdmin, a, b},
	} {
		c.refuse(test.code, as(test.msp, test.role, "calls:Dispute", test.a, test.b))
	}
	c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAuditor, "calls:Disputes", ""))
}

func TestThreeOperatorsAreComparedTwoByTwo(t *testing.T) {
	c := shared(t, nil)
	c.anchored(segment(t, corvus, 1, []ledger.Record{trunk(leg("x", 0), func(call *ledger.Call) { call.BillsecMS = 0 })}))
	result := c.reconciled(callRef)
	require.Equal(t, ledger.OutcomeDiffer, result.Outcome)
	require.Len(t, result.Comparisons, 3)
	require.Equal(t, []string{ledger.OutcomeAgree, ledger.OutcomeDiffer, ledger.OutcomeDiffer}, []string{result.Comparisons[0].Outcome, result.Comparisons[1].Outcome, result.Comparisons[2].Outcome})
}
