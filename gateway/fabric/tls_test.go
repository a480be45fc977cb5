package fabric_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/fabric"
)

// mutual is the TLS that a configuration means.
func mutual(t *testing.T, config fabric.Config) *tls.Config {
	t.Helper()
	authorities, err := os.ReadFile(config.Peers[0].CAFile)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(authorities))
	own, err := tls.LoadX509KeyPair(config.TLSCertFile, config.TLSKeyFile)
	require.NoError(t, err)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}
}
