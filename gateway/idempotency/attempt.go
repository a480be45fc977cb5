package idempotency

import (
	"context"
	"sync"

	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
)

// channel is what transactions are made on; a fabric.Channel.
type channel interface {
	Transact(ctx context.Context, what fabric.Proposal) (fabric.Outcome, error)
	Resume(ctx context.Context, envelope []byte) (fabric.Outcome, error)
}

type attemptKey struct{}

// attempt is one run of a request that has a key.
type attempt struct {
	store *Store
	name  []byte

	mu    sync.Mutex
	entry *entry
	step  int
	// resumed says that an earlier run was cut off.
	resumed bool
}

func attemptOf(ctx context.Context) *attempt {
	found, _ := ctx.Value(attemptKey{}).(*attempt)
	return found
}

// Transact makes one of the request's transactions, which come in the same order in
// every run. One that an earlier run had made is resumed, and only made anew if it
// is known not to be on the ledger. Without a key it is the channel's Transact.
func Transact(ctx context.Context, channel channel, what fabric.Proposal) (fabric.Outcome, error) {
	run := attemptOf(ctx)
	if run == nil {
		return channel.Transact(ctx, what)
	}
	step, before := run.next()
	if before != nil {
		outcome, err := channel.Resume(ctx, before)
		// What was refused at commit is not on the ledger and never will be.
		if what := fault.Of(err); err == nil || what.Stage != fault.StageCommit || what.Kind == fault.Unknown {
			return outcome, err
		}
	}
	what.Keeping = func(envelope []byte) error { return run.keep(step, envelope) }
	return channel.Transact(ctx, what)
}

// KeyOf answers what names the request and what it asks for, both as keyed digests
// that are the same after a restart; false where it has no key.
func KeyOf(ctx context.Context) (name, content []byte, keyed bool) {
	run := attemptOf(ctx)
	if run == nil {
		return nil, nil, false
	}
	return run.name, run.entry.Digest, true
}

// Note is a choice that every run of the request shares, such as a random id: made
// by the first one, and on disk before it is used. Without a key it is what choose answers.
func Note(ctx context.Context, name string, choose func() ([]byte, error)) ([]byte, error) {
	run := attemptOf(ctx)
	if run == nil {
		return choose()
	}
	run.mu.Lock()
	defer run.mu.Unlock()
	if noted, found := run.entry.Notes[name]; found {
		return noted, nil
	}
	made, err := choose()
	if err != nil {
		return nil, err
	}
	if run.entry.Notes == nil {
		run.entry.Notes = map[string][]byte{}
	}
	run.entry.Notes[name] = made
	return made, run.store.write(run.name, run.entry)
}

// next numbers a transaction and answers what an earlier run had made for it.
func (r *attempt) next() (step int, before []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	step = r.step
	r.step++
	if step < len(r.entry.Prepared) {
		before = r.entry.Prepared[step]
	}
	return step, before
}

func (r *attempt) keep(step int, envelope []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.entry.Prepared) <= step {
		r.entry.Prepared = append(r.entry.Prepared, nil)
	}
	r.entry.Prepared[step] = envelope
	return r.store.write(r.name, r.entry)
}
