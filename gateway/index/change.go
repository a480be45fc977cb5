package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/callseal/callseal/gateway/fault"
)

// Cursor is a place in the change feed: that of one write on the chain. Cursors are
// in the order of the chain and mean the same to every index of it. The zero Cursor
// is before the first change.
type Cursor struct {
	// Block is the block's number.
	Block uint64
	// Position is the place of the write among those of the block, from 0.
	Position int
}

// Before says whether the cursor is earlier on the chain.
func (c Cursor) Before(other Cursor) bool { return c.ref() < other.ref() }

// Back is the place just before the cursor: whoever goes on after it gets the
// cursor's own change.
func (c Cursor) Back() Cursor {
	if c == (Cursor{}) {
		return c
	}
	return cursorOf(c.ref() - 1)
}

func (c Cursor) ref() int64 { return int64(c.Block)<<refBits | int64(c.Position) } //nolint:gosec // 2^39 blocks are far

func cursorOf(ref int64) Cursor {
	return Cursor{Block: uint64(ref >> refBits), Position: int(ref & (1<<refBits - 1))} //nolint:gosec // not negative
}

// EndOf is the cursor after all changes of the blocks below a height.
func EndOf(height uint64) Cursor {
	if height == 0 {
		return Cursor{}
	}
	return Cursor{Block: height - 1, Position: 1<<refBits - 1}
}

// check answers unless the cursor can be one.
func (c Cursor) check() error {
	if c.Position < 0 || c.Position >= 1<<refBits || c.Block >= 1<<(63-refBits) {
		return fault.New(fault.Invalid, "the cursor is none: a cursor is the block and position of a change that was sent")
	}
	return nil
}

// Change is one public write of a VALID transaction.
type Change struct {
	Cursor
	Kind Kind
	// MSP and PBX are the owner's, as far as the key names one. For opinions, pardons,
	// allowances and appeals MSP is who holds or makes them.
	MSP, PBX string
	// TransactionID is the transaction's.
	TransactionID string
	// Key is the ledger's key, Value what was written there, canonical JSON.
	Key   string
	Value []byte
	// Deleted says that nothing stands under the key any more.
	Deleted bool
	// Unreadable is why the value cannot be read by this version; empty for all that
	// can.
	Unreadable string
}

// Filter says which changes are wanted; zero members filter nothing.
type Filter struct {
	// Kinds are any of these.
	Kinds []Kind
	// MSP and PBX are the owner's.
	MSP, PBX string
}

const (
	// maxChanges bounds one answer of Changes.
	maxChanges = 1000
	// maxScan bounds the writes of each kind that one answer looks at where a filter
	// leaves most out.
	maxScan = 5_000
)

// Changes answers, in order, up to limit changes (1000 at most) after a cursor, and
// the cursor to go on from, which may lie beyond the last change where a filter left
// some out. It looks at some five thousand writes at most: an answer may be short, or
// empty, and not be the last. It never waits: where that cursor is at Height, wait for
// Advanced.
func (x *Index) Changes(ctx context.Context, after Cursor, limit int, filter Filter) ([]Change, Cursor, error) {
	if err := after.check(); err != nil {
		return nil, after, err
	}
	if limit < 1 || limit > maxChanges {
		return nil, after, fault.New(fault.Invalid, "the limit is %d, it must lie between 1 and %d", limit, maxChanges)
	}
	began := time.Now()
	defer x.metrics.asked("changes", began)
	// The rows below the height are there and never change, so no snapshot is needed.
	end := EndOf(x.Height())
	if !after.Before(end) {
		return nil, after, nil
	}
	var found []Change
	kinds := filter.Kinds
	if len(kinds) == 0 {
		kinds = []Kind{""}
	}
	if filter.MSP != "" || filter.PBX != "" {
		for _, kind := range kinds {
			var err error
			if end, err = x.endOfScan(ctx, after, end, kind); err != nil {
				return nil, after, err
			}
		}
	}
	for _, kind := range kinds {
		some, err := x.changesOf(ctx, after, end, limit, kind, filter)
		if err != nil {
			return nil, after, err
		}
		found = mergeChanges(found, some, limit)
	}
	if len(found) == limit {
		return found, found[limit-1].Cursor, nil
	}
	return found, end, nil
}

// endOfScan is the place up to which the changes of a kind, or of all, may be looked
// at: end, or before it.
func (x *Index) endOfScan(ctx context.Context, after, end Cursor, kind Kind) (Cursor, error) {
	text, args := "SELECT ref FROM changes WHERE ref > $1 AND ref <= $2", []any{after.ref(), end.ref()}
	if kind != "" {
		text, args = text+" AND kind = $3", append(args, string(kind))
	}
	var last int64
	err := x.db.reader.QueryRowContext(ctx, text+fmt.Sprintf(" ORDER BY ref LIMIT 1 OFFSET %d", x.scan-1), args...).Scan(&last)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return end, nil
	case err != nil:
		return end, unread(ctx, fmt.Errorf("read changes: %w", err))
	}
	return cursorOf(last), nil
}

// changesOf are the changes of one kind, or of all where it is empty.
func (x *Index) changesOf(ctx context.Context, after, end Cursor, limit int, kind Kind, filter Filter) ([]Change, error) {
	text, args := "SELECT "+changeColumns+" FROM changes c JOIN transactions t ON t.ref = c.tx WHERE c.ref > $1 AND c.ref <= $2", []any{after.ref(), end.ref()}
	for _, one := range []struct{ column, value string }{{"kind", string(kind)}, {"msp", filter.MSP}, {"pbx", filter.PBX}} {
		if one.value == "" {
			continue
		}
		if storable([]any{one.value}) != nil {
			return nil, fault.New(fault.Invalid, "the filter holds what no name does")
		}
		args = append(args, one.value)
		text += fmt.Sprintf(" AND c.%s = $%d", one.column, len(args))
	}
	return x.readChanges(ctx, text+fmt.Sprintf(" ORDER BY c.ref LIMIT %d", limit), args...)
}

// changeColumns are what readChanges reads.
const changeColumns = "c.ref, t.id, c.kind, c.msp, c.pbx, c.deleted, c.unreadable, c.key, c.value"

// readChanges runs a query for changes.
func (x *Index) readChanges(ctx context.Context, text string, args ...any) ([]Change, error) {
	rows, err := x.db.reader.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, unread(ctx, fmt.Errorf("read changes: %w", err))
	}
	type row struct {
		Change
		ref     int64
		key     []byte
		deleted int64
	}
	read, err := collect(rows, func(r *row) []any {
		return []any{&r.ref, &r.TransactionID, &r.Kind, &r.MSP, &r.PBX, &r.deleted, &r.Unreadable, &r.key, &r.Value}
	})
	if err != nil {
		return nil, err
	}
	changes := make([]Change, len(read))
	for i := range read {
		changes[i] = read[i].Change
		changes[i].Cursor, changes[i].Key, changes[i].Deleted = cursorOf(read[i].ref), string(read[i].key), read[i].deleted != 0
	}
	return changes, nil
}

// mergeChanges merges two runs that are in order.
func mergeChanges(a, b []Change, limit int) []Change {
	if len(a) == 0 {
		return b
	}
	merged := make([]Change, 0, min(limit, len(a)+len(b)))
	for len(merged) < limit && (len(a) > 0 || len(b) > 0) {
		if len(b) == 0 || len(a) > 0 && a[0].Before(b[0].Cursor) {
			merged, a = append(merged, a[0]), a[1:]
		} else {
			merged, b = append(merged, b[0]), b[1:]
		}
	}
	return merged
}
