package reputation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
)

const (
	// maxRefusals bounds how often a batch is made anew because the rules changed
	// under it.
	maxRefusals = 5
)

// settle takes a batch to the ledger and answers all who wait for it: when it is
// VALID, or will not be. Faults that may pass are waited out.
func (t *Tally) settle(ctx context.Context, batch []*account) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 20*time.Millisecond, 2*time.Second
	refusals := 0
	for {
		err := t.try(ctx, batch)
		if err == nil {
			return
		}
		what := fault.Of(err)
		switch {
		case ctx.Err() != nil && what.Kind == fault.Unknown:
			t.fail(batch, errors.Join(ErrUncertain, err))
			return
		case ctx.Err() != nil:
			t.fail(batch, stopping())
			return
		case what.Kind == fault.State && refusals < maxRefusals:
			// Another policy is in force, or another epoch.
			refusals++
			t.book.forget()
		case !what.Retryable() && len(batch) > 1:
			// Find out whose fault it is.
			for i := range batch {
				if len(batch[i].taken) > 0 {
					t.settle(ctx, batch[i:i+1])
				}
			}
			return
		case !what.Retryable():
			t.log.Warn("evidence is refused", "kind", string(what.Kind), "error", what.Error())
			t.fail(batch, err)
			return
		default:
			t.log.Info("evidence waits for the ledger", "subjects", len(batch), "kind", string(what.Kind), "error", what.Error())
		}
		t.retries.Add(1)
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// fail tells all who wait for a batch that nothing was counted. What is in the
// journal is taken out of it, unless it may still count, or will when the gateway is
// started again.
func (t *Tally) fail(batch []*account, err error) {
	passing := errors.Is(err, ErrUncertain) || fault.Of(err).Retryable()
	for _, held := range batch {
		if kept := numbersOf(held.taken); len(kept) > 0 && !passing {
			if failed := t.journal.Forget(context.Background(), kept...); failed != nil {
				t.log.Error("evidence that is refused stays in the journal", "error", failed)
			}
		}
		for _, each := range held.taken {
			got := answer{err: err}
			if each.number > 0 && passing {
				got.err = later(err)
			}
			t.tell(each, got)
		}
		held.taken, held.known, held.written = nil, false, nil
	}
}

// try writes what of the batch is not written yet.
func (t *Tally) try(ctx context.Context, batch []*account) error {
	by, err := t.book.inForce(ctx)
	if err != nil {
		if fault.Of(err).Kind == fault.State {
			t.fail(batch, err)
			return nil
		}
		return err
	}
	var unknown []*account
	for i, held := range batch {
		if held.epoch != by.pseudonyms.Epoch {
			t.fail(batch[i:i+1], fault.New(fault.State, "the operators have gone on to epoch %d of the pseudonyms: the evidence is not counted, report it again", by.pseudonyms.Epoch))
		} else if !held.known {
			unknown = append(unknown, held)
		}
	}
	if err := t.load(ctx, by.pseudonyms.Epoch, unknown); err != nil {
		return err
	}
	var first, rest []*account
	for _, held := range batch {
		switch {
		case len(held.taken) == 0: // written before
		case held.carried != nil:
			first = append(first, held)
		default:
			rest = append(rest, held)
		}
	}
	if err := t.write(ctx, by, "reputation:Carry", first); err != nil {
		return err
	}
	return t.write(ctx, by, "reputation:Record", rest)
}

// load reads the gateway's own opinions on subjects, once; where there is none, that of
// the epoch before.
func (t *Tally) load(ctx context.Context, epoch int64, unknown []*account) error {
	subjects := make([]string, len(unknown))
	for i, held := range unknown {
		subjects[i] = held.subject
	}
	written, err := t.own(ctx, epoch, subjects)
	if err != nil {
		return err
	}
	var earlier []string
	for _, held := range unknown {
		if held.last = written[held.subject]; held.last == nil && held.earlier != "" {
			earlier = append(earlier, held.earlier)
		}
	}
	before, err := t.own(ctx, epoch-1, earlier)
	if err != nil {
		return err
	}
	for _, held := range unknown {
		held.carried = nil
		if opinion := before[held.earlier]; held.last == nil && opinion != nil {
			held.carried = &opinion.Totals
		}
		held.known = true
	}
	return nil
}

// own are the gateway's own opinions on subjects, of which there are no more than one
// transaction writes; those on which it has none are left out.
func (t *Tally) own(ctx context.Context, epoch int64, subjects []string) (map[string]*ledger.Opinion, error) {
	if len(subjects) == 0 {
		return map[string]*ledger.Opinion{}, nil
	}
	asked, err := ledger.Canonical(subjects)
	if err != nil {
		return nil, err
	}
	stored, err := t.link.Evaluate(ctx, "reputation:Written", number(epoch), t.msp, number(t.config.Writer), string(asked))
	if err != nil {
		return nil, err
	}
	var held ledger.Opinions
	if err := ledger.DecodeStrict(stored, &held); err != nil {
		return nil, fmt.Errorf("read the own opinions: %w", err)
	}
	found := make(map[string]*ledger.Opinion, len(held.Opinions))
	for i := range held.Opinions {
		found[held.Opinions[i].Subject] = &held.Opinions[i]
	}
	return found, nil
}

// write has the opinions of a batch endorsed, ordered and committed, and answers
// those who wait.
func (t *Tally) write(ctx context.Context, by *rules, function string, batch []*account) error {
	if len(batch) == 0 {
		return nil
	}
	at := ledger.TimeOf(time.Now())
	opinions := make([]*ledger.Opinion, len(batch))
	for i, held := range batch {
		var err error
		if opinions[i], err = held.next(t.msp, t.config.Writer, at, by); err != nil {
			return err
		}
		held.written = opinions[i]
	}
	wire, err := ledger.Canonical(opinions)
	if err != nil {
		return err
	}
	endorsed, err := t.link.Endorse(ctx, function, wire)
	if err != nil {
		if fault.Of(err).Kind == fault.Contended {
			t.mismatches.Add(1)
		}
		return err
	}
	kept := numbersIn(batch)
	if err := t.begin(endorsed, opinions, kept); err != nil {
		return err
	}
	commit, err := t.finish(ctx, endorsed, opinions[0])
	if err != nil {
		return errors.Join(err, t.undo(endorsed.ID(), kept, err))
	}
	if err := t.settled(endorsed.ID(), batch, commit); err != nil {
		return err
	}
	t.transactions.Add(1)
	t.opinions.Add(int64(len(opinions)))
	for _, held := range batch {
		opinion := held.written
		held.last, held.carried, held.written = opinion, nil, nil
		receipt := receiptFor(opinion, commit)
		t.reports.Add(int64(len(held.taken)))
		for _, each := range held.taken {
			t.tell(each, answer{receipt: receipt})
		}
		held.taken = nil
	}
	return nil
}

// receiptFor says where what an opinion carries was counted.
func receiptFor(opinion *ledger.Opinion, commit fabric.Commit) Receipt {
	totals := opinion.Totals.Of()
	return Receipt{Subject: opinion.Subject, Epoch: opinion.Epoch, Seq: opinion.Seq, Score: totals.Score(), Commit: commit}
}

// finish waits until it is known what became of a transaction. Until then no
// other may be made for its subjects: it would follow the same opinion, and one of
// the two would be lost.
func (t *Tally) finish(ctx context.Context, endorsed transaction, opinion *ledger.Opinion) (fabric.Commit, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 20*time.Millisecond, 2*time.Second
	for {
		commit, err := endorsed.Finish(ctx)
		if err == nil {
			return commit, nil
		}
		switch fault.Of(err).Kind {
		case fault.Unknown:
		case fault.Contended:
			t.conflicts.Add(1)
			return commit, err
		default:
			return commit, err
		}
		t.asked.Add(1)
		stands, asking := t.stands(ctx, opinion)
		if stands {
			return fabric.Commit{TransactionID: endorsed.ID(), Validation: "VALID"}, nil
		}
		if ctx.Err() != nil {
			return commit, errors.Join(err, asking)
		}
		t.log.Warn("a transaction's outcome is not known yet", "transaction", endorsed.ID(), "error", errors.Join(err, asking))
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// stands says whether the ledger has an opinion as it was written, and with it
// the transaction.
func (t *Tally) stands(ctx context.Context, opinion *ledger.Opinion) (bool, error) {
	held, err := t.own(ctx, opinion.Epoch, []string{opinion.Subject})
	stored := held[opinion.Subject]
	if err != nil || stored == nil {
		return false, err
	}
	mine, err := ledger.Canonical(opinion)
	if err != nil {
		return false, err
	}
	theirs, err := ledger.Canonical(stored)
	return err == nil && string(mine) == string(theirs), err
}
