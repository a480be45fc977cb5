package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/callseal/callseal/chaincode/ledger"
)

// table is one the projection writes.
type table struct {
	name string
	// columns begin with the key: as many as there are keys.
	columns []string
	keys    int
	// kept are columns that a row which stands already keeps: others set them.
	kept []string
}

// The tables. The columns that make the key are before the bar, in the order of the
// parts of the ledger's key where there is one.
var (
	transactionTable      = newTable("transactions", "ref | id")
	changeTable           = newTable("changes", "ref | tx kind msp pbx deleted unreadable key value")
	callTable             = newTable("calls", "msp pbx linkedid uniqueid sequence | ref start_ms answer_ms end_ms duration_ms billsec_ms disposition direction technology hangup_cause recording_due caller_ref callee_ref call_ref epoch seq segment corrections held_until_ms erased", "corrections", "held_until_ms", "erased")
	recordingTable        = newTable("recordings", "msp pbx id revision | ref linkedid uniqueid sequence sha256 bytes media_type method closed_ms gap retained until_ms held_until_ms erased", "retained", "until_ms", "held_until_ms", "erased")
	linkTable             = newTable("links", "msp pbx from_id to_id kind at_ms | ref")
	omissionTable         = newTable("omissions", "msp pbx linkedid uniqueid sequence | ref at_ms reason")
	openingTable          = newTable("openings", "msp pbx epoch | ref at_ms why prev_epoch prev_seq")
	beatTable             = newTable("beats", "msp pbx epoch seq | ref at_ms closing")
	progressTable         = newTable("progress", "msp pbx linkedid uniqueid state | ref at_ms boot")
	disagreementTable     = newTable("disagreements", "msp pbx linkedid uniqueid sequence told_second | ref at_ms told_first differing")
	segmentTable          = newTable("segments", "msp pbx epoch first_seq | ref records anchored_ms late_ms closed_ms closing next_by_ms absent late_by_admin root signer")
	incidentTable         = newTable("incidents", "msp pbx digest | ref at_ms kind signer")
	correctionTable       = newTable("corrections", "msp pbx linkedid uniqueid sequence n | ref at_ms reason")
	disputeTable          = newTable("disputes", "call_ref digest | ref a_msp b_msp raised_by at_ms")
	adapterTable          = newTable("adapters", "msp fingerprint | ref pbx enrolled_ms revoked_ms")
	holdTable             = newTable("holds", "msp pbx linkedid | ref n at_ms cases until_ms")
	retentionTable        = newTable("retentions", "msp pbx id revision | ref n at_ms until_ms")
	erasureTable          = newTable("erasures", "kind msp pbx id uniqueid n | ref at_ms erased reason")
	deviceTable           = newTable("devices", "msp id | ref n kind status change reason at_ms registered_ms valid_from_ms valid_until_ms key_epoch")
	deviceVersionTable    = newTable("device_versions", "msp id n | ref at_ms status")
	deviceRefTable        = newTable("device_refs", "kind pseudonym msp id n |")
	consentTable          = newTable("consents", "msp pbx linkedid party_ref purpose n | ref status method jurisdiction given_ms expires_ms at_ms")
	violationTable        = newTable("violations", "msp pbx id revision party_ref | ref linkedid status by_msp at_ms")
	opinionTable          = newTable("opinions", "epoch subject msp writer | ref seq at_ms alpha beta broken")
	pardonTable           = newTable("pardons", "epoch subject msp | ref at_ms until_ms reason")
	allowanceTable        = newTable("allowances", "epoch subject msp | ref at_ms withdrawn_ms reason")
	appealTable           = newTable("appeals", "against epoch subject msp | ref at_ms state reason")
	subjectTable          = newTable("subjects", "epoch subject | type score standing holders at_ms until_ms")
	policyTable           = newTable("policies", "name | ref version")
	policyVersionTable    = newTable("policy_versions", "name version | ref enacted_ms digest proposer")
	ballotTable           = newTable("ballots", "name version digest | ref proposed_ms proposer")
	agendaTable           = newTable("agendas", "name | ref version ballots")
	projected             []*table // all of them, in this order
	errNotStorable        = errors.New("a text of it holds what no text may: it is not UTF-8, or has a zero byte")
	errDifferentKey       = errors.New("the value belongs under another key")
	errNotUnderstoodParts = errors.New("the key has parts that cannot be read")
)

func newTable(name, columns string, kept ...string) *table {
	key, rest, _ := strings.Cut(columns, "|")
	t := &table{name: name, columns: strings.Fields(key), kept: kept}
	t.keys = len(t.columns)
	t.columns = append(t.columns, strings.Fields(rest)...)
	projected = append(projected, t)
	return t
}

// chunks are the numbers of rows that one statement may write, largest first.
var chunks = []int{64, 8, 1}

// insert is the statement that writes n rows, each in place of what has its key.
// SQLite takes $1 for a name, and its driver looks every name of a statement up in a
// list: with thousands of arguments that is most of the work, so they have none there.
func (t *table) insert(n int, named bool) string {
	var text strings.Builder
	fmt.Fprintf(&text, "INSERT INTO %s (%s) VALUES ", t.name, strings.Join(t.columns, ", "))
	for row := range n {
		if row > 0 {
			text.WriteString(", ")
		}
		for column := range t.columns {
			text.WriteString(map[bool]string{true: "(", false: ", "}[column == 0])
			if named {
				fmt.Fprintf(&text, "$%d", row*len(t.columns)+column+1)
			} else {
				text.WriteByte('?')
			}
		}
		text.WriteByte(')')
	}
	fmt.Fprintf(&text, " ON CONFLICT (%s) DO ", strings.Join(t.columns[:t.keys], ", "))
	var sets []string
	for _, column := range t.columns[t.keys:] {
		if !slices.Contains(t.kept, column) {
			sets = append(sets, column+" = excluded."+column)
		}
	}
	if len(sets) == 0 {
		text.WriteString("NOTHING")
	} else {
		text.WriteString("UPDATE SET " + strings.Join(sets, ", "))
	}
	return text.String()
}

// rowBuffer holds rows of a table until they are written, the last of each key.
type rowBuffer struct {
	rows  [][]any
	place map[string]int
}

// storable answers an error for a text that not every database takes.
func storable(values []any) error {
	for _, value := range values {
		if text, is := value.(string); is && (!utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0) {
			return errNotStorable
		}
	}
	return nil
}

// put keeps a row, its values in the order of the table's columns.
func (b *batch) put(t *table, values ...any) error {
	if len(values) != len(t.columns) {
		panic(fmt.Sprintf("a row of %s has %d values for %d columns", t.name, len(values), len(t.columns)))
	}
	if err := storable(values); err != nil {
		return err
	}
	buffer := b.rows[t]
	if buffer == nil {
		buffer = &rowBuffer{place: map[string]int{}}
		b.rows[t] = buffer
	}
	b.key = appendKey(b.key[:0], values[:t.keys])
	if i, found := buffer.place[string(b.key)]; found {
		buffer.rows[i] = values
		return nil
	}
	buffer.place[string(b.key)] = len(buffer.rows)
	buffer.rows = append(buffer.rows, values)
	return nil
}

// appendKey writes the values of a key so that no two keys are alike.
func appendKey(key []byte, values []any) []byte {
	for _, value := range values {
		switch value := value.(type) {
		case int64:
			key = strconv.AppendInt(key, value, 10)
		case string: // it holds no zero byte
			key = append(key, value...)
		default:
			panic(fmt.Sprintf("a key of a row has a %T", value))
		}
		key = append(key, 0)
	}
	return key
}

// statements are prepared once, on the writer's connection.
type statements struct {
	db       *sql.DB
	named    bool // whether arguments are named by their number
	prepared map[string]*sql.Stmt
	inserts  map[insertion]string
}

// insertion is a table and how many rows are written.
type insertion struct {
	into *table
	rows int
}

// insert is the text that writes n rows of a table.
func (s *statements) insert(into *table, n int) string {
	one := insertion{into, n}
	if s.inserts[one] == "" {
		s.inserts[one] = into.insert(n, s.named)
	}
	return s.inserts[one]
}

// prepare makes sure of a statement; no transaction may be open.
func (s *statements) prepare(ctx context.Context, text string) error {
	if s.prepared[text] != nil {
		return nil
	}
	statement, err := s.db.PrepareContext(ctx, text)
	if err != nil {
		return fmt.Errorf("prepare %.60s…: %w", text, err)
	}
	s.prepared[text] = statement
	return nil
}

// prepareFlush prepares what flush will need.
func (s *statements) prepareFlush(ctx context.Context, buffers map[*table]*rowBuffer) error {
	for t, buffer := range buffers {
		left := len(buffer.rows)
		for _, n := range chunks {
			if left >= n {
				if err := s.prepare(ctx, s.insert(t, n)); err != nil {
					return err
				}
				left %= n
			}
		}
	}
	return nil
}

// flush writes the rows of a table.
func (b *batch) flush(ctx context.Context, t *table) error {
	buffer := b.rows[t]
	if buffer == nil {
		return nil
	}
	delete(b.rows, t)
	args := make([]any, 0, chunks[0]*len(t.columns))
	rows := buffer.rows
	for _, n := range chunks {
		if len(rows) < n {
			continue
		}
		text := b.statements.insert(t, n)
		for len(rows) >= n {
			args = args[:0]
			for _, row := range rows[:n] {
				args = append(args, row...)
			}
			if err := b.exec(ctx, text, args...); err != nil {
				return fmt.Errorf("write %s: %w", t.name, err)
			}
			rows = rows[n:]
		}
	}
	return nil
}

// exec runs a statement, the prepared one where there is one.
func (b *batch) exec(ctx context.Context, text string, args ...any) error {
	var err error
	if statement := b.statements.prepared[text]; statement != nil {
		_, err = b.tx.StmtContext(ctx, statement).ExecContext(ctx, args...)
	} else {
		_, err = b.tx.ExecContext(ctx, text, args...)
	}
	return err //nolint:wrapcheck // the caller says what it did
}

// partsKey are the parts of a ledger key as the table's key columns hold them.
func (t *table) partsKey(parts []string) ([]any, error) {
	if len(parts) != t.keys {
		return nil, errNotUnderstoodParts
	}
	key := make([]any, len(parts))
	for i, part := range parts {
		key[i] = part
		if numbers[t.columns[i]] {
			n, err := ledger.ParseKeyNumber(part)
			if err != nil {
				return nil, errNotUnderstoodParts
			}
			key[i] = n
		}
	}
	return key, storable(key)
}

// numbers are the key columns that are numbers.
var numbers = map[string]bool{"sequence": true, "revision": true, "epoch": true, "seq": true, "first_seq": true, "n": true, "at_ms": true, "writer": true, "version": true}

func newStatements(db *database) *statements {
	return &statements{db: db.writer, named: db.postgres, prepared: map[string]*sql.Stmt{}, inserts: map[insertion]string{}}
}

func (s *statements) close() {
	for _, statement := range s.prepared {
		_ = statement.Close()
	}
	clear(s.prepared)
}

// prepareAll prepares all that writes a table.
func (s *statements) prepareAll(ctx context.Context, tables ...*table) error {
	for _, t := range tables {
		for _, n := range chunks {
			if err := s.prepare(ctx, s.insert(t, n)); err != nil {
				return err
			}
		}
	}
	return nil
}
