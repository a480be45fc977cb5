package reputation

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

// Evidence that is reported with a key is in a journal, on disk, before it is put
// under way; so is each transaction before it is sent, as the very bytes that are
// sent. A gateway that was killed first finds out what became of those, by sending
// them once more where the ledger does not know them, and only then makes others on
// the same subjects. So an opinion is written once, and what it carries counts once.
// On disk a subject is its pseudonym.

// Key names a report.
type Key struct {
	// Name is of the caller and its key; Digest is of what it reports.
	Name, Digest [32]byte
}

// JournalConfig is that of the journal of evidence: entries are small.
func JournalConfig() journal.Config {
	return journal.Config{
		MaxEntries: maxWaiting, MaxBytes: 64 << 20, ReserveBytes: 4 << 20, MinFreeBytes: 16 << 20,
		MemTableBytes: 512 << 10, CacheBytes: 1 << 20,
	}
}

// keptItem is an item of evidence as the journal holds it.
type keptItem struct {
	Epoch   int64               `json:"epoch"`
	Subject string              `json:"subject"`
	Earlier string              `json:"earlier,omitempty"`
	Item    ledger.EvidenceItem `json:"item"`
}

func (k *keptItem) place() place {
	return place{epoch: k.Epoch, subject: k.Subject, earlier: k.Earlier}
}

// keptTransaction is a transaction as the journal holds it.
type keptTransaction struct {
	Envelope []byte            `json:"envelope"`
	Opinions []*ledger.Opinion `json:"opinions"`
}

// Keep has evidence that is reported with a key kept in a journal, and takes up what
// an earlier run left there. Call it before Run.
func (t *Tally) Keep(in *journal.Journal) error {
	t.journal = in
	inFlight := map[int64]bool{}
	flights, err := in.InFlight()
	if err != nil {
		return fmt.Errorf("read the journal of evidence: %w", err)
	}
	for i := range flights {
		for _, number := range flights[i].Numbers {
			inFlight[number] = true
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for after, more := int64(0), true; more; more = after > 0 {
		entries, next, err := in.List(journal.Filter{State: journal.Queued}, after, ledger.MaxOpinions)
		if err != nil {
			return fmt.Errorf("read the journal of evidence: %w", err)
		}
		for i := range entries {
			if err := t.takeUp(&entries[i], inFlight[entries[i].Number]); err != nil {
				return err
			}
		}
		after = next
	}
	if len(t.kept) > 0 {
		t.log.Info("evidence of an earlier run is taken up", "items", len(t.kept), "in_flight", len(inFlight))
	}
	return nil
}

func (t *Tally) takeUp(entry *journal.Entry, inFlight bool) error {
	text, err := t.journal.Payload(entry.Number)
	if err != nil {
		return fmt.Errorf("read the journal of evidence: %w", err)
	}
	var item keptItem
	if err := json.Unmarshal(text, &item, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("read evidence %d of the journal: %w", entry.Number, err)
	}
	one := &report{item: item.Item, number: entry.Number, done: make(chan struct{})}
	t.kept[entry.Number] = one
	if inFlight {
		t.resuming[entry.Number] = item.place()
	} else {
		t.queue([]place{item.place()}, []*report{one})
	}
	return nil
}

// ReportOnce is Report under a key: however often it is called, also after a crash,
// the evidence counts once, and every answer is that of the first time it counted.
// Where the context ends first the evidence stays under way: the error is retryable.
// A key that named other evidence is a fault of kind Exists.
func (t *Tally) ReportOnce(ctx context.Context, key Key, evidence []Evidence) ([]Receipt, error) {
	if t.journal == nil {
		return nil, fault.New(fault.State, "this gateway keeps no evidence on disk: report without a key")
	}
	if len(evidence) == 0 || len(evidence) > maxReports {
		return nil, fault.New(fault.Invalid, "a report holds 1 to %d items of evidence, this one holds %d", maxReports, len(evidence))
	}
	by, err := t.book.inForce(ctx)
	if err != nil {
		return nil, err
	}
	places, reports, accepts := make([]place, len(evidence)), make([]*report, len(evidence)), make([]journal.Accept, len(evidence))
	for i := range evidence {
		if places[i], reports[i], err = t.admit(by, &evidence[i]); err != nil {
			return nil, err
		}
		item := keptItem{Epoch: places[i].epoch, Subject: places[i].subject, Earlier: places[i].earlier, Item: reports[i].item}
		payload, err := json.Marshal(&item)
		if err != nil {
			return nil, fmt.Errorf("encode evidence for the journal: %w", err)
		}
		accepts[i] = journal.Accept{
			Name: journal.Name{PBX: hex.EncodeToString(key.Name[:]), FirstSeq: int64(i)}, Digest: key.Digest, Records: 1, Payload: payload,
		}
	}
	if err := t.accept(ctx, places, reports, accepts); err != nil {
		return nil, err
	}
	return t.await(ctx, places, reports)
}

// accept puts evidence into the journal and under way. What was there before is
// answered, or waited for.
func (t *Tally) accept(ctx context.Context, places []place, reports []*report, accepts []journal.Accept) error {
	t.mu.Lock()
	stopped, full := t.stopped, t.waiting+len(reports) > maxWaiting
	t.mu.Unlock()
	if stopped {
		return stopping()
	}
	if full {
		return tooMuch()
	}
	if err := t.unused(accepts); err != nil {
		return err
	}
	results, err := t.journal.Append(ctx, accepts...)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range results {
		entry := &results[i].Entry
		if results[i].Err != nil {
			return otherReport()
		}
		if before := t.kept[entry.Number]; before != nil {
			reports[i] = before
			continue
		}
		if results[i].Repeated {
			// What was under way a moment ago may have been settled: its state is
			// written before it is let go.
			if entry, err = t.journal.Entry(entry.Number); err != nil {
				reports[i].tell(answer{err: later(err)})
				continue
			}
		}
		if err := t.goOn(entry, places[i], reports[i]); err != nil {
			return err
		}
	}
	return nil
}

// goOn answers a report of the journal that is settled, and puts any other under
// way; the caller holds the lock.
func (t *Tally) goOn(entry *journal.Entry, at place, one *report) error {
	if entry.State == journal.Settled {
		counted := answer{}
		if err := json.Unmarshal(entry.Receipt, &counted.receipt); err != nil {
			return fmt.Errorf("read a receipt of the journal: %w", err)
		}
		if len(counted.receipt.Commit.Endorsers) == 0 {
			counted.receipt.Commit.Endorsers = nil
		}
		one.tell(counted)
		return nil
	}
	one.number = entry.Number
	if t.stopped {
		one.tell(answer{err: later(stopping())})
		return nil
	}
	t.kept[entry.Number] = one
	t.queue([]place{at}, []*report{one})
	return nil
}

// unused answers a fault where a key named another report.
func (t *Tally) unused(accepts []journal.Accept) error {
	for i := range accepts {
		entry, err := t.journal.Find(accepts[i].Name)
		switch {
		case err == nil && entry.Digest != accepts[i].Digest:
			return otherReport()
		case err != nil && fault.Of(err).Kind != fault.NotFound:
			return err
		}
	}
	return nil
}

func otherReport() error {
	return fault.New(fault.Exists, "this idempotency key names another report: give each report a key of its own")
}

// later says that evidence is on disk and will count.
func later(err error) error {
	return &fault.Error{
		Kind: fault.Unknown, Stage: fault.StageCommit, RetryAfter: busyFor, Err: err,
		Message: "the evidence is on disk and will be counted once: report it again with the same key to hear where",
	}
}

// tell answers a report and lets it go.
func (t *Tally) tell(each *report, got answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.kept, each.number)
	each.tell(got)
}

func numbersOf(reports []*report) []int64 {
	var numbers []int64
	for _, each := range reports {
		if each.number > 0 {
			numbers = append(numbers, each.number)
		}
	}
	return numbers
}

func numbersIn(batch []*account) []int64 {
	var numbers []int64
	for _, held := range batch {
		numbers = append(numbers, numbersOf(held.taken)...)
	}
	return numbers
}

// begin writes down a transaction that carries evidence of the journal before it is
// sent.
func (t *Tally) begin(endorsed transaction, opinions []*ledger.Opinion, numbers []int64) error {
	if len(numbers) == 0 {
		return nil
	}
	text, err := json.Marshal(&keptTransaction{Envelope: endorsed.Envelope(), Opinions: opinions})
	if err != nil {
		return fmt.Errorf("encode a transaction for the journal: %w", err)
	}
	return t.journal.Begin(context.Background(), journal.Transaction{ID: endorsed.ID(), Stage: journal.Public, Numbers: numbers, Envelope: text})
}

// undo takes a transaction out of the journal that is known not to be on the ledger.
func (t *Tally) undo(id string, numbers []int64, why error) error {
	if len(numbers) == 0 || fault.Of(why).Kind == fault.Unknown {
		return nil
	}
	outcomes := make([]journal.Outcome, len(numbers))
	for i, number := range numbers {
		outcomes[i] = journal.Outcome{Number: number, State: journal.Queued}
	}
	return t.journal.Resolve(context.Background(), id, outcomes...)
}

// settled writes down that a transaction is VALID, and the receipts.
func (t *Tally) settled(id string, batch []*account, commit fabric.Commit) error {
	var outcomes []journal.Outcome
	for _, held := range batch {
		for _, number := range numbersOf(held.taken) {
			outcome, err := countedIn(number, held.written, commit)
			if err != nil {
				return err
			}
			outcomes = append(outcomes, outcome)
		}
	}
	if len(outcomes) == 0 {
		return nil
	}
	return t.journal.Resolve(context.Background(), id, outcomes...)
}

func countedIn(number int64, opinion *ledger.Opinion, commit fabric.Commit) (journal.Outcome, error) {
	receipt, err := json.Marshal(receiptFor(opinion, commit))
	if err != nil {
		return journal.Outcome{}, fmt.Errorf("encode a receipt for the journal: %w", err)
	}
	return journal.Outcome{
		Number: number, State: journal.Settled, Receipt: receipt, Commit: &journal.Commit{TransactionID: commit.TransactionID, Block: commit.Block},
	}, nil
}

// resume finds out what became of the transactions of an earlier run. Nothing else
// is written before all of it is known: it would follow an opinion that may be about
// to be followed already.
func (t *Tally) resume(ctx context.Context) {
	if t.journal == nil {
		return
	}
	flights, err := t.journal.InFlight()
	for i := 0; i < len(flights) && err == nil; i++ {
		err = t.resumeOne(ctx, &flights[i])
	}
	if err != nil && ctx.Err() == nil {
		t.log.Error("evidence of an earlier run cannot be taken up", "error", err)
		<-ctx.Done() // a gap in what is known is worse than evidence that waits
	}
}

func (t *Tally) resumeOne(ctx context.Context, flight *journal.Transaction) error {
	var kept keptTransaction
	if err := json.Unmarshal(flight.Envelope, &kept); err != nil {
		return fmt.Errorf("read transaction %s of the journal of evidence: %w", flight.ID, err)
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 20*time.Millisecond, 2*time.Second
	for {
		outcome, err := t.link.Resume(ctx, kept.Envelope)
		what := fault.Of(err)
		switch {
		case err == nil:
			return t.resumed(flight, &kept, outcome.Commit)
		case what.Stage == fault.StageCommit && what.Kind != fault.Unknown:
			t.log.Info("a transaction of an earlier run is not on the ledger: its evidence goes into another", "transaction", flight.ID, "kind", string(what.Kind))
			return t.again(flight)
		}
		t.log.Info("what became of a transaction of an earlier run is not known yet", "transaction", flight.ID, "error", what.Error())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// resumed is settled for a transaction of an earlier run.
func (t *Tally) resumed(flight *journal.Transaction, kept *keptTransaction, commit fabric.Commit) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	written := map[string]*ledger.Opinion{}
	for _, opinion := range kept.Opinions {
		written[opinion.Subject] = opinion
	}
	outcomes := make([]journal.Outcome, 0, len(flight.Numbers))
	for _, number := range flight.Numbers {
		opinion := written[t.resuming[number].subject]
		if opinion == nil {
			return fmt.Errorf("transaction %s of the journal of evidence says nothing of entry %d", flight.ID, number)
		}
		outcome, err := countedIn(number, opinion, commit)
		if err != nil {
			return err
		}
		outcomes = append(outcomes, outcome)
	}
	if err := t.journal.Resolve(context.Background(), flight.ID, outcomes...); err != nil {
		return err
	}
	t.transactions.Add(1)
	t.opinions.Add(int64(len(kept.Opinions)))
	for _, number := range flight.Numbers {
		at := t.resuming[number]
		opinion := written[at.subject]
		// The peer may not have it yet.
		held := t.accounts[at]
		if held == nil {
			held = &account{place: at}
			t.accounts[at] = held
		}
		held.known, held.last, held.carried = true, opinion, nil
		if one := t.kept[number]; one != nil {
			one.tell(answer{receipt: receiptFor(opinion, commit)})
		}
		t.reports.Add(1)
		delete(t.kept, number)
		delete(t.resuming, number)
	}
	return nil
}

// again puts the evidence of a transaction that is not on the ledger under way.
func (t *Tally) again(flight *journal.Transaction) error {
	outcomes := make([]journal.Outcome, len(flight.Numbers))
	for i, number := range flight.Numbers {
		outcomes[i] = journal.Outcome{Number: number, State: journal.Queued}
	}
	if err := t.journal.Resolve(context.Background(), flight.ID, outcomes...); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, number := range flight.Numbers {
		if one := t.kept[number]; one != nil {
			t.queue([]place{t.resuming[number]}, []*report{one})
		}
		delete(t.resuming, number)
	}
	return nil
}

// forgetEvery is how often receipts that are too old are looked for.
const forgetEvery = time.Minute

// forget lets old receipts go.
func (t *Tally) forget(ctx context.Context) {
	if t.journal == nil {
		return
	}
	ticker := time.NewTicker(forgetEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		// The opinion is on the ledger: no index has to have it first.
		if _, err := t.journal.Drop(ctx, math.MaxUint64); err != nil && !errors.Is(err, context.Canceled) {
			t.log.Log(ctx, slog.LevelWarn, "old receipts of evidence are not forgotten", "error", err)
		}
	}
}
