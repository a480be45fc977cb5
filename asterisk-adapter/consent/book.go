package consent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/chaincode/ledger"
)

const (
	// lockTimeout bounds the wait for another adapter to let the book go.
	lockTimeout = 2 * time.Second
	// kept is how long the book remembers a call.
	kept = 7 * 24 * time.Hour
)

// The buckets, and the keys of the state bucket.
var (
	bucketCalls     = []byte("calls")     // what became of each channel that was asked, by uniqueid
	bucketStandings = []byte("standings") // each party's last statement, by linkedid and party
	bucketOutbox    = []byte("outbox")    // statements that are not on the ledger, by number
	bucketRefused   = []byte("refused")   // those that the ledger refused
	bucketState     = []byte("state")

	keyPolicy = []byte("policy")
	keyCursor = []byte("cursor")
)

// Call is what became of a channel that was asked.
type Call struct {
	UniqueID     string `json:"uniqueid"`
	LinkedID     string `json:"linkedid"`
	Jurisdiction string `json:"jurisdiction,omitempty"`
	// Caller and Called are the parties' pseudonyms; Called is empty where the
	// dialplan does not tell who is called.
	Caller string `json:"caller"`
	Called string `json:"called,omitempty"`
	// Allowed says whether it might be recorded when it was asked.
	Allowed bool      `json:"allowed"`
	At      time.Time `json:"at"`
}

// Outgoing is a statement that is to be delivered.
type Outgoing struct {
	Statement

	number uint64
	// Refused is why the ledger does not take it.
	Refused string `json:"refused,omitempty"`
}

// Book is what is remembered of consents, in one file that one adapter holds at a
// time. What it has taken is on disk.
type Book struct{ db *bbolt.DB }

// OpenBook opens the book or begins a new one.
func OpenBook(path string) (*Book, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return nil, fmt.Errorf("open the book of consents %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketCalls, bucketStandings, bucketOutbox, bucketRefused, bucketState} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the book of consents: %w", err), db.Close())
	}
	return &Book{db: db}, nil
}

// Close lets the file go.
func (b *Book) Close() error {
	if err := b.db.Close(); err != nil {
		return fmt.Errorf("close the book of consents: %w", err)
	}
	return nil
}

// Call answers what became of a channel; nil where it was not asked.
func (b *Book) Call(uniqueID string) (call *Call, err error) {
	err = b.view(func(tx *bbolt.Tx) error {
		stored := tx.Bucket(bucketCalls).Get([]byte(uniqueID))
		if stored == nil {
			return nil
		}
		call = &Call{}
		return json.Unmarshal(stored, call)
	})
	return call, err
}

// Conclude keeps, in one write, what became of a channel and the statements that were
// made, which are delivered from now on. The call may be nil.
func (b *Book) Conclude(call *Call, statements ...Statement) error {
	return b.update(func(tx *bbolt.Tx) error {
		if call != nil {
			if err := put(tx.Bucket(bucketCalls), []byte(call.UniqueID), call); err != nil {
				return err
			}
		}
		outbox := tx.Bucket(bucketOutbox)
		for i := range statements {
			number, err := outbox.NextSequence()
			if err != nil {
				return err
			}
			if err := put(outbox, numberKey(number), &statements[i]); err != nil {
				return err
			}
			if err := stand(tx, &statements[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// stand notes a party's last statement.
func stand(tx *bbolt.Tx, statement *Statement) error {
	standings, key := tx.Bucket(bucketStandings), standingKey(statement.LinkedID, statement.Party)
	if stored := standings.Get(key); stored != nil {
		var last Statement
		if err := json.Unmarshal(stored, &last); err != nil {
			return err
		}
		if statement.GivenAt.Before(last.GivenAt) {
			return nil
		}
	}
	return put(standings, key, statement)
}

// Learn notes a statement that is on the ledger, and how far the ledger was read.
func (b *Book) Learn(statement *Statement, cursor []byte) error {
	return b.update(func(tx *bbolt.Tx) error {
		if statement != nil {
			if err := stand(tx, statement); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketState).Put(keyCursor, cursor)
	})
}

// Cursor is how far the ledger was read; nil at first.
func (b *Book) Cursor() (cursor []byte, err error) {
	err = b.view(func(tx *bbolt.Tx) error {
		cursor = append(cursor, tx.Bucket(bucketState).Get(keyCursor)...)
		return nil
	})
	return cursor, err
}

// Standings are the last statements of a call's parties.
func (b *Book) Standings(linkedID string) (standings []Statement, err error) {
	err = b.view(func(tx *bbolt.Tx) error {
		prefix := standingKey(linkedID, "")
		cursor := tx.Bucket(bucketStandings).Cursor()
		for key, stored := cursor.Seek(prefix); len(key) >= len(prefix) && string(key[:len(prefix)]) == string(prefix); key, stored = cursor.Next() {
			var one Statement
			if err := json.Unmarshal(stored, &one); err != nil {
				return err
			}
			standings = append(standings, one)
		}
		return nil
	})
	return standings, err
}

// Forbids says whether a party of a call objects to its recording, and the policy
// heeds it.
func (b *Book) Forbids(linkedID string) (bool, error) {
	standings, err := b.Standings(linkedID)
	if err != nil || len(standings) == 0 {
		return false, err
	}
	policy, err := b.Policy()
	if err != nil {
		return false, err
	}
	for i := range standings {
		if one := &standings[i]; one.objects() && policy.Policy.Consent.Forbids(ruleOf(policy, one.Jurisdiction)) {
			return true, nil
		}
	}
	return false, nil
}

// SetPolicy keeps the policy in force.
func (b *Book) SetPolicy(policy *ledger.PolicyVersion) error {
	return b.update(func(tx *bbolt.Tx) error { return put(tx.Bucket(bucketState), keyPolicy, policy) })
}

// Policy is the policy that was in force when the gateway was last asked; the built-in
// one before.
func (b *Book) Policy() (*ledger.PolicyVersion, error) {
	policy := &ledger.PolicyVersion{}
	err := b.view(func(tx *bbolt.Tx) error {
		stored := tx.Bucket(bucketState).Get(keyPolicy)
		if stored == nil {
			policy = nil
			return nil
		}
		return json.Unmarshal(stored, policy)
	})
	if err != nil || policy != nil && policy.Policy.Consent != nil {
		return policy, err
	}
	builtIn, _ := ledger.DefaultPolicy(ledger.PolicyConsent)
	return builtIn, nil
}

// Outbox are the statements that are to be delivered, in order, at most so many.
func (b *Book) Outbox(most int) (waiting []Outgoing, err error) {
	err = b.view(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bucketOutbox).Cursor()
		for key, stored := cursor.First(); key != nil && len(waiting) < most; key, stored = cursor.Next() {
			one := Outgoing{number: binary.BigEndian.Uint64(key)}
			if err := json.Unmarshal(stored, &one.Statement); err != nil {
				return err
			}
			waiting = append(waiting, one)
		}
		return nil
	})
	return waiting, err
}

// Delivered takes a statement out of the outbox.
func (b *Book) Delivered(one *Outgoing) error {
	return b.update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketOutbox).Delete(numberKey(one.number)) })
}

// Refuse sets a statement aside, with the reason.
func (b *Book) Refuse(one *Outgoing, reason string) error {
	one.Refused = reason
	return b.update(func(tx *bbolt.Tx) error {
		return errors.Join(put(tx.Bucket(bucketRefused), numberKey(one.number), one), tx.Bucket(bucketOutbox).Delete(numberKey(one.number)))
	})
}

// Depth counts the statements that wait, and those that were refused.
func (b *Book) Depth() (waiting, refused int, err error) {
	err = b.view(func(tx *bbolt.Tx) error {
		waiting, refused = tx.Bucket(bucketOutbox).Stats().KeyN, tx.Bucket(bucketRefused).Stats().KeyN
		return nil
	})
	return waiting, refused, err
}

// Forget drops what is known of calls that are long over.
func (b *Book) Forget(now time.Time) error {
	before := now.Add(-kept)
	return b.update(func(tx *bbolt.Tx) error {
		var call Call
		if err := drop(tx.Bucket(bucketCalls), func(stored []byte) (bool, error) {
			call = Call{}
			err := json.Unmarshal(stored, &call)
			return call.At.Before(before), err
		}); err != nil {
			return err
		}
		var last Statement
		return drop(tx.Bucket(bucketStandings), func(stored []byte) (bool, error) {
			last = Statement{}
			err := json.Unmarshal(stored, &last)
			return last.GivenAt.Std().Before(before), err
		})
	})
}

func drop(bucket *bbolt.Bucket, old func(stored []byte) (bool, error)) error {
	var keys [][]byte
	err := bucket.ForEach(func(key, stored []byte) error {
		is, err := old(stored)
		if is {
			keys = append(keys, key)
		}
		return err
	})
	for _, key := range keys {
		err = errors.Join(err, bucket.Delete(key))
	}
	return err
}

func (b *Book) view(read func(*bbolt.Tx) error) error {
	if err := b.db.View(read); err != nil {
		return fmt.Errorf("read the book of consents: %w", err)
	}
	return nil
}

func (b *Book) update(write func(*bbolt.Tx) error) error {
	if err := b.db.Update(write); err != nil {
		return fmt.Errorf("write the book of consents: %w", err)
	}
	return nil
}

func put(bucket *bbolt.Bucket, key []byte, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return bucket.Put(key, text)
}

func numberKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

func standingKey(linkedID, party string) []byte { return []byte(linkedID + "\x00" + party) }
