package seal_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/seal"
)

// keysIn reads all keys out of a keyring's file of keys.
func keysIn(t *testing.T, path string) [][]byte {
	t.Helper()
	content, err := os.ReadFile(seal.KeysFile(path))
	require.NoError(t, err)
	var keys [][]byte
	for key := range slices.Chunk(content[32:], 32) {
		if !bytes.Equal(key, make([]byte, 32)) {
			keys = append(keys, key)
		}
	}
	return keys
}

// contentOf is every byte of every file in a folder and those in it.
func contentOf(t *testing.T, folder string) (content []byte) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(folder, func(path string, file fs.DirEntry, err error) error {
		if err != nil || file.IsDir() {
			return err
		}
		one, err := os.ReadFile(path)
		content = append(content, one...)
		return err
	}))
	return content
}

// holding counts the keys that stand in any file of the keyring's folder.
func holding(t *testing.T, path string, keys [][]byte) (n int) {
	t.Helper()
	content := contentOf(t, filepath.Dir(path))
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

func TestADestroyedKeyIsInNoByteOfAnyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keyring := open(t, path)
	before, err := keyring.Seal(many(0, 300))
	require.NoError(t, err)
	require.NoError(t, keyring.Close())
	all := keysIn(t, path)
	require.Len(t, all, 300)
	require.Equal(t, 300, holding(t, path, all), "the search finds what is there")

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

// TestACrashDuringDestroy leaves the files as a crash would between the deletion
// from the index and the overwriting.
func TestACrashDuringDestroy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keyring := open(t, path)
	_, err := keyring.Seal(many(0, 50))
	require.NoError(t, err)
	all := keysIn(t, path)
	require.NoError(t, keyring.DestroyHalf("key 7"))
	require.NoError(t, keyring.Close())
	require.Equal(t, 50, holding(t, path, all))
	keyring = open(t, path)
	require.Equal(t, 49, holding(t, path, all))
	_, err = keyring.Seal(many(100, 1))
	require.NoError(t, err)
	require.Len(t, keysIn(t, path), 50)
}

// TestACrashWhileKeysAreWritten leaves a key cut short, which belongs to nobody.
func TestACrashWhileKeysAreWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keyring := open(t, path)
	one := sealOne(t, keyring, "one")
	require.NoError(t, keyring.Close())
	file, err := os.OpenFile(seal.KeysFile(path), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.Write([]byte("cut short"))
	require.NoError(t, err)
	require.NoError(t, file.Close())
	keyring = open(t, path)
	two := sealOne(t, keyring, "two")
	require.NoError(t, keyring.Close())
	keyring = open(t, path)
	for text, sealed := range map[string]*ledger.SealedRecord{"one": one, "two": two} {
		opened, err := keyring.Unseal(sealed.Key, &sealed.Sealed)
		require.NoError(t, err)
		require.Equal(t, "details of "+text, string(opened))
	}
}

// version1 writes a keyring as version 1 did, with the keys in the index, and
// answers them.
func version1(t *testing.T, path string, n int) [][]byte {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	keys := make([][]byte, n)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket([]byte("record keys v1"))
		for i := range keys {
			name := sha256.Sum256([]byte(fmt.Sprintf("key %d", i)))
			keys[i] = make([]byte, 32)
			_, _ = rand.Read(keys[i])
			err = errors.Join(err, bucket.Put(name[:], keys[i]))
		}
		return err
	}))
	require.NoError(t, db.Close())
	return keys
}

func TestAKeyringOfVersion1IsAdopted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keys := version1(t, path, 200)
	old, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = old.Close() }()
	half := make([]byte, 10_000)
	_, _ = rand.Read(half)
	require.NoError(t, os.WriteFile(path+".new", half, 0o600))

	keyring := open(t, path)
	require.NoFileExists(t, path+".new")
	_, err = seal.Open(path)
	require.ErrorContains(t, err, "is in use by another gateway", "the file that took its place is locked as well")
	commitment, err := keyring.Commitment("key 7")
	require.NoError(t, err)
	require.Equal(t, ledger.KeyCommitment(keys[7]), commitment)
	require.NoFileExists(t, path)
	index := contentOf(t, seal.IndexFolder(path))
	for _, key := range keys {
		require.False(t, bytes.Contains(index, key), "the index holds no key any more")
	}
	var gone syscall.Stat_t
	require.NoError(t, syscall.Fstat(int(old.Fd()), &gone))
	require.Zero(t, gone.Nlink)
	content := make([]byte, gone.Size)
	_, err = old.ReadAt(content, 0)
	require.NoError(t, err)
	require.Equal(t, make([]byte, gone.Size), content, "the file that was replaced is overwritten")

	_, err = keyring.Destroy("key 7")
	require.NoError(t, err)
	require.Equal(t, 199, holding(t, path, keys))
	require.NoError(t, keyring.Close())
	keyring = open(t, path)
	commitment, err = keyring.Commitment("key 8")
	require.NoError(t, err)
	require.Equal(t, ledger.KeyCommitment(keys[8]), commitment)
}

// TestACrashDuringAdoption: the slots were written and the old bucket is there.
func TestACrashDuringAdoption(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keys := version1(t, path, 20)
	require.NoError(t, open(t, path).Close())
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket([]byte("record keys v1"))
		name := sha256.Sum256([]byte("key 3"))
		return errors.Join(err, bucket.Put(name[:], keys[3]))
	}))
	require.NoError(t, db.Close())
	keyring := open(t, path)
	commitment, err := keyring.Commitment("key 3")
	require.NoError(t, err)
	require.Equal(t, ledger.KeyCommitment(keys[3]), commitment)
	require.Len(t, keysIn(t, path), 20, "none is there twice")
}

// version2 makes of a keyring one of version 2, whose index was a file of bbolt, as it
// is after a crash that left one slot to be overwritten.
func version2(t *testing.T, path string, slots, destroyed map[string]uint64) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
		put := func(bucket string, key, value []byte) error {
			made, err := tx.CreateBucketIfNotExists([]byte(bucket))
			if err != nil {
				return err
			}
			return made.Put(key, value)
		}
		for text, slot := range slots {
			name := sha256.Sum256([]byte(text))
			if err := put("record slots v2", name[:], binary.BigEndian.AppendUint64(nil, slot)); err != nil {
				return err
			}
		}
		for text, slot := range destroyed {
			name := sha256.Sum256([]byte(text))
			told := append(binary.BigEndian.AppendUint64(nil, 1_700_000_000_000), "commitment"...)
			if err := errors.Join(put("destroyed keys v1", name[:], told), put("slots to overwrite v2", binary.BigEndian.AppendUint64(nil, slot), nil)); err != nil {
				return err
			}
		}
		return nil
	}))
	require.NoError(t, db.Close())
}

func TestAKeyringOfVersion2IsAdopted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keys := make([][]byte, 3)
	content := []byte("callseal record keys, slots v2\n\n")
	for i := range keys {
		keys[i] = make([]byte, 32)
		_, _ = rand.Read(keys[i])
		content = append(content, keys[i]...)
	}
	require.NoError(t, os.WriteFile(seal.KeysFile(path), content, 0o600))
	version2(t, path, map[string]uint64{"zero": 0, "two": 2}, map[string]uint64{"one": 1})
	for range 2 {
		keyring := open(t, path)
		for text, key := range map[string][]byte{"zero": keys[0], "two": keys[2]} {
			commitment, err := keyring.Commitment(text)
			require.NoError(t, err)
			require.Equal(t, ledger.KeyCommitment(key), commitment)
		}
		told, err := keyring.Destroyed("one")
		require.NoError(t, err)
		require.Equal(t, seal.Destroyed{Commitment: "commitment", At: time.UnixMilli(1_700_000_000_000).UTC()}, told)
		require.Equal(t, 2, holding(t, path, keys), "what was to be overwritten is")
		require.NoFileExists(t, path)
		require.NoError(t, keyring.Close())
		// As after a crash before the old index was let go.
		version2(t, path, map[string]uint64{"zero": 0, "two": 2}, nil)
	}
}

// TestACrashWhileAnOldIndexIsRemoved leaves it half overwritten, under another name.
func TestACrashWhileAnOldIndexIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keys := version1(t, path, 20)
	require.NoError(t, open(t, path).Close())
	require.NoError(t, os.WriteFile(path+".old", append(make([]byte, 100), keys[3]...), 0o600))
	open(t, path)
	require.NoFileExists(t, path+".old")
	require.Equal(t, 20, holding(t, path, keys))
}

func TestBothFilesBelongTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring.db")
	keyring := open(t, path)
	sealOne(t, keyring, "one")
	require.NoError(t, keyring.Close())
	require.NoError(t, os.Rename(seal.KeysFile(path), path+".away"))
	_, err := seal.Open(path)
	require.ErrorContains(t, err, "restore that file too")
	require.NoError(t, os.WriteFile(seal.KeysFile(path), []byte("this is something else, and long enough"), 0o600))
	_, err = seal.Open(path)
	require.ErrorContains(t, err, "is no file of keys")
	require.NoError(t, os.Rename(path+".away", seal.KeysFile(path)))
	open(t, path)
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
