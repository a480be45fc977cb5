package index

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
)

// Dump writes the checkpoint and every row of the projection as text, in order: two
// indexes of the same blocks give the same bytes, whatever database they are in and
// however often they were interrupted.
func (x *Index) Dump(ctx context.Context, to io.Writer) error {
	return x.db.read(ctx, func(tx *sql.Tx) error {
		at, err := loadCheckpoint(ctx, tx, "")
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(to, "checkpoint %s %s %x %d %x %d\n", at.channel, at.msp, at.genesis, at.height, at.hash, at.projection); err != nil {
			return fmt.Errorf("write the dump: %w", err)
		}
		for _, t := range projected {
			if err := t.dump(ctx, tx, to); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *table) dump(ctx context.Context, tx *sql.Tx, to io.Writer) error {
	columns := strings.Join(t.columns, ", ")
	rows, err := tx.QueryContext(ctx, "SELECT "+columns+" FROM "+t.name+" ORDER BY "+columns) //nolint:gosec // names of the code's own
	if err != nil {
		return fmt.Errorf("dump %s: %w", t.name, err)
	}
	type row struct{ values []any }
	all, err := collect(rows, func(r *row) []any {
		r.values = make([]any, len(t.columns))
		fields := make([]any, len(t.columns))
		for i := range fields {
			fields[i] = &r.values[i]
		}
		return fields
	})
	if err != nil {
		return err
	}
	for _, one := range all {
		if _, err := fmt.Fprintf(to, "%s %q\n", t.name, one.values); err != nil {
			return fmt.Errorf("write the dump: %w", err)
		}
	}
	return nil
}
