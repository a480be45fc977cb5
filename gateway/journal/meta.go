package journal

import (
	"encoding/binary"
	"fmt"
)

// meta stands in every batch, so that it is always true of what is on disk.
type meta struct {
	// batch counts the batches, for the mark.
	batch uint64
	// next is the number of the next entry.
	next int64
	// tick is the journal's age: how long it has been open, all in all, in
	// nanoseconds.
	tick int64
	// counts are of the entries that there are: opening counts them again.
	counts counts
}

const metaBytes = 9 * 8

func (m meta) encode() []byte {
	value := make([]byte, 0, metaBytes)
	for _, word := range []uint64{
		m.batch, uint64(m.next), uint64(m.tick), //nolint:gosec // never negative
		uint64(m.counts.queued), uint64(m.counts.committed), uint64(m.counts.refused), uint64(m.counts.settled), //nolint:gosec // never negative
		uint64(m.counts.bytes), m.counts.sum, //nolint:gosec // never negative
	} {
		value = binary.BigEndian.AppendUint64(value, word)
	}
	return value
}

func decodeMeta(value []byte) (meta, error) {
	if len(value) != metaBytes {
		return meta{}, fmt.Errorf("the journal's counter has %d bytes", len(value))
	}
	word := func(i int) int64 { return int64(binary.BigEndian.Uint64(value[8*i:])) } //nolint:gosec // written from one
	return meta{
		batch: uint64(word(0)), next: word(1), tick: word(2), //nolint:gosec // written from one
		counts: counts{
			queued: int(word(3)), committed: int(word(4)), refused: int(word(5)), settled: int(word(6)),
			bytes: word(7), sum: uint64(word(8)), //nolint:gosec // written from one
		},
	}, nil
}

// counts are what the bounds and the metrics look at. They are also how a file that
// was lost from the middle is found, which no checksum tells: sum changes with
// every entry that comes, goes, or changes its state.
type counts struct {
	queued, committed, refused, settled int
	// bytes are those of payloads.
	bytes int64
	sum   uint64
}

func (c counts) String() string {
	return fmt.Sprintf("%d queued, %d committed, %d refused and %d settled entries (%d bytes, sum %x)", c.queued, c.committed, c.refused, c.settled, c.bytes, c.sum)
}

// depth is how many entries count towards the bound.
func (c *counts) depth() int { return c.queued + c.committed + c.refused }

// add counts an entry in; bytes are those of its payload.
func (c *counts) add(state State, number, bytes int64) { c.count(state, 1, number, bytes) }

// take counts it out.
func (c *counts) take(state State, number, bytes int64) { c.count(state, -1, number, -bytes) }

func (c *counts) count(state State, sign int, number, bytes int64) {
	c.sum += uint64(sign) * mix(state, number) //nolint:gosec // wraps around, so that taking undoes adding
	switch state {
	case Queued:
		c.queued += sign
	case Committed:
		c.committed += sign
	case Refused:
		c.refused += sign
	case Settled:
		c.settled += sign
		return // it has no payload
	}
	c.bytes += bytes
}

// mix spreads a number and a state over 64 bits (SplitMix64's finalizer).
func mix(state State, number int64) uint64 {
	x := uint64(number)<<8 | uint64(state[0]) //nolint:gosec // never negative
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
