package reputation

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

const (
	// workers is how many transactions are under way at once.
	workers = 4
	// maxEvents bounds one item of a report: more at once is no observation.
	maxEvents = 1000
	// maxReports bounds the items of one call.
	maxReports = 500
	// maxWaiting bounds the items that wait for their transaction, over all
	// subjects; beyond it reporters are told to come back.
	maxWaiting = 100_000
	// maxAccounts bounds the subjects whose totals are kept in memory. Those left
	// out are read from the ledger when they come up again.
	maxAccounts = 100_000
	// busyFor is when to come back.
	busyFor = time.Second
)

// Evidence is a number of events of one kind that concern an address.
type Evidence struct {
	// Address is in clear: "tel:…", "ip:…" or "aor:…". It goes no further.
	Address string
	// Kind is one of the reputation policy's.
	Kind string
	// Count is the number of events, 1 to 1000.
	Count int64
	// Attempts are the separate attempts that negative events happened in, 1 to
	// Count; 0 for positive ones.
	Attempts int64
}

// Counters say what a tally has done since it began.
type Counters struct {
	// Reports are items of evidence that were counted, Opinions what was written
	// for them, Transactions those that carried these.
	Reports, Opinions, Transactions int64
	// Conflicts are transactions that others came before (MVCC), Mismatches
	// proposals on which endorsers differed: both stay at nought, because
	// nothing is read.
	Conflicts, Mismatches int64
	// Retries are transactions that were made again, Asked those whose outcome
	// had to be asked for.
	Retries, Asked int64
}

// ErrUncertain says that evidence left for the ledger and that its reporter did not
// wait to hear what became of it.
var ErrUncertain = errors.New("the evidence is on its way to the ledger, and it is not known yet whether it counts: do not report it again")

// Tally counts evidence. It is safe for concurrent use.
type Tally struct {
	link   link
	msp    string
	config Config
	book   rulebook
	log    *slog.Logger
	// journal keeps evidence that was reported with a key; nil where none is kept.
	journal *journal.Journal

	mu sync.Mutex
	// kept are the reports in the journal that are not counted yet, by number, and
	// resuming those that were in a transaction when the gateway stopped.
	kept     map[int64]*report
	resuming map[int64]place
	accounts map[place]*account
	ready    []*account // with reports, not under way
	waiting  int        // reports not under way
	stopped  bool
	wake     chan struct{}

	reports, opinions, transactions, conflicts, mismatches, retries, asked atomic.Int64
}

// New makes a tally that writes as the channel's operator. It counts while Run
// runs.
func New(opened *fabric.Channel, config Config, log *slog.Logger) *Tally {
	return newTally(newChannel(opened), opened.MSP(), config, log)
}

func newTally(to link, msp string, config Config, log *slog.Logger) *Tally {
	return &Tally{
		link: to, msp: msp, config: config, book: rulebook{link: to, key: config.Key}, log: log,
		kept: map[int64]*report{}, resuming: map[int64]place{}, accounts: map[place]*account{}, wake: make(chan struct{}, workers),
	}
}

// Counters are the tally's counters.
func (t *Tally) Counters() Counters {
	return Counters{
		Reports: t.reports.Load(), Opinions: t.opinions.Load(), Transactions: t.transactions.Load(), Conflicts: t.conflicts.Load(),
		Mismatches: t.mismatches.Load(), Retries: t.retries.Load(), Asked: t.asked.Load(),
	}
}

// Report counts evidence and answers, in the same order, once all of it stands in
// VALID transactions. Evidence that is refused is refused before any is counted.
//
// Where the context ends first, what has not left yet is taken back; where some
// has left, the error is ErrUncertain: do not report it again. Other errors are
// faults, and nothing that they concern was counted.
func (t *Tally) Report(ctx context.Context, evidence []Evidence) ([]Receipt, error) {
	if len(evidence) == 0 || len(evidence) > maxReports {
		return nil, fault.New(fault.Invalid, "a report holds 1 to %d items of evidence, this one holds %d", maxReports, len(evidence))
	}
	by, err := t.book.inForce(ctx)
	if err != nil {
		return nil, err
	}
	places, reports := make([]place, len(evidence)), make([]*report, len(evidence))
	for i := range evidence {
		if places[i], reports[i], err = t.admit(by, &evidence[i]); err != nil {
			return nil, err
		}
	}
	if err := t.enqueue(places, reports); err != nil {
		return nil, err
	}
	return t.await(ctx, places, reports)
}

// await waits for all of a call's reports.
func (t *Tally) await(ctx context.Context, places []place, reports []*report) ([]Receipt, error) {
	receipts := make([]Receipt, len(reports))
	var failed error
	for i, each := range reports {
		var got answer
		select {
		case <-each.done:
			got = each.answer
		case <-ctx.Done():
			got = t.withdraw(ctx, places[i], each)
		}
		if receipts[i] = got.receipt; got.err != nil && failed == nil {
			failed = got.err
		}
	}
	if failed != nil {
		return nil, failed
	}
	return receipts, nil
}

// admit checks an item of evidence.
func (t *Tally) admit(by *rules, evidence *Evidence) (place, *report, error) {
	at, err := by.placeOf(evidence.Address, t.config.Key, t.config.PreviousKey)
	if err != nil {
		return place{}, nil, err
	}
	if slices.Contains(by.pseudonyms.Exempt, at.subject) {
		return place{}, nil, fault.New(fault.State, "the subject is exempt: the operators voted never to score it")
	}
	item := ledger.EvidenceItem{Attempts: evidence.Attempts, Count: evidence.Count, Kind: evidence.Kind}
	if item.Count > maxEvents {
		return place{}, nil, fault.New(fault.Invalid, "an item of evidence counts %d events, at most %d are taken at once", item.Count, maxEvents)
	}
	if _, err := by.weighing.Sum([]ledger.EvidenceItem{item}); err != nil {
		return place{}, nil, fault.Of(err)
	}
	return at, &report{item: item, done: make(chan struct{})}, nil
}

// enqueue hands reports to the workers: all of them or none.
func (t *Tally) enqueue(places []place, reports []*report) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return stopping()
	}
	if t.waiting+len(reports) > maxWaiting {
		return tooMuch()
	}
	t.queue(places, reports)
	return nil
}

func tooMuch() error {
	return &fault.Error{Kind: fault.Busy, Stage: fault.StageRequest, RetryAfter: busyFor, Message: "too much evidence waits for the ledger: report again later"}
}

// queue is enqueue without a bound; the caller holds the lock.
func (t *Tally) queue(places []place, reports []*report) {
	for i, at := range places {
		held := t.accounts[at]
		if held == nil {
			t.makeRoom()
			held = &account{place: at}
			t.accounts[at] = held
		}
		if len(held.waiting) == 0 && !held.underWay {
			t.ready = append(t.ready, held)
		}
		held.waiting = append(held.waiting, reports[i])
		t.waiting++
	}
	t.signal()
}

// makeRoom forgets a subject at rest when there are too many.
func (t *Tally) makeRoom() {
	if len(t.accounts) < maxAccounts {
		return
	}
	for at, held := range t.accounts {
		if !held.underWay && len(held.waiting) == 0 {
			delete(t.accounts, at)
			return
		}
	}
}

// signal wakes a worker, if one sleeps.
func (t *Tally) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// withdraw takes back a report that has not left, and answers what to say of it.
func (t *Tally) withdraw(ctx context.Context, at place, one *report) answer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if held := t.accounts[at]; held != nil && one.number == 0 {
		if i := slices.Index(held.waiting, one); i >= 0 {
			held.waiting = slices.Delete(held.waiting, i, i+1)
			t.waiting--
			return answer{err: &fault.Error{Kind: fault.Unavailable, Stage: fault.StageRequest, Message: "the ledger did not take the evidence in time: it is not counted, report it again", Err: ctx.Err()}}
		}
	}
	select {
	case <-one.done:
		return one.answer
	default:
	}
	if one.number > 0 {
		return answer{err: later(ctx.Err())}
	}
	return answer{err: errors.Join(ErrUncertain, ctx.Err())}
}

// Run takes evidence to the ledger until the context ends, then tells all who
// still wait.
func (t *Tally) Run(ctx context.Context) {
	t.resume(ctx)
	var all sync.WaitGroup
	all.Go(func() { t.forget(ctx) })
	for range workers {
		all.Go(func() {
			for batch := t.take(ctx); batch != nil; batch = t.take(ctx) {
				t.settle(ctx, batch)
				t.release(batch)
			}
		})
	}
	all.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	for _, held := range t.accounts {
		for _, each := range held.waiting {
			if each.number == 0 {
				each.tell(answer{err: stopping()})
			}
		}
		held.waiting = nil
	}
	for _, each := range t.kept {
		each.tell(answer{err: later(stopping())})
	}
	t.kept = map[int64]*report{}
	t.waiting, t.ready = 0, nil
	did := t.Counters()
	t.log.Info("evidence counted", "reports", did.Reports, "opinions", did.Opinions, "transactions", did.Transactions,
		"conflicts", did.Conflicts, "mismatches", did.Mismatches, "retries", did.Retries, "asked", did.Asked)
}

func stopping() error {
	return fault.New(fault.Unavailable, "the gateway stops: the evidence is not counted, report it again")
}

// take waits for subjects with evidence and puts up to 500 of them under way; nil
// when the context has ended.
func (t *Tally) take(ctx context.Context) []*account {
	for {
		if ctx.Err() != nil {
			return nil
		}
		if batch := t.takeReady(); len(batch) > 0 {
			return batch
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		}
	}
}

func (t *Tally) takeReady() []*account {
	t.mu.Lock()
	defer t.mu.Unlock()
	var batch []*account
	for len(t.ready) > 0 && len(batch) < ledger.MaxOpinions {
		held := t.ready[0]
		t.ready = t.ready[1:]
		if len(held.waiting) == 0 {
			continue // all of it was taken back
		}
		held.taken, held.waiting, held.underWay = held.waiting, nil, true
		t.waiting -= len(held.taken)
		batch = append(batch, held)
	}
	if len(t.ready) > 0 {
		t.signal()
	}
	return batch
}

// release lets the subjects of a batch go on with what was reported meanwhile.
func (t *Tally) release(batch []*account) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, held := range batch {
		held.underWay, held.taken = false, nil
		if len(held.waiting) > 0 {
			t.ready = append(t.ready, held)
		}
	}
	if len(t.ready) > 0 {
		t.signal()
	}
}

// number renders a number as a contract's argument.
func number(n int64) string { return strconv.FormatInt(n, 10) }
