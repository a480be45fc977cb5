package ledger_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

func TestAnEnrolledAdapterMaySign(t *testing.T) {
	identity := adapter(t)
	signed := signedSegment(t, identity, 2)
	enrolled := enrolment(identity)
	require.NoError(t, enrolled.Verify(&signed.Segment, signed.Signature, ledger.TimeOf(noon)))
	require.NoError(t, enrolled.Verify(&signed.Segment, signed.Signature, ledger.TimeOf(identity.Certificate.NotBefore)))
	require.NoError(t, enrolled.Verify(&signed.Segment, signed.Signature, ledger.TimeOf(identity.Certificate.NotAfter)))
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	identity = adapter(t, func(r *stub.Request) { r.Key = p384 })
	signed = signedSegment(t, identity, 1)
	require.NoError(t, enrolment(identity).Verify(&signed.Segment, signed.Signature, ledger.TimeOf(noon)))
}

func TestOthersMayNotSign(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	withKey := func(key crypto.Signer) func(*stub.Request) { return func(r *stub.Request) { r.Key = key } }
	attributes := func(role, pbx string) func(*stub.Request) {
		return func(r *stub.Request) {
			r.Attributes = map[string]string{ledger.AttributeRole: role, ledger.AttributePBX: pbx}
		}
	}
	for name, c := range map[string]struct {
		code    ledger.Code
		request func(*stub.Request)
		enrol   func(*ledger.Enrolment)
		at      time.Time
	}{
		"expired":                {code: ledger.CodeDenied, at: noon.Add(time.Hour + time.Millisecond)},
		"not yet valid":          {code: ledger.CodeDenied, at: noon.Add(-time.Hour - time.Millisecond)},
		"a gateway":              {code: ledger.CodeDenied, request: attributes("gateway", "pbx1")},
		"an adapter, misspelled": {code: ledger.CodeDenied, request: attributes("Adapter", "pbx1")},
		"no attributes":          {code: ledger.CodeDenied, request: func(r *stub.Request) { r.Attributes = nil }},
		"no PBX":                 {code: ledger.CodeInvalid, request: attributes("adapter", "")},
		"a PBX with a space":     {code: ledger.CodeInvalid, request: attributes("adapter", "pbx 1")},
		"another PBX":            {code: ledger.CodeDenied, request: attributes("adapter", "pbx2")},
		"broken attributes":      {code: ledger.CodeInvalid, request: func(r *stub.Request) { r.Extension = []byte("{") }},
		"null attributes":        {code: ledger.CodeDenied, request: func(r *stub.Request) { r.Extension = []byte("null") }},
		"another operator":       {code: ledger.CodeDenied, enrol: func(e *ledger.Enrolment) { e.MSP = "BorealisMSP" }},
		"revoked":                {code: ledger.CodeDenied, enrol: func(e *ledger.Enrolment) { e.RevokedAt = ledger.TimeOf(noon) }},
		"revoked, no name":       {code: ledger.CodeDenied, enrol: func(e *ledger.Enrolment) { e.RevokedAt, e.Fingerprint = ledger.TimeOf(noon), "" }},
		"an RSA key":             {code: ledger.CodeUnauthentic, request: withKey(rsaKey)},
		"an Ed25519 key":         {code: ledger.CodeUnauthentic, request: withKey(edKey)},
		"a small curve":          {code: ledger.CodeUnauthentic, request: withKey(p224)},
		"a broken certificate":   {code: ledger.CodeInternal, enrol: func(e *ledger.Enrolment) { e.Certificate = []byte("x") }},
		"another certificate":    {code: ledger.CodeUnauthentic, enrol: func(e *ledger.Enrolment) { *e = *enrolment(adapter(t)) }},
	} {
		t.Run(name, func(t *testing.T) {
			signer := adapter(t)
			signed := signedSegment(t, signer, 1)
			if c.request != nil {
				signer = adapter(t, c.request)
			}
			enrolled := enrolment(signer)
			if c.enrol != nil {
				c.enrol(enrolled)
			}
			if c.at.IsZero() {
				c.at = noon
			}
			requireCode(t, c.code, enrolled.Verify(&signed.Segment, signed.Signature, ledger.TimeOf(c.at)))
		})
	}
}

func TestParseCertificateTakesOne(t *testing.T) {
	identity := adapter(t)
	certificate, err := ledger.ParseCertificate(identity.PEM)
	require.NoError(t, err)
	require.Equal(t, identity.Certificate.Raw, certificate.Raw)
	require.Equal(t, ledger.Digest(certificate.Raw), ledger.Fingerprint(certificate.Raw))
	for name, text := range map[string][]byte{
		"nothing":     nil,
		"no PEM":      []byte("certificate"),
		"DER":         identity.Certificate.Raw,
		"two":         append(append([]byte{}, identity.PEM...), identity.PEM...),
		"a key":       pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}),
		"an empty":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE"}),
		"a truncated": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: identity.Certificate.Raw[:40]}),
	} {
		_, err := ledger.ParseCertificate(text)
		require.Error(t, err, name)
		requireCode(t, ledger.CodeInvalid, err)
	}
}
