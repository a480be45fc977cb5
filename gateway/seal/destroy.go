package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Destroyed tells of a key that is no more.
type Destroyed struct {
	// Commitment is the key's ledger.KeyCommitment; empty where the keyring had
	// no key for the record.
	Commitment string
	// At is when it was destroyed, by this machine's clock.
	At time.Time
}

// ErrNotDestroyed says that nobody destroyed the record's key here.
var ErrNotDestroyed = errors.New("the key of this record was not destroyed here")

// Commitment is the ledger.KeyCommitment of a record's key, be it destroyed
// already, or ErrNoKey.
func (k *Keyring) Commitment(recordKey string) (string, error) {
	switch destroyed, err := k.Destroyed(recordKey); {
	case err == nil && destroyed.Commitment == "":
		return "", ErrNoKey
	case err == nil:
		return destroyed.Commitment, nil
	case !errors.Is(err, ErrNotDestroyed):
		return "", err
	}
	key, err := k.key(recordKey)
	if err != nil {
		return "", err
	}
	return ledger.KeyCommitment(key), nil
}

// Destroyed tells when a record's key was destroyed, or ErrNotDestroyed.
func (k *Keyring) Destroyed(recordKey string) (Destroyed, error) {
	name := sha256.Sum256([]byte(recordKey))
	var told Destroyed
	err := k.db.View(func(tx *bbolt.Tx) error {
		entry := tx.Bucket(destroyedBucket).Get(name[:])
		if entry == nil {
			return ErrNotDestroyed
		}
		told = decodeDestroyed(entry)
		return nil
	})
	if err != nil && !errors.Is(err, ErrNotDestroyed) {
		err = fmt.Errorf("look up the destroyed key: %w", err)
	}
	return told, err
}

// Destroy destroys the keys of records for good, and answers for each in order.
// When it returns, the keys' bytes are overwritten on disk. A record without a
// key gets none any more; one whose key was destroyed before keeps that time.
//
// What the file system or the disk keeps of what was overwritten (snapshots,
// copies on write, flash cells) is beyond it: encrypt the disk.
func (k *Keyring) Destroy(recordKeys ...string) ([]Destroyed, error) {
	told := make([]Destroyed, 0, len(recordKeys))
	err := k.db.Update(func(tx *bbolt.Tx) error {
		told = told[:0]
		for _, recordKey := range recordKeys {
			one, err := k.destroyIn(tx, recordKey)
			if err != nil {
				return err
			}
			told = append(told, one)
		}
		return nil
	})
	if err == nil {
		err = k.overwriteDue()
	}
	if err != nil {
		return nil, fmt.Errorf("destroy keys: %w", err)
	}
	return told, nil
}

// destroyIn takes a key out of the index and marks its slot.
func (k *Keyring) destroyIn(tx *bbolt.Tx, recordKey string) (Destroyed, error) {
	name := sha256.Sum256([]byte(recordKey))
	index, destroyed := tx.Bucket(slotBucket), tx.Bucket(destroyedBucket)
	if entry := destroyed.Get(name[:]); entry != nil {
		return decodeDestroyed(entry), nil
	}
	one := Destroyed{At: time.Now().UTC().Truncate(time.Millisecond)}
	switch key, err := k.keyIn(index, name[:], nil); {
	case errors.Is(err, ErrNoKey):
	case err != nil:
		return Destroyed{}, err
	default:
		one.Commitment = ledger.KeyCommitment(key)
		if err := tx.Bucket(dueBucket).Put(index.Get(name[:]), []byte{}); err != nil {
			return Destroyed{}, err
		}
		if err := index.Delete(name[:]); err != nil {
			return Destroyed{}, err
		}
	}
	entry := binary.BigEndian.AppendUint64(nil, uint64(one.At.UnixMilli()))
	return one, destroyed.Put(name[:], append(entry, one.Commitment...))
}

func decodeDestroyed(entry []byte) Destroyed {
	const timeBytes = 8
	return Destroyed{
		At:         time.UnixMilli(int64(binary.BigEndian.Uint64(entry))).UTC(), //nolint:gosec // written by destroyIn
		Commitment: string(entry[timeBytes:]),
	}
}

// overwriteDue overwrites the slots that are marked, and then forgets the marks:
// a crash in between overwrites them again.
func (k *Keyring) overwriteDue() error {
	var due []int64
	err := k.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(dueBucket).ForEach(func(slot, _ []byte) error {
			due = append(due, decodeSlot(slot))
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("look for keys to overwrite: %w", err)
	}
	if len(due) == 0 {
		return nil
	}
	if err := k.slots.overwrite(due); err != nil {
		return err
	}
	return k.db.Update(func(tx *bbolt.Tx) error {
		for _, slot := range due {
			if err := tx.Bucket(dueBucket).Delete(encodeSlot(slot)); err != nil {
				return err
			}
		}
		return nil
	})
}
