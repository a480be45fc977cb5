// Package rate prices calls by an operator's table of rates: the longest prefix of the
// number dialled decides. Everything is integers; prices are millionths of a currency.
package rate

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Rate is one line of a table.
type Rate struct {
	// Name is what the line is called, in the details of what it priced.
	Name string
	// Prefix is the beginning of numbers in international form, without the plus.
	Prefix string
	// Currency is ISO 4217, such as "EUR".
	Currency string
	// Setup is charged for every answered call, in millionths.
	Setup int64
	// PerMinute is the price of a minute, in millionths.
	PerMinute int64
	// First and Next are the seconds that are charged at least, and in steps of which
	// the rest is charged: 60 and 1, 1 and 1, 30 and 6.
	First, Next int64
}

// Table is a table of rates.
type Table struct{ byPrefix map[string]Rate }

// columns are the header that a file has, word by word.
var columns = []string{"prefix", "name", "currency", "setup_micros", "per_minute_micros", "first_seconds", "next_seconds"}

// Bounds of a table.
const (
	maxRates   = 1_000_000
	maxPrefix  = 15 // digits of a number (ITU-T E.164 §6.2)
	maxMicros  = 1_000_000_000_000
	maxSeconds = 3600
	// maxBillable is ten years.
	maxBillable = 10 * 366 * 24 * 3600
	// maxPrice is the largest integer that the ledger writes.
	maxPrice = 1<<53 - 1
	// maxWrong is how many errors are named at once.
	maxWrong = 10
)

var (
	prefixRE   = regexp.MustCompile(`^[0-9]*$`)
	currencyRE = regexp.MustCompile(`^[A-Z]{3}$`)
	nameRE     = regexp.MustCompile(`^[!-~]{1,100}$`)
	numberRE   = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// Read reads a table from a file; its errors name the line.
func Read(path string) (*Table, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the rates: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	table, err := Parse(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return table, nil
}

// Parse reads a table: CSV (RFC 4180) with the header
// prefix,name,currency,setup_micros,per_minute_micros,first_seconds,next_seconds.
// What is wrong with it is named at once.
func Parse(from io.Reader) (*Table, error) {
	reader := csv.NewReader(from)
	reader.FieldsPerRecord = len(columns)
	header, err := reader.Read()
	if err != nil || !slices.Equal(header, columns) {
		return nil, errors.Join(fmt.Errorf("line 1: the header must be %s", strings.Join(columns, ",")), err)
	}
	table := &Table{byPrefix: map[string]Rate{}}
	var wrong []error
	for len(wrong) < maxWrong && len(table.byPrefix) <= maxRates {
		fields, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil { // it names the line
			wrong = append(wrong, err)
			continue
		}
		if err := table.add(fields); err != nil {
			line, _ := reader.FieldPos(0)
			wrong = append(wrong, fmt.Errorf("line %d: %w", line, err))
		}
	}
	switch {
	case len(wrong) > 0:
		return nil, errors.Join(wrong...)
	case len(table.byPrefix) == 0:
		return nil, errors.New("there is no rate in it")
	case len(table.byPrefix) > maxRates:
		return nil, fmt.Errorf("it has more than %d rates", maxRates)
	}
	return table, nil
}

func (t *Table) add(fields []string) error {
	r := Rate{Prefix: strings.TrimPrefix(fields[0], "+"), Name: fields[1], Currency: fields[2]}
	switch {
	case !prefixRE.MatchString(r.Prefix) || len(r.Prefix) > maxPrefix:
		return fmt.Errorf("prefix %q is not up to %d digits of an international number", fields[0], maxPrefix)
	case !nameRE.MatchString(r.Name):
		return errors.New("the name must have 1 to 100 printable characters without spaces")
	case !currencyRE.MatchString(r.Currency):
		return fmt.Errorf("currency %q is none of ISO 4217, such as EUR", r.Currency)
	}
	if _, twice := t.byPrefix[r.Prefix]; twice {
		return fmt.Errorf("prefix %q is there twice", r.Prefix)
	}
	for _, one := range []struct {
		column      int
		into        *int64
		least, most int64
	}{{3, &r.Setup, 0, maxMicros}, {4, &r.PerMinute, 0, maxMicros}, {5, &r.First, 0, maxSeconds}, {6, &r.Next, 1, maxSeconds}} {
		value, err := strconv.ParseInt(fields[one.column], 10, 64)
		if err != nil || value < one.least || value > one.most {
			return fmt.Errorf("%s is %q, it must be a whole number from %d to %d", columns[one.column], fields[one.column], one.least, one.most)
		}
		*one.into = value
	}
	t.byPrefix[r.Prefix] = r
	return nil
}

// Of is the rate for a number in international form (+351…); false where there is none.
func (t *Table) Of(number string) (Rate, bool) {
	if t == nil || !numberRE.MatchString(number) {
		return Rate{}, false
	}
	digits := number[1:]
	for n := len(digits); n >= 0; n-- {
		if found, is := t.byPrefix[digits[:n]]; is {
			return found, true
		}
	}
	return Rate{}, false
}

// Price is what an answered call of so many seconds costs, in millionths, a fraction of
// one rounded up; the most that the ledger can write where it would be more.
func (r *Rate) Price(seconds int64) int64 {
	seconds = max(0, min(seconds, maxBillable))
	charged := r.First
	if rest := seconds - r.First; rest > 0 {
		charged += (rest + r.Next - 1) / r.Next * r.Next
	}
	if r.PerMinute > 0 && charged > math.MaxInt64/2/r.PerMinute {
		return maxPrice
	}
	return min(maxPrice, r.Setup+(charged*r.PerMinute+59)/60)
}
