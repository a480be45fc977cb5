package journal

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Known answers what is kept of a leg; nil where nothing is.
func (j *Journal) Known(id ledger.LegID) (*Leg, error) { return j.leg(id) }

// ReceiveAll keeps legs, those that are settled too, in one write, and answers those
// that were not known.
func (j *Journal) ReceiveAll(legs []*Leg) (fresh []*Leg, err error) {
	err = j.db.Update(func(tx *bbolt.Tx) error {
		fresh = fresh[:0]
		for _, leg := range legs {
			key := legKey(leg.Call.Leg)
			if tx.Bucket(bucketLegs).Get(key) != nil {
				continue
			}
			text, err := encode(leg)
			if err != nil {
				return err
			}
			if !leg.Settled() {
				err = tx.Bucket(bucketUnsettled).Put(key, nil)
			}
			if err := errors.Join(err, tx.Bucket(bucketLegs).Put(key, text)); err != nil {
				return err
			}
			fresh = append(fresh, leg)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keep the legs: %w", err)
	}
	return fresh, nil
}
