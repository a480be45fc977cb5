// Package seal encrypts the personal details of each record under a key of its
// own, which never enters the ledger: destroying that key erases the details
// from every copy of the private collection, compacted or not.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/callseal/callseal/chaincode/ledger"
)

// ErrNoKey says that the record's key is not in the keyring: it was destroyed,
// or the details were sealed elsewhere.
var ErrNoKey = errors.New("the key of these details is not in the keyring: it was destroyed, or they were sealed by another gateway")

// Keyring holds one 256-bit key a record. Beside the index, the keys stand in a file
// of their own in slots of equal size, so that destroying one overwrites it where it
// is, whatever the number of keys. It is safe for concurrent use.
//
// Back both up, the index first: without them the details on the ledger cannot be
// read by anyone. A backup holds the keys that were destroyed since: keep few, and
// let them go within the term in which erasures must be complete.
type Keyring struct {
	index *index
	slots *slots
	// writing lets one at a time choose slots.
	writing sync.Mutex
}

// Item is what to seal: a record's key on the ledger and its details.
type Item struct {
	Key     string
	Details []byte
}

// Open opens or creates the keyring: its index in the folder [IndexFolder] and its
// keys at [KeysFile], both beside the path, where the index of an older version is,
// if any; that is adopted.
func Open(path string) (*Keyring, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the keyring's folder: %w", err)
	}
	opened, err := openIndex(path)
	if err != nil {
		return nil, err
	}
	keyring := &Keyring{index: opened}
	if keyring.slots, err = openSlots(KeysFile(path)); err != nil {
		return nil, errors.Join(err, opened.close())
	}
	if err := keyring.prepare(path); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the keyring %s: %w", path, err), keyring.Close())
	}
	return keyring, nil
}

// KeysFile is where the keys of the keyring at a path are.
func KeysFile(path string) string { return path + ".keys" }

// IndexFolder is where the index of the keyring at a path is.
func IndexFolder(path string) string { return path + ".index" }

func (k *Keyring) prepare(path string) error {
	named, err := k.index.names()
	if err != nil {
		return err
	}
	if named && k.slots.next == 0 {
		return fmt.Errorf("the index names keys and %s holds none: restore that file too", KeysFile(path))
	}
	if err := k.overwriteDue(); err != nil {
		return err
	}
	if err := k.adopt(path); err != nil {
		return err
	}
	return k.overwriteDue()
}

// Close lets the files go.
func (k *Keyring) Close() error {
	k.writing.Lock()
	defer k.writing.Unlock()
	if err := errors.Join(k.index.close(), k.slots.close()); err != nil {
		return fmt.Errorf("close the keyring: %w", err)
	}
	return nil
}

// Seal encrypts the items. New keys are on disk before it returns; a record that
// has a key keeps it, and one whose key was destroyed is left out.
func (k *Keyring) Seal(items []Item) ([]ledger.SealedRecord, error) {
	sealed := make([]ledger.SealedRecord, 0, len(items))
	k.writing.Lock()
	defer k.writing.Unlock()
	fresh := k.slots.begin()
	err := k.index.update(func(tx *change) error {
		for _, item := range items {
			key, err := k.keyFor(tx, item.Key, fresh)
			if err != nil {
				return fmt.Errorf("keep the key: %w", err)
			}
			if key == nil {
				continue
			}
			one, err := sealOne(key, item)
			if err != nil {
				return err
			}
			sealed = append(sealed, *one)
		}
		// On disk before the index names them.
		return k.written(k.slots.append(fresh))
	})
	if err != nil {
		return nil, fmt.Errorf("seal details: %w", err)
	}
	return sealed, nil
}

// written ends the keyring where its keys could not be written for another reason than
// a full disk; an fsync that failed is no full disk's, whatever it says: the next one
// may succeed without having written what this one lost.
func (k *Keyring) written(err error) error {
	if err == nil || full(err) && !errors.Is(err, errUnsynced) {
		return err
	}
	return k.index.failure.fail(err)
}

// full says whether an error is a full disk's, or a quota's.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// keyFor is the key of a record, made if there is none; nil if it was destroyed.
func (k *Keyring) keyFor(tx *change, recordKey string, fresh *batch) ([]byte, error) {
	of := nameOf(recordKey)
	destroyed, err := tx.get(destroyedKey(of))
	if err != nil || destroyed != nil {
		return nil, err
	}
	key, err := k.keyIn(tx, of, fresh)
	if !errors.Is(err, ErrNoKey) {
		return key, err
	}
	key = make([]byte, keyBytes)
	_, _ = rand.Read(key) // never fails since Go 1.24
	return key, tx.set(slotKey(of), encodeSlot(fresh.add(key)))
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
func (k *Keyring) key(recordKey string) ([]byte, error) {
	key, err := k.keyIn(k.index, nameOf(recordKey), nil)
	if err != nil && !errors.Is(err, ErrNoKey) {
		err = fmt.Errorf("look up the key: %w", err)
	}
	return key, err
}

// keyIn reads a key through the index, or answers ErrNoKey. Those of the batch
// are not on disk yet.
func (k *Keyring) keyIn(in reading, of name, fresh *batch) ([]byte, error) {
	entry, err := in.get(slotKey(of))
	if err != nil {
		return nil, err
	}
	if entry == nil {
		return nil, ErrNoKey
	}
	slot := decodeSlot(entry)
	if key := fresh.key(slot); key != nil {
		return key, nil
	}
	return k.slots.read(slot)
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
