// Package token takes bearer tokens from people: JWTs of the operator's OpenID
// Connect issuer. What is taken of a token is who it was issued to and their groups;
// everything else about it is checked.
package token

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/renameio/v2"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
)

// Person is who a token was issued to.
type Person struct {
	Issuer, Subject string
	Role            ledger.Role
	// Reference names the person on the ledger without telling who it is: a keyed
	// digest of issuer and subject, hexadecimal.
	Reference string
	// Until is when the token ends.
	Until time.Time
}

// Verifier checks tokens. It is safe for concurrent use.
type Verifier struct {
	config    Config
	roles     []mapping
	keys      *keys
	reference []byte
	now       func() time.Time
}

// Open makes a verifier; the issuer need not answer yet.
func Open(config Config, log *slog.Logger) (*Verifier, error) {
	roles, err := config.roles()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: fetchTimeout, MaxIdleConns: 2, IdleConnTimeout: time.Minute}
	if config.CAFile != "" {
		text, err := os.ReadFile(config.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the token issuer's CA: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no PEM certificate", config.CAFile)
		}
	}
	reference, err := referenceKey(config.ReferenceKeyFile)
	if err != nil {
		return nil, err
	}
	held := &keys{config: config, client: &http.Client{Transport: transport, Timeout: fetchTimeout}, log: log, pause: 10 * time.Second}
	for _, one := range config.Algorithms {
		held.algorithms = append(held.algorithms, jose.SignatureAlgorithm(one))
	}
	return &Verifier{config: config, roles: roles, keys: held, reference: reference, now: time.Now}, nil
}

// referenceKey reads the key of references, or makes it.
func referenceKey(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key := make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails
		if err := renameio.WriteFile(file, []byte(hex.EncodeToString(key)), 0o600); err != nil {
			return nil, fmt.Errorf("keep the key of people's references: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the key of people's references: %w", err)
	}
	key, err := hex.DecodeString(string(text))
	if err != nil || len(key) != sha256.Size {
		return nil, fmt.Errorf("%s holds no key of people's references: it is %d hexadecimal digits", file, 2*sha256.Size)
	}
	return key, nil
}

// Problem is what keeps the issuer's keys from being read, nil when nothing does.
func (v *Verifier) Problem() error {
	v.keys.mu.Lock()
	defer v.keys.mu.Unlock()
	return v.keys.last
}

// Person is who the token was issued to, or a fault that says why it is not taken.
func (v *Verifier) Person(ctx context.Context, text string) (*Person, error) {
	if len(text) > maxToken {
		return nil, fault.New(fault.Unauthenticated, "the token has more than %d bytes", maxToken)
	}
	now := v.now()
	// The library allows no skew for the end of a token, so the clock is set back.
	asked := &answer{keys: v.keys}
	checker := oidc.NewVerifier(v.config.Issuer, asked, &oidc.Config{
		ClientID: v.config.Audience, SupportedSigningAlgs: v.config.Algorithms, Now: func() time.Time { return now.Add(-v.config.ClockSkew) },
	})
	given, err := checker.Verify(ctx, text)
	if err != nil {
		return nil, v.refusal(errors.Join(err, asked.err))
	}
	claims := map[string]any{}
	if err := given.Claims(&claims); err != nil {
		return nil, v.refusal(err)
	}
	latest := float64(now.Add(v.config.ClockSkew).Unix())
	for _, claim := range []string{"nbf", "iat"} {
		if from, has := claims[claim].(float64); has && from > latest {
			return nil, fault.New(fault.Unauthenticated, "the token is not valid yet: compare the issuer's clock with this machine's")
		}
	}
	if given.Subject == "" || len(given.Subject) > 255 {
		return nil, fault.New(fault.Unauthenticated, "the token names no subject")
	}
	who := &Person{Issuer: given.Issuer, Subject: given.Subject, Until: given.Expiry.Add(v.config.ClockSkew)}
	mac := hmac.New(sha256.New, v.reference)
	_, _ = fmt.Fprintf(mac, "%d:%s%s", len(who.Issuer), who.Issuer, who.Subject)
	who.Reference = hex.EncodeToString(mac.Sum(nil))
	if who.Role = v.roleOf(claims[v.config.RoleClaim]); who.Role == "" {
		return who, fault.New(fault.Denied, "the token's claim %s gives no role: have the issuer put its holder into one of the groups that server.tokens.roles names", v.config.RoleClaim)
	}
	return who, nil
}

// answer keeps what the keys said: the library makes text of it.
type answer struct {
	*keys
	err error
}

// VerifySignature implements oidc.KeySet.
func (a *answer) VerifySignature(ctx context.Context, text string) (payload []byte, err error) {
	payload, a.err = a.keys.VerifySignature(ctx, text)
	return payload, a.err
}

// roleOf is the role of the first group in the configuration that is among those of
// the claim.
func (v *Verifier) roleOf(claim any) ledger.Role {
	var groups []string
	switch given := claim.(type) {
	case string:
		groups = []string{given}
	case []any:
		for _, one := range given {
			if group, isText := one.(string); isText {
				groups = append(groups, group)
			}
		}
	}
	for _, one := range v.roles {
		if slices.Contains(groups, one.group) {
			return one.role
		}
	}
	return ""
}

// refusal says in words why a token is not taken.
func (v *Verifier) refusal(err error) error {
	refused := fault.New(fault.Unauthenticated, "the token is not one that %s signed for the audience %q: sign in again", v.config.Issuer, v.config.Audience)
	var expired *oidc.TokenExpiredError
	switch {
	case errors.As(err, &expired):
		refused = fault.New(fault.Unauthenticated, "the token expired on %s: sign in again", expired.Expiry.UTC().Format(time.RFC3339))
	case errors.Is(err, errAway):
		refused = fault.New(fault.Unavailable, "the token cannot be checked, because its issuer does not answer: try again, or show a certificate")
		refused.RetryAfter = v.keys.pause
	}
	refused.Err = err
	return refused
}
