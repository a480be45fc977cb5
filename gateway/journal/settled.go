package journal

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
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
	excess := j.counts.settled - j.config.KeepSettled
	batch := j.db.NewBatch()
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
		return true, remove(batch, append([]byte(nil), key...), numberKey(keyEntry, number), nameKey(entry.Name))
	})
	if err != nil || dropped == 0 {
		return 0, err
	}
	if _, err := j.enqueueUnsynced(batch); err != nil {
		return 0, err
	}
	j.counts.settled -= dropped
	return dropped, nil
}

// enqueueUnsynced is for what may be done again after a crash.
func (j *Journal) enqueueUnsynced(batch *pebble.Batch) (uint64, error) {
	next := j.meta
	next.batch++
	next.tick = int64(j.age())
	if err := batch.Set([]byte{keyMeta}, next.encode(), nil); err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	if err := j.db.Apply(batch, pebble.NoSync); err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	if err := j.Err(); err != nil {
		return 0, err
	}
	j.meta = next
	return next.batch, nil
}

// Compact gives the space of dropped payloads back to the disk. Pebble does so by
// itself in time; this makes the time short.
func (j *Journal) Compact(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := j.db.Flush(); err != nil {
		return fmt.Errorf("write the journal out: %w", err)
	}
	if err := j.db.Compact(ctx, []byte{0}, []byte{0xff}, false); err != nil {
		return fmt.Errorf("compact the journal: %w", err)
	}
	return nil
}
