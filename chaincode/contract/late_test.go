package contract_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

// TestAnAdminAnchorsWhatCameTooLate checks the one way in for segments that were
// closed before their signer's certificate ended.
func TestAnAdminAnchorsWhatCameTooLate(t *testing.T) {
	member := operators()[atlas]
	fingerprint := ledger.Fingerprint(member.adapter.Certificate.Raw)
	late := func(role ledger.Role, at time.Time, segments ...*ledger.SignedSegment) stub.Call {
		call := as(atlas, role, "calls:AnchorLate", canonical(t, segments))
		call.Time = at
		return call
	}
	c := enrolled(t)
	h := newHistory(t, noon, first)
	early := h.legs(t, 1)
	h.wait(3 * time.Hour)
	after := h.legs(t, 1)

	// Good still: the gateway's business.
	c.refuse(ledger.CodeState, late(ledger.RoleAdmin, noon.Add(time.Hour), early))

	revoke := as(atlas, ledger.RoleAdmin, "adapters:Revoke", fingerprint)
	revoke.Time = noon.Add(2 * time.Hour)
	c.do(revoke)
	c.refuse(ledger.CodeDenied, anchor(t, atlas, early))
	for _, role := range []ledger.Role{ledger.RoleGateway, ledger.RoleAdapter, ledger.RoleAuditor, ledger.RoleCompliance} {
		c.refuse(ledger.CodeDenied, late(role, noon.Add(4*time.Hour), early))
	}
	foreign := as(borealis, ledger.RoleAdmin, "calls:AnchorLate", canonical(t, []*ledger.SignedSegment{early}))
	c.refuse(ledger.CodeDenied, foreign)
	c.refuse(ledger.CodeDenied, late(ledger.RoleAdmin, noon.Add(4*time.Hour), after))
	c.refuse(ledger.CodeDenied, late(ledger.RoleAdmin, noon.Add(4*time.Hour), early, after))
	altered := *early
	altered.Segment.ClosedAt = ledger.TimeOf(noon.Add(time.Minute))
	c.refuse(ledger.CodeUnauthentic, late(ledger.RoleAdmin, noon.Add(4*time.Hour), &altered))

	c.do(late(ledger.RoleAdmin, noon.Add(4*time.Hour), h.told[0], early))
	var stored ledger.AnchoredSegment
	c.ask(as(borealis, ledger.RoleAuditor, "calls:Segment", atlas, "pbx1", number(h.epoch), "2"), &stored)
	require.True(t, stored.LateByAdmin)
	gaps := c.walked(noon.Add(promise))
	require.ElementsMatch(t, []string{"(late)", "(late)", "(late_by_admin)", "(late_by_admin)"}, kinds(gaps))

	// Expired, not revoked.
	c = enrolled(t)
	c.refuse(ledger.CodeDenied, late(ledger.RoleGateway, noon.Add(48*time.Hour), early))
	c.do(late(ledger.RoleAdmin, noon.Add(48*time.Hour), h.told[0], early, after))
	h.wait(30 * time.Hour)
	c.refuse(ledger.CodeDenied, late(ledger.RoleAdmin, noon.Add(48*time.Hour), h.legs(t, 1)))
}
