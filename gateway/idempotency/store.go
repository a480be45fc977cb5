// Package idempotency answers a repeated request as it was answered first. A caller
// that names a request by a key of its own may send it again, also after a crash of
// either side: it is run once, each of its transactions is on the ledger once, and
// the answer is the same.
//
// Before anything is sent to the ledger its transaction is on disk here, so that
// what a crash cut off is resumed with the very same transactions. Requests are kept
// as a keyed digest, answers as they were sent: neither holds personal details,
// which mutating requests carry only towards the operator's sealed collection.
package idempotency

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/gateway/fault"
)

const (
	lockTimeout = 5 * time.Second
	sweepEvery  = 10 * time.Minute
	// sweepMost bounds what one sweep forgets in one database transaction.
	sweepMost = 1000
)

var (
	entriesBucket = []byte("entries")
	byAgeBucket   = []byte("by-age")
	secretBucket  = []byte("secret")
)

// Request names a request.
type Request struct {
	// Caller is who asks: keys of different callers are different.
	Caller string
	// Key is the caller's.
	Key string
	// Method and Content are what is asked for.
	Method  string
	Content []byte
}

// Answer is what a request was answered.
type Answer struct {
	// Content is the answer, or the error where Failed.
	Content []byte `json:"content,omitempty"`
	Failed  bool   `json:"failed,omitempty"`
}

// entry is what is kept of a request.
type entry struct {
	// Digest is of method and content.
	Digest []byte `json:"digest"`
	// Began is when the key was first used, in ms since 1970.
	Began int64 `json:"began"`
	// Prepared are the transactions that were made, by step.
	Prepared [][]byte `json:"prepared,omitempty"`
	// Notes are choices of the first run that hold for every later one.
	Notes  map[string][]byte `json:"notes,omitempty"`
	Answer *Answer           `json:"answer,omitempty"`
}

// Store keeps requests and their answers. It is safe for concurrent use.
type Store struct {
	config  Config
	metrics *Metrics
	db      *bbolt.DB
	secret  []byte

	mu      sync.Mutex
	running map[string]*run
	count   int
}

// run is a request under way.
type run struct {
	ended chan struct{}
}

// Open opens or creates the store.
func Open(path string, config Config, metrics *Metrics) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return nil, fmt.Errorf("open the idempotency keys in %s: %w", path, err)
	}
	s := &Store{config: config, metrics: metrics, db: db, running: map[string]*run{}}
	if err := s.prepare(); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("prepare the idempotency keys in %s: %w", path, err)
	}
	return s, nil
}

func (s *Store) prepare() error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{entriesBucket, byAgeBucket, secretBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		s.count = tx.Bucket(entriesBucket).Inspect().KeyN
		secret := tx.Bucket(secretBucket)
		s.secret = append([]byte{}, secret.Get(secretBucket)...)
		if len(s.secret) > 0 {
			return nil
		}
		s.secret = make([]byte, sha256.Size)
		_, _ = rand.Read(s.secret) // never fails since Go 1.24
		return secret.Put(secretBucket, s.secret)
	})
}

// Close lets the file go.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close the idempotency keys: %w", err)
	}
	return nil
}

// Run forgets what is older than the configured time, until the context ends.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := s.Sweep(time.Now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Sweep forgets what is too old at a time.
func (s *Store) Sweep(now time.Time) error {
	before := binary.BigEndian.AppendUint64(nil, uint64(max(0, now.Add(-s.config.Keep).UnixMilli())))
	for {
		forgotten := 0
		err := s.db.Update(func(tx *bbolt.Tx) error {
			ages := tx.Bucket(byAgeBucket).Cursor()
			for key, name := ages.First(); key != nil && string(key[:8]) < string(before) && forgotten < sweepMost; key, name = ages.Next() {
				forgotten++
				if err := tx.Bucket(entriesBucket).Delete(name); err != nil {
					return err
				}
				if err := ages.Delete(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("forget old idempotency keys: %w", err)
		}
		s.mu.Lock()
		s.count -= forgotten
		s.mu.Unlock()
		if forgotten < sweepMost {
			return nil
		}
	}
}

// mac keys a digest, so that what is personal in a request cannot be tried against
// it without this file's secret.
func (s *Store) mac(parts ...[]byte) []byte {
	hash := hmac.New(sha256.New, s.secret)
	for _, part := range parts {
		hash.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		hash.Write(part)
	}
	return hash.Sum(nil)
}

// Do answers the request: by handle, if it is new or was cut off, else as it was
// answered first. Handle gets a context by which [Transact] and [Note] know the
// request; keep says whether its error is final, so that it is the answer for good.
func (s *Store) Do(ctx context.Context, request Request, handle func(context.Context) (answer Answer, final bool)) (Answer, error) {
	name := s.mac([]byte(request.Caller), []byte(request.Key))
	digest := s.mac([]byte(request.Method), request.Content)
	for {
		mine, other := s.claim(string(name))
		if mine == nil {
			select {
			case <-other.ended:
				continue
			case <-ctx.Done():
				return Answer{}, &fault.Error{Kind: fault.Busy, Stage: fault.StageRequest, RetryAfter: time.Second, Message: "the first request with this idempotency key is still running: ask again", Err: ctx.Err()}
			}
		}
		defer s.release(string(name), mine)
		return s.do(ctx, name, digest, handle)
	}
}

func (s *Store) claim(name string) (mine, other *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if other := s.running[name]; other != nil {
		return nil, other
	}
	mine = &run{ended: make(chan struct{})}
	s.running[name] = mine
	return mine, nil
}

func (s *Store) release(name string, mine *run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, name)
	close(mine.ended)
}

func (s *Store) do(ctx context.Context, name, digest []byte, handle func(context.Context) (Answer, bool)) (Answer, error) {
	kept, err := s.read(name)
	if err != nil {
		return Answer{}, err
	}
	outcome := "resumed"
	switch {
	case kept == nil:
		outcome = "run"
		if kept, err = s.begin(name, digest); err != nil {
			return Answer{}, err
		}
	case subtle.ConstantTimeCompare(kept.Digest, digest) != 1:
		s.metrics.uses.WithLabelValues("refused").Inc()
		return Answer{}, fault.New(fault.Exists, "this idempotency key names another request: give each request a key of its own")
	case kept.Answer != nil:
		s.metrics.uses.WithLabelValues("repeated").Inc()
		return *kept.Answer, nil
	}
	s.metrics.uses.WithLabelValues(outcome).Inc()
	attempt := &attempt{store: s, name: name, entry: kept, resumed: outcome == "resumed"}
	answer, final := handle(context.WithValue(ctx, attemptKey{}, attempt))
	attempt.mu.Lock()
	defer attempt.mu.Unlock()
	if !final && len(kept.Prepared) == 0 && len(kept.Notes) == 0 {
		// Nothing came of it: it may be asked anew, also otherwise.
		return answer, s.forget(name, kept)
	}
	if !final {
		return answer, nil
	}
	// The answer is all that is needed from now on.
	kept.Answer, kept.Prepared, kept.Notes = &answer, nil, nil
	return answer, s.write(name, kept)
}

// begin keeps a new request.
func (s *Store) begin(name, digest []byte) (*entry, error) {
	s.mu.Lock()
	full := s.count >= s.config.Most
	if !full {
		s.count++
	}
	s.mu.Unlock()
	if full {
		s.metrics.uses.WithLabelValues("refused").Inc()
		return nil, &fault.Error{
			Kind: fault.Busy, Stage: fault.StageRequest, RetryAfter: sweepEvery,
			Message: fmt.Sprintf("the gateway remembers %d idempotency keys, which is the most: send the request without one, or later", s.config.Most),
		}
	}
	now := time.Now().UnixMilli()
	kept := &entry{Digest: digest, Began: now}
	text, err := json.Marshal(kept)
	if err != nil {
		return nil, fmt.Errorf("keep an idempotency key: %w", err)
	}
	err = s.db.Batch(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(byAgeBucket).Put(ageKey(kept, name), name); err != nil {
			return err
		}
		return tx.Bucket(entriesBucket).Put(name, text)
	})
	if err != nil {
		return nil, fmt.Errorf("keep an idempotency key: %w", err)
	}
	return kept, nil
}

// ageKey sorts entries by their age.
func ageKey(kept *entry, name []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(kept.Began)), name...) //nolint:gosec // not negative
}

func (s *Store) forget(name []byte, kept *entry) error {
	err := s.db.Batch(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(byAgeBucket).Delete(ageKey(kept, name)); err != nil {
			return err
		}
		return tx.Bucket(entriesBucket).Delete(name)
	})
	if err != nil {
		return fmt.Errorf("forget an idempotency key: %w", err)
	}
	s.mu.Lock()
	s.count--
	s.mu.Unlock()
	return nil
}

func (s *Store) read(name []byte) (kept *entry, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		text := tx.Bucket(entriesBucket).Get(name)
		if text == nil {
			return nil
		}
		kept = &entry{}
		return json.Unmarshal(text, kept)
	})
	if err != nil {
		return nil, fmt.Errorf("read an idempotency key: %w", err)
	}
	return kept, nil
}

func (s *Store) write(name []byte, kept *entry) error {
	text, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("keep an idempotency key: %w", err)
	}
	if err := s.db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket(entriesBucket).Put(name, text) }); err != nil {
		return fmt.Errorf("keep an idempotency key: %w", err)
	}
	return nil
}
