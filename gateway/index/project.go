package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
)

// projectionVersion is of the code that makes rows: an index that another version
// made is made anew.
const projectionVersion = 2

// refBits is how many bits of a ref are the place within the block. A block of the
// largest size has far fewer writes.
const refBits = 24

// write is one public write on its way to rows.
type write struct {
	fabric.Write
	kind     Kind
	msp, pbx string
	parts    []string // of the key, without its object type
	ref      int64
}

// batch is a run of blocks on its way into the database.
type batch struct {
	msp        string // whose index it is
	chaincodes []string
	from, to   uint64 // blocks [from, to)
	hash       []byte // of the last block's header
	writes     int
	unreadable int

	rows map[*table]*rowBuffer
	key  []byte // of the row that is put, for its space
	// later runs when the rows are written, in order.
	later []func(ctx context.Context, b *batch) error
	// opinions are those of the batch in order, subjects those to merge again, and
	// rescore says that the policy changed: all of them.
	opinions []opinionWrite
	subjects map[subjectKey]bool
	rescore  bool

	tx         *sql.Tx
	statements *statements
}

func newBatch(msp string, chaincodes []string, from uint64) *batch {
	return &batch{msp: msp, chaincodes: chaincodes, from: from, to: from, rows: map[*table]*rowBuffer{}, subjects: map[subjectKey]bool{}}
}

// take makes rows of a block, in memory. It fails for a block that cannot be
// believed, never for what is written in it.
func (b *batch) take(block *common.Block) error {
	writes, err := fabric.PublicWrites(block, b.chaincodes...)
	if err != nil {
		return fmt.Errorf("read block: %w", err)
	}
	if len(writes) >= 1<<refBits {
		return fmt.Errorf("block %d has %d writes, more than can be numbered", block.GetHeader().GetNumber(), len(writes))
	}
	base := int64(block.GetHeader().GetNumber()) << refBits //nolint:gosec // 2^39 blocks are far
	last := -1
	for i := range writes {
		one := &write{Write: writes[i], ref: base + int64(i)}
		if one.Position != last && !b.pointer(one) {
			last = one.Position
			if err := b.put(transactionTable, base+int64(one.Position), one.TransactionID); err != nil {
				return fmt.Errorf("transaction %d of block %d has an id that is no text", one.Position, one.Block)
			}
		}
		if err := b.takeWrite(one); err != nil {
			return err
		}
	}
	return nil
}

// pointer says whether a key only leads readers to another.
func (b *batch) pointer(w *write) bool {
	objectType, _, err := ledger.SplitKey(w.Key)
	return err == nil && pointers[objectType] && w.Chaincode != ledger.GovernanceChaincode
}

// takeWrite makes a change and rows of one write. What cannot be read is a change
// that says so.
func (b *batch) takeWrite(w *write) error {
	if b.pointer(w) {
		return nil
	}
	b.writes++
	reason := ""
	objectType, parts, err := ledger.SplitKey(w.Key)
	of, known := kinds[objectType]
	switch {
	case err != nil || !known || of.governance != (w.Chaincode == ledger.GovernanceChaincode):
		w.kind, reason = KindUnknown, "this version knows no such kind of key"
	default:
		w.kind, w.parts = of.name, parts
		w.msp, w.pbx = part(parts, of.msp), part(parts, of.pbx)
		if failed := b.readValue(w, of); failed != nil {
			reason = failed.Error()
		}
	}
	if storable([]any{w.msp, w.pbx}) != nil {
		w.msp, w.pbx = "", ""
	}
	if storable([]any{reason}) != nil {
		reason = errNotStorable.Error()
	}
	if reason != "" {
		b.unreadable++
	}
	value := w.Value
	if value == nil {
		value = []byte{}
	}
	return b.put(changeTable, w.ref, w.ref>>refBits<<refBits+int64(w.Position), string(w.kind), w.msp, w.pbx, flag(w.Deleted), reason, []byte(w.Key), value)
}

// readValue makes rows of a value, or removes those of a key that was deleted. A
// reader that panics over a value nobody thought of must not stop the projection.
func (b *batch) readValue(w *write, of kind) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("it made the reader fail: %v", reason)
		}
	}()
	if w.Deleted {
		return b.remove(w, of)
	}
	return of.rows(b, w)
}

// remove forgets a key.
func (b *batch) remove(w *write, of kind) error {
	if of.table == nil {
		return nil
	}
	key, err := of.table.partsKey(w.parts)
	if err != nil {
		return err
	}
	text := "DELETE FROM " + of.table.name + " WHERE "
	for i, column := range of.table.columns[:of.table.keys] {
		if i > 0 {
			text += " AND "
		}
		text += fmt.Sprintf("%s = $%d", column, i+1)
	}
	// What was put before in this batch goes, what is put after stays.
	ref := w.ref
	b.later = append(b.later, func(ctx context.Context, b *batch) error {
		if err := b.exec(ctx, text+fmt.Sprintf(" AND ref < $%d", len(key)+1), append(slices.Clone(key), ref)...); err != nil {
			return fmt.Errorf("remove from %s: %w", of.table.name, err)
		}
		return nil
	})
	if of.name == KindOpinion || of.name == KindPardon || of.name == KindAllowance {
		epoch, _ := key[0].(int64)
		subject, _ := key[1].(string)
		b.subjects[subjectKey{epoch, subject}] = true
	}
	b.rescore = b.rescore || of.name == KindPolicy
	return nil
}

// write puts the batch into the database: rows, what follows from them, and the
// checkpoint, in one transaction.
func (b *batch) write(ctx context.Context, db *database, statements *statements, before, at checkpoint) (err error) {
	b.statements = statements
	if err := statements.prepareFlush(ctx, b.rows); err != nil {
		return err
	}
	if len(b.subjects) > 0 || b.rescore {
		if err := statements.prepareAll(ctx, opinionTable, subjectTable); err != nil {
			return err
		}
	}
	b.tx, err = db.begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreDone(b.tx.Rollback()))
		}
	}()
	stands, err := loadCheckpoint(ctx, b.tx, db.forUpdate())
	if err != nil {
		return err
	}
	if !stands.equal(before) {
		return errMoved
	}
	if err := b.chainOpinions(ctx); err != nil {
		return err
	}
	for _, t := range projected {
		if err := b.flush(ctx, t); err != nil {
			return err
		}
	}
	for _, one := range b.later {
		if err := one(ctx, b); err != nil {
			return err
		}
	}
	if err := b.holdNew(ctx); err != nil {
		return err
	}
	if err := b.mergeSubjects(ctx); err != nil {
		return err
	}
	next := at
	next.height, next.hash = b.to, b.hash
	if err := next.save(ctx, b.tx); err != nil {
		return err
	}
	if err := b.tx.Commit(); err != nil {
		return fmt.Errorf("commit to the index: %w", err)
	}
	return nil
}

// errMoved says that another writer moved the checkpoint meanwhile.
var errMoved = errors.New("the index was written by another meanwhile")

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// part is one part of a key; empty where there is none.
func part(parts []string, i int) string {
	if i < 0 || i >= len(parts) {
		return ""
	}
	return parts[i]
}

// flag is a truth as a column holds it.
func flag(is bool) int64 {
	if is {
		return 1
	}
	return 0
}
