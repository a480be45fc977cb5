package journal

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// dropBatch bounds what one batch of Drop forgets.
const dropBatch = 1000

// Drop forgets receipts of entries whose public transaction stands in a block that
// the index has projected: the oldest first, those beyond KeepSettled in number or
// older than KeepFor. It answers how many. Age is counted by the time that the
// journal was open, so a wall clock that jumps neither keeps nor drops anything.
// Call it now and then, such as every few seconds.
func (j *Journal) Drop(ctx context.Context, projectedBlock uint64) (int, error) {
	dropped := 0
	for {
		n, err := j.dropSome(ctx, projectedBlock)
		dropped += n
		if err != nil || n < dropBatch {
			return dropped, err
		}
	}
}

func (j *Journal) dropSome(ctx context.Context, projectedBlock uint64) (int, error) {
	if err := j.acquire(ctx); err != nil {
		return 0, err
	}
	defer j.release()
	excess := j.meta.counts.settled - j.config.KeepSettled
	batch := j.db.NewBatch()
	next := j.meta
	dropped := 0
	err := j.scan([]byte{keySettled}, nil, func(key, _ []byte) (bool, error) {
		if dropped == dropBatch || binary.BigEndian.Uint64(key[1:]) > projectedBlock {
			return false, nil
		}
		number, err := numberAt(key)
		if err != nil {
			return false, err
		}
		entry, err := j.entry(number)
		if err != nil {
			return false, err
		}
		if entry == nil {
			return false, fmt.Errorf("the journal holds a receipt without entry %d", number)
		}
		if excess <= dropped && j.age()-time.Duration(entry.SettledTick) < j.config.KeepFor {
			return false, nil
		}
		dropped++
		next.counts.take(Settled, number, 0)
		return true, remove(batch, append([]byte(nil), key...), numberKey(keyEntry, number), nameKey(entry.Name))
	})
	if err != nil || dropped == 0 {
		return 0, err
	}
	return dropped, j.enqueueUnsynced(batch, next)
}
