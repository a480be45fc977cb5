// Package seal encrypts the personal details of each record under a key of its
// own, which never enters the ledger: destroying that key erases the details
// from every copy of the private collection, compacted or not.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
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

// Buckets: a record is named by the SHA-256 of its key on the ledger.
var (
	bucket          = []byte("record keys v1")
	destroyedBucket = []byte("destroyed keys v1")
	stateBucket     = []byte("keyring v1")
)

// Keyring holds one 256-bit key a record, in one file. Back it up: without it
// the details on the ledger cannot be read by anyone. A backup holds the keys
// that were destroyed since: keep few, and let them go within the term in which
// erasures must be complete.
type Keyring struct {
	path string

	mu sync.RWMutex // held whole while the file is replaced
	db *bbolt.DB
}

// Item is what to seal: a record's key on the ledger and its details.
type Item struct {
	Key     string
	Details []byte
}

// Open opens or creates the keyring.
func Open(path string) (*Keyring, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the keyring's folder: %w", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("the keyring %s is in use by another gateway", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the keyring %s: %w", path, err)
	}
	keyring := &Keyring{path: path, db: db}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucket, destroyedBucket, stateBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = keyring.finishScrub()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the keyring %s: %w", path, err), keyring.db.Close())
	}
	return keyring, nil
}

// Close lets the file go.
func (k *Keyring) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.db.Close(); err != nil {
		return fmt.Errorf("close the keyring: %w", err)
	}
	return nil
}

// Seal encrypts the items. New keys are on disk before it returns; a record that
// has a key keeps it, and one whose key was destroyed is left out.
func (k *Keyring) Seal(items []Item) ([]ledger.SealedRecord, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	sealed := make([]ledger.SealedRecord, 0, len(items))
	err := k.db.Update(func(tx *bbolt.Tx) error {
		sealed = sealed[:0]
		keys, destroyed := tx.Bucket(bucket), tx.Bucket(destroyedBucket)
		for _, item := range items {
			name := sha256.Sum256([]byte(item.Key))
			if destroyed.Get(name[:]) != nil {
				continue
			}
			key := keys.Get(name[:])
			if key == nil {
				key = make([]byte, 32)
				_, _ = rand.Read(key) // never fails since Go 1.24
				if err := keys.Put(name[:], key); err != nil {
					return fmt.Errorf("keep the key: %w", err)
				}
			}
			box, err := boxOf(key)
			if err != nil {
				return err
			}
			nonce := make([]byte, box.NonceSize())
			_, _ = rand.Read(nonce)
			sealed = append(sealed, ledger.SealedRecord{Key: item.Key, Sealed: ledger.Sealed{
				Algorithm: ledger.SealAlgorithm, KeyCommitment: ledger.KeyCommitment(key), Nonce: nonce, V: ledger.SchemaVersion,
				Ciphertext: box.Seal(nil, nonce, item.Details, []byte(item.Key)),
			}})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("seal details: %w", err)
	}
	return sealed, nil
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
func (k *Keyring) key(recordKey string) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	name := sha256.Sum256([]byte(recordKey))
	var key []byte
	err := k.db.View(func(tx *bbolt.Tx) error {
		key = append(key, tx.Bucket(bucket).Get(name[:])...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up the key: %w", err)
	}
	if key == nil {
		return nil, ErrNoKey
	}
	return key, nil
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
