package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
)

// issuer is a small OpenID Connect issuer over HTTPS.
type issuer struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	keys   []jose.JSONWebKey
	asked  int
	broken bool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys", "authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token"})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.asked++
		if i.broken {
			http.Error(w, "away", http.StatusBadGateway)
			return
		}
		set := jose.JSONWebKeySet{}
		for _, key := range i.keys {
			set.Keys = append(set.Keys, key.Public())
		}
		_ = json.NewEncoder(w).Encode(set)
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

// key makes a signing key, published or not.
func (i *issuer) key(id string, published bool) jose.JSONWebKey {
	i.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(i.t, err)
	made := jose.JSONWebKey{Key: private, KeyID: id, Algorithm: "ES256", Use: "sig"}
	if published {
		i.mu.Lock()
		i.keys = append(i.keys, made)
		i.mu.Unlock()
	}
	return made
}

func (i *issuer) config() Config {
	i.t.Helper()
	config := DefaultConfig()
	config.Issuer, config.Audience = i.URL, "callseal"
	config.Roles = []string{"keepers=compliance", "readers=auditor"}
	config.CAFile = filepath.Join(i.t.TempDir(), "ca.pem")
	config.ReferenceKeyFile = filepath.Join(i.t.TempDir(), "callers.key")
	require.NoError(i.t, os.WriteFile(config.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}), 0o600))
	require.NoError(i.t, config.Check())
	return config
}

func (i *issuer) verifier(changes ...func(*Config)) *Verifier {
	i.t.Helper()
	config := i.config()
	for _, change := range changes {
		change(&config)
	}
	verifier, err := Open(config, slog.New(slog.DiscardHandler))
	require.NoError(i.t, err)
	verifier.keys.pause = time.Nanosecond
	return verifier
}

// claims are those of a good token, changed.
func (i *issuer) claims(changes map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{"iss": i.URL, "aud": "callseal", "sub": "u-17", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "groups": []string{"others", "keepers"}}
	for name, value := range changes {
		if value == nil {
			delete(claims, name)
		} else {
			claims[name] = value
		}
	}
	return claims
}

func sign(t *testing.T, key any, algorithm jose.SignatureAlgorithm, id string, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", id))
	require.NoError(t, err)
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	signed, err := signer.Sign(payload)
	require.NoError(t, err)
	text, err := signed.CompactSerialize()
	require.NoError(t, err)
	return text
}

func TestAGoodToken(t *testing.T) {
	i := newIssuer(t)
	key := i.key("one", true)
	v := i.verifier()
	who, err := v.Person(t.Context(), sign(t, key.Key, jose.ES256, "one", i.claims(nil)))
	require.NoError(t, err)
	require.Equal(t, ledger.RoleCompliance, who.Role)
	require.Equal(t, "u-17", who.Subject)
	require.Equal(t, i.URL, who.Issuer)
	require.Len(t, who.Reference, 64)
	require.NotContains(t, who.Reference, "u-17")
	reader, err := v.Person(t.Context(), sign(t, key.Key, jose.ES256, "one", i.claims(map[string]any{"groups": "readers", "sub": "u-18"})))
	require.NoError(t, err)
	require.Equal(t, ledger.RoleAuditor, reader.Role)
	require.NotEqual(t, who.Reference, reader.Reference)
	again, err := Open(v.config, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	same, err := again.Person(t.Context(), sign(t, key.Key, jose.ES256, "one", i.claims(nil)))
	require.NoError(t, err)
	require.Equal(t, who.Reference, same.Reference, "the name holds over restarts")
	require.Equal(t, 2, i.asked, "keys are read once, not for each token")
}

func TestTokensThatAreNotTaken(t *testing.T) {
	i := newIssuer(t)
	key := i.key("one", true)
	strange := i.key("one", false)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	i.mu.Lock()
	i.keys = append(i.keys, jose.JSONWebKey{Key: private, KeyID: "rsa", Use: "sig"})
	i.mu.Unlock()
	v := i.verifier()
	public := x509.MarshalPKCS1PublicKey(&private.PublicKey)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: public})
	good := sign(t, key.Key, jose.ES256, "one", i.claims(nil))
	parts := strings.Split(good, ".")
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	confused := encode(`{"alg":"HS256","kid":"rsa"}`) + "." + parts[1]
	mac := hmac.New(sha256.New, publicPEM)
	_, _ = mac.Write([]byte(confused))
	weak, err := rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, make([]byte, 32))
	require.NoError(t, err)
	at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	with := func(name string, value any) string {
		return sign(t, key.Key, jose.ES256, "one", i.claims(map[string]any{name: value}))
	}
	for name, c := range map[string]struct {
		token string
		kind  fault.Kind
		says  string
	}{
		"expired":                      {with("exp", at(-time.Minute)), fault.Unauthenticated, "expired on"},
		"no end":                       {with("exp", nil), fault.Unauthenticated, "expired on"},
		"not valid yet":                {with("nbf", at(2*time.Minute)), fault.Unauthenticated, "not valid yet"},
		"issued in the future":         {with("iat", at(2*time.Minute)), fault.Unauthenticated, "not valid yet"},
		"another audience":             {with("aud", "payroll"), fault.Unauthenticated, "for the audience"},
		"no audience":                  {with("aud", nil), fault.Unauthenticated, "for the audience"},
		"another issuer":               {with("iss", "https://elsewhere.example"), fault.Unauthenticated, "is not one that"},
		"no subject":                   {with("sub", nil), fault.Unauthenticated, "no subject"},
		"a subject beyond bounds":      {with("sub", strings.Repeat("x", 256)), fault.Unauthenticated, "no subject"},
		"no group with a role":         {with("groups", []string{"others"}), fault.Denied, "gives no role"},
		"groups of another kind":       {with("groups", map[string]any{"keepers": true}), fault.Denied, "gives no role"},
		"a group that begins the same": {with("groups", "keepers2"), fault.Denied, "gives no role"},
		"another's key, same name":     {sign(t, strange.Key, jose.ES256, "one", i.claims(nil)), fault.Unauthenticated, "is not one that"},
		"a key nobody knows":           {sign(t, strange.Key, jose.ES256, "two", i.claims(nil)), fault.Unauthenticated, "is not one that"},
		"payload altered":              {parts[0] + "." + encode(strings.Replace(decode(t, parts[1]), "u-17", "u-18", 1)) + "." + parts[2], fault.Unauthenticated, "is not one that"},
		"signature cut":                {good[:len(good)-4], fault.Unauthenticated, "is not one that"},
		"algorithm none":               {encode(`{"alg":"none"}`) + "." + parts[1] + ".", fault.Unauthenticated, "is not one that"},
		"HMAC with the public key":     {confused + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), fault.Unauthenticated, "is not one that"},
		"an algorithm not pinned":      {sign(t, private, jose.RS512, "rsa", i.claims(nil)), fault.Unauthenticated, "is not one that"},
		"RSA header over an EC key":    {encode(`{"alg":"RS256","kid":"one"}`) + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(weak), fault.Unauthenticated, "is not one that"},
		"empty":                        {"", fault.Unauthenticated, "is not one that"},
		"not a token":                  {"Bearer of news", fault.Unauthenticated, "is not one that"},
		"too long":                     {strings.Repeat("a", maxToken+1), fault.Unauthenticated, "bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Person(t.Context(), c.token)
			require.Error(t, err)
			require.Equal(t, c.kind, fault.Of(err).Kind, "%v", err)
			require.Contains(t, fault.Of(err).Message, c.says)
		})
	}
	within := sign(t, key.Key, jose.ES256, "one", i.claims(map[string]any{"exp": at(-20 * time.Second), "nbf": at(20 * time.Second)}))
	_, err = v.Person(t.Context(), within)
	require.NoError(t, err, "within the skew")
	_, err = v.Person(t.Context(), sign(t, private, jose.RS256, "rsa", i.claims(nil)))
	require.NoError(t, err, "the other key is good in its own way")
}

func decode(t *testing.T, part string) string {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	require.NoError(t, err)
	return string(text)
}

func TestKeysAreReplaced(t *testing.T) {
	i := newIssuer(t)
	old := i.key("old", true)
	v := i.verifier()
	_, err := v.Person(t.Context(), sign(t, old.Key, jose.ES256, "old", i.claims(nil)))
	require.NoError(t, err)
	i.mu.Lock()
	i.keys = nil
	i.mu.Unlock()
	next := i.key("new", true)
	_, err = v.Person(t.Context(), sign(t, next.Key, jose.ES256, "new", i.claims(nil)))
	require.NoError(t, err, "a key that is not known is asked for")
	_, err = v.Person(t.Context(), sign(t, old.Key, jose.ES256, "old", i.claims(nil)))
	require.Error(t, err, "what the issuer has withdrawn is not taken")
}

func TestTokensWithUnknownKeysDoNotFloodTheIssuer(t *testing.T) {
	i := newIssuer(t)
	i.key("one", true)
	v := i.verifier()
	v.keys.pause = time.Hour
	strange := i.key("x", false)
	for range 200 {
		_, err := v.Person(t.Context(), sign(t, strange.Key, jose.ES256, "x", i.claims(nil)))
		require.Equal(t, fault.Unauthenticated, fault.Of(err).Kind)
	}
	require.Equal(t, 1, i.asked)
}

func TestTheIssuerIsAway(t *testing.T) {
	i := newIssuer(t)
	key := i.key("one", true)
	good := sign(t, key.Key, jose.ES256, "one", i.claims(nil))
	i.broken = true
	fresh := i.verifier()
	_, err := fresh.Person(t.Context(), good)
	require.Equal(t, fault.Unavailable, fault.Of(err).Kind, "%v", err)
	require.Positive(t, fault.Of(err).RetryAfter)
	require.Error(t, fresh.Problem())
	i.broken = false
	_, err = fresh.Person(t.Context(), good)
	require.NoError(t, err)
	require.NoError(t, fresh.Problem())

	i.broken = true
	age := func(d time.Duration) {
		fresh.keys.mu.Lock()
		fresh.keys.read = time.Now().Add(-d)
		fresh.keys.mu.Unlock()
	}
	age(time.Hour)
	_, err = fresh.Person(t.Context(), good)
	require.NoError(t, err, "keys are kept for a while")
	require.Error(t, fresh.Problem())
	age(13 * time.Hour)
	_, err = fresh.Person(t.Context(), good)
	require.Equal(t, fault.Unavailable, fault.Of(err).Kind, "but not for ever")
}

func TestAnIssuerWithoutATrustedCertificate(t *testing.T) {
	i := newIssuer(t)
	key := i.key("one", true)
	v := i.verifier(func(c *Config) { c.CAFile = "" })
	_, err := v.Person(t.Context(), sign(t, key.Key, jose.ES256, "one", i.claims(nil)))
	require.Equal(t, fault.Unavailable, fault.Of(err).Kind)
}

func TestCheck(t *testing.T) {
	require.NoError(t, (&Config{}).Check(), "no issuer, no tokens")
	for name, c := range map[string]struct {
		change func(*Config)
		says   string
	}{
		"http":               {func(c *Config) { c.Issuer = "http://login.example" }, "https"},
		"no audience":        {func(c *Config) { c.Audience = "" }, "audience"},
		"no claim":           {func(c *Config) { c.RoleClaim = "" }, "role_claim"},
		"no roles":           {func(c *Config) { c.Roles = nil }, "nobody would get in"},
		"adapters by token":  {func(c *Config) { c.Roles = []string{"x=adapter"} }, "show certificates"},
		"gateways by token":  {func(c *Config) { c.Roles = []string{"x=gateway"} }, "show certificates"},
		"no role":            {func(c *Config) { c.Roles = []string{"x"} }, "group=role"},
		"none":               {func(c *Config) { c.Algorithms = []string{"none"} }, `"none"`},
		"HS256":              {func(c *Config) { c.Algorithms = []string{"ES256", "HS256"} }, `"HS256"`},
		"no algorithm":       {func(c *Config) { c.Algorithms = nil }, "algorithms are missing"},
		"too much skew":      {func(c *Config) { c.ClockSkew = time.Hour }, "clock_skew"},
		"keys for no time":   {func(c *Config) { c.KeepKeys = 0 }, "keep_keys"},
		"keys read too much": {func(c *Config) { c.Refresh = 0 }, "refresh"},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig()
			config.Issuer, config.Audience, config.Roles = "https://login.example", "callseal", []string{"a=auditor"}
			require.NoError(t, config.Check())
			c.change(&config)
			require.ErrorContains(t, config.Check(), c.says)
		})
	}
}

// FuzzKeys reads whatever an issuer answers without failing, and takes no key that
// could not verify a signature of others.
func FuzzKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA","kid":"x"},{"kty":"EC","crv":"P-256","x":"","y":""}]}`))
	f.Add([]byte(`{"keys":[null]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		set, err := parseKeys(content)
		if err != nil {
			return
		}
		for _, key := range set {
			require.True(t, key.IsPublic())
			_, symmetric := key.Key.([]byte)
			require.False(t, symmetric)
		}
	})
}
