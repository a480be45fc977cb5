package inspection_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/index/postgrestest"
	"github.com/callseal/callseal/gateway/inspection"
	"github.com/callseal/callseal/gateway/setting"
	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// workshop makes files that are wrong in one way.
type workshop struct {
	*testing.T
	issuer *msp.Issuer
}

func (w *workshop) file(content []byte) string {
	file := filepath.Join(w.TempDir(), "file.pem")
	require.NoError(w, os.WriteFile(file, content, 0o600))
	return file
}

// identity issues a pair and answers its files.
func (w *workshop) identity(issuer *msp.Issuer, role string, from, until time.Duration) (cert, key string) {
	request := msp.Request{CommonName: "tried", Unit: msp.UnitClient, NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(until)}
	if role != "" {
		request.Attributes = map[string]string{msp.AttributeRole: role}
	}
	pair, err := issuer.Issue(request)
	require.NoError(w, err)
	return w.file(pair.CertPEM), w.file(pair.KeyPEM)
}

// A configuration as it is rendered for an operator of a running network is found
// good, and what is broken in it is named, each by itself.
func TestOfARealConfiguration(t *testing.T) {
	network := networktest.Start(t)
	org := network.Layout().Operator("Atlas")
	read := func(file string) []byte {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return text
	}
	issuer, err := msp.ParseIssuer(msp.Pair{CertPEM: read(org.EnrolmentCAFile()), KeyPEM: read(org.EnrolmentCAKeyFile())})
	require.NoError(t, err)
	stranger, err := msp.NewIssuer("a stranger's CA", "Strangers")
	require.NoError(t, err)
	w := &workshop{T: t, issuer: issuer}
	load := func() *gateway.Config {
		config, err := gateway.LoadConfig(org.GatewayConfig())
		require.NoError(t, err)
		config.Health.Timeout = 20 * time.Second
		return config
	}
	good := inspection.Of(t.Context(), load())
	require.True(t, inspection.OK(good), "%+v", good)
	for _, check := range []string{
		"server.client_ca_file", "server.cert_file", "server.revocation_dir", "fabric.tls_cert_file", "fabric.cert_file", "fabric.peers[0].ca_file",
		"signers.admin.cert_file", "state_dir", "journal", "audit.dir", "index.sqlite_file", "reputation.consortium_key_file", "fabric.peers[0]", "fabric.peers[0].chaincode",
	} {
		require.True(t, slices.ContainsFunc(good, func(one inspection.Finding) bool { return one.Check == check && one.Says != "" }), check)
	}

	plain := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	plainCA := w.file(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: plain.Certificate().Raw}))
	for name, c := range map[string]struct {
		spoil       func(*gateway.Config)
		check, says string
	}{
		"no certificate": {func(c *gateway.Config) { c.Server.CertFile += ".away" }, "server.cert_file", "no such file"},
		"no PEM":         {func(c *gateway.Config) { c.Server.CertFile = w.file([]byte("nothing")) }, "server.cert_file", "no PEM certificate"},
		"another's key":  {func(c *gateway.Config) { c.Server.KeyFile = c.Fabric.KeyFile }, "server.cert_file", "is not that of the certificate"},
		"an expired identity": {func(c *gateway.Config) {
			c.Fabric.CertFile, c.Fabric.KeyFile = w.identity(issuer, "gateway", -2*time.Hour, -time.Hour)
		}, "fabric.cert_file", "expired on"},
		"an early identity": {func(c *gateway.Config) {
			c.Fabric.CertFile, c.Fabric.KeyFile = w.identity(issuer, "gateway", time.Hour, 2*time.Hour)
		}, "fabric.cert_file", "check the clock"},
		"no role": {func(c *gateway.Config) {
			c.Fabric.CertFile, c.Fabric.KeyFile = w.identity(issuer, "", -time.Hour, time.Hour)
		}, "fabric.cert_file", `bears the role ""`},
		"another role": {func(c *gateway.Config) { c.Signers.Admin = c.Signers.Auditor }, "signers.admin.cert_file", `bears the role "auditor": "admin" is needed`},
		"a stranger's": {func(c *gateway.Config) {
			c.Fabric.CertFile, c.Fabric.KeyFile = w.identity(stranger, "gateway", -time.Hour, time.Hour)
		}, "fabric.cert_file", "is not of the authorities"},
		"a broken chain": {func(c *gateway.Config) {
			c.Server.CertFile = w.file(append(read(c.Server.CertFile), stranger.Pair().CertPEM...))
		}, "server.cert_file", "the chain is broken"},
		"no authority":         {func(c *gateway.Config) { c.Server.ClientCAFile = c.Server.CertFile }, "server.client_ca_file", "is no authority's certificate"},
		"a broken list":        {func(c *gateway.Config) { c.Server.RevocationDir = filepath.Dir(w.file([]byte("nothing"))) }, "server.revocation_dir", "revocation list"},
		"a state that is none": {func(c *gateway.Config) { c.StateDir = w.file(nil) }, "state_dir", ""},
		"a full disk":          {func(c *gateway.Config) { c.Health.DiskFree = 1 << 60 }, "health.disk_free", "make room"},
		"no consortium key":    {func(c *gateway.Config) { c.Reputation.KeyFile = w.file([]byte("12")) }, "reputation.consortium_key_file", ""},
		"no peer": {func(c *gateway.Config) {
			c.Fabric.Peers = []fabric.PeerConfig{{Address: "127.0.0.1:1", CAFile: org.TLSCAFile()}}
		}, "fabric.peers[0]", "cannot be reached"},
		"a peer of others":  {func(c *gateway.Config) { c.Fabric.Peers[0].CAFile = network.Layout().Operator("Borealis").TLSCAFile() }, "fabric.peers[0]", ""},
		"no such channel":   {func(c *gateway.Config) { c.Fabric.Channel = "nowhere" }, "fabric.peers[0]", ""},
		"no such chaincode": {func(c *gateway.Config) { c.Fabric.Chaincode = "nothing" }, "fabric.peers[0].chaincode", ""},
		"no database":       {func(c *gateway.Config) { c.Index.Postgres.DSN = "postgres://atlas:secretword@127.0.0.1:1/index" }, "index.postgres.dsn", "PostgreSQL does not answer"},
		"no issuer":         {func(c *gateway.Config) { c.Server.Tokens.Issuer, c.Server.Tokens.CAFile = plain.URL, plainCA }, "server.tokens.issuer", "does not answer as one"},
		"an issuer of unknown TLS": {func(c *gateway.Config) { c.Server.Tokens.Issuer, c.Server.Tokens.CAFile = plain.URL, org.TLSCAFile() },
			"server.tokens.issuer", "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			config := load()
			c.spoil(config)
			findings := inspection.Of(t.Context(), config)
			require.False(t, inspection.OK(findings))
			at := slices.IndexFunc(findings, func(one inspection.Finding) bool { return one.Check == c.check })
			require.GreaterOrEqual(t, at, 0, "%+v", findings)
			require.False(t, findings[at].OK, "%+v", findings[at])
			require.Contains(t, findings[at].Says, c.says)
			require.NotContains(t, fmt.Sprint(findings), "secretword")
			require.NotContains(t, findings[at].Says, "\n")
		})
	}
	t.Run("services that are there", func(t *testing.T) {
		var issuer *httptest.Server
		issuer = httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(out, `{"issuer":%q,"jwks_uri":%q,"authorization_endpoint":"x","token_endpoint":"x"}`, issuer.URL, issuer.URL+"/keys")
		}))
		t.Cleanup(issuer.Close)
		config := load()
		config.Server.Tokens.Issuer = issuer.URL
		config.Server.Tokens.CAFile = w.file(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issuer.Certificate().Raw}))
		config.Index.Postgres.DSN = setting.Secret(postgrestest.Start(t).Database())
		findings := inspection.Of(t.Context(), config)
		require.True(t, inspection.OK(findings), "%+v", findings)
	})
}
