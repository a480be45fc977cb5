package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

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
	entry, err := k.index.get(destroyedKey(nameOf(recordKey)))
	if err != nil {
		return Destroyed{}, fmt.Errorf("look up the destroyed key: %w", err)
	}
	if entry == nil {
		return Destroyed{}, ErrNotDestroyed
	}
	return decodeDestroyed(entry), nil
}

// Destroy destroys the keys of records for good, and answers for each in order.
// When it returns, the keys' bytes are overwritten on disk. A record without a
// key gets none any more; one whose key was destroyed before keeps that time.
//
// What the file system or the disk keeps of what was overwritten (snapshots,
// copies on write, flash cells) is beyond it: encrypt the disk.
func (k *Keyring) Destroy(recordKeys ...string) ([]Destroyed, error) {
	k.writing.Lock()
	defer k.writing.Unlock()
	told, err := k.forget(recordKeys)
	if err == nil {
		err = k.overwriteDue()
	}
	if err != nil {
		return nil, fmt.Errorf("destroy keys: %w", err)
	}
	return told, nil
}

// forget takes keys out of the index and marks their slots.
func (k *Keyring) forget(recordKeys []string) ([]Destroyed, error) {
	told := make([]Destroyed, 0, len(recordKeys))
	err := k.index.update(func(tx *change) error {
		for _, recordKey := range recordKeys {
			one, err := k.destroyIn(tx, nameOf(recordKey))
			if err != nil {
				return err
			}
			told = append(told, one)
		}
		return nil
	})
	return told, err
}

// destroyIn takes a key out of the index and marks its slot.
func (k *Keyring) destroyIn(tx *change, of name) (Destroyed, error) {
	entry, err := tx.get(destroyedKey(of))
	if err != nil {
		return Destroyed{}, err
	}
	if entry != nil {
		return decodeDestroyed(entry), nil
	}
	one := Destroyed{At: time.Now().UTC().Truncate(time.Millisecond)}
	switch key, err := k.keyIn(tx, of, nil); {
	case errors.Is(err, ErrNoKey):
	case err != nil:
		return Destroyed{}, err
	default:
		one.Commitment = ledger.KeyCommitment(key)
		slot, err := tx.get(slotKey(of))
		if err == nil {
			err = errors.Join(tx.set(dueKey(decodeSlot(slot)), nil), tx.remove(slotKey(of)))
		}
		if err != nil {
			return Destroyed{}, err
		}
	}
	entry = binary.BigEndian.AppendUint64(nil, uint64(one.At.UnixMilli()))
	return one, tx.set(destroyedKey(of), append(entry, one.Commitment...))
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
	due, err := k.index.due()
	if err != nil {
		return fmt.Errorf("look for keys to overwrite: %w", err)
	}
	if len(due) == 0 {
		return nil
	}
	if err := k.written(k.slots.overwrite(due)); err != nil {
		return err
	}
	return k.index.update(func(tx *change) error {
		for _, slot := range due {
			if err := tx.remove(dueKey(slot)); err != nil {
				return err
			}
		}
		return nil
	})
}
