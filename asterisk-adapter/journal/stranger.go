package journal

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// Strangers are the addresses of record that were told of as strangers, with the verdict
// that was told.
func (j *Journal) Strangers() (map[string]string, error) {
	strangers := map[string]string{}
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketStrangers).ForEach(func(aor, verdict []byte) error {
			strangers[string(aor)] = string(verdict)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list the strangers: %w", err)
	}
	return strangers, nil
}

// SetStranger notes the verdict that is told of a stranger; an empty one that it is none
// any more.
func (j *Journal) SetStranger(aor, verdict string) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		if verdict == "" {
			return tx.Bucket(bucketStrangers).Delete([]byte(aor))
		}
		return tx.Bucket(bucketStrangers).Put([]byte(aor), []byte(verdict))
	})
	if err != nil {
		return fmt.Errorf("note a stranger: %w", err)
	}
	return nil
}
