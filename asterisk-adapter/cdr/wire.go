package cdr

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// wireRow is a row as it travels from one program to another.
type wireRow struct {
	// Columns are its fields as canonical text; those it lacks its source does not carry.
	Columns map[string]string `json:"columns"`
	Cut     []string          `json:"cut,omitempty"`
}

// MarshalJSON writes the row so that UnmarshalJSON reads the same.
func (r *Row) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(wireRow{Columns: r.Columns(), Cut: r.Cut()}, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("write a CDR: %w", err)
	}
	return text, nil
}

// UnmarshalJSON reads a row and checks it as if it came from a file. Errors are those
// of [ParseCSV].
func (r *Row) UnmarshalJSON(text []byte) error {
	var wire wireRow
	if err := json.Unmarshal(text, &wire, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("read a CDR: %w", err)
	}
	var read Row
	var raw rawRow
	to := read.places(&raw)
	for i, name := range fieldNames {
		value, carried := wire.Columns[name]
		if !carried {
			read.absent |= 1 << i
		}
		if slices.Contains(wire.Cut, name) {
			read.cut |= 1 << i
		}
		*to[i] = value
	}
	for _, at := range []*string{&raw.start, &raw.answer, &raw.end} {
		*at = strings.TrimSuffix(strings.Replace(*at, "T", " ", 1), "Z")
	}
	if err := raw.finish(&read, time.UTC); err != nil {
		return err
	}
	*r = read
	return nil
}

// places are where the fields go, in the order of fieldNames: texts into the row, the
// rest into what finish reads.
func (r *Row) places(t *rawRow) [len(fieldNames)]*string {
	return [...]*string{
		&r.AccountCode, &r.Src, &r.Dst, &r.DContext, &r.CLID, &r.Channel, &r.DstChannel, &r.LastApp, &r.LastData, &t.start, &t.answer, &t.end,
		&t.duration, &t.billsec, &r.Disposition, &t.amaflags, &r.UniqueID, &r.UserField, &r.PeerAccount, &r.LinkedID, &t.sequence,
	}
}
