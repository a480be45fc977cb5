package journal

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Payloads of settled entries are gone from the index at once, and from memory if
// they were never written out. Those that were are dead weight in a file until it is
// compacted, which Pebble does when it sees fit; the journal has it done sooner.
const (
	// So much dead weight is given back at once.
	reclaimBytes = 16 << 20
	// Any at all is given back after this long.
	reclaimAfter = time.Minute
	// So often it is looked at.
	reclaimCheck = 5 * time.Second
)

// waste is what was settled since space was last given back.
type waste struct {
	bytes       int64
	first, last int64 // numbers
	since       time.Time
}

func (w *waste) add(entry *Entry) {
	if w.bytes == 0 {
		w.first, w.last, w.since = entry.Number, entry.Number, time.Now()
	}
	w.bytes += int64(entry.Bytes)
	w.first, w.last = min(w.first, entry.Number), max(w.last, entry.Number)
}

// reclaim runs until the journal is closed or failed.
func (j *Journal) reclaim(ctx context.Context) {
	ticker := time.NewTicker(reclaimCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.failed:
			return
		case <-ticker.C:
		}
		if err := j.reclaimDue(ctx, false); err != nil && !errors.Is(err, context.Canceled) {
			j.log.Warn("journal: space of settled segments was not given back yet", "error", err)
		}
	}
}

// reclaimDue gives space back if it is due: only where what was settled lies, so a
// long queue behind it is not written again.
func (j *Journal) reclaimDue(ctx context.Context, now bool) error {
	j.memory.Lock()
	waste := j.waste
	due := waste.bytes > 0 && (now || waste.bytes >= reclaimBytes || time.Since(waste.since) >= reclaimAfter)
	if due {
		j.waste.bytes = 0
	}
	j.memory.Unlock()
	if !due {
		return nil
	}
	if err := j.db.Flush(); err != nil {
		return fmt.Errorf("write the journal out: %w", err)
	}
	if err := j.db.Compact(ctx, numberKey(keyPayload, waste.first), numberKey(keyPayload, waste.last+1), false); err != nil {
		return fmt.Errorf("compact the journal: %w", err)
	}
	return nil
}
