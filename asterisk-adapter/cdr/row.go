// Package cdr reads Asterisk's call detail records from where Asterisk puts
// them (the file of cdr_csv, the Cdr events of cdr_manager) into one canonical
// form, so that the same record read twice compares equal.
package cdr

import (
	"fmt"
	"strconv"
	"strings"
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

	// absent are the fields that the source does not carry at all, which is not
	// the same as empty.
	absent fieldSet
	// cut are those that fill the source's column, which may have held more.
	cut fieldSet
}

// fieldSet has a bit for each field, in the order of fieldNames.
type fieldSet uint32

const (
	fieldAccountCode fieldSet = 1 << iota
	fieldSrc
	fieldDst
	fieldDContext
	fieldCLID
	fieldChannel
	fieldDstChannel
	fieldLastApp
	fieldLastData
	fieldStart
	fieldAnswer
	fieldEnd
	fieldDuration
	fieldBillSec
	fieldDisposition
	fieldAMAFlags
	fieldUniqueID
	fieldUserField
	fieldPeerAccount
	fieldLinkedID
	fieldSequence
)

// fieldNames are Asterisk's names, in its column order.
var fieldNames = [...]string{
	"accountcode", "src", "dst", "dcontext", "clid", "channel", "dstchannel", "lastapp", "lastdata", "start", "answer", "end",
	"duration", "billsec", "disposition", "amaflags", "uniqueid", "userfield", "peeraccount", "linkedid", "sequence",
}

// names lists the fields of the set.
func (s fieldSet) names() []string {
	var names []string
	for i, name := range fieldNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

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
	values := [len(fieldNames)]string{
		r.AccountCode, r.Src, r.Dst, r.DContext, r.CLID, r.Channel, r.DstChannel, r.LastApp, r.LastData,
		formatTime(r.Start), formatTime(r.Answer), formatTime(r.End), strconv.FormatInt(r.Duration, 10), strconv.FormatInt(r.BillSec, 10),
		r.Disposition, r.AMAFlags, r.UniqueID, r.UserField, r.PeerAccount, r.LinkedID, strconv.FormatInt(r.Sequence, 10),
	}
	fields := make([]Field, 0, len(values))
	for i, value := range values {
		if r.absent&(1<<i) == 0 {
			fields = append(fields, Field{fieldNames[i], value})
		}
	}
	return fields
}

// Absent names the fields that the source does not carry.
func (r *Row) Absent() []string { return r.absent.names() }

// Cut names the fields whose values fill the source's column: Asterisk may have
// had more to say.
func (r *Row) Cut() []string { return r.cut.names() }

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
// carry differs, but for an end that one of them had no room for.
func (r *Row) Equal(other *Row) bool { return len(r.Diff(other)) == 0 }

// Diff names the fields that differ, in column order; nil when Equal.
func (r *Row) Diff(other *Row) []FieldDifference {
	ours, theirs := r.Fields(), other.Columns()
	cut := map[string]bool{}
	for _, name := range (r.cut | other.cut).names() {
		cut[name] = true
	}
	var diff []FieldDifference
	for _, f := range ours {
		if value, ok := theirs[f.Name]; ok && value != f.Value && (!cut[f.Name] || !Begins(value, f.Value)) {
			diff = append(diff, FieldDifference{f.Name, f.Value, value})
		}
	}
	return diff
}

// Begins says whether one of two values is the beginning of the other.
func Begins(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

// Created is when the row's channel was made, to the second, as its uniqueid tells.
func (r *Row) Created() (at time.Time, known bool) {
	seconds, known := created(r.UniqueID)
	if !known {
		return time.Time{}, false
	}
	return time.Unix(seconds, 0), true
}
