package journal

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/callseal/callseal/gateway/fault"
)

// Payload answers what an entry was accepted with. It is gone when the entry is
// settled: then, and when there is no such entry, it is a fault of kind NotFound.
func (j *Journal) Payload(number int64) ([]byte, error) {
	payload, err := j.getPacked(numberKey(keyPayload, number))
	if err == nil && payload == nil {
		err = fault.New(fault.NotFound, "the journal holds no payload of entry %d", number)
	}
	return payload, err
}

// MaxEntries is how many entries it may hold that are not settled.
func (j *Journal) MaxEntries() int { return j.config.MaxEntries }

// Entry answers the entry of a number, or a fault of kind NotFound.
func (j *Journal) Entry(number int64) (*Entry, error) {
	entry, err := j.entry(number)
	if err == nil && entry == nil {
		err = fault.New(fault.NotFound, "the journal holds no entry %d", number)
	}
	return j.inFlight(entry), err
}

// Find answers the entry of a name, or a fault of kind NotFound: it was never
// accepted here, or was settled so long ago that it is forgotten.
func (j *Journal) Find(name Name) (*Entry, error) {
	if err := name.check(); err != nil {
		return nil, err
	}
	entry, err := j.find(name)
	if err == nil && entry == nil {
		err = fault.New(fault.NotFound, "the journal holds no segment %s", name)
	}
	return j.inFlight(entry), err
}

// find answers nil when there is none.
func (j *Journal) find(name Name) (*Entry, error) {
	number, err := j.get(nameKey(name))
	if err != nil || number == nil {
		return nil, err
	}
	return j.entry(mustNumber(number))
}

// entry answers nil when there is none.
func (j *Journal) entry(number int64) (*Entry, error) {
	value, err := j.get(numberKey(keyEntry, number))
	if err != nil || value == nil {
		return nil, err
	}
	entry, err := decodeEntry(value)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", number, err)
	}
	return entry, nil
}

func mustNumber(value []byte) int64 {
	number, err := numberAt(append([]byte{0}, value...))
	if err != nil {
		return 0
	}
	return number
}

// inFlight fills in the transaction of an entry.
func (j *Journal) inFlight(entry *Entry) *Entry {
	if entry == nil {
		return nil
	}
	j.memory.Lock()
	defer j.memory.Unlock()
	entry.Transaction = j.flightOf[entry.Number]
	return entry
}

// Lanes are the PBXs that something is pending of, sorted.
func (j *Journal) Lanes() []string {
	j.memory.Lock()
	defer j.memory.Unlock()
	return slices.Sorted(maps.Keys(j.lanes))
}

// Pending answers the Queued and Committed entries of a PBX in the order of
// acceptance, those with a number above after, at most limit: everything that is
// left to do, also what is in a transaction that is under way. Nothing is in it
// that is not on disk.
func (j *Journal) Pending(pbx string, after int64, limit int) ([]Entry, error) {
	prefix := pbxKey(keyLane, pbx)
	durable := j.durable.Load()
	var numbers []int64
	err := j.scan(prefix, laneKey(pbx, after+1), func(key, _ []byte) (bool, error) {
		number, err := numberAt(key)
		if err != nil || number > durable || len(numbers) == limit {
			return false, err
		}
		numbers = append(numbers, number)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return j.entries(numbers)
}

// Refused answers the entries that the ledger refused, those with a number above
// after, at most limit, in the order of acceptance.
func (j *Journal) Refused(after int64, limit int) ([]Entry, error) {
	var numbers []int64
	err := j.scan([]byte{keyRefused}, numberKey(keyRefused, after+1), func(key, _ []byte) (bool, error) {
		number, err := numberAt(key)
		if err != nil || len(numbers) == limit {
			return false, err
		}
		numbers = append(numbers, number)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return j.entries(numbers)
}

// entries reads entries; one that is gone meanwhile is left out.
func (j *Journal) entries(numbers []int64) ([]Entry, error) {
	entries := make([]Entry, 0, len(numbers))
	for _, number := range numbers {
		entry, err := j.entry(number)
		if err != nil {
			return nil, err
		}
		if entry != nil {
			entries = append(entries, *j.inFlight(entry))
		}
	}
	return entries, nil
}

// Stats are the journal's figures.
type Stats struct {
	// Queued, Committed, Refused and Settled count entries.
	Queued, Committed, Refused, Settled int
	// Bytes is the size of the payloads that are held.
	Bytes int64
	// InFlight counts transactions.
	InFlight int
	// OldestAcceptedAt is when the oldest pending entry was accepted, by the
	// gateway's clock; zero when nothing is pending.
	OldestAcceptedAt time.Time
	// Full says that appends are refused because of the disk, and why.
	Full string
	// DiskBytes is what the journal takes on disk, the reserve aside.
	DiskBytes int64
	// WrittenBytes is what was appended to the log since the journal was opened.
	WrittenBytes int64
}

// Depth is how many entries count towards the bound.
func (s Stats) Depth() int { return s.Queued + s.Committed + s.Refused }

// Stats answers the journal's figures.
func (j *Journal) Stats() (Stats, error) {
	stats, err := j.counted()
	if err != nil {
		return stats, err
	}
	for _, pbx := range j.Lanes() {
		first, err := j.Pending(pbx, 0, 1)
		if err != nil {
			return stats, err
		}
		if len(first) == 1 && (stats.OldestAcceptedAt.IsZero() || first[0].AcceptedAt.Before(stats.OldestAcceptedAt)) {
			stats.OldestAcceptedAt = first[0].AcceptedAt
		}
	}
	return stats, nil
}

// Full is why nothing more is taken, nil while there is room. It reads no entry, so
// that it can be asked every moment.
func (j *Journal) Full() error {
	if err := j.Err(); err != nil {
		return err
	}
	j.memory.Lock()
	depth := j.counts.depth()
	j.memory.Unlock()
	return j.reserve.room(depth, 0)
}

// counted are the figures that are in memory: all but the oldest entry's time.
func (j *Journal) counted() (Stats, error) {
	if err := j.Err(); err != nil {
		return Stats{}, err
	}
	j.memory.Lock()
	counts, flights := j.counts, len(j.flights)
	j.memory.Unlock()
	database := j.db.Metrics()
	stats := Stats{
		Queued: counts.queued, Committed: counts.committed, Refused: counts.refused, Settled: counts.settled,
		Bytes: counts.bytes, InFlight: flights,
		DiskBytes:    int64(database.DiskSpaceUsage()), //nolint:gosec // a size
		WrittenBytes: int64(database.WAL.BytesWritten), //nolint:gosec // a size
	}
	if err := j.reserve.room(counts.depth(), 0); err != nil {
		stats.Full = err.Error()
	}
	return stats, nil
}

// Filter says which entries are listed; what is empty means any.
type Filter struct {
	State State
	PBX   string
}

// maxListed bounds what one List looks at.
const maxListed = 20_000

// List answers entries in the order of acceptance, those with a number above after,
// at most limit, and the number to go on after; zero when there are no more. A page
// may be short, because what one call looks at is bounded.
func (j *Journal) List(filter Filter, after int64, limit int) (entries []Entry, next int64, err error) {
	durable, seen := j.durable.Load(), 0
	err = j.scan([]byte{keyEntry}, numberKey(keyEntry, after+1), func(key, value []byte) (bool, error) {
		number, err := numberAt(key)
		if err != nil || number > durable {
			return false, err
		}
		if seen++; seen > maxListed || len(entries) == limit {
			next = after
			return false, nil
		}
		after = number
		entry, err := decodeEntry(value)
		if err != nil {
			return false, err
		}
		if (filter.State == "" || filter.State == entry.State) && (filter.PBX == "" || filter.PBX == entry.Name.PBX) {
			entries = append(entries, *j.inFlight(entry))
		}
		return true, nil
	})
	return entries, next, err
}
