package journal

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Leg is a CDR leg as the journal keeps it: received from a source, later closed
// into a segment.
type Leg struct {
	Call    ledger.Call    `json:"call"`
	Details ledger.Details `json:"details"`
	// Source is where it was seen first: "csv", "table" or "ami".
	Source string `json:"source"`
	// Cut names the columns that the source may not have had room for.
	Cut []string `json:"cut,omitempty"`
	// Seq is its number once it is closed into a segment; 0 before.
	Seq int64 `json:"seq,omitzero"`
	// Elsewhere says that the ledger had it already, by an earlier epoch.
	Elsewhere bool `json:"elsewhere,omitzero"`
}

// Settled says that the leg needs no closing any more.
func (l *Leg) Settled() bool { return l.Seq > 0 || l.Elsewhere }

// Receive keeps a leg unless it is known, and answers what is kept. A checkpoint
// of the source, if given, is kept in the same write: a leg is never skipped, and
// never lost between the two.
func (j *Journal) Receive(leg *Leg, checkpoint *Checkpoint) (kept *Leg, known bool, err error) {
	if checkpoint == nil {
		// A source that tells again what it told writes nothing.
		if kept, err := j.leg(leg.Call.Leg); err != nil || kept != nil {
			return kept, kept != nil, err
		}
	}
	err = j.db.Update(func(tx *bbolt.Tx) error {
		if err := putCheckpoint(tx, checkpoint); err != nil {
			return err
		}
		legs := tx.Bucket(bucketLegs)
		key := legKey(leg.Call.Leg)
		if stored := legs.Get(key); stored != nil {
			kept, known = &Leg{}, true
			return decode(stored, kept)
		}
		kept, known = leg, false
		text, err := encode(leg)
		if err != nil {
			return err
		}
		// Its CDR closes a call that was answered.
		return errors.Join(legs.Put(key, text), tx.Bucket(bucketUnsettled).Put(key, nil), tx.Bucket(bucketOngoing).Delete([]byte(leg.Call.Leg.UniqueID)))
	})
	if err != nil {
		return nil, false, fmt.Errorf("keep the leg: %w", err)
	}
	return kept, known, nil
}

// leg answers what is kept of a leg; nil where nothing is.
func (j *Journal) leg(id ledger.LegID) (kept *Leg, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		stored := tx.Bucket(bucketLegs).Get(legKey(id))
		if stored == nil {
			return nil
		}
		kept = &Leg{}
		return decode(stored, kept)
	})
	if err != nil {
		return nil, fmt.Errorf("look for the leg: %w", err)
	}
	return kept, nil
}

// MarkElsewhere notes that the ledger holds the leg from an earlier epoch.
func (j *Journal) MarkElsewhere(id ledger.LegID) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		return updateLeg(tx, id, func(leg *Leg) { leg.Elsewhere = true })
	})
	if err != nil {
		return fmt.Errorf("mark the leg: %w", err)
	}
	return nil
}

// Unsettled answers the legs that were received and not closed, in the order of
// their keys: what a crash left behind.
func (j *Journal) Unsettled() ([]*Leg, error) {
	var legs []*Leg
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketUnsettled).ForEach(func(key, _ []byte) error {
			leg := &Leg{}
			if err := decode(tx.Bucket(bucketLegs).Get(key), leg); err != nil {
				return err
			}
			legs = append(legs, leg)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list the legs: %w", err)
	}
	return legs, nil
}

// ByUniqueID answers the legs of one channel, in order of sequence.
func (j *Journal) ByUniqueID(uniqueID string) ([]*Leg, error) {
	var legs []*Leg
	err := j.db.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bucketLegs).Cursor()
		prefix := append([]byte(uniqueID), 0)
		for key, stored := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, stored = cursor.Next() {
			leg := &Leg{}
			if err := decode(stored, leg); err != nil {
				return err
			}
			legs = append(legs, leg)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the legs: %w", err)
	}
	return legs, nil
}

func updateLeg(tx *bbolt.Tx, id ledger.LegID, change func(*Leg)) error {
	legs := tx.Bucket(bucketLegs)
	stored := legs.Get(legKey(id))
	if stored == nil {
		return fmt.Errorf("the journal does not hold the leg")
	}
	leg := &Leg{}
	if err := decode(stored, leg); err != nil {
		return err
	}
	change(leg)
	if leg.Settled() {
		if err := tx.Bucket(bucketUnsettled).Delete(legKey(id)); err != nil {
			return err
		}
	}
	text, err := encode(leg)
	if err != nil {
		return err
	}
	return legs.Put(legKey(id), text)
}

func decode(stored []byte, v any) error {
	if err := json.Unmarshal(stored, v); err != nil {
		return fmt.Errorf("read a journal entry: %w", err)
	}
	return nil
}
