package erasure

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// errUnknown says that no erasure of the record was begun here.
var errUnknown = errors.New("no erasure of this record was begun here")

// lockTimeout bounds the wait for another process to let the journal go.
const lockTimeout = 2 * time.Second

// pendingBucket holds the keys of those that are not finished, so that nobody
// reads all receipts to find them.
var (
	bucket        = []byte("erasures v1")
	pendingBucket = []byte("pending erasures v1")
)

// Journal remembers erasures across restarts: which were begun, how far they
// came, and the receipts. It holds public identifiers and digests only.
type Journal struct{ db *bbolt.DB }

// OpenJournal opens or creates the journal.
func OpenJournal(path string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the journal's folder: %w", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("the journal of erasures %s is in use by another gateway", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the journal of erasures %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(pendingBucket); err != nil {
			return err
		}
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the journal of erasures %s: %w", path, err), db.Close())
	}
	return &Journal{db: db}, nil
}

// Close lets the file go.
func (j *Journal) Close() error {
	if err := j.db.Close(); err != nil {
		return fmt.Errorf("close the journal of erasures: %w", err)
	}
	return nil
}

// load answers how far a record's erasure came, or errUnknown.
func (j *Journal) load(key string) (*Progress, error) {
	progress := &Progress{}
	err := j.db.View(func(tx *bbolt.Tx) error {
		entry := tx.Bucket(bucket).Get([]byte(key))
		if entry == nil {
			return errUnknown
		}
		return json.Unmarshal(entry, progress)
	})
	if errors.Is(err, errUnknown) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal of erasures: %w", err)
	}
	return progress, nil
}

// save remembers it, on disk when it returns.
func (j *Journal) save(key string, progress *Progress) error {
	entry, err := json.Marshal(progress)
	if err == nil {
		err = j.db.Update(func(tx *bbolt.Tx) error {
			if err := tx.Bucket(bucket).Put([]byte(key), entry); err != nil {
				return err
			}
			if progress.Done() {
				return tx.Bucket(pendingBucket).Delete([]byte(key))
			}
			return tx.Bucket(pendingBucket).Put([]byte(key), []byte{1})
		})
	}
	if err != nil {
		return fmt.Errorf("write the journal of erasures: %w", err)
	}
	return nil
}

func (j *Journal) forget(key string) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(tx.Bucket(bucket).Delete([]byte(key)), tx.Bucket(pendingBucket).Delete([]byte(key)))
	})
	if err != nil {
		return fmt.Errorf("write the journal of erasures: %w", err)
	}
	return nil
}

// pending lists the records whose erasure is not finished.
func (j *Journal) pending() ([]string, error) {
	var keys []string
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(pendingBucket).ForEach(func(key, _ []byte) error {
			keys = append(keys, string(key))
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the journal of erasures: %w", err)
	}
	return keys, nil
}
