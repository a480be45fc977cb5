package journal

import (
	"fmt"
	"path/filepath"
)

// audit reads everything once, which checks every checksum, counts it, and compares
// the counts with what the last batch says there is and with each other. What it
// lets pass is whole: no file was damaged, lost, or taken from another time.
func (j *Journal) audit() error {
	if err := j.auditEntries(); err != nil {
		return err
	}
	if j.counts != j.meta.counts {
		return j.incomplete("entries", j.counts.String(), j.meta.counts.String())
	}
	lanes, err := j.auditLanes()
	if err != nil {
		return err
	}
	payloads, err := j.auditKeys(keyPayload, unpackedLength)
	if err != nil {
		return err
	}
	refused, err := j.auditKeys(keyRefused, nil)
	if err != nil {
		return err
	}
	receipts, err := j.auditKeys(keySettled, nil)
	if err != nil {
		return err
	}
	names, err := j.auditKeys(keyName, nil)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		name        string
		found, must int64
	}{
		{"pending marks", int64(lanes), int64(j.counts.queued + j.counts.committed)},
		{"payloads", int64(payloads.keys), int64(j.counts.depth())},
		{"payload bytes", payloads.bytes, j.counts.bytes},
		{"refusals", int64(refused.keys), int64(j.counts.refused)},
		{"receipts", int64(receipts.keys), int64(j.counts.settled)},
		{"names", int64(names.keys), int64(j.counts.depth() + j.counts.settled)},
	} {
		if part.found != part.must {
			return j.incomplete(part.name, fmt.Sprint(part.found), fmt.Sprint(part.must))
		}
	}
	return nil
}

func (j *Journal) incomplete(what, found, must string) error {
	return &DamageError{
		File:   filepath.Join(j.dir, "db"),
		Reason: fmt.Sprintf("%s: %s are there, %s should be: a file was lost or taken from another time", what, found, must),
	}
}

func (j *Journal) auditEntries() error {
	return j.scan([]byte{keyEntry}, nil, func(key, value []byte) (bool, error) {
		number, err := numberAt(key)
		if err != nil {
			return false, err
		}
		entry, err := decodeEntry(value)
		if err != nil {
			return false, &DamageError{File: filepath.Join(j.dir, "db"), Reason: fmt.Sprintf("entry %d cannot be read", number), Err: err}
		}
		if entry.Number != number {
			return false, j.incomplete("entries", fmt.Sprint(entry.Number), fmt.Sprint(number))
		}
		j.counts.add(entry.State, number, int64(entry.Bytes))
		return true, nil
	})
}

func (j *Journal) auditLanes() (int, error) {
	found := 0
	err := j.scan([]byte{keyLane}, nil, func(key, _ []byte) (bool, error) {
		pbx, err := pbxOfLane(key)
		if err != nil {
			return false, err
		}
		j.lanes[pbx]++
		found++
		return true, nil
	})
	return found, err
}

type keys struct {
	keys  int
	bytes int64
}

// auditKeys counts what stands under keys of a kind, and the lengths of it if asked.
func (j *Journal) auditKeys(kind byte, length func(value []byte) (int, error)) (keys, error) {
	var found keys
	err := j.scan([]byte{kind}, nil, func(_, value []byte) (bool, error) {
		found.keys++
		if length == nil {
			return true, nil
		}
		has, err := length(value)
		found.bytes += int64(has)
		return true, err
	})
	return found, err
}
