package index

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
)

const (
	// DefaultPageSize is a page when none is asked for.
	DefaultPageSize = 50
	// MaxPageSize is the largest that may be.
	MaxPageSize = 1000
	// window bounds the rows that one page looks at where the filter has members that
	// no index answers: such a page may come short, or empty, with a token to go on.
	window = 2000
)

// Page says which part of a list is wanted.
type Page struct {
	// Size is 1 to MaxPageSize; 0 is DefaultPageSize.
	Size int
	// Token is from the page before; empty for the first.
	Token string
	// Ascending begins with the oldest, or the lowest score; otherwise the newest, or
	// the highest, comes first.
	Ascending bool
	// Values asks for the values as they stand on the ledger, too.
	Values bool
}

// Listed is a page.
type Listed[T any] struct {
	Rows []T
	// Next is the token of the next page; empty after the last. A page may be short,
	// or empty, and not be the last.
	Next string
	// Height is the number of blocks that the page takes into account.
	Height uint64
}

// Span is a stretch of time: From included, To excluded; either may be not set.
type Span struct{ From, To ledger.Time }

// filter is what a list is narrowed by.
type filter struct {
	// question is the caller's filter in full, for the token.
	question string
	// key are conditions that an index answers together with the order, rest those
	// that are looked at row by row.
	key, rest []condition
	// span bounds the sort column: low included, high excluded.
	low, high *int64
	// few says that the key leaves so few rows that they are sorted: a planner that
	// knows nothing of them must not walk another index that has the order.
	few bool
}

// condition is an SQL condition with one argument for its one "?", or none.
type condition struct {
	text string
	arg  any
}

// with adds an equality if there is something to compare with. What is looked at row
// by row is written so that no planner takes an index for it that is in another order.
func (f *filter) with(to *[]condition, column, value string) {
	switch {
	case value == "":
	case to == &f.rest:
		*to = append(*to, condition{"t." + column + " || '' = ?", value})
	default:
		*to = append(*to, condition{"t." + column + " = ?", value})
	}
}

func (f *filter) between(span Span) {
	if !span.From.IsZero() {
		from := span.From.UnixMilli()
		f.low = &from
	}
	if !span.To.IsZero() {
		to := span.To.UnixMilli()
		f.high = &to
	}
}

// list is one kind of list.
type list[T any] struct {
	name string // for metrics and tokens
	// table, sort and tie are where it reads, by what it orders, and what tells rows
	// apart that sort alike.
	table, sort, tie string
	// columns are read after sort and tie.
	columns string
	// fields are where a row's columns go; value is where the ledger's value goes.
	fields func(*T) []any
	value  func(*T) *[]byte
	text   bool // the tie is text
}

// listRow is a row with its place.
type listRow[T any] struct {
	row T
	at  place
	ref int64
	key string
}

// statement is an SQL text that grows, with its arguments.
type statement struct {
	text strings.Builder
	args []any
}

func (s *statement) add(one condition) {
	text := one.text
	if one.arg != nil {
		s.args = append(s.args, one.arg)
		text = strings.ReplaceAll(text, "?", fmt.Sprintf("$%d", len(s.args)))
	}
	s.text.WriteString(text)
}

// run answers a page of a list. Where filters has several, a row is wanted that
// fits any of them.
func (l *list[T]) run(ctx context.Context, x *Index, page Page, filters ...filter) (*Listed[T], error) {
	defer x.metrics.asked(l.name, time.Now())
	size := page.Size
	if size == 0 {
		size = DefaultPageSize
	}
	if size < 1 || size > MaxPageSize {
		return nil, fault.New(fault.Invalid, "the page size is %d, it must lie between 1 and %d", page.Size, MaxPageSize)
	}
	asked := questionOf(fmt.Sprintf("%s\x00%s\x00%t", l.name, filters[0].question, page.Ascending))
	after, err := openToken(x.tokenKey, asked, page.Token)
	if err != nil {
		return nil, err
	}
	if after != nil {
		if _, text := after.tie.(string); text != l.text {
			return nil, fault.New(fault.Invalid, "the page token belongs to another list")
		}
	}
	for i := range filters {
		for _, one := range slices.Concat(filters[i].key, filters[i].rest) {
			if storable([]any{one.arg}) != nil {
				return nil, fault.New(fault.Invalid, "the filter holds what no name on the ledger does")
			}
		}
	}
	answer := &Listed[T]{}
	err = x.db.read(ctx, func(tx *sql.Tx) error {
		at, err := loadCheckpoint(ctx, tx, "")
		if err != nil {
			return err
		}
		answer.Height = at.height
		return l.page(ctx, tx, x.tokenKey, asked, page, size, after, filters, answer)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// page reads the rows of a page, and where it ends.
func (l *list[T]) page(ctx context.Context, tx *sql.Tx, key []byte, asked question, page Page, size int, after *place, filters []filter, answer *Listed[T]) error {
	var rows []listRow[T]
	var bound *place // rows beyond it were not looked at
	for i := range filters {
		some, end, err := l.read(ctx, tx, page, size, after, &filters[i])
		if err != nil {
			return err
		}
		rows = append(rows, some...)
		if end != nil && (bound == nil || l.before(*end, *bound, page.Ascending)) {
			bound = end
		}
	}
	if len(filters) > 1 {
		slices.SortStableFunc(rows, func(a, b listRow[T]) int { return l.compare(a.at, b.at, page.Ascending) })
		rows = slices.CompactFunc(rows, func(a, b listRow[T]) bool { return a.at == b.at })
	}
	if bound != nil {
		rows = slices.DeleteFunc(rows, func(r listRow[T]) bool { return l.before(*bound, r.at, page.Ascending) })
	}
	switch {
	case len(rows) > size:
		rows = rows[:size]
		answer.Next = sealToken(key, asked, rows[size-1].at)
	case bound != nil:
		answer.Next = sealToken(key, asked, *bound)
	}
	for i := range rows {
		answer.Rows = append(answer.Rows, rows[i].row)
	}
	return nil
}

// compare orders two places as the page does.
func (l *list[T]) compare(a, b place, ascending bool) int {
	var order int
	switch {
	case a.sort != b.sort:
		order = map[bool]int{true: -1, false: 1}[a.sort < b.sort]
	case l.text:
		x, _ := a.tie.(string)
		y, _ := b.tie.(string)
		order = strings.Compare(x, y)
	default:
		x, _ := a.tie.(int64)
		y, _ := b.tie.(int64)
		order = map[bool]int{true: -1, false: 1}[x < y]
		if x == y {
			order = 0
		}
	}
	if ascending {
		return order
	}
	return -order
}

func (l *list[T]) before(a, b place, ascending bool) bool { return l.compare(a, b, ascending) < 0 }

// read reads one filter's rows, one more than the page has, and the place up to
// which it looked if that is not the end.
func (l *list[T]) read(ctx context.Context, tx *sql.Tx, page Page, size int, after *place, by *filter) ([]listRow[T], *place, error) {
	var bound *place
	if len(by.rest) > 0 {
		end, err := l.endOfWindow(ctx, tx, page, after, by)
		if err != nil {
			return nil, nil, err
		}
		bound = end
	}
	text, args := l.query(page, size+1, after, bound, by)
	rows, err := tx.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, nil, fmt.Errorf("list %s: %w", l.name, err)
	}
	read, err := collect(rows, func(r *listRow[T]) []any {
		fields := []any{&r.at.sort, &r.ref}
		if l.text {
			fields[1] = &r.key
		}
		fields = append(fields, l.fields(&r.row)...)
		if page.Values && l.value != nil {
			fields = append(fields, l.value(&r.row))
		}
		return fields
	})
	if err != nil {
		return nil, nil, err
	}
	for i := range read {
		read[i].at.tie = read[i].ref
		if l.text {
			read[i].at.tie = read[i].key
		}
	}
	return read, bound, nil
}

// query is the statement of a page.
func (l *list[T]) query(page Page, limit int, after, bound *place, by *filter) (string, []any) {
	s := &statement{}
	s.text.WriteString("SELECT t." + l.sort + ", t." + l.tie + ", " + l.columns)
	if page.Values && l.value != nil {
		s.text.WriteString(", (SELECT c.value FROM changes c WHERE c.ref = t.ref)")
	}
	l.where(s, page, after, by)
	for _, one := range by.rest {
		s.text.WriteString(" AND ")
		s.add(one)
	}
	if bound != nil {
		l.beyond(s, by, *bound, map[bool]string{true: "<=", false: ">="}[page.Ascending])
	}
	l.order(s, page, by)
	fmt.Fprintf(&s.text, " LIMIT %d", limit)
	return s.text.String(), s.args
}

// endOfWindow is the place of the last row that may be looked at; nil where there
// are fewer.
func (l *list[T]) endOfWindow(ctx context.Context, tx *sql.Tx, page Page, after *place, by *filter) (*place, error) {
	s := &statement{}
	fmt.Fprintf(&s.text, "SELECT t.%s, t.%s", l.sort, l.tie)
	l.where(s, page, after, by)
	l.order(s, page, by)
	fmt.Fprintf(&s.text, " LIMIT 1 OFFSET %d", window-1)
	end := &place{}
	var number int64
	var text string
	tie := []any{any(&number), any(&text)}[map[bool]int{false: 0, true: 1}[l.text]]
	err := tx.QueryRowContext(ctx, s.text.String(), s.args...).Scan(&end.sort, tie)
	switch {
	case err == sql.ErrNoRows:
		return nil, nil //nolint:nilnil // no end
	case err != nil:
		return nil, fmt.Errorf("list %s: %w", l.name, err)
	case l.text:
		end.tie = text
	default:
		end.tie = number
	}
	return end, nil
}

// where is what an index answers.
func (l *list[T]) where(s *statement, page Page, after *place, by *filter) {
	fmt.Fprintf(&s.text, " FROM %s t WHERE ", l.table)
	// Every list is in order of its sort column: a bound on it is always there.
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	if by.low != nil {
		low = *by.low
	}
	if by.high != nil {
		high = *by.high
	}
	for _, one := range by.key {
		s.add(one)
		s.text.WriteString(" AND ")
	}
	sort := l.sortOf(by)
	s.add(condition{sort + " >= ?", low})
	s.text.WriteString(" AND ")
	s.add(condition{sort + " < ?", high})
	if after != nil {
		l.beyond(s, by, *after, map[bool]string{true: ">", false: "<"}[page.Ascending])
	}
}

// sortOf is what a list is in order of, written so that an index has that order or,
// of few rows, none.
func (l *list[T]) sortOf(by *filter) string {
	if by.few {
		return "t." + l.sort + " + 0"
	}
	return "t." + l.sort
}

// beyond bounds the place.
func (l *list[T]) beyond(s *statement, by *filter, at place, how string) {
	s.args = append(s.args, at.sort, at.tie)
	fmt.Fprintf(&s.text, " AND (%s, t.%s) %s ($%d, $%d)", l.sortOf(by), l.tie, how, len(s.args)-1, len(s.args))
}

func (l *list[T]) order(s *statement, page Page, by *filter) {
	way := map[bool]string{true: "", false: " DESC"}[page.Ascending]
	fmt.Fprintf(&s.text, " ORDER BY %s%s, t.%s%s", l.sortOf(by), way, l.tie, way)
}
