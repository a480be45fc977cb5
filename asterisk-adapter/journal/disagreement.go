package journal

import (
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// told is a disagreement as the journal keeps it.
type told struct {
	Disagreement ledger.Disagreement `json:"disagreement"`
	// Content is the digest of the row that differs, personal columns too.
	Content string `json:"content"`
	// Closed says that it is in a segment.
	Closed bool `json:"closed,omitzero"`
}

// Disagree keeps what a second source tells differently of a leg. It answers
// whether that is news: a source may tell it again and again. Content is the digest
// of the row that differs. settled says that the leg is in a segment already; a
// disagreement is closed after its leg.
func (j *Journal) Disagree(disagreement *ledger.Disagreement, content string) (news, settled bool, err error) {
	key := disagreementKey(disagreement.Leg, disagreement.Second)
	err = j.db.Update(func(tx *bbolt.Tx) error {
		disagreements := tx.Bucket(bucketDisagreements)
		if stored := disagreements.Get(key); stored != nil {
			before := &told{}
			if err := decode(stored, before); err != nil {
				return err
			}
			if before.Content == content {
				return nil
			}
		}
		leg := &Leg{}
		if err := decode(tx.Bucket(bucketLegs).Get(legKey(disagreement.Leg)), leg); err != nil {
			return err
		}
		text, err := encode(&told{Disagreement: *disagreement, Content: content})
		if err != nil {
			return err
		}
		news, settled = true, leg.Settled()
		return disagreements.Put(key, text)
	})
	if err != nil {
		return false, false, fmt.Errorf("keep a disagreement: %w", err)
	}
	return news, settled, nil
}

// Disagreements answers those of settled legs that are in no segment yet.
func (j *Journal) Disagreements() ([]*ledger.Disagreement, error) {
	var open []*ledger.Disagreement
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketDisagreements).ForEach(func(_, stored []byte) error {
			one := &told{}
			if err := decode(stored, one); err != nil || one.Closed {
				return err
			}
			leg := &Leg{}
			if err := decode(tx.Bucket(bucketLegs).Get(legKey(one.Disagreement.Leg)), leg); err != nil || !leg.Settled() {
				return err
			}
			open = append(open, &one.Disagreement)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list the disagreements: %w", err)
	}
	return open, nil
}

// noteDisagreements notes which disagreements a segment's entries hold.
func noteDisagreements(tx *bbolt.Tx, entries []Entry) error {
	disagreements := tx.Bucket(bucketDisagreements)
	for i := range entries {
		if entries[i].Disagreement == nil {
			continue
		}
		key := disagreementKey(entries[i].Disagreement.Leg, entries[i].Disagreement.Second)
		one := &told{}
		if err := decode(disagreements.Get(key), one); err != nil {
			return err
		}
		one.Closed = true
		text, err := encode(one)
		if err != nil {
			return err
		}
		if err := disagreements.Put(key, text); err != nil {
			return err
		}
	}
	return nil
}

func disagreementKey(leg ledger.LegID, second string) []byte {
	return fmt.Appendf(legKey(leg), "\x00%s", second)
}
