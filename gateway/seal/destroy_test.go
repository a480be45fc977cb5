package seal_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/seal"
)

// keysIn reads all record keys out of a keyring's file that nobody has open.
func keysIn(t *testing.T, path string) [][]byte {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var keys [][]byte
	require.NoError(t, db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("record keys v1")).ForEach(func(_, key []byte) error {
			keys = append(keys, bytes.Clone(key))
			return nil
		})
	}))
	return keys
}

func holding(t *testing.T, path string, keys [][]byte) (n int) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, key := range keys {
		if bytes.Contains(content, key) {
			n++
		}
	}
	return n
}

func many(from, n int) []seal.Item {
	made := make([]seal.Item, n)
	for i := range made {
		made[i] = seal.Item{Key: fmt.Sprintf("key %d", from+i), Details: []byte("details")}
	}
	return made
}

func TestADestroyedKeyIsInNoByteOfTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keyring := open(t, path)
	before, err := keyring.Seal(many(0, 300))
	require.NoError(t, err)
	require.NoError(t, keyring.Close())
	all := keysIn(t, path)
	require.Len(t, all, 300)
	require.Equal(t, 300, holding(t, path, all), "the search finds what is there")

	// The file as it is now stays open here: it must not keep the key either.
	old, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = old.Close() }()
	keyring = open(t, path)
	commitment, err := keyring.Commitment("key 17")
	require.NoError(t, err)
	require.Equal(t, before[17].Sealed.KeyCommitment, commitment, "it was knowable before")
	told, err := keyring.Destroy("key 17", "key 200")
	require.NoError(t, err)
	require.Equal(t, commitment, told[0].Commitment)
	require.Equal(t, before[200].Sealed.KeyCommitment, told[1].Commitment)
	require.WithinDuration(t, time.Now(), told[0].At, time.Minute)

	require.Equal(t, 298, holding(t, path, all))
	var gone syscall.Stat_t
	require.NoError(t, syscall.Fstat(int(old.Fd()), &gone))
	require.Zero(t, gone.Nlink)
	content := make([]byte, gone.Size)
	_, err = old.ReadAt(content, 0)
	require.NoError(t, err)
	require.Equal(t, make([]byte, gone.Size), content, "the file that was replaced is overwritten")
	require.NoFileExists(t, path+".new")

	_, err = keyring.Unseal("key 17", &before[17].Sealed)
	require.ErrorIs(t, err, seal.ErrNoKey)
	_, err = keyring.Unseal("key 18", &before[18].Sealed)
	require.NoError(t, err, "its neighbours open as before")
	require.NoError(t, keyring.Close())
	require.Len(t, keysIn(t, path), 298)
}

func TestADestroyedKeyDoesNotComeBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keyring := open(t, path)
	sealOne(t, keyring, "one")
	first, err := keyring.Destroy("key of one", "key of never")
	require.NoError(t, err)
	require.NotEmpty(t, first[0].Commitment)
	require.Empty(t, first[1].Commitment)
	for range 2 {
		for i, name := range []string{"key of one", "key of never"} {
			again, err := keyring.Destroy(name)
			require.NoError(t, err)
			require.Equal(t, first[i], again[0], "twice is once")
			told, err := keyring.Destroyed(name)
			require.NoError(t, err)
			require.Equal(t, first[i], told)
		}
		commitment, err := keyring.Commitment("key of one")
		require.NoError(t, err)
		require.Equal(t, first[0].Commitment, commitment)
		_, err = keyring.Commitment("key of never")
		require.ErrorIs(t, err, seal.ErrNoKey)
		sealed, err := keyring.Seal(items("one", "two", "never"))
		require.NoError(t, err)
		require.Len(t, sealed, 1)
		require.Equal(t, "key of two", sealed[0].Key)
		require.NoError(t, keyring.Close())
		keyring = open(t, path)
	}
	_, err = keyring.Destroyed("key of two")
	require.ErrorIs(t, err, seal.ErrNotDestroyed)
}

// TestACrashDuringDestroy leaves the file as a crash would between the deletion
// and the clearing, and a half-made copy from another.
func TestACrashDuringDestroy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keyring := open(t, path)
	_, err := keyring.Seal(many(0, 50))
	require.NoError(t, err)
	require.NoError(t, keyring.Close())
	all := keysIn(t, path)
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		keys := tx.Bucket([]byte("record keys v1"))
		name, _ := keys.Cursor().First()
		if err := keys.Delete(name); err != nil {
			return err
		}
		return tx.Bucket([]byte("keyring v1")).Put([]byte("scrub due"), []byte{1})
	}))
	require.NoError(t, db.Close())
	require.Equal(t, 50, holding(t, path, all), "bbolt alone does not clear what it deletes")
	half := make([]byte, 10_000)
	_, _ = rand.Read(half)
	require.NoError(t, os.WriteFile(path+".new", half, 0o600))

	keyring = open(t, path)
	require.Equal(t, 49, holding(t, path, all))
	require.NoFileExists(t, path+".new")
	_, err = keyring.Seal(many(100, 1))
	require.NoError(t, err)
}

func TestTheReplacedFileIsLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keyring := open(t, path)
	sealOne(t, keyring, "one")
	_, err := keyring.Destroy("key of one")
	require.NoError(t, err)
	_, err = seal.Open(path)
	require.ErrorContains(t, err, "is in use by another gateway")
}

func TestDestroyingWhileSealing(t *testing.T) {
	keyring := open(t, filepath.Join(t.TempDir(), "keyring.db"))
	_, err := keyring.Seal(many(5000, 20))
	require.NoError(t, err)
	var group sync.WaitGroup
	failures := make(chan error, 4)
	for worker := range 3 {
		group.Go(func() {
			for i := range 30 {
				name := worker*1000 + i
				sealed, err := keyring.Seal(many(name, 1))
				if err == nil {
					_, err = keyring.Unseal(sealed[0].Key, &sealed[0].Sealed)
				}
				if err != nil {
					failures <- err
					return
				}
			}
		})
	}
	group.Go(func() {
		for i := range 20 {
			told, err := keyring.Destroy(fmt.Sprintf("key %d", 5000+i))
			if err == nil && told[0].Commitment == "" {
				err = errors.New("there was no key")
			}
			if err != nil {
				failures <- err
				return
			}
		}
	})
	group.Wait()
	close(failures)
	require.NoError(t, errors.Join(<-failures))
}

func TestSealedNamesItsKey(t *testing.T) {
	keyring := open(t, filepath.Join(t.TempDir(), "keyring.db"))
	sealed := sealOne(t, keyring, "one").Sealed
	require.NotEmpty(t, sealed.KeyCommitment)
	sealed.KeyCommitment = ledger.KeyCommitment(make([]byte, 32))
	_, err := keyring.Unseal("key of one", &sealed)
	require.ErrorContains(t, err, "name another key")
	sealed.KeyCommitment = ""
	_, err = keyring.Unseal("key of one", &sealed)
	require.NoError(t, err, "what was sealed before commitments opens")
}

func TestDestroyOnAClosedKeyring(t *testing.T) {
	keyring := open(t, filepath.Join(t.TempDir(), "keyring.db"))
	require.NoError(t, keyring.Close())
	_, err := keyring.Destroy("key of one")
	require.Error(t, err)
	_, err = keyring.Commitment("key of one")
	require.Error(t, err)
	require.NotErrorIs(t, err, seal.ErrNoKey)
}
