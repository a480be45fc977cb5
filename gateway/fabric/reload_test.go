package fabric_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/network/msp"
)

// testReplacedFiles replaces the identity and the TLS certificate of an open
// channel, one file after the other.
func testReplacedFiles(t *testing.T, w *world) {
	config := w.config(t, "admin")
	folder := t.TempDir()
	move := func(file *string, name string) {
		content, err := os.ReadFile(*file)
		require.NoError(t, err)
		*file = filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(*file, content, 0o600))
	}
	move(&config.CertFile, "cert.pem")
	move(&config.KeyFile, "key.pem")
	move(&config.TLSCertFile, "tls-cert.pem")
	move(&config.TLSKeyFile, "tls-key.pem")
	channel, done := open(t, config)
	defer done()
	_, err := channel.Transact(within(t), registration(t))
	require.NoError(t, err)
	require.Empty(t, channel.Expiring())

	org := w.Layout().Operator("Atlas")
	issue := func(certFile, keyFile string, request msp.Request) msp.Pair {
		cert, err := os.ReadFile(certFile)
		require.NoError(t, err)
		key, err := os.ReadFile(keyFile)
		require.NoError(t, err)
		issuer, err := msp.ParseIssuer(msp.Pair{CertPEM: cert, KeyPEM: key})
		require.NoError(t, err)
		pair, err := issuer.Issue(request)
		require.NoError(t, err)
		return pair
	}
	identity := issue(org.EnrolmentCAFile(), org.EnrolmentCAKeyFile(), msp.Request{
		CommonName: "admin-2.atlas", Unit: msp.UnitAdmin, Attributes: map[string]string{msp.AttributeRole: "admin"}, NotAfter: time.Now().Add(20 * 24 * time.Hour),
	})
	transport := issue(org.TLSCAFile(), org.TLSCAKeyFile(), msp.Request{CommonName: "admin-2.atlas"})
	for file, content := range map[string][]byte{
		config.TLSCertFile: transport.CertPEM, config.TLSKeyFile: transport.KeyPEM, config.CertFile: identity.CertPEM, config.KeyFile: identity.KeyPEM,
	} {
		require.NoError(t, os.WriteFile(file, content, 0o600))
		_, err := channel.Transact(within(t), registration(t))
		require.NoError(t, err, "while the files do not fit each other")
	}
	require.Eventually(t, func() bool { return channel.Identity().Subject.CommonName == "admin-2.atlas" }, patience, 50*time.Millisecond)
	require.Contains(t, channel.Expiring(), "the certificate of admin-2.atlas expires on")
	for range 3 {
		_, err = channel.Transact(within(t), registration(t))
		require.NoError(t, err)
	}
}
