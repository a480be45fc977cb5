// Package cdr reads Asterisk's call detail records from where Asterisk puts
// them (the file of cdr_csv, the Cdr events of cdr_manager) into one canonical
// form, so that the same record read twice compares equal.
package cdr

import (
	"fmt"
	"strconv"
	"time"
)

// Row is one record: one leg of a conversation. Several rows can share a
// LinkedID, and one channel (UniqueID) can have several rows, told apart by
// Sequence.
type Row struct {
	AccountCode string
	Src         string // the caller's number
	Dst         string // the dialled extension
	DContext    string
	CLID        string // `"Name" <number>`
	Channel     string
	DstChannel  string // empty when nobody was called
	LastApp     string
	LastData    string
	Start       time.Time // UTC, whole seconds
	Answer      time.Time // UTC, zero when nobody answered
	End         time.Time // UTC
	Duration    int64     // seconds from Start to End, as Asterisk counted
	BillSec     int64     // seconds from Answer to End, as Asterisk counted
	Disposition string    // ANSWERED, NO ANSWER, BUSY, FAILED, CONGESTION or CANCEL
	AMAFlags    string    // OMIT, BILLING or DOCUMENTATION
	UniqueID    string
	UserField   string
	PeerAccount string
	LinkedID    string
	Sequence    int64 // restarts at 0 with Asterisk

	// absent are the optional fields the source does not carry at all, which
	// is not the same as empty.
	absent fieldSet
}

type fieldSet uint8

const (
	noUserField fieldSet = 1 << iota
	noPeerAccount
)

// Key names a row within one run of one PBX.
type Key struct {
	LinkedID, UniqueID string
	Sequence           int64
}

// Key returns what tells this row from every other of the same PBX.
func (r *Row) Key() Key { return Key{r.LinkedID, r.UniqueID, r.Sequence} }

func (k Key) String() string {
	return k.LinkedID + "/" + k.UniqueID + "/" + strconv.FormatInt(k.Sequence, 10)
}

// FieldDifference is one field in which two rows differ, as canonical text.
type FieldDifference struct{ Field, This, Other string }

func (d FieldDifference) String() string {
	return fmt.Sprintf("%s is %q, and %q in the other", d.Field, d.This, d.Other)
}

// TimeFormat is how canonical text writes a row's times: RFC 3339 in UTC.
const TimeFormat = "2006-01-02T15:04:05Z"

// Field is one field of a row as canonical text.
type Field struct{ Name, Value string }

// Fields returns the row as canonical text, in Asterisk's column order. A
// field the source did not carry is left out.
func (r *Row) Fields() []Field {
	fields := []Field{
		{"accountcode", r.AccountCode},
		{"src", r.Src},
		{"dst", r.Dst},
		{"dcontext", r.DContext},
		{"clid", r.CLID},
		{"channel", r.Channel},
		{"dstchannel", r.DstChannel},
		{"lastapp", r.LastApp},
		{"lastdata", r.LastData},
		{"start", formatTime(r.Start)},
		{"answer", formatTime(r.Answer)},
		{"end", formatTime(r.End)},
		{"duration", strconv.FormatInt(r.Duration, 10)},
		{"billsec", strconv.FormatInt(r.BillSec, 10)},
		{"disposition", r.Disposition},
		{"amaflags", r.AMAFlags},
		{"uniqueid", r.UniqueID},
	}
	if r.absent&noUserField == 0 {
		fields = append(fields, Field{"userfield", r.UserField})
	}
	if r.absent&noPeerAccount == 0 {
		fields = append(fields, Field{"peeraccount", r.PeerAccount})
	}
	return append(fields,
		Field{"linkedid", r.LinkedID},
		Field{"sequence", strconv.FormatInt(r.Sequence, 10)})
}

// Columns are the row's fields by name.
func (r *Row) Columns() map[string]string {
	byName := make(map[string]string)
	for _, field := range r.Fields() {
		byName[field.Name] = field.Value
	}
	return byName
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(TimeFormat)
}

// Equal says whether two rows are the same record: no field that both sources
// carry differs.
func (r *Row) Equal(other *Row) bool {
	absent := r.absent | other.absent
	return r.without(absent) == other.without(absent)
}

// without returns the row with some fields emptied and its times comparable.
func (r *Row) without(absent fieldSet) Row {
	c := *r
	c.absent = 0
	if absent&noUserField != 0 {
		c.UserField = ""
	}
	if absent&noPeerAccount != 0 {
		c.PeerAccount = ""
	}
	c.Start, c.Answer, c.End = c.Start.UTC(), c.Answer.UTC(), c.End.UTC()
	return c
}

// Diff names the fields that differ, in column order; nil when Equal.
func (r *Row) Diff(other *Row) []FieldDifference {
	if r.Equal(other) {
		return nil
	}
	theirs := other.Columns()
	var diff []FieldDifference
	for _, f := range r.Fields() {
		if value, ok := theirs[f.Name]; ok && value != f.Value {
			diff = append(diff, FieldDifference{f.Name, f.Value, value})
		}
	}
	return diff
}
