package ledger

import (
	"cmp"
	"slices"
)

// BootRange is what a segment holds of one start of Asterisk. Asterisk numbers
// CDRs from 0 at each start, also those it never writes: numbers may be missing,
// but no two legs share one.
type BootRange struct {
	// Boot is when Asterisk was started, in ms since 1970.
	Boot int64 `json:"boot"`
	// Count is the number of legs.
	Count int64 `json:"count"`
	// Highest and Lowest are the highest and lowest CDR sequence among them.
	Highest int64 `json:"highest"`
	// Latest is when the latest of them started: once a later Asterisk runs, none
	// of an earlier can.
	Latest Time  `json:"latest"`
	Lowest int64 `json:"lowest"`
}

// Holes is how many CDR sequences between the lowest and the highest no leg has.
// It is below 0 where two legs share one.
func (b *BootRange) Holes() int64 { return b.Highest - b.Lowest + 1 - b.Count }

// add joins another range of the same start.
func (b *BootRange) add(other BootRange) {
	b.Count += other.Count
	b.Highest, b.Lowest = max(b.Highest, other.Highest), min(b.Lowest, other.Lowest)
	if b.Latest.Before(other.Latest) {
		b.Latest = other.Latest
	}
}

// BootsOf are the ranges of the legs among records, in order of the starts; nil
// where no leg tells its start.
func BootsOf(records []Record) []BootRange {
	var boots []BootRange
	for i := range records {
		if call := records[i].Call; call != nil && call.Boot != 0 {
			boots = addBoot(boots, BootRange{Boot: call.Boot, Count: 1, Highest: call.Leg.Sequence, Latest: call.Start, Lowest: call.Leg.Sequence})
		}
	}
	return boots
}

// addBoot adds a range to ranges that are in order.
func addBoot(boots []BootRange, other BootRange) []BootRange {
	i, found := slices.BinarySearchFunc(boots, other.Boot, func(b BootRange, boot int64) int { return cmp.Compare(b.Boot, boot) })
	if found {
		boots[i].add(other)
		return boots
	}
	return slices.Insert(boots, i, other)
}
