package journal

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// maxWaters bounds the starts of Asterisk whose high water is told.
const maxWaters = 5

// Opened says whether the epoch has its opening, which is its first record.
func (j *Journal) Opened() (bool, error) {
	opened := false
	err := j.db.View(func(tx *bbolt.Tx) error {
		opened = readNumber(tx.Bucket(bucketMeta).Get(keyNextSeq)) > 1
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("read the journal's state: %w", err)
	}
	return opened, nil
}

// Follow makes the epoch one that comes after the given one, where it would not: the
// PBX's clock may once have run ahead. It must not have its opening yet.
func (j *Journal) Follow(before int64) error {
	if before < j.Epoch() {
		return nil
	}
	err := j.db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if readNumber(meta.Get(keyNextSeq)) > 1 {
			return errors.New("it has its opening already")
		}
		return meta.Put(keyEpoch, number(before+1))
	})
	if err != nil {
		return fmt.Errorf("set the epoch: %w", err)
	}
	j.epoch.Store(before + 1)
	return nil
}

// HighWater answers, for Asterisk's latest starts, the highest CDR sequence that was
// closed into a segment.
func (j *Journal) HighWater() ([]ledger.HighWater, error) {
	var waters []ledger.HighWater
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketWaters).ForEach(func(boot, sequence []byte) error {
			waters = append(waters, ledger.HighWater{Boot: readNumber(boot), Sequence: readNumber(sequence)})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the high water: %w", err)
	}
	return waters[max(0, len(waters)-maxWaters):], nil
}

// raiseWater notes a leg's CDR sequence, where its Asterisk's start is known.
func raiseWater(tx *bbolt.Tx, call *ledger.Call) error {
	if call.Boot == 0 {
		return nil
	}
	waters, key := tx.Bucket(bucketWaters), number(call.Boot)
	if stored := waters.Get(key); stored != nil && readNumber(stored) >= call.Leg.Sequence {
		return nil
	}
	return waters.Put(key, number(call.Leg.Sequence))
}
