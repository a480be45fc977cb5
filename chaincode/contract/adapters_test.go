package contract_test

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

func TestAnAdminEnrolsAnAdapter(t *testing.T) {
	c := newChannel(t)
	identity := operators()[atlas].adapter
	fingerprint := ledger.Fingerprint(identity.Certificate.Raw)
	call := as(atlas, ledger.RoleAdmin, "adapters:Enrol", string(identity.PEM))
	call.TxID = "first"
	stored := c.do(call)
	var enrolment ledger.Enrolment
	require.NoError(t, ledger.DecodeStrict(stored, &enrolment))
	want := ledger.Enrolment{
		Certificate: identity.Certificate.Raw, EnrolledAt: ledger.TimeOf(noon.Add(time.Hour)), Fingerprint: fingerprint, MSP: atlas, PBX: "pbx1", TxID: "first", V: ledger.SchemaVersion,
	}
	require.Equal(t, want, enrolment)
	require.Equal(t, string(stored), string(c.Get(ledger.AdapterKey(atlas, fingerprint))))

	// Again it changes nothing.
	call.TxID = "second"
	response, tx := c.simulate(call)
	require.Empty(t, tx.Writes())
	require.Equal(t, string(stored), string(response.GetPayload()))

	for _, reader := range []string{atlas, borealis} {
		c.ask(as(reader, ledger.RoleAuditor, "adapters:Get", atlas, fingerprint), &enrolment)
		require.Equal(t, want, enrolment)
		var all []ledger.Enrolment
		c.ask(as(reader, ledger.RoleAuditor, "adapters:List", atlas), &all)
		require.Equal(t, []ledger.Enrolment{want}, all)
		c.ask(as(reader, ledger.RoleAuditor, "adapters:List", corvus), &all)
		require.Empty(t, all)
	}
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAuditor, "adapters:Get", borealis, fingerprint))
}

func TestARevokedAdapterStaysRevoked(t *testing.T) {
	c := enrolled(t)
	identity := operators()[atlas].adapter
	fingerprint := ledger.Fingerprint(identity.Certificate.Raw)
	revoke := as(atlas, ledger.RoleAdmin, "adapters:Revoke", fingerprint)
	var enrolment ledger.Enrolment
	require.NoError(t, ledger.DecodeStrict(c.do(revoke), &enrolment))
	require.Equal(t, ledger.TimeOf(noon.Add(time.Hour)), enrolment.RevokedAt)
	require.Equal(t, identity.Certificate.Raw, enrolment.Certificate, "the rest stays")

	revoke.Time = revoke.Time.Add(time.Hour)
	response, tx := c.simulate(revoke)
	require.Empty(t, tx.Writes(), "again it changes nothing")
	require.Contains(t, string(response.GetPayload()), "2026-03-01T13:00:00.000Z")
	require.Contains(t, c.refuse(ledger.CodeExists, as(atlas, ledger.RoleAdmin, "adapters:Enrol", string(identity.PEM))), "issue")
	c.refuse(ledger.CodeNotFound, as(atlas, ledger.RoleAdmin, "adapters:Revoke", hexOf(32)))
	for _, bad := range []string{"", "x", strings.ToUpper(fingerprint), fingerprint + "00"} {
		c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAdmin, "adapters:Revoke", bad))
	}
	// Another operator's admin does not reach it.
	c.refuse(ledger.CodeNotFound, as(borealis, ledger.RoleAdmin, "adapters:Revoke", fingerprint))
}

func TestOnlyAnAdminEnrolsAndRevokes(t *testing.T) {
	c := enrolled(t)
	identity := operators()[atlas].adapter
	for role := range operators()[atlas].roles {
		if role == ledger.RoleAdmin {
			continue
		}
		c.refuse(ledger.CodeDenied, as(atlas, role, "adapters:Enrol", string(identity.PEM)))
		c.refuse(ledger.CodeDenied, as(atlas, role, "adapters:Revoke", ledger.Fingerprint(identity.Certificate.Raw)))
	}
	call := as(atlas, ledger.RoleAdmin, "adapters:Enrol", string(identity.PEM))
	call.Creator = nil
	c.refuse(ledger.CodeDenied, call)
}

func TestWhatIsNotAnAdaptersCertificateIsNotEnrolled(t *testing.T) {
	c := newChannel(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for name, c2 := range map[string]struct {
		code   ledger.Code
		change func(*stub.Request)
	}{
		"no attributes": {ledger.CodeDenied, func(r *stub.Request) { r.Attributes = nil }},
		"a gateway":     {ledger.CodeDenied, func(r *stub.Request) { r.Attributes[ledger.AttributeRole] = "gateway" }},
		"no PBX":        {ledger.CodeInvalid, func(r *stub.Request) { delete(r.Attributes, ledger.AttributePBX) }},
		"expired":       {ledger.CodeDenied, func(r *stub.Request) { r.NotAfter = noon }},
		"not yet valid": {ledger.CodeDenied, func(r *stub.Request) { r.NotBefore = noon.Add(2 * time.Hour) }},
		"an RSA key":    {ledger.CodeUnauthentic, func(r *stub.Request) { r.Key = key }},
		"too long":      {ledger.CodeTooLarge, func(r *stub.Request) { r.Attributes["more"] = strings.Repeat("x", 16<<10) }},
	} {
		request := adapterRequest("pbx1")
		c2.change(&request)
		identity, err := operators()[atlas].authority.Issue(request)
		require.NoError(t, err)
		require.NotEmpty(t, c.refuse(c2.code, as(atlas, ledger.RoleAdmin, "adapters:Enrol", string(identity.PEM))), name)
	}
	for _, text := range []string{"", "certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		c.refuse(ledger.CodeInvalid, as(atlas, ledger.RoleAdmin, "adapters:Enrol", text))
	}
	require.Empty(t, c.Keys())
}

func TestARenewedAdapterSignsOn(t *testing.T) {
	c := enrolled(t)
	renewed, err := operators()[atlas].authority.Issue(adapterRequest("pbx1"))
	require.NoError(t, err)
	c.anchored(segment(t, atlas, 1, legs(1)))
	c.do(as(atlas, ledger.RoleAdmin, "adapters:Enrol", string(renewed.PEM)))
	c.do(as(atlas, ledger.RoleAdmin, "adapters:Revoke", ledger.Fingerprint(operators()[atlas].adapter.Certificate.Raw)))
	signed := segment(t, atlas, 2, []ledger.Record{callRecord(leg("pbx1-2", 0))})
	c.refuse(ledger.CodeDenied, anchor(t, atlas, signed))
	resign(t, renewed, signed)
	require.Equal(t, ledger.OutcomeAnchored, c.anchored(signed).Segments[0].Outcome)
}
