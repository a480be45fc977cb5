//go:build cgo

package fabric

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThalesGroup/crypto11"
)

// sessionPatience is how long a signature waits for a session.
const sessionPatience = 5 * time.Second

// token is a hardware security module's key. It signs in several sessions at
// once, and logs in anew when the module has lost them.
type token struct {
	config PKCS11Config
	pin    string

	mu      sync.RWMutex // held for writing while logging in
	entered int          // how often it has logged in
	module  *crypto11.Context
	key     crypto11.Signer
}

// openToken logs in and finds the key.
func openToken(config PKCS11Config) (hardwareKey, error) {
	pin, err := config.pin()
	if err != nil {
		return nil, err
	}
	t := &token{config: config, pin: pin}
	if err := t.enter(); err != nil {
		return nil, err
	}
	return t, nil
}

// enter logs in. The lock is held for writing, or nobody else has the token yet.
func (t *token) enter() error {
	module, err := crypto11.Configure(&crypto11.Config{
		Path: t.config.ModuleFile, TokenLabel: t.config.TokenLabel, Pin: t.pin,
		MaxSessions: max(t.config.Sessions, 2), PoolWaitTimeout: sessionPatience,
	})
	if err != nil {
		return fmt.Errorf("log in to the token %q by %s: %w", t.config.TokenLabel, t.config.ModuleFile, err)
	}
	key, err := t.find(module)
	if err != nil {
		return errors.Join(err, module.Close())
	}
	t.module, t.key, t.entered = module, key, t.entered+1
	return nil
}

func (t *token) find(module *crypto11.Context) (crypto11.Signer, error) {
	id, err := hex.DecodeString(t.config.KeyID)
	if err != nil {
		return nil, fmt.Errorf("the key's id %q is not hexadecimal", t.config.KeyID)
	}
	key, err := module.FindKeyPair(none(id), none([]byte(t.config.KeyLabel)))
	switch {
	case err != nil:
		return nil, fmt.Errorf("find the key on the token %q: %w", t.config.TokenLabel, err)
	case key == nil:
		return nil, fmt.Errorf("the token %q holds no key pair with the label %q and id %q", t.config.TokenLabel, t.config.KeyLabel, t.config.KeyID)
	}
	if _, is := key.Public().(*ecdsa.PublicKey); !is {
		return nil, fmt.Errorf("the key %q on the token %q is not for ECDSA: make one on P-256", t.config.KeyLabel, t.config.TokenLabel)
	}
	return key, nil
}

// none is nil for what is not given.
func none(attribute []byte) []byte {
	if len(attribute) == 0 {
		return nil
	}
	return attribute
}

// Public is the public key.
func (t *token) Public() crypto.PublicKey {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.key.Public()
}

// Sign signs a SHA-256 digest. A failure may be that of a lost session: the token
// is entered anew, once, and asked again.
func (t *token) Sign(digest []byte) ([]byte, error) {
	signature, entered, err := t.try(digest)
	if err == nil {
		return signature, nil
	}
	if again := t.again(entered); again != nil {
		return nil, errors.Join(err, again)
	}
	signature, _, err = t.try(digest)
	return signature, err
}

func (t *token) try(digest []byte) (signature []byte, entered int, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(digest) != sha256.Size {
		return nil, t.entered, fmt.Errorf("the digest has %d bytes, SHA-256 makes %d", len(digest), sha256.Size)
	}
	der, err := t.key.Sign(rand.Reader, digest, crypto.SHA256)
	if err != nil {
		return nil, t.entered, fmt.Errorf("sign with the token %q: %w", t.config.TokenLabel, err)
	}
	public, _ := t.key.Public().(*ecdsa.PublicKey)
	signature, err = lowS(der, public)
	return signature, t.entered, err
}

// again logs in anew, unless another signature did so meanwhile.
func (t *token) again(entered int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entered != entered {
		return nil
	}
	// The sessions may be gone: closing them may fail.
	_ = t.module.Close()
	return t.enter()
}

// Close logs out.
func (t *token) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.module.Close(); err != nil {
		return fmt.Errorf("leave the token %q: %w", t.config.TokenLabel, err)
	}
	return nil
}
