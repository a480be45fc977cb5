package journal

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/callseal/callseal/gateway/fault"
)

// Accept is a segment to be taken.
type Accept struct {
	Name   Name
	Digest [32]byte
	// Records is how many records it has.
	Records int
	// Payload is what Payload answers later; personal details in it are sealed.
	Payload []byte
}

// Accepted is what became of an Accept.
type Accepted struct {
	// Entry is where it stands; a Repeated one's is how far it has come.
	Entry    Entry
	Repeated bool
	// Err is a *ConflictError where other content was accepted under the name: the
	// others of the same Append are taken nevertheless.
	Err error
}

// ConflictError says that other content was accepted under the same name.
type ConflictError struct {
	Name   Name
	Number int64
	State  State
}

// Error says so.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("segment %s was accepted before with other content", e.Name)
}

// Unwrap is the fault that it stands for.
func (e *ConflictError) Unwrap() error {
	return &fault.Error{Kind: fault.Exists, Stage: fault.StageAccept, Message: e.Error() + ": a name is given once"}
}

// Append takes segments in the order given and returns once they are on disk;
// concurrent calls share an fsync. A segment that was taken before is answered with
// its entry, as long as that is remembered (see Drop). The error is a fault: Busy
// when a bound is reached or the disk is nearly full, in which case nothing was
// taken; Unavailable when the journal failed. When the context ends while the
// segments are on their way to the disk they are taken all the same.
func (j *Journal) Append(ctx context.Context, accepts ...Accept) ([]Accepted, error) {
	for i := range accepts {
		if err := accepts[i].Name.check(); err != nil {
			return nil, err
		}
	}
	if err := j.acquire(ctx); err != nil {
		return nil, err
	}
	size := spare
	packed := make([][]byte, len(accepts))
	for i := range accepts {
		packed[i] = pack(accepts[i].Payload)
		size += spare + len(packed[i])
	}
	batch := j.db.NewBatchWithSize(size)
	results, seq, err := j.accept(batch, accepts, packed)
	j.release()
	if err != nil {
		return nil, err
	}
	if err := j.await(batch, seq); err != nil {
		return nil, err
	}
	for i := range results {
		j.raise(results[i].Entry.Number)
	}
	return results, nil
}

// accept puts segments, with their packed payloads, into a batch and the batch into
// the log; the caller holds the lock. A batch of repetitions alone is written too: what they were answered
// with may itself not be on disk yet.
func (j *Journal) accept(batch *pebble.Batch, accepts []Accept, packed [][]byte) ([]Accepted, uint64, error) {
	results := make([]Accepted, len(accepts))
	fresh := map[Name]int{}
	next := j.meta
	for i := range accepts {
		accept := &accepts[i]
		known, err := j.known(accept, fresh, results)
		if err != nil {
			return nil, 0, err
		}
		if known != nil {
			results[i] = Accepted{Entry: *known, Repeated: true}
			if known.Digest != accept.Digest {
				results[i].Err = &ConflictError{Name: accept.Name, Number: known.Number, State: known.State}
			}
			continue
		}
		entry := Entry{
			Number: next.next, Name: accept.Name, Digest: accept.Digest, Records: accept.Records, Bytes: len(accept.Payload),
			AcceptedAt: j.now().UTC().Truncate(time.Millisecond), State: Queued,
		}
		next.next++
		if err := put(batch, &entry, packed[i]); err != nil {
			return nil, 0, err
		}
		results[i] = Accepted{Entry: entry}
		fresh[accept.Name] = i
		next.counts.add(Queued, entry.Number, int64(entry.Bytes))
	}
	if len(fresh) > 0 {
		if err := j.room(&next.counts); err != nil {
			return nil, 0, err
		}
	}
	seq, err := j.enqueue(batch, next)
	if err != nil {
		return nil, 0, err
	}
	j.memory.Lock()
	defer j.memory.Unlock()
	for name := range fresh {
		j.lanes[name.PBX]++
	}
	for i := range results {
		results[i].Entry.Transaction = j.flightOf[results[i].Entry.Number]
	}
	return results, seq, nil
}

// known is the entry under an Accept's name, in this batch or before.
func (j *Journal) known(accept *Accept, fresh map[Name]int, results []Accepted) (*Entry, error) {
	if i, here := fresh[accept.Name]; here {
		return &results[i].Entry, nil
	}
	return j.find(accept.Name)
}

func put(batch *pebble.Batch, entry *Entry, packed []byte) error {
	value, err := encodeEntry(entry)
	if err != nil {
		return err
	}
	number := numberKey(keyEntry, entry.Number)
	for _, pair := range [][2][]byte{
		{number, value},
		{numberKey(keyPayload, entry.Number), packed},
		{nameKey(entry.Name), number[1:]},
		{laneKey(entry.Name.PBX, entry.Number), nil},
	} {
		if err := batch.Set(pair[0], pair[1], nil); err != nil {
			return fmt.Errorf("write the journal: %w", err)
		}
	}
	return nil
}

// retryFull is how long a caller should wait at least when a bound is reached.
const retryFull = time.Second

// room refuses what would pass a bound.
func (j *Journal) room(then *counts) error {
	busy := func(format string, args ...any) error {
		return &fault.Error{Kind: fault.Busy, Stage: fault.StageAccept, RetryAfter: retryFull, Message: fmt.Sprintf(format, args...)}
	}
	if then.depth() > j.config.MaxEntries {
		return busy("the gateway holds %d segments that are not on the ledger yet and may hold %d: send again later", j.meta.counts.depth(), j.config.MaxEntries)
	}
	if then.bytes > int64(j.config.MaxBytes) {
		return busy("the gateway holds %d bytes that are not on the ledger yet and may hold %s: send again later", j.meta.counts.bytes, j.config.MaxBytes)
	}
	if err := j.reserve.room(then.depth(), then.bytes-j.meta.counts.bytes); err != nil {
		return busy("%s: send again later", err)
	}
	return nil
}
