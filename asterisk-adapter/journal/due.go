package journal

import (
	"bytes"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Overdue answers the legs that were closed before the given time with a recording
// due, which has not come since, nor been given up.
func (j *Journal) Overdue(before time.Time) ([]ledger.LegID, error) {
	var overdue []ledger.LegID
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketDue).ForEach(func(key, closed []byte) error {
			if readNumber(closed) >= before.UnixMilli() {
				return nil
			}
			leg := &Leg{}
			if err := decode(tx.Bucket(bucketLegs).Get(key), leg); err != nil {
				return err
			}
			overdue = append(overdue, leg.Call.Leg)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list the recordings that are overdue: %w", err)
	}
	return overdue, nil
}

// noteDue notes what a segment's entries say of recordings: which are due, which
// came, which were given up. One channel has one recording, whatever its legs.
func noteDue(tx *bbolt.Tx, entries []Entry, closed time.Time) error {
	due, recorded := tx.Bucket(bucketDue), tx.Bucket(bucketRecorded)
	for i := range entries {
		if recording := entries[i].Recording; recording != nil {
			if err := recorded.Put([]byte(recording.Leg.UniqueID), []byte{1}); err != nil {
				return err
			}
			if err := forget(due, recording.Leg.UniqueID); err != nil {
				return err
			}
		}
		if omission := entries[i].Omission; omission != nil {
			if err := due.Delete(legKey(omission.Leg)); err != nil {
				return err
			}
		}
	}
	for i := range entries {
		call := entries[i].Call
		if call == nil || !call.RecordingDue || recorded.Get([]byte(call.Leg.UniqueID)) != nil {
			continue
		}
		if err := due.Put(legKey(call.Leg), number(closed.UnixMilli())); err != nil {
			return err
		}
	}
	return nil
}

// forget deletes what is due of a channel.
func forget(due *bbolt.Bucket, uniqueID string) error {
	prefix := append([]byte(uniqueID), 0)
	var keys [][]byte
	cursor := due.Cursor()
	for key, _ := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, _ = cursor.Next() {
		keys = append(keys, key)
	}
	for _, key := range keys {
		if err := due.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
