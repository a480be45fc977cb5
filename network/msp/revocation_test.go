package msp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/network/msp"
)

func TestRevocationListsGrow(t *testing.T) {
	issuer, err := msp.NewIssuer("atlas enrolment CA", "Atlas")
	require.NoError(t, err)
	issue := func(by *msp.Issuer, name string) *msp.Pair {
		pair, err := by.Issue(msp.Request{CommonName: name, Unit: msp.UnitClient})
		require.NoError(t, err)
		return &pair
	}
	first, err := msp.ParseCertificate(issue(issuer, "first").CertPEM)
	require.NoError(t, err)
	second, err := msp.ParseCertificate(issue(issuer, "second").CertPEM)
	require.NoError(t, err)

	require.False(t, msp.Revokes(nil, first))
	content, err := issuer.Revoke(nil, first)
	require.NoError(t, err)
	one, err := msp.ParseRevocationList(content)
	require.NoError(t, err)
	require.True(t, issuer.Issued(one))
	require.True(t, msp.Revokes(one, first))
	require.False(t, msp.Revokes(one, second))

	content, err = issuer.Revoke(one, second)
	require.NoError(t, err)
	two, err := msp.ParseRevocationList(content)
	require.NoError(t, err)
	require.True(t, msp.Revokes(two, first), "a list repeats the one before")
	require.True(t, msp.Revokes(two, second))
	require.Equal(t, 1, two.Number.Cmp(one.Number))
	require.Equal(t, one.RevokedCertificateEntries[0].RevocationTime, two.RevokedCertificateEntries[0].RevocationTime)

	content, err = issuer.Revoke(two, second)
	require.NoError(t, err)
	three, err := msp.ParseRevocationList(content)
	require.NoError(t, err)
	require.Len(t, three.RevokedCertificateEntries, 2, "nothing is revoked twice")
}

func TestOnlyTheIssuerRevokes(t *testing.T) {
	issuer, err := msp.NewIssuer("atlas enrolment CA", "Atlas")
	require.NoError(t, err)
	// Of the same name, as a forger would call it.
	other, err := msp.NewIssuer("atlas enrolment CA", "Atlas")
	require.NoError(t, err)
	pair, err := other.Issue(msp.Request{CommonName: "gateway", Unit: msp.UnitClient})
	require.NoError(t, err)
	certificate, err := msp.ParseCertificate(pair.CertPEM)
	require.NoError(t, err)
	_, err = issuer.Revoke(nil, certificate)
	require.ErrorContains(t, err, "did not issue the certificate")

	content, err := other.Revoke(nil, certificate)
	require.NoError(t, err)
	list, err := msp.ParseRevocationList(content)
	require.NoError(t, err)
	require.False(t, issuer.Issued(list))
	_, err = msp.ParseRevocationList(pair.CertPEM)
	require.Error(t, err)
}
