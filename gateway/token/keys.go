package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxKeys and maxKeysBytes bound what an issuer may have us hold.
	maxKeys, maxKeysBytes = 64, 1 << 20
	// maxToken bounds a token.
	maxToken = 12 << 10
	// fetchTimeout bounds one question to the issuer.
	fetchTimeout = 5 * time.Second
)

// errAway says that the issuer's keys are not to be had.
var errAway = errors.New("the issuer's keys cannot be had")

// keys are the issuer's, read anew now and then and when a token names one that is
// not known, but not for every such token.
type keys struct {
	config     Config
	client     *http.Client
	algorithms []jose.SignatureAlgorithm
	log        *slog.Logger
	pause      time.Duration // between two questions to the issuer, at least

	fetching sync.Mutex // one asks at a time

	mu    sync.Mutex
	set   []jose.JSONWebKey
	read  time.Time // when set was read
	tried time.Time // when it was last tried
	last  error
}

// VerifySignature implements oidc.KeySet.
func (k *keys) VerifySignature(ctx context.Context, text string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(text, k.algorithms)
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	if len(signed.Signatures) != 1 {
		return nil, errors.New("the token has not one signature")
	}
	header := signed.Signatures[0].Header
	set, err := k.current(ctx)
	if err != nil {
		return nil, err
	}
	candidates := matching(set, header)
	if len(candidates) == 0 {
		if set, err = k.refetch(ctx); err != nil {
			return nil, err
		}
		candidates = matching(set, header)
	}
	for i := range candidates {
		if payload, err := signed.Verify(&candidates[i]); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("no key of the issuer signed the token")
}

func matching(set []jose.JSONWebKey, header jose.Header) []jose.JSONWebKey {
	var found []jose.JSONWebKey
	for _, key := range set {
		if (header.KeyID == "" || key.KeyID == header.KeyID) && (key.Algorithm == "" || key.Algorithm == header.Algorithm) {
			found = append(found, key)
		}
	}
	return found
}

// current is the set of keys, if it is fresh enough.
func (k *keys) current(ctx context.Context) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	set, age := k.set, time.Since(k.read)
	k.mu.Unlock()
	if set != nil && age < k.config.Refresh {
		return set, nil
	}
	fetched, err := k.refetch(ctx)
	switch {
	case err == nil && fetched != nil:
		k.mu.Lock()
		age = time.Since(k.read)
		k.mu.Unlock()
		if age < k.config.KeepKeys {
			return fetched, nil
		}
		return nil, errAway
	case set != nil && age < k.config.KeepKeys:
		return set, nil
	case err == nil:
		err = errAway
	}
	return nil, err
}

// refetch reads the keys anew, unless that was tried a moment ago.
func (k *keys) refetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	k.fetching.Lock()
	defer k.fetching.Unlock()
	k.mu.Lock()
	set, recent, last := k.set, time.Since(k.tried) < k.pause, k.last
	k.mu.Unlock()
	if recent {
		if set == nil && last != nil {
			return nil, last
		}
		return set, nil
	}
	// Who waits for it may go; others want the answer too.
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	fetched, err := k.fetch(asking)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried = time.Now()
	if k.last = err; err != nil {
		k.log.Warn("the token issuer's keys cannot be read", "issuer", k.config.Issuer, "error", err)
		if k.set != nil {
			return k.set, nil
		}
		return nil, err
	}
	k.set, k.read = fetched, k.tried
	return fetched, nil
}

func (k *keys) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, k.client), k.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	var told struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&told); err != nil || !strings.HasPrefix(told.Keys, "https://") {
		return nil, fmt.Errorf("%w: the issuer names no https address for them", errAway)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, told.Keys, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	answer, err := k.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAway, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: the issuer answers %s", errAway, answer.Status)
	}
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxKeysBytes+1))
	if err != nil || len(content) > maxKeysBytes {
		return nil, fmt.Errorf("%w: the issuer's answer is cut off or too large", errAway)
	}
	return parseKeys(content)
}

// parseKeys reads a key set, and of it the public keys of signatures.
func parseKeys(content []byte) ([]jose.JSONWebKey, error) {
	var raw struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if err := json.Unmarshal(content, &raw); err != nil {
		return nil, fmt.Errorf("%w: the issuer's answer is no key set: %w", errAway, err)
	}
	set := []jose.JSONWebKey{}
	for _, one := range raw.Keys {
		var key jose.JSONWebKey
		// A kind of key that we do not know is not for us.
		if key.UnmarshalJSON(one) != nil || !key.Valid() || !key.IsPublic() || key.Use != "" && key.Use != "sig" {
			continue
		}
		if _, symmetric := key.Key.([]byte); symmetric {
			continue
		}
		if len(set) == maxKeys {
			return nil, fmt.Errorf("%w: the issuer has more than %d", errAway, maxKeys)
		}
		set = append(set, key)
	}
	return set, nil
}
