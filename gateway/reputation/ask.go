package reputation

import (
	"context"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Subject is a subject by its pseudonym.
type Subject struct {
	Epoch     int64
	Pseudonym string
}

// Subject answers the subject that a text names: an address in clear, or a
// pseudonym of the epoch in force. Emergency numbers, private addresses and what is
// no address at all are faults, with the arithmetic's error as their cause.
func (t *Tally) Subject(ctx context.Context, text string) (Subject, error) {
	by, err := t.book.inForce(ctx)
	if err != nil {
		return Subject{}, err
	}
	if ledger.CheckSubject(text) == nil {
		return Subject{by.pseudonyms.Epoch, text}, nil
	}
	at, err := by.placeOf(text, t.config.Key, nil)
	return Subject{at.epoch, at.subject}, err
}

// Get answers a subject's reputation, merged over all operators now, and the text
// of it as the contract answered.
func (t *Tally) Get(ctx context.Context, subject Subject) (*ledger.Reputation, []byte, error) {
	return ask[ledger.Reputation](ctx, t, "reputation:Get", subject)
}

// Opinions answers all that is held on a subject, and the text of it.
func (t *Tally) Opinions(ctx context.Context, subject Subject) (*ledger.Opinions, []byte, error) {
	return ask[ledger.Opinions](ctx, t, "reputation:Opinions", subject)
}

func ask[T any](ctx context.Context, t *Tally, function string, subject Subject) (*T, []byte, error) {
	text, err := t.link.Evaluate(ctx, function, number(subject.Epoch), subject.Pseudonym)
	if err != nil {
		return nil, nil, err
	}
	answered := new(T)
	if err := ledger.DecodeStrict(text, answered); err != nil {
		return nil, nil, err
	}
	return answered, text, nil
}

// Pseudonyms answers the consortium's key and the epoch in which it is in force, for
// what else is made pseudonyms of with it.
func (t *Tally) Pseudonyms(ctx context.Context) ([]byte, int64, error) {
	by, err := t.book.inForce(ctx)
	if err != nil {
		return nil, 0, err
	}
	return t.config.Key, by.pseudonyms.Epoch, nil
}
