package index

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/callseal/callseal/chaincode/ledger"
)

// subjectKey names a subject.
type subjectKey struct {
	epoch   int64
	subject string
}

func (k subjectKey) compare(other subjectKey) int {
	return cmp.Or(cmp.Compare(k.epoch, other.epoch), strings.Compare(k.subject, other.subject))
}

// opinionKey names what one writer holds.
type opinionKey struct {
	subjectKey
	msp    string
	writer int64
}

// held is an opinion and how often its chain was broken.
type held struct {
	opinion *ledger.Opinion
	broken  int64
}

// chainOpinions makes rows of the batch's opinions, in order, each checked against
// the one before it.
func (b *batch) chainOpinions(ctx context.Context) error {
	last := map[opinionKey]held{}
	for i := range b.opinions {
		next := &b.opinions[i].opinion
		key := opinionKey{subjectKey{next.Epoch, next.Subject}, next.MSP, next.Writer}
		before, known := last[key]
		if !known {
			var err error
			if before, err = b.heldOpinion(ctx, key); err != nil {
				return err
			}
		}
		broken := before.broken
		switch {
		case before.opinion == nil && next.Seq != 1:
			broken++
		case before.opinion != nil && ledger.CheckChain(before.opinion, next) != nil:
			broken++
		}
		last[key] = held{next, broken}
		if err := b.put(opinionTable, next.Epoch, next.Subject, next.MSP, next.Writer, b.opinions[i].ref, next.Seq, ms(next.At), next.Totals.Alpha, next.Totals.Beta, broken); err != nil {
			return err
		}
	}
	return nil
}

// heldOpinion is what a writer holds by the blocks before the batch.
func (b *batch) heldOpinion(ctx context.Context, key opinionKey) (held, error) {
	var value []byte
	var broken int64
	err := b.tx.QueryRowContext(ctx, "SELECT c.value, o.broken FROM opinions o JOIN changes c ON c.ref = o.ref WHERE o.epoch = $1 AND o.subject = $2 AND o.msp = $3 AND o.writer = $4",
		key.epoch, key.subject, key.msp, key.writer).Scan(&value, &broken)
	if errors.Is(err, sql.ErrNoRows) {
		return held{}, nil
	}
	if err != nil {
		return held{}, fmt.Errorf("read the opinion before: %w", err)
	}
	opinion := &ledger.Opinion{}
	if err := ledger.DecodeStrict(value, opinion); err != nil {
		return held{}, fmt.Errorf("read the opinion before: %w", err)
	}
	return held{opinion, broken}, nil
}

// rules are the two policies that a merge follows.
type rules struct {
	weighing *ledger.ReputationPolicy
	version  int64
	exempt   []string
	epoch    int64
}

// loadRules reads the policies in force as the rows have them.
func loadRules(ctx context.Context, from querier) (rules, error) {
	weighing, err := loadPolicy(ctx, from, ledger.PolicyReputation)
	if err != nil {
		return rules{}, err
	}
	pseudonyms, err := loadPolicy(ctx, from, ledger.PolicyPseudonyms)
	if err != nil {
		return rules{}, err
	}
	return rules{weighing.Policy.Reputation, weighing.Version, pseudonyms.Policy.Pseudonyms.Exempt, pseudonyms.Policy.Pseudonyms.Epoch}, nil
}

// loadPolicy is the document in force: the one voted for, or the built-in one.
func loadPolicy(ctx context.Context, from querier, name string) (*ledger.PolicyVersion, error) {
	var value []byte
	err := from.QueryRowContext(ctx, "SELECT c.value FROM policies p JOIN changes c ON c.ref = p.ref WHERE p.name = $1", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.DefaultPolicy(name) //nolint:wrapcheck // a ledger error is the domain's
	}
	if err != nil {
		return nil, fmt.Errorf("read the policy %s: %w", name, err)
	}
	current := &ledger.PolicyVersion{}
	if err := ledger.DecodeStrict(value, current); err != nil {
		return nil, fmt.Errorf("read the policy %s: %w", name, err)
	}
	return current, nil
}

// scoredAtOnce bounds the subjects that are merged between two writings.
const scoredAtOnce = 1000

// mergeSubjects merges what is held on the batch's subjects, or on all where the
// policy changed.
func (b *batch) mergeSubjects(ctx context.Context) error {
	if len(b.subjects) == 0 && !b.rescore {
		return nil
	}
	in, err := loadRules(ctx, b.tx)
	if err != nil {
		return err
	}
	touched := slices.SortedFunc(maps.Keys(b.subjects), subjectKey.compare)
	for chunk := range slices.Chunk(touched, scoredAtOnce) {
		if err := b.merge(ctx, in, chunk); err != nil {
			return err
		}
	}
	if !b.rescore {
		return nil
	}
	for last := (subjectKey{}); ; {
		page, err := subjectsAfter(ctx, b.tx, last)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := b.merge(ctx, in, page); err != nil {
			return err
		}
		last = page[len(page)-1]
	}
}

// subjectsAfter are the next subjects that are known.
func subjectsAfter(ctx context.Context, from querier, last subjectKey) ([]subjectKey, error) {
	rows, err := from.QueryContext(ctx, "SELECT epoch, subject FROM subjects WHERE (epoch, subject) > ($1, $2) ORDER BY epoch, subject LIMIT $3", last.epoch, last.subject, scoredAtOnce)
	if err != nil {
		return nil, fmt.Errorf("read subjects: %w", err)
	}
	return collect(rows, func(key *subjectKey) []any { return []any{&key.epoch, &key.subject} })
}

// merge merges some subjects, each at the instant of the newest that is held on it:
// so the row is the same whenever it is made.
func (b *batch) merge(ctx context.Context, in rules, subjects []subjectKey) error {
	for _, key := range subjects {
		all, at, err := heldOn(ctx, b.tx, key)
		if err != nil {
			return err
		}
		if len(all.Opinions)+len(all.Pardons)+len(all.Allowances) == 0 {
			if err := b.exec(ctx, "DELETE FROM subjects WHERE epoch = $1 AND subject = $2", key.epoch, key.subject); err != nil {
				return fmt.Errorf("remove a subject: %w", err)
			}
			continue
		}
		merged := in.merge(b.msp, key, all, at)
		kind, _, _ := strings.Cut(key.subject, ":")
		if err := b.put(subjectTable, key.epoch, key.subject, kind, merged.Score, string(merged.Standing), merged.Holders, ms(at), ms(merged.Until)); err != nil {
			return err
		}
	}
	return b.flush(ctx, subjectTable)
}

// merge is what reputation:Get would answer the operator at that instant.
func (r *rules) merge(asker string, key subjectKey, all *ledger.Opinions, at ledger.Time) ledger.Reputation {
	return r.weighing.Merge(ledger.Question{
		At: at, Asker: asker, Epoch: key.epoch, Exempt: slices.Contains(r.exempt, key.subject), Subject: key.subject, Version: r.version,
	}, all)
}

// heldOn is all that is held on a subject, and the instant of the newest of it.
func heldOn(ctx context.Context, from querier, key subjectKey) (*ledger.Opinions, ledger.Time, error) {
	all, at := &ledger.Opinions{V: ledger.SchemaVersion}, ledger.Time{}
	later := func(t ledger.Time) {
		if at.IsZero() || at.Before(t) {
			at = t
		}
	}
	if err := heldIn(ctx, from, "opinions", "msp, t.writer", key, &all.Opinions); err != nil {
		return nil, at, err
	}
	if err := heldIn(ctx, from, "pardons", "msp", key, &all.Pardons); err != nil {
		return nil, at, err
	}
	if err := heldIn(ctx, from, "allowances", "msp", key, &all.Allowances); err != nil {
		return nil, at, err
	}
	for i := range all.Opinions {
		later(all.Opinions[i].At)
	}
	for i := range all.Pardons {
		later(all.Pardons[i].At)
	}
	for i := range all.Allowances {
		later(all.Allowances[i].At)
		later(all.Allowances[i].WithdrawnAt)
	}
	return all, at, nil
}

// heldIn reads one kind of what is held on a subject.
func heldIn[T any](ctx context.Context, from querier, table, order string, key subjectKey, all *[]T) error {
	rows, err := from.QueryContext(ctx, "SELECT c.value FROM "+table+" t JOIN changes c ON c.ref = t.ref WHERE t.epoch = $1 AND t.subject = $2 ORDER BY t."+order, key.epoch, key.subject)
	if err != nil {
		return fmt.Errorf("read %s: %w", table, err)
	}
	values, err := collect(rows, func(value *[]byte) []any { return []any{value} })
	if err != nil {
		return err
	}
	for _, value := range values {
		var one T
		if err := ledger.DecodeStrict(value, &one); err != nil {
			return fmt.Errorf("read %s: %w", table, err)
		}
		*all = append(*all, one)
	}
	return nil
}

// collect reads all rows and closes them.
func collect[T any](rows *sql.Rows, fields func(*T) []any) (all []T, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var one T
		if err := rows.Scan(fields(&one)...); err != nil {
			return nil, fmt.Errorf("read the index's rows: %w", err)
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the index's rows: %w", err)
	}
	return all, nil
}
