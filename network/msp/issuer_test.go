package msp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/msp"
)

func issue(t *testing.T, issuer *msp.Issuer, request msp.Request) (*x509.Certificate, msp.Pair) {
	t.Helper()
	pair, err := issuer.Issue(request)
	require.NoError(t, err)
	_, err = tls.X509KeyPair(pair.CertPEM, pair.KeyPEM)
	require.NoError(t, err, "certificate and key belong together")
	cert, err := msp.ParseCertificate(pair.CertPEM)
	require.NoError(t, err)
	return cert, pair
}

func newIssuer(t *testing.T) (*msp.Issuer, *x509.CertPool) {
	t.Helper()
	issuer, err := msp.NewIssuer("atlas enrolment CA", "Atlas")
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(issuer.Pair().CertPEM))
	return issuer, pool
}

func TestAuthority(t *testing.T) {
	issuer, _ := newIssuer(t)
	ca, err := msp.ParseCertificate(issuer.Pair().CertPEM)
	require.NoError(t, err)
	require.True(t, ca.IsCA)
	require.NotEmpty(t, ca.SubjectKeyId, "Fabric finds authorities by it")
	require.NotZero(t, ca.KeyUsage&x509.KeyUsageCertSign)
	require.NotZero(t, ca.KeyUsage&x509.KeyUsageCRLSign, "the operator revokes with it")
}

func TestIdentityCarriesRoleAndPBX(t *testing.T) {
	issuer, pool := newIssuer(t)
	attributes := map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: "atlas-pbx-1"}
	cert, _ := issue(t, issuer, msp.Request{CommonName: "atlas-pbx-1.atlas", Unit: msp.UnitClient, Attributes: attributes})
	require.Equal(t, []string{"client"}, cert.Subject.OrganizationalUnit)
	require.Equal(t, []string{"Atlas"}, cert.Subject.Organization)
	got, err := ledger.Attributes(cert)
	require.NoError(t, err)
	require.Equal(t, attributes, got)
	require.Equal(t, elliptic.P256(), cert.PublicKey.(*ecdsa.PublicKey).Curve)
	require.Equal(t, x509.KeyUsageDigitalSignature, cert.KeyUsage)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		// Fabric checks identities for the default usage, our gateway for client.
		_, err = cert.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}})
		require.NoError(t, err)
	}
}

func TestCertificateWithoutAttributes(t *testing.T) {
	issuer, _ := newIssuer(t)
	cert, _ := issue(t, issuer, msp.Request{CommonName: "peer.atlas", Unit: msp.UnitPeer})
	attributes, err := ledger.Attributes(cert)
	require.NoError(t, err)
	require.Empty(t, attributes)
}

func TestTLSCertificates(t *testing.T) {
	issuer, pool := newIssuer(t)
	server, _ := issue(t, issuer, msp.Request{CommonName: "peer.atlas", Hosts: []string{"127.0.0.1", "peer.atlas"}})
	for _, host := range []string{"127.0.0.1", "peer.atlas"} {
		require.NoError(t, server.VerifyHostname(host))
	}
	require.Error(t, server.VerifyHostname("peer.borealis"))
	_, err := server.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	require.NoError(t, err)

	client, _ := issue(t, issuer, msp.Request{CommonName: "gateway.atlas"})
	require.Empty(t, client.Subject.OrganizationalUnit, "no peer takes it for an identity")
	_, err = client.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	require.NoError(t, err)
	_, err = client.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	require.Error(t, err, "a client's certificate serves nothing")
}

func TestValidity(t *testing.T) {
	issuer, pool := newIssuer(t)
	cert, _ := issue(t, issuer, msp.Request{CommonName: "gateway.atlas", Unit: msp.UnitClient})
	require.WithinDuration(t, time.Now().AddDate(1, 0, 0), cert.NotAfter, 48*time.Hour)
	require.True(t, cert.NotBefore.Before(time.Now()))

	expired, _ := issue(t, issuer, msp.Request{
		CommonName: "gateway.atlas", Unit: msp.UnitClient,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
	})
	_, err := expired.Verify(x509.VerifyOptions{Roots: pool})
	var invalid x509.CertificateInvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, x509.Expired, invalid.Reason)
}

// TestSignaturesAreLow issues enough certificates that a generator of either
// half would be caught with certainty.
func TestSignaturesAreLow(t *testing.T) {
	issuer, _ := newIssuer(t)
	half := new(big.Int).Rsh(elliptic.P256().Params().N, 1)
	for range 64 {
		cert, _ := issue(t, issuer, msp.Request{CommonName: "x", Unit: msp.UnitClient})
		var signature struct{ R, S *big.Int }
		_, err := asn1.Unmarshal(cert.Signature, &signature)
		require.NoError(t, err)
		require.LessOrEqual(t, signature.S.Cmp(half), 0)
	}
}

func TestParseIssuer(t *testing.T) {
	issuer, pool := newIssuer(t)
	again, err := msp.ParseIssuer(issuer.Pair())
	require.NoError(t, err)
	cert, _ := issue(t, again, msp.Request{CommonName: "x", Unit: msp.UnitClient})
	_, err = cert.Verify(x509.VerifyOptions{Roots: pool})
	require.NoError(t, err)

	other, _ := newIssuer(t)
	_, err = msp.ParseIssuer(msp.Pair{CertPEM: issuer.Pair().CertPEM, KeyPEM: other.Pair().KeyPEM})
	require.ErrorContains(t, err, "does not belong")
	_, err = msp.ParseIssuer(msp.Pair{CertPEM: issuer.Pair().CertPEM, KeyPEM: []byte("x")})
	require.ErrorContains(t, err, "not PEM")
	_, err = msp.ParseIssuer(msp.Pair{CertPEM: []byte("x"), KeyPEM: issuer.Pair().KeyPEM})
	require.ErrorContains(t, err, "not a PEM certificate")
}
