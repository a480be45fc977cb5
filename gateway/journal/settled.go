package journal

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/callseal/callseal/gateway/fault"
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

// Forget takes entries out of the journal that are to be done nothing about any more:
// Queued or Refused ones that are in no transaction. Their names may be given anew.
func (j *Journal) Forget(ctx context.Context, numbers ...int64) error {
	if err := j.acquire(ctx); err != nil {
		return err
	}
	batch := j.db.NewBatch()
	seq, err := j.forget(batch, numbers)
	j.release()
	if err != nil {
		return err
	}
	return j.await(batch, seq)
}

func (j *Journal) forget(batch *pebble.Batch, numbers []int64) (uint64, error) {
	next, entries := j.meta, make([]*Entry, 0, len(numbers))
	for _, number := range numbers {
		entry, err := j.entry(number)
		if err != nil {
			return 0, err
		}
		if entry == nil {
			return 0, fault.New(fault.NotFound, "the journal holds no entry %d", number)
		}
		if j.flightOf[number] != "" || entry.State != Queued && entry.State != Refused {
			return 0, fault.New(fault.State, "entry %d is %s or under way and is not forgotten", number, entry.State)
		}
		next.counts.take(entry.State, number, int64(entry.Bytes))
		pointer := laneKey(entry.Name.PBX, number)
		if entry.State == Refused {
			pointer = numberKey(keyRefused, number)
		}
		if err := remove(batch, numberKey(keyEntry, number), nameKey(entry.Name), pointer); err != nil {
			return 0, err
		}
		if err := batch.SingleDelete(numberKey(keyPayload, number), nil); err != nil {
			return 0, fmt.Errorf("write the journal: %w", err)
		}
		entries = append(entries, entry)
	}
	seq, err := j.enqueue(batch, next)
	if err != nil {
		return 0, err
	}
	j.memory.Lock()
	defer j.memory.Unlock()
	for _, entry := range entries {
		if entry.State == Queued {
			j.lanes[entry.Name.PBX]--
			if j.lanes[entry.Name.PBX] == 0 {
				delete(j.lanes, entry.Name.PBX)
			}
		}
	}
	return seq, nil
}
