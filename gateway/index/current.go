package index

import (
	"context"
	"fmt"
	"time"

	"github.com/callseal/callseal/gateway/fault"
)

// Chain is the hash of the channel's first block, which tells channels apart; empty
// before it was projected.
func (x *Index) Chain(ctx context.Context) ([]byte, error) {
	at, err := loadCheckpoint(ctx, x.db.reader, "")
	return at.genesis, err
}

// Current answers what stands now under the keys of a kind, each as the change that
// put it there, in the order of these changes, and up to limit (1000 at most) of
// those after a cursor.
//
// Pages are not of one instant. Whoever notes the end of the projection before the
// first and follows Changes from there misses nothing: what a page no longer had as
// it was then was changed since.
func (x *Index) Current(ctx context.Context, of Kind, after Cursor, limit int) ([]Change, error) {
	if err := after.check(); err != nil {
		return nil, err
	}
	if limit < 1 || limit > maxChanges {
		return nil, fault.New(fault.Invalid, "the limit is %d, it must lie between 1 and %d", limit, maxChanges)
	}
	rows := tableOf(of)
	if rows == nil {
		return nil, fault.New(fault.Invalid, "nothing of the kind %q stands under a key of its own", of)
	}
	defer x.metrics.asked("current", time.Now())
	return x.readChanges(ctx, fmt.Sprintf(
		"SELECT %s FROM %s r JOIN changes c ON c.ref = r.ref JOIN transactions t ON t.ref = c.tx WHERE r.ref > $1 ORDER BY r.ref LIMIT %d", changeColumns, rows.name, limit,
	), after.ref())
}

// tableOf is the table with a row for each key of a kind, nil where there is none.
func tableOf(name Kind) *table {
	for _, one := range kinds {
		if one.name == name {
			return one.table
		}
	}
	return nil
}
