package adapter

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/verify"
)

// disagreements tells the ledger what two sources say differently of one leg: one of
// them was changed, and people have to find out which. The leg stands as the first
// told it.
type disagreements struct {
	journal *journal.Journal
	closer  *closer
	metrics *metrics
	log     *slog.Logger

	mu sync.Mutex
	// waiting are those of legs that are in no segment yet.
	waiting map[ledger.LegID][]*ledger.Disagreement
}

func newDisagreements(book *journal.Journal, closer *closer, metrics *metrics, log *slog.Logger) *disagreements {
	return &disagreements{journal: book, closer: closer, metrics: metrics, log: log, waiting: map[ledger.LegID][]*ledger.Disagreement{}}
}

// recover closes what an earlier run left open. Call it before the sources run.
func (d *disagreements) recover() error {
	open, err := d.journal.Disagreements()
	if err != nil {
		return err
	}
	for _, one := range open {
		d.close(one)
	}
	return nil
}

// compare holds what a source tells of a leg against what is kept of it.
func (d *disagreements) compare(row *cdr.Row, leg *journal.Leg, source string) error {
	differences := differencesOf(row, leg)
	if len(differences) == 0 {
		return nil
	}
	content, err := contentOf(row)
	if err != nil {
		return err
	}
	one := &ledger.Disagreement{At: ledger.TimeOf(time.Now()), Differences: differences, First: leg.Source, Leg: leg.Call.Leg, Second: source}
	// Whoever closes the leg waits here, and then finds what is told of it.
	d.mu.Lock()
	defer d.mu.Unlock()
	news, settled, err := d.journal.Disagree(one, content)
	if err != nil || !news {
		return err
	}
	d.metrics.disagreements.WithLabelValues(leg.Source, source).Inc()
	d.log.Error("two sources disagree about a leg: the first was anchored, and an incident is recorded", "uniqueid", row.UniqueID, "sequence", row.Sequence, "first", leg.Source, "second", source, "columns", columnsOf(differences))
	if !settled {
		d.waiting[one.Leg] = append(d.waiting[one.Leg], one)
		return nil
	}
	d.close(one)
	return nil
}

// settled has what was told of a leg closed after it.
func (d *disagreements) settled(leg ledger.LegID) {
	d.mu.Lock()
	waiting := d.waiting[leg]
	delete(d.waiting, leg)
	d.mu.Unlock()
	for _, one := range waiting {
		d.close(one)
	}
}

func (d *disagreements) close(one *ledger.Disagreement) {
	d.closer.add(closing{Entry: journal.Entry{Disagreement: one}})
}

// differencesOf are the columns in which a row differs from a leg that is kept. What
// one of the two sources had no room for is no difference, and personal values stay
// here.
func differencesOf(row *cdr.Row, leg *journal.Leg) []ledger.ColumnDifference {
	var differences []ledger.ColumnDifference
	cut := append(row.Cut(), leg.Cut...)
	for _, found := range verify.CDR(row.Columns(), &leg.Call, leg.Details.Call) {
		if slices.Contains(cut, found.Field) && cdr.Begins(found.Found, found.Endorsed) {
			continue
		}
		difference := ledger.ColumnDifference{Column: found.Field}
		if ledger.SharedColumn(found.Field) {
			difference.First, difference.Second = found.Endorsed, found.Found
		}
		differences = append(differences, difference)
	}
	return differences
}

// contentOf is the digest of all that a row says.
func contentOf(row *cdr.Row) (string, error) {
	columns := row.Columns()
	pairs := make([][2]string, 0, len(columns))
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		pairs = append(pairs, [2]string{name, columns[name]})
	}
	canonical, err := ledger.Canonical(pairs)
	if err != nil {
		return "", err
	}
	return ledger.Digest(canonical), nil
}

// columnsOf are the names of columns that differ.
func columnsOf(differences []ledger.ColumnDifference) []string {
	names := make([]string, len(differences))
	for i := range differences {
		names[i] = differences[i].Column
	}
	return names
}
