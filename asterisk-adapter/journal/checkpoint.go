package journal

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// Checkpoint is how far a source was read.
type Checkpoint struct {
	// Source names the source, such as "csv".
	Source string
	// State is the source's own, encoded.
	State []byte
}

// Checkpoint answers a source's last checkpoint, nil when there is none.
func (j *Journal) Checkpoint(source string) ([]byte, error) {
	var state []byte
	err := j.db.View(func(tx *bbolt.Tx) error {
		state = append(state, tx.Bucket(bucketCheckpoints).Get([]byte(source))...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	return state, nil
}

// SetCheckpoint keeps a checkpoint by itself, for what needs no other note.
func (j *Journal) SetCheckpoint(checkpoint *Checkpoint) error {
	err := j.db.Update(func(tx *bbolt.Tx) error { return putCheckpoint(tx, checkpoint) })
	if err != nil {
		return fmt.Errorf("keep the checkpoint: %w", err)
	}
	return nil
}

func putCheckpoint(tx *bbolt.Tx, checkpoint *Checkpoint) error {
	if checkpoint == nil {
		return nil
	}
	return tx.Bucket(bucketCheckpoints).Put([]byte(checkpoint.Source), checkpoint.State)
}
