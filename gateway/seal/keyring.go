// Package seal encrypts the personal details of each record under a key of its
// own, which never enters the ledger: destroying that key erases the details
// from every copy of the private collection, compacted or not.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/callseal/callseal/chaincode/ledger"
)

// ErrNoKey says that the record's key is not in the keyring: it was destroyed,
// or the details were sealed elsewhere.
var ErrNoKey = errors.New("the key of these details is not in the keyring: it was destroyed, or they were sealed by another gateway")

// lockTimeout bounds the wait for another process to let the keyring go.
const lockTimeout = 2 * time.Second

// Buckets of the index. A record is named by the SHA-256 of its key on the
// ledger. The index holds no keys: bbolt does not clear what it deletes.
var (
	// slotBucket says in which slot of the keys' file a record's key is.
	slotBucket = []byte("record slots v2")
	// destroyedBucket tells of keys that are no more.
	destroyedBucket = []byte("destroyed keys v1")
	// dueBucket holds the slots that are to be overwritten: between a deletion and
	// its overwriting, and after a crash that came between.
	dueBucket = []byte("slots to overwrite v2")
)

// Keyring holds one 256-bit key a record. Beside the index, a file of bbolt, the
// keys stand in a file of their own in slots of equal size, so that destroying one
// overwrites it where it is, whatever the number of keys.
//
// Back both files up, the index first: without them the details on the ledger
// cannot be read by anyone. A backup holds the keys that were destroyed since:
// keep few, and let them go within the term in which erasures must be complete.
type Keyring struct {
	db    *bbolt.DB
	slots *slots
}

// Item is what to seal: a record's key on the ledger and its details.
type Item struct {
	Key     string
	Details []byte
}

// Open opens or creates the keyring: its index at the path and its keys beside
// it, at [KeysFile].
func Open(path string) (*Keyring, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the keyring's folder: %w", err)
	}
	db, err := openIndex(path)
	if err != nil {
		return nil, err
	}
	keyring := &Keyring{db: db}
	if keyring.slots, err = openSlots(KeysFile(path)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := keyring.prepare(path); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the keyring %s: %w", path, err), keyring.Close())
	}
	return keyring, nil
}

// KeysFile is where the keys of the keyring with that index are.
func KeysFile(path string) string { return path + ".keys" }

func openIndex(path string) (*bbolt.DB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("the keyring %s is in use by another gateway", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the keyring %s: %w", path, err)
	}
	return db, nil
}

func (k *Keyring) prepare(path string) error {
	indexed := 0
	err := k.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{slotBucket, destroyedBucket, dueBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		if name, _ := tx.Bucket(slotBucket).Cursor().First(); name != nil {
			indexed = 1
		}
		return nil
	})
	if err != nil {
		return err
	}
	if indexed > 0 && k.slots.next == 0 {
		return fmt.Errorf("the index names keys and %s holds none: restore that file too", KeysFile(path))
	}
	if err := k.adopt(path); err != nil {
		return err
	}
	return k.overwriteDue()
}

// Close lets the files go.
func (k *Keyring) Close() error {
	if err := errors.Join(k.db.Close(), k.slots.close()); err != nil {
		return fmt.Errorf("close the keyring: %w", err)
	}
	return nil
}

// Seal encrypts the items. New keys are on disk before it returns; a record that
// has a key keeps it, and one whose key was destroyed is left out.
func (k *Keyring) Seal(items []Item) ([]ledger.SealedRecord, error) {
	sealed := make([]ledger.SealedRecord, 0, len(items))
	err := k.db.Update(func(tx *bbolt.Tx) error {
		sealed = sealed[:0]
		index, destroyed := tx.Bucket(slotBucket), tx.Bucket(destroyedBucket)
		fresh := k.slots.begin()
		for _, item := range items {
			name := sha256.Sum256([]byte(item.Key))
			if destroyed.Get(name[:]) != nil {
				continue
			}
			key, err := k.keyIn(index, name[:], fresh)
			if errors.Is(err, ErrNoKey) {
				key = make([]byte, keyBytes)
				_, _ = rand.Read(key) // never fails since Go 1.24
				err = index.Put(name[:], encodeSlot(fresh.add(key)))
			}
			if err != nil {
				return fmt.Errorf("keep the key: %w", err)
			}
			one, err := sealOne(key, item)
			if err != nil {
				return err
			}
			sealed = append(sealed, *one)
		}
		// On disk before the index names them.
		return k.slots.append(fresh)
	})
	if err != nil {
		return nil, fmt.Errorf("seal details: %w", err)
	}
	return sealed, nil
}

func sealOne(key []byte, item Item) (*ledger.SealedRecord, error) {
	box, err := boxOf(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, box.NonceSize())
	_, _ = rand.Read(nonce)
	return &ledger.SealedRecord{Key: item.Key, Sealed: ledger.Sealed{
		Algorithm: ledger.SealAlgorithm, KeyCommitment: ledger.KeyCommitment(key), Nonce: nonce, V: ledger.SchemaVersion,
		Ciphertext: box.Seal(nil, nonce, item.Details, []byte(item.Key)),
	}}, nil
}

// Unseal decrypts the details of the record with the given key on the ledger,
// or answers ErrNoKey.
func (k *Keyring) Unseal(recordKey string, sealed *ledger.Sealed) ([]byte, error) {
	if err := sealed.Check(); err != nil {
		return nil, err
	}
	key, err := k.key(recordKey)
	if err != nil {
		return nil, err
	}
	if sealed.KeyCommitment != "" && sealed.KeyCommitment != ledger.KeyCommitment(key) {
		return nil, errors.New("the sealed details name another key than the record's: they were altered, or sealed by another gateway")
	}
	box, err := boxOf(key)
	if err != nil {
		return nil, err
	}
	details, err := box.Open(nil, sealed.Nonce, sealed.Ciphertext, []byte(recordKey))
	if err != nil {
		return nil, fmt.Errorf("the sealed details do not open with their key: they were altered: %w", err)
	}
	return details, nil
}

// key is the record's key, or ErrNoKey.
func (k *Keyring) key(recordKey string) (key []byte, err error) {
	name := sha256.Sum256([]byte(recordKey))
	err = k.db.View(func(tx *bbolt.Tx) error {
		key, err = k.keyIn(tx.Bucket(slotBucket), name[:], nil)
		return err
	})
	if err != nil && !errors.Is(err, ErrNoKey) {
		err = fmt.Errorf("look up the key: %w", err)
	}
	return key, err
}

// keyIn reads a key through the index, or answers ErrNoKey. Those of the batch
// are not on disk yet.
func (k *Keyring) keyIn(index *bbolt.Bucket, name []byte, fresh *batch) ([]byte, error) {
	entry := index.Get(name)
	if entry == nil {
		return nil, ErrNoKey
	}
	slot := decodeSlot(entry)
	if key := fresh.key(slot); key != nil {
		return key, nil
	}
	return k.slots.read(slot)
}

func encodeSlot(slot int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(slot)) //nolint:gosec // counted from 0
}

func decodeSlot(entry []byte) int64 {
	return int64(binary.BigEndian.Uint64(entry)) //nolint:gosec // written by encodeSlot
}

func boxOf(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("use the record's key: %w", err)
	}
	box, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("use the record's key: %w", err)
	}
	return box, nil
}
