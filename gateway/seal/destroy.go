package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// scrubDue marks a file that still holds the bytes of keys that were destroyed:
// bbolt frees pages and does not clear them.
var scrubDue = []byte("scrub due")

// Destroyed tells of a key that is no more.
type Destroyed struct {
	// Commitment is the key's ledger.KeyCommitment; empty where the keyring had
	// no key for the record.
	Commitment string
	// At is when it was destroyed, by this machine's clock.
	At time.Time
}

// Commitment is the ledger.KeyCommitment of a record's key, be it destroyed
// already, or ErrNoKey.
func (k *Keyring) Commitment(recordKey string) (string, error) {
	if destroyed, err := k.Destroyed(recordKey); err == nil && destroyed.Commitment != "" {
		return destroyed.Commitment, nil
	} else if err == nil {
		return "", ErrNoKey
	} else if !errors.Is(err, ErrNotDestroyed) {
		return "", err
	}
	key, err := k.key(recordKey)
	if err != nil {
		return "", err
	}
	return ledger.KeyCommitment(key), nil
}

// ErrNotDestroyed says that nobody destroyed the record's key here.
var ErrNotDestroyed = errors.New("the key of this record was not destroyed here")

// Destroyed tells when a record's key was destroyed, or ErrNotDestroyed.
func (k *Keyring) Destroyed(recordKey string) (Destroyed, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
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
// When it returns, the keys' bytes are in no page of the keyring's file, and the
// file it replaces was overwritten. A record without a key gets none any more;
// one whose key was destroyed before keeps that time.
//
// What the file system or the disk keeps of overwritten files (snapshots,
// journals, flash cells) is beyond it: encrypt the disk.
func (k *Keyring) Destroy(recordKeys ...string) ([]Destroyed, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	told := make([]Destroyed, 0, len(recordKeys))
	err := k.db.Update(func(tx *bbolt.Tx) error {
		told = told[:0]
		for _, recordKey := range recordKeys {
			one, err := destroyIn(tx, recordKey)
			if err != nil {
				return err
			}
			told = append(told, one)
		}
		return nil
	})
	if err == nil {
		err = k.finishScrub()
	}
	if err != nil {
		return nil, fmt.Errorf("destroy keys: %w", err)
	}
	return told, nil
}

func destroyIn(tx *bbolt.Tx, recordKey string) (Destroyed, error) {
	name := sha256.Sum256([]byte(recordKey))
	keys, destroyed := tx.Bucket(bucket), tx.Bucket(destroyedBucket)
	if entry := destroyed.Get(name[:]); entry != nil {
		return decodeDestroyed(entry), nil
	}
	one := Destroyed{At: time.Now().UTC().Truncate(time.Millisecond)}
	if key := keys.Get(name[:]); key != nil {
		one.Commitment = ledger.KeyCommitment(key)
		if err := keys.Delete(name[:]); err != nil {
			return Destroyed{}, err
		}
		if err := tx.Bucket(stateBucket).Put(scrubDue, []byte{1}); err != nil {
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

// finishScrub writes the file anew without what was deleted, where that is due:
// after Destroy, and after a crash that cut one short.
func (k *Keyring) finishScrub() error {
	due := false
	err := k.db.View(func(tx *bbolt.Tx) error {
		due = tx.Bucket(stateBucket).Get(scrubDue) != nil
		return nil
	})
	if err != nil {
		return fmt.Errorf("look whether a scrub is due: %w", err)
	}
	if err := k.removeHalfMade(); err != nil || !due {
		return err
	}
	fresh, err := k.copyFresh()
	if err != nil {
		return fmt.Errorf("write the keyring anew: %w", err)
	}
	// Opened before it loses its name, to be overwritten after.
	old, err := os.OpenFile(k.path, os.O_WRONLY, 0)
	if err != nil {
		return errors.Join(fmt.Errorf("overwrite the old keyring: %w", err), fresh.Close())
	}
	defer func() { _ = old.Close() }()
	if err := rename(k.halfMade(), k.path); err != nil {
		return errors.Join(err, fresh.Close())
	}
	replaced := k.db
	k.db = fresh
	if err := replaced.Close(); err != nil {
		return fmt.Errorf("let the old keyring go: %w", err)
	}
	return overwrite(old)
}

func (k *Keyring) halfMade() string { return k.path + ".new" }

// removeHalfMade overwrites and removes what a crash left of a copy: it may be
// older than a destruction.
func (k *Keyring) removeHalfMade() error {
	file, err := os.OpenFile(k.halfMade(), os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove a half-made keyring: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := overwrite(file); err != nil {
		return err
	}
	if err := os.Remove(k.halfMade()); err != nil {
		return fmt.Errorf("remove a half-made keyring: %w", err)
	}
	return nil
}

// copyFresh writes the live content into a new file and leaves it open and
// locked, so that no other gateway can come between.
func (k *Keyring) copyFresh() (*bbolt.DB, error) {
	fresh, err := bbolt.Open(k.halfMade(), 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return nil, err
	}
	const batch = 16 << 20
	err = bbolt.Compact(fresh, k.db, batch)
	if err == nil {
		err = fresh.Update(func(tx *bbolt.Tx) error { return tx.Bucket(stateBucket).Delete(scrubDue) })
	}
	if err == nil {
		err = fresh.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, fresh.Close())
	}
	return fresh, nil
}

// rename replaces a file so that a crash leaves either.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("replace the keyring: %w", err)
	}
	folder, err := os.Open(filepath.Dir(to))
	if err != nil {
		return fmt.Errorf("replace the keyring: %w", err)
	}
	defer func() { _ = folder.Close() }()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("replace the keyring: %w", err)
	}
	return nil
}

// overwrite fills a file with zeros, on disk when it returns.
func overwrite(file *os.File) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, err = io.CopyN(file, zeros{}, size)
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return fmt.Errorf("overwrite the old keyring: %w", err)
	}
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
