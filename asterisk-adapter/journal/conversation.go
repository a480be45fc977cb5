package journal

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Happening is something that happened to a call that lives, and that its legs will
// tell of.
type Happening struct {
	// Number is its place in the order of what happened.
	Number uint64
	// Text is the happening itself, encoded.
	Text []byte
	// Join is what may become a link, encoded; nil for none.
	Join []byte
}

// Happened keeps what happened, in one write.
func (j *Journal) Happened(all []Happening) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		for i := range all {
			key := number(int64(all[i].Number)) //nolint:gosec // far from it
			if err := tx.Bucket(bucketHappenings).Put(key, all[i].Text); err != nil {
				return err
			}
			if all[i].Join == nil {
				continue
			}
			if err := tx.Bucket(bucketJoins).Put(key, all[i].Join); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep what happened to a call: %w", err)
	}
	return nil
}

// Happenings gives what was kept, in order, and the joins that are not links yet.
func (j *Journal) Happenings(happening, join func(number uint64, text []byte) error) error {
	err := j.db.View(func(tx *bbolt.Tx) error {
		each := func(bucket []byte, give func(uint64, []byte) error) error {
			return tx.Bucket(bucket).ForEach(func(key, text []byte) error {
				return give(uint64(readNumber(key)), text) //nolint:gosec // never negative
			})
		}
		return errors.Join(each(bucketHappenings, happening), each(bucketJoins, join))
	})
	if err != nil {
		return fmt.Errorf("read what happened to calls: %w", err)
	}
	return nil
}

// ForgetHappenings deletes what has a lower number. Joins stay.
func (j *Journal) ForgetHappenings(below uint64) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketHappenings)
		var keys [][]byte
		cursor := bucket.Cursor()
		for key, _ := cursor.First(); key != nil && uint64(readNumber(key)) < below; key, _ = cursor.Next() { //nolint:gosec // never negative
			keys = append(keys, key)
		}
		for _, key := range keys {
			if err := bucket.Delete(key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget what happened to calls: %w", err)
	}
	return nil
}

// DropJoin deletes a join that is no link.
func (j *Journal) DropJoin(of uint64) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketJoins).Delete(number(int64(of))) //nolint:gosec // far from it
	})
	if err != nil {
		return fmt.Errorf("drop a join: %w", err)
	}
	return nil
}

// Linked says whether a link of the kind between the two linkedids was closed into a
// segment: whoever tells of it again tells of the same.
func (j *Journal) Linked(link *ledger.Link) (known bool, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		known = tx.Bucket(bucketLinks).Get(linkKey(link)) != nil
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("look for a link: %w", err)
	}
	return known, nil
}

// noteLink notes that a link is in a segment.
func noteLink(tx *bbolt.Tx, entry *Entry) error {
	return errors.Join(
		tx.Bucket(bucketLinks).Put(linkKey(entry.Link), []byte{1}),
		tx.Bucket(bucketJoins).Delete(number(int64(entry.Join))), //nolint:gosec // far from it
	)
}

func linkKey(link *ledger.Link) []byte {
	return fmt.Appendf(nil, "%s\x00%s\x00%s", link.Kind, link.From, link.To)
}
