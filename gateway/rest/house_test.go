package rest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/seal"
	"github.com/callseal/callseal/gateway/server"
	"github.com/callseal/callseal/gateway/trail"
	"github.com/callseal/callseal/network/msp"
)

// house is a gateway's gRPC server with REST upon it on real ports, and an OpenID
// issuer whose tokens it takes. Its peer is away, its index empty.
type house struct {
	t          *testing.T
	folder     string
	grpc, rest string
	authority  *msp.Issuer
	roots      *x509.CertPool
	login      *httptest.Server
	key        *ecdsa.PrivateKey
}

func newHouse(t *testing.T, changes ...func(*Config)) *house {
	t.Helper()
	h := &house{t: t, folder: t.TempDir(), roots: x509.NewCertPool()}
	var err error
	h.authority, err = msp.NewIssuer("CA", "Atlas")
	require.NoError(t, err)
	require.True(t, h.roots.AppendCertsFromPEM(h.authority.Pair().CertPEM))
	own, err := h.authority.Issue(msp.Request{CommonName: "gateway", Hosts: []string{"127.0.0.1"}})
	require.NoError(t, err)
	h.openLogin()
	face := server.DefaultConfig()
	face.CertFile, face.KeyFile, face.ClientCAFile = h.file("cert.pem", own.CertPEM), h.file("key.pem", own.KeyPEM), h.file("ca.pem", h.authority.Pair().CertPEM)
	face.StopTimeout = time.Second
	face.Tokens.Issuer, face.Tokens.Audience, face.Tokens.Roles = h.login.URL, "callseal", []string{"keepers=compliance", "readers=auditor"}
	face.Tokens.CAFile = h.file("login.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.login.Certificate().Raw}))
	face.Tokens.ReferenceKeyFile = filepath.Join(h.folder, "callers.key")
	log := slog.New(slog.DiscardHandler)
	channel, err := fabric.Open(fabric.Config{
		MSP: "AtlasMSP", Channel: "calls", Chaincode: "callseal", Peers: []fabric.PeerConfig{{Address: "127.0.0.1:1", CAFile: face.ClientCAFile}},
		TLSCertFile: face.CertFile, TLSKeyFile: face.KeyFile, CertFile: face.CertFile, KeyFile: face.KeyFile,
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = channel.Close() })
	keyring, err := seal.Open(filepath.Join(h.folder, "keyring.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = keyring.Close() })
	indexed := index.DefaultConfig()
	indexed.SQLiteFile = filepath.Join(h.folder, "index.db")
	rows, err := index.Open(t.Context(), indexed, index.Subject{MSP: "AtlasMSP", Channel: "calls", Chaincode: "callseal"}, log, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = rows.Close() })
	audit, err := trail.Open(trail.Config{Dir: filepath.Join(h.folder, "audit"), FileSize: 64 << 20}, nil, log)
	require.NoError(t, err)
	t.Cleanup(func() { _ = audit.Close() })
	upon, err := server.New(face, server.Parts{Channel: channel, Keyring: keyring, Index: rows, Trail: audit}, log)
	require.NoError(t, err)
	config := DefaultConfig()
	for _, change := range changes {
		change(&config)
	}
	front, err := New(config, upon, log)
	require.NoError(t, err)
	h.grpc, h.rest = h.serve(upon.Serve), h.serve(front.Serve)
	return h
}

func (h *house) serve(serve func(context.Context, net.Listener) error) string {
	h.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(h.t, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, listener) }()
	h.t.Cleanup(func() { stop(); require.NoError(h.t, <-served) })
	return listener.Addr().String()
}

func (h *house) file(name string, content []byte) string {
	h.t.Helper()
	path := filepath.Join(h.folder, name)
	require.NoError(h.t, os.WriteFile(path, content, 0o600))
	return path
}

// openLogin opens the issuer.
func (h *house) openLogin() {
	h.t.Helper()
	var err error
	h.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(h.t, err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": h.login.URL, "jwks_uri": h.login.URL + "/keys", "authorization_endpoint": h.login.URL + "/a", "token_endpoint": h.login.URL + "/t"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: h.key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
	})
	h.login = httptest.NewTLSServer(mux)
	h.t.Cleanup(h.login.Close)
}

// token is one that the issuer gave a person of the group.
func (h *house) token(group, audience string, until time.Duration) string {
	h.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: h.key}, (&jose.SignerOptions{}).WithHeader("kid", "one"))
	require.NoError(h.t, err)
	now := time.Now()
	payload, err := json.Marshal(map[string]any{
		"iss": h.login.URL, "aud": audience, "sub": "u-17", "exp": now.Add(until).Unix(), "iat": now.Add(-2 * time.Hour).Unix(), "groups": []string{group},
	})
	require.NoError(h.t, err)
	signed, err := signer.Sign(payload)
	require.NoError(h.t, err)
	text, err := signed.CompactSerialize()
	require.NoError(h.t, err)
	return text
}

// tls shows a certificate with the role; none where it is "".
func (h *house) tls(role string) *tls.Config {
	h.t.Helper()
	config := &tls.Config{RootCAs: h.roots, MinVersion: tls.VersionTLS13}
	if role != "" {
		made, err := h.authority.Issue(msp.Request{CommonName: role + ".atlas", Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: role, msp.AttributePBX: "atlas-pbx-1"}})
		require.NoError(h.t, err)
		pair, err := tls.X509KeyPair(made.CertPEM, made.KeyPEM)
		require.NoError(h.t, err)
		config.Certificates = []tls.Certificate{pair}
	}
	return config
}

// client asks over REST as one with the role.
func (h *house) client(role string) *http.Client {
	h.t.Helper()
	made := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: h.tls(role)}}
	h.t.Cleanup(made.CloseIdleConnections)
	return made
}
