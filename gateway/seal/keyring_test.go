package seal_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/seal"
)

func open(t *testing.T, path string) *seal.Keyring {
	t.Helper()
	keyring, err := seal.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = keyring.Close() })
	return keyring
}

func items(texts ...string) []seal.Item {
	made := make([]seal.Item, len(texts))
	for i, text := range texts {
		made[i] = seal.Item{Key: "key of " + text, Details: []byte("details of " + text)}
	}
	return made
}

func sealOne(t *testing.T, keyring *seal.Keyring, text string) *ledger.SealedRecord {
	t.Helper()
	sealed, err := keyring.Seal(items(text))
	require.NoError(t, err)
	require.Len(t, sealed, 1)
	return &sealed[0]
}

func TestSealAndUnseal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "keyring.db")
	keyring := open(t, path)
	sealed, err := keyring.Seal(items("one", "two"))
	require.NoError(t, err)
	for i, item := range items("one", "two") {
		require.Equal(t, item.Key, sealed[i].Key)
		require.NoError(t, sealed[i].Sealed.Check())
		require.NotContains(t, string(sealed[i].Sealed.Ciphertext), "details")
		opened, err := keyring.Unseal(item.Key, &sealed[i].Sealed)
		require.NoError(t, err)
		require.Equal(t, item.Details, opened)
	}
	require.NotEqual(t, sealed[0].Sealed.Nonce, sealed[1].Sealed.Nonce)

	require.NoError(t, keyring.Close())
	reopened := open(t, path)
	opened, err := reopened.Unseal("key of one", &sealed[0].Sealed)
	require.NoError(t, err, "a reopened keyring keeps its keys")
	require.Equal(t, "details of one", string(opened))
}

// A gateway that seals the same record again, because the first transaction was
// lost or was not, must be able to open either.
func TestSealAgainKeepsTheKey(t *testing.T) {
	keyring := open(t, filepath.Join(t.TempDir(), "keyring.db"))
	first, second := sealOne(t, keyring, "one"), sealOne(t, keyring, "one")
	require.NotEqual(t, first.Sealed.Nonce, second.Sealed.Nonce, "a nonce serves once")
	for _, sealed := range []*ledger.SealedRecord{first, second} {
		opened, err := keyring.Unseal("key of one", &sealed.Sealed)
		require.NoError(t, err)
		require.Equal(t, "details of one", string(opened))
	}
}

func TestUnsealRefuses(t *testing.T) {
	keyring := open(t, filepath.Join(t.TempDir(), "keyring.db"))
	one, two := sealOne(t, keyring, "one"), sealOne(t, keyring, "two")
	change := func(apply func(*ledger.Sealed)) *ledger.Sealed {
		sealed := one.Sealed
		sealed.Ciphertext = append([]byte(nil), sealed.Ciphertext...)
		sealed.Nonce = append([]byte(nil), sealed.Nonce...)
		apply(&sealed)
		return &sealed
	}
	for name, c := range map[string]struct {
		key    string
		sealed *ledger.Sealed
		says   string
	}{
		"those of another record": {"key of one", &two.Sealed, "altered"},
		"ciphertext altered":      {"key of one", change(func(s *ledger.Sealed) { s.Ciphertext[0] ^= 1 }), "altered"},
		"tag altered":             {"key of one", change(func(s *ledger.Sealed) { s.Ciphertext[len(s.Ciphertext)-1] ^= 1 }), "altered"},
		"nonce altered":           {"key of one", change(func(s *ledger.Sealed) { s.Nonce[0] ^= 1 }), "altered"},
		"cut short":               {"key of one", change(func(s *ledger.Sealed) { s.Ciphertext = s.Ciphertext[:15] }), "shorter than its tag"},
		"nonce of another length": {"key of one", change(func(s *ledger.Sealed) { s.Nonce = s.Nonce[:8] }), "nonce"},
		"another algorithm":       {"key of one", change(func(s *ledger.Sealed) { s.Algorithm = "none" }), "A256GCM"},
		"of another version":      {"key of one", change(func(s *ledger.Sealed) { s.V = ledger.SchemaVersion + 1 }), fmt.Sprintf("version %d", ledger.SchemaVersion+1)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := keyring.Unseal(c.key, c.sealed)
			require.ErrorContains(t, err, c.says)
		})
	}
	_, err := keyring.Unseal("key of three", &one.Sealed)
	require.ErrorIs(t, err, seal.ErrNoKey)

	// The record's key is bound to the ciphertext even under the same secret: one
	// keyring file taken for another operator's opens nothing either.
	other := open(t, filepath.Join(t.TempDir(), "keyring.db"))
	sealOne(t, other, "one")
	_, err = other.Unseal("key of one", &one.Sealed)
	require.ErrorContains(t, err, "altered")
}

func TestOpenRefusesASecondGateway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	open(t, path)
	_, err := seal.Open(path)
	require.ErrorContains(t, err, "is in use by another gateway")
}

func TestOpenRefusesAFileThatIsNone(t *testing.T) {
	_, err := seal.Open(t.TempDir())
	require.ErrorContains(t, err, "open the keyring")
}

func TestClosedKeyringSealsNothing(t *testing.T) {
	keyring := open(t, filepath.Join(t.TempDir(), "keyring.db"))
	sealed := sealOne(t, keyring, "one")
	require.NoError(t, keyring.Close())
	_, err := keyring.Seal(items("two"))
	require.Error(t, err)
	_, err = keyring.Unseal("key of one", &sealed.Sealed)
	require.Error(t, err)
}
