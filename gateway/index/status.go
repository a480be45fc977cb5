package index

import (
	"context"
	"database/sql"
	"fmt"
)

// Status is what there is to say of an index.
type Status struct {
	Where, Channel, MSP string
	// Genesis is the hash of the chain's first block, in short.
	Genesis string
	Height  uint64
	// Rows are the tables' sizes.
	Rows []TableSize
	// Unreadable is the number of writes that this version cannot read.
	Unreadable int64
}

// TableSize is the number of a table's rows.
type TableSize struct {
	Table string
	Rows  int64
}

// Answers sees whether the database answers a query, even when no block comes.
func (x *Index) Answers(ctx context.Context) error {
	return x.db.read(ctx, func(tx *sql.Tx) error {
		_, err := loadCheckpoint(ctx, tx, "")
		return err
	})
}

// Status counts what is in the index, which takes seconds for a large one.
func (x *Index) Status(ctx context.Context) (*Status, error) {
	status := &Status{Where: x.db.name}
	err := x.db.read(ctx, func(tx *sql.Tx) error {
		at, err := loadCheckpoint(ctx, tx, "")
		if err != nil {
			return err
		}
		status.Channel, status.MSP, status.Genesis, status.Height = at.channel, at.msp, fmt.Sprintf("%.12x", at.genesis), at.height
		for _, t := range projected {
			size := TableSize{Table: t.name}
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+t.name).Scan(&size.Rows); err != nil {
				return fmt.Errorf("count %s: %w", t.name, err)
			}
			status.Rows = append(status.Rows, size)
		}
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM changes WHERE unreadable <> ''").Scan(&status.Unreadable); err != nil {
			return fmt.Errorf("count what is unreadable: %w", err)
		}
		return nil
	})
	return status, err
}
