// Package journal is the adapter's memory: what it has seen, in which order it
// closed it, and what the ledger has. Everything the adapter must not forget over
// a crash is on disk here before it matters elsewhere.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/callseal/callseal/chaincode/ledger"
)

// lockTimeout bounds the wait for another adapter to let the journal go.
const lockTimeout = 2 * time.Second

// The buckets, and the keys of the meta bucket.
var (
	bucketMeta        = []byte("meta")
	bucketLegs        = []byte("legs")
	bucketRecordings  = []byte("recordings")
	bucketOutbox      = []byte("outbox")
	bucketUnsettled   = []byte("unsettled") // keys of legs received and not closed
	bucketCheckpoints = []byte("checkpoints")
	bucketDue         = []byte("due")      // keys of closed legs whose recording has not come
	bucketRecorded    = []byte("recorded") // uniqueids whose recording has come
	bucketBindings    = []byte("bindings") // by path, whose recording a file is
	bucketRemains     = []byte("remains")  // by path, what a crash left of a file
	// bucketDisagreements holds what second sources tell differently of legs.
	bucketDisagreements = []byte("disagreements")
	bucketHappenings    = []byte("happenings") // what happened to calls that live, by number
	bucketJoins         = []byte("joins")      // joins that are not links yet, by number
	bucketLinks         = []byte("links")      // links that are in a segment
	bucketWaters        = []byte("waters")     // the highest CDR sequence by Asterisk's start
	bucketStrangers     = []byte("strangers")  // verdicts that were told, by address of record
	bucketOngoing       = []byte("ongoing")    // answered calls without a CDR, by uniqueid

	keyEpoch    = []byte("epoch")
	keyNextSeq  = []byte("next_seq")
	keyPrevSeq  = []byte("prev_first_seq")
	keyPrevRoot = []byte("prev_root")
	keyPBX      = []byte("pbx")
)

// Journal is one PBX's journal, in one file that one adapter holds at a time.
type Journal struct {
	db    *bbolt.DB
	epoch atomic.Int64
	fresh bool
	// promise is how many ns after a segment the next comes at the latest; 0 for no
	// promise.
	promise atomic.Int64
}

// Open opens the journal or begins a new one, and with it a new epoch. A journal
// that belongs to another PBX is refused.
func Open(path, msp, pbx string) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the journal's folder: %w", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("the journal %s is in use by another adapter: stop that one first", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open the journal %s: %w", path, err)
	}
	j := &Journal{db: db}
	if err := j.prepare(path, msp+"/"+pbx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return j, nil
}

func (j *Journal) prepare(path, owner string) error {
	return j.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{
			bucketMeta, bucketLegs, bucketUnsettled, bucketRecordings, bucketOutbox, bucketCheckpoints, bucketDue, bucketRecorded, bucketWaters,
			bucketDisagreements, bucketBindings, bucketRemains, bucketStrangers, bucketOngoing, bucketHappenings, bucketJoins, bucketLinks,
		} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return fmt.Errorf("prepare the journal: %w", err)
			}
		}
		meta := tx.Bucket(bucketMeta)
		if stored := meta.Get(keyPBX); stored != nil {
			if string(stored) != owner {
				return fmt.Errorf("the journal %s belongs to the PBX %s, not to %s: give each PBX a state folder of its own", path, stored, owner)
			}
			j.epoch.Store(readNumber(meta.Get(keyEpoch)))
			return nil
		}
		j.fresh = true
		j.epoch.Store(time.Now().UnixMilli())
		return errors.Join(meta.Put(keyPBX, []byte(owner)), meta.Put(keyEpoch, number(j.Epoch())), meta.Put(keyNextSeq, number(1)))
	})
}

// Close lets the file go.
func (j *Journal) Close() error {
	if err := j.db.Close(); err != nil {
		return fmt.Errorf("close the journal: %w", err)
	}
	return nil
}

// Epoch is the journal's creation in ms since 1970, or later; see Follow.
func (j *Journal) Epoch() int64 { return j.epoch.Load() }

// Fresh says that this Open began the epoch: what the sources hold from before
// may be on the ledger already, by a journal that was lost.
func (j *Journal) Fresh() bool { return j.fresh }

// Promise has every segment say that the next comes that long after it at the
// latest.
func (j *Journal) Promise(within time.Duration) { j.promise.Store(int64(within)) }

// number is the big-endian form, which sorts.
func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) } //nolint:gosec // never negative

func encode(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode a journal entry: %w", err)
	}
	return text, nil
}

// legKey begins with the uniqueid, by which recordings look for their leg.
func legKey(leg ledger.LegID) []byte {
	return fmt.Appendf(nil, "%s\x00%016d\x00%s", leg.UniqueID, leg.Sequence, leg.LinkedID)
}
