package journal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/go-json-experiment/json"

	"github.com/callseal/callseal/gateway/fault"
)

// Stage is which of an entry's two transactions one is.
type Stage string

// The stages.
const (
	// Public puts the records on the ledger.
	Public Stage = "public"
	// Details stores their details in the operator's collection.
	Details Stage = "details"
)

// Transaction is one that was, or may have been, sent to the orderers and whose
// outcome is not in the journal yet.
type Transaction struct {
	// ID is Fabric's.
	ID string `json:"id"`
	// Stage is which of an entry's two it is.
	Stage Stage `json:"stage"`
	// Numbers are the entries in it.
	Numbers []int64 `json:"numbers"`
	// Envelope is what was sent, if it is to be sent again; opaque here.
	Envelope []byte `json:"-"`
	// BegunAt is by the gateway's clock: information only.
	BegunAt time.Time `json:"begun_at"`
	// Order is that of Begin.
	Order uint64 `json:"order"`
}

// Begin writes down a transaction before it is sent, and returns once that is on
// disk: a gateway that is killed after it asks the peer what became of it, instead
// of anchoring its entries by another one. An entry is in one transaction at a
// time.
func (j *Journal) Begin(ctx context.Context, transaction Transaction) error {
	if transaction.ID == "" || len(transaction.Numbers) == 0 {
		return fault.New(fault.Internal, "a transaction needs an id and entries")
	}
	if err := j.acquire(ctx); err != nil {
		return err
	}
	envelope := pack(transaction.Envelope)
	batch := j.db.NewBatchWithSize(len(envelope) + spare + bytesANumber*len(transaction.Numbers))
	seq, err := j.begin(batch, transaction, envelope)
	j.release()
	if err != nil {
		return err
	}
	return j.await(batch, seq)
}

func (j *Journal) begin(batch *pebble.Batch, transaction Transaction, envelope []byte) (uint64, error) {
	if j.flights[transaction.ID] != nil {
		return 0, fault.New(fault.Internal, "transaction %s is under way already", transaction.ID)
	}
	for _, number := range transaction.Numbers {
		entry, err := j.entry(number)
		if err != nil {
			return 0, err
		}
		if entry == nil || !entry.Pending() {
			return 0, fault.New(fault.Internal, "entry %d is not pending", number)
		}
		if other := j.flightOf[number]; other != "" {
			return 0, fault.New(fault.Internal, "entry %d is in transaction %s", number, other)
		}
	}
	transaction.BegunAt = j.now().UTC().Truncate(time.Millisecond)
	transaction.Order = j.meta.batch + 1
	transaction.Numbers = slices.Clone(transaction.Numbers)
	value, err := json.Marshal(&transaction)
	if err != nil {
		return 0, fmt.Errorf("encode a transaction of the journal: %w", err)
	}
	if err := batch.Set(transactionKey(keyTransaction, transaction.ID), value, nil); err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	if err := batch.Set(transactionKey(keyEnvelope, transaction.ID), envelope, nil); err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	seq, err := j.enqueue(batch, j.meta)
	if err != nil {
		return 0, err
	}
	j.memory.Lock()
	defer j.memory.Unlock()
	j.track(&transaction)
	return seq, nil
}

// track keeps a transaction in memory, without its envelope.
func (j *Journal) track(transaction *Transaction) {
	transaction.Envelope = nil
	j.flights[transaction.ID] = transaction
	for _, number := range transaction.Numbers {
		j.flightOf[number] = transaction.ID
	}
}

func (j *Journal) loadTransactions() error {
	return j.scan([]byte{keyTransaction}, nil, func(key, value []byte) (bool, error) {
		transaction := &Transaction{}
		if err := json.Unmarshal(value, transaction, json.RejectUnknownMembers(true)); err != nil {
			return false, fmt.Errorf("read transaction %s of the journal: %w", key[1:], err)
		}
		j.track(transaction)
		return true, nil
	})
}

// InFlight answers the transactions whose outcome is not known to the journal, in
// the order in which they were begun, with their envelopes. After a start these
// are the ambiguous ones.
func (j *Journal) InFlight() ([]Transaction, error) {
	j.memory.Lock()
	transactions := make([]Transaction, 0, len(j.flights))
	for _, transaction := range j.flights {
		transactions = append(transactions, *transaction)
	}
	j.memory.Unlock()
	slices.SortFunc(transactions, func(a, b Transaction) int { return cmp.Compare(a.Order, b.Order) })
	for i := range transactions {
		var err error
		if transactions[i].Envelope, err = j.getPacked(transactionKey(keyEnvelope, transactions[i].ID)); err != nil {
			return nil, err
		}
	}
	return transactions, nil
}

// Outcome is what became of an entry.
type Outcome struct {
	Number int64
	// State is where it goes: Queued or Committed to be tried again, Committed,
	// Settled or Refused.
	State State
	// Commit is the public transaction that it stands in: needed for the first move
	// to Committed or Settled, kept afterwards.
	Commit *Commit
	// Receipt replaces the entry's when it is not nil.
	Receipt []byte
	// Problem is needed for Refused, and welcome where it is to be tried again.
	Problem *Problem
}

// Resolve ends a transaction and moves its entries, in one atomic batch, and
// returns once that is on disk. With an empty id it only moves entries that are in
// none: an endorsement failed, or nothing had to be sent. Every entry of the
// transaction needs an outcome, unless it stays as it is.
func (j *Journal) Resolve(ctx context.Context, id string, outcomes ...Outcome) error {
	if err := j.acquire(ctx); err != nil {
		return err
	}
	batch := j.db.NewBatch()
	seq, err := j.resolve(batch, id, outcomes)
	j.release()
	if err != nil {
		return err
	}
	return j.await(batch, seq)
}

func (j *Journal) resolve(batch *pebble.Batch, id string, outcomes []Outcome) (uint64, error) {
	transaction := j.flights[id]
	if id != "" {
		if transaction == nil {
			return 0, fault.New(fault.Internal, "transaction %s is not under way", id)
		}
		if err := remove(batch, transactionKey(keyTransaction, id), transactionKey(keyEnvelope, id)); err != nil {
			return 0, err
		}
	}
	next := j.meta
	moves := make([]move, 0, len(outcomes))
	for i := range outcomes {
		if other := j.flightOf[outcomes[i].Number]; other != id {
			return 0, fault.New(fault.Internal, "entry %d is in transaction %q, not %q", outcomes[i].Number, other, id)
		}
		moved, err := j.outcome(batch, &outcomes[i])
		if err != nil {
			return 0, err
		}
		moves = append(moves, moved)
		next.counts.move(moved)
	}
	seq, err := j.enqueue(batch, next)
	if err != nil {
		return 0, err
	}
	j.memory.Lock()
	defer j.memory.Unlock()
	if transaction != nil {
		delete(j.flights, id)
		for _, number := range transaction.Numbers {
			delete(j.flightOf, number)
		}
	}
	j.apply(moves)
	return seq, nil
}

// move is what a batch does to the counts.
type move struct {
	entry *Entry
	from  State
}

// outcome applies one to its entry.
func (j *Journal) outcome(batch *pebble.Batch, outcome *Outcome) (move, error) {
	entry, err := j.entry(outcome.Number)
	if err != nil {
		return move{}, err
	}
	if entry == nil || !entry.Pending() {
		return move{}, fault.New(fault.Internal, "entry %d is not pending", outcome.Number)
	}
	if entry.Commit != nil && outcome.State == Queued {
		return move{}, fault.New(fault.Internal, "entry %d is committed and cannot be queued again", outcome.Number)
	}
	from := entry.State
	entry.State, entry.Problem = outcome.State, outcome.Problem
	entry.Attempts++
	if entry.Commit == nil {
		entry.Commit = outcome.Commit
	}
	if outcome.Receipt != nil {
		entry.Receipt = outcome.Receipt
	}
	return move{entry, from}, j.moveTo(batch, entry, from)
}

// moveTo writes an entry in its new state and mends what points at it.
func (j *Journal) moveTo(batch *pebble.Batch, entry *Entry, from State) error {
	if entry.State == Settled {
		entry.SettledTick = int64(j.age())
	}
	if err := entry.check(); err != nil {
		return fault.New(fault.Internal, "%v", err)
	}
	value, err := encodeEntry(entry)
	if err != nil {
		return err
	}
	if err := batch.Set(numberKey(keyEntry, entry.Number), value, nil); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	lane, refused := laneKey(entry.Name.PBX, entry.Number), numberKey(keyRefused, entry.Number)
	switch entry.State {
	case Queued, Committed:
		err = batch.Set(lane, nil, nil)
		if err == nil && from == Refused {
			err = remove(batch, refused)
		}
	case Refused:
		err = batch.Set(refused, nil, nil)
		if err == nil {
			err = remove(batch, lane)
		}
	case Settled:
		err = batch.Set(settledKey(entry.Commit.Block, entry.Number), nil, nil)
		if err == nil {
			err = remove(batch, lane)
		}
		// A payload is written once, so a single delete undoes it wherever the two
		// meet: often before it was ever written out of memory.
		if err == nil {
			err = batch.SingleDelete(numberKey(keyPayload, entry.Number), nil)
		}
	}
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// apply mends the lanes after a batch was written; the caller holds memory.
func (j *Journal) apply(moves []move) {
	for _, moved := range moves {
		pbx := moved.entry.Name.PBX
		was, is := moved.from == Queued || moved.from == Committed, moved.entry.Pending()
		switch {
		case was && !is:
			if j.lanes[pbx]--; j.lanes[pbx] == 0 {
				delete(j.lanes, pbx)
			}
		case is && !was:
			j.lanes[pbx]++
		}
		if moved.entry.State == Settled {
			j.waste.add(moved.entry)
		}
	}
}

// move counts an entry in its new state.
func (c *counts) move(moved move) {
	number, bytes := moved.entry.Number, int64(moved.entry.Bytes)
	c.take(moved.from, number, bytes)
	c.add(moved.entry.State, number, bytes)
}

func remove(batch *pebble.Batch, keys ...[]byte) error {
	for _, key := range keys {
		if err := batch.Delete(key, nil); err != nil {
			return fmt.Errorf("write the journal: %w", err)
		}
	}
	return nil
}

// Replay puts refused entries back where they were refused from: Queued, or
// Committed when only their details are missing. They keep their numbers, and so
// their place in the order. All are replayed or none.
func (j *Journal) Replay(ctx context.Context, numbers ...int64) error {
	if err := j.acquire(ctx); err != nil {
		return err
	}
	batch := j.db.NewBatch()
	seq, err := j.replay(batch, numbers)
	j.release()
	if err != nil {
		return err
	}
	return j.await(batch, seq)
}

func (j *Journal) replay(batch *pebble.Batch, numbers []int64) (uint64, error) {
	numbers = slices.Compact(slices.Sorted(slices.Values(numbers)))
	next := j.meta
	moves := make([]move, 0, len(numbers))
	for _, number := range numbers {
		entry, err := j.entry(number)
		if err != nil {
			return 0, err
		}
		if entry == nil {
			return 0, fault.New(fault.NotFound, "the journal holds no entry %d", number)
		}
		if entry.State != Refused {
			return 0, fault.New(fault.State, "entry %d is %s, only a refused one is replayed", number, entry.State)
		}
		entry.State = Queued
		if entry.Commit != nil {
			entry.State = Committed
		}
		if err := j.moveTo(batch, entry, Refused); err != nil {
			return 0, err
		}
		moved := move{entry, Refused}
		moves = append(moves, moved)
		next.counts.move(moved)
	}
	seq, err := j.enqueue(batch, next)
	if err != nil {
		return 0, err
	}
	j.memory.Lock()
	defer j.memory.Unlock()
	j.apply(moves)
	return seq, nil
}
