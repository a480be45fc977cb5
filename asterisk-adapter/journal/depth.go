package journal

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// Depth is how much waits in a journal.
type Depth struct {
	// OpenLegs were received and are in no segment yet.
	OpenLegs int
	// Outbox is how many segments are not on the ledger, those that were refused too.
	Outbox int
	// Due is how many recordings are due of legs that are in a segment.
	Due int
	// DiskBytes is what the journal takes.
	DiskBytes int64
}

// Depth counts what waits.
func (j *Journal) Depth() (Depth, error) {
	var depth Depth
	err := j.db.View(func(tx *bbolt.Tx) error {
		depth = Depth{
			OpenLegs: tx.Bucket(bucketUnsettled).Stats().KeyN, Outbox: tx.Bucket(bucketOutbox).Stats().KeyN,
			Due: tx.Bucket(bucketDue).Stats().KeyN, DiskBytes: tx.Size(),
		}
		return nil
	})
	if err != nil {
		return Depth{}, fmt.Errorf("count what waits: %w", err)
	}
	return depth, nil
}
