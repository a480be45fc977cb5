package journal

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Ongoing is an answered call of which no source has told a CDR yet.
type Ongoing struct {
	// Progress says that it was answered.
	Progress ledger.Progress `json:"progress"`
	// Channel is the channel's name.
	Channel string `json:"channel"`
	// Seq is its number once it is closed into a segment; 0 before.
	Seq int64 `json:"seq,omitzero"`
}

// Answer keeps an answered call unless it is known or its CDR is, and says whether it is
// new.
func (j *Journal) Answer(ongoing *Ongoing) (kept bool, err error) {
	id := []byte(ongoing.Progress.UniqueID)
	legs, err := j.ByUniqueID(ongoing.Progress.UniqueID)
	if err != nil || len(legs) > 0 {
		return false, err
	}
	err = j.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketOngoing)
		if bucket.Get(id) != nil {
			return nil
		}
		kept = true
		text, err := encode(ongoing)
		if err != nil {
			return err
		}
		return bucket.Put(id, text)
	})
	if err != nil {
		return false, fmt.Errorf("keep an answered call: %w", err)
	}
	return kept, nil
}

// Ongoing are the answered calls without a CDR.
func (j *Journal) Ongoing() ([]*Ongoing, error) {
	var all []*Ongoing
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketOngoing).ForEach(func(_, stored []byte) error {
			one := &Ongoing{}
			all = append(all, one)
			return decode(stored, one)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list the answered calls: %w", err)
	}
	return all, nil
}

// noteProgress notes what a segment says of answered calls.
func noteProgress(tx *bbolt.Tx, progress *ledger.Progress, seq int64) error {
	bucket, id := tx.Bucket(bucketOngoing), []byte(progress.UniqueID)
	stored := bucket.Get(id)
	if stored == nil {
		return nil // its CDR has come
	}
	if progress.State != ledger.ProgressAnswered {
		return bucket.Delete(id)
	}
	one := &Ongoing{}
	if err := decode(stored, one); err != nil {
		return err
	}
	one.Progress, one.Seq = *progress, seq
	text, err := encode(one)
	return errors.Join(err, bucket.Put(id, text))
}
