package contract_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

// disagreeing is what two sources tell differently of a leg.
func disagreeing(l ledger.LegID, billsec string) ledger.Record {
	return ledger.Record{V: ledger.SchemaVersion, Disagreement: &ledger.Disagreement{
		At: ledger.TimeOf(noon.Add(time.Minute)), Differences: []ledger.ColumnDifference{{Column: "billsec", First: "30", Second: billsec}, {Column: "src"}},
		First: "ami", Leg: l, Second: "table",
	}}
}

// TestSourcesThatDisagreeMakeAnIncident checks that it names both, and the leg as it
// stands, whether the leg was anchored before, with it, or never.
func TestSourcesThatDisagreeMakeAnIncident(t *testing.T) {
	c := enrolled(t)
	h := newHistory(t, noon, ledger.Opening{Why: ledger.OpeningFirst})
	c.put(h.told...)
	first, second, never := leg("a", 0), leg("b", 0), leg("c", 0)
	c.put(h.close(t, trunk(first, nil)))
	c.put(h.close(t, disagreeing(first, "3")), h.close(t, trunk(second, nil), disagreeing(second, "4"), disagreeing(never, "5")))
	var incidents []ledger.Incident
	c.ask(as(borealis, ledger.RoleAuditor, "calls:Incidents", atlas, "pbx1"), &incidents)
	require.Len(t, incidents, 3)
	byKey := map[string]ledger.Incident{}
	for _, incident := range incidents {
		require.Equal(t, ledger.IncidentDisagreement, incident.Kind)
		require.Equal(t, []string{"ami", "table"}, incident.Sources)
		byKey[incident.Key] = incident
	}
	for _, l := range []ledger.LegID{first, second, never} {
		key := ledger.DisagreementKey(atlas, "pbx1", l, "table")
		var stored ledger.Record
		require.NoError(t, ledger.DecodeStrict(c.Get(key), &stored))
		digest, err := stored.ContentDigest()
		require.NoError(t, err)
		require.Equal(t, digest, byKey[key].OfferedDigest)
		if l == never {
			require.Empty(t, byKey[key].StoredDigest)
			continue
		}
		var anchored ledger.Record
		require.NoError(t, ledger.DecodeStrict(c.Get(ledger.CallKey(atlas, "pbx1", l)), &anchored))
		digest, err = anchored.ContentDigest()
		require.NoError(t, err)
		require.Equal(t, digest, byKey[key].StoredDigest)
	}
	// Told again, it is a replay; told otherwise, a conflict of its own.
	c.put(h.close(t, disagreeing(first, "3")), h.close(t, disagreeing(first, "6")))
	c.ask(as(borealis, ledger.RoleAuditor, "calls:Incidents", atlas, "pbx1"), &incidents)
	require.Len(t, incidents, 4)
}
