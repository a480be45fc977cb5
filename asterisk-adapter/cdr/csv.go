package cdr

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Limits on what is taken from outside, in bytes. Asterisk's own are lower.
const (
	// MaxLine is the longest record; cdr_csv's buffer is 1 KiB.
	MaxLine = 64 << 10
	// MaxField is the longest single value.
	MaxField = 4 << 10
)

// Columns of cdr_csv: sixteen always, then one for loguniqueid, one for
// loguserfield, and three for newcdrcolumns, in that order.
const (
	baseColumns = 16
	maxColumns  = 21
)

// Settings of cdr.conf that add the columns Callseal needs.
const (
	setUniqueID   = "loguniqueid = yes in the [csv] section of cdr.conf"
	setNewColumns = "newcdrcolumns = yes in the [csv] section of cdr.conf"
)

// ParseCSV reads one record of cdr_csv, without the newline that ends it. The
// zone is that of its times: UTC with usegmtime = yes, else the PBX's own. The
// set of columns is told from their number. Errors wrap ErrMissingColumn,
// ErrBadField, ErrBadRecord or ErrTimes.
func ParseCSV(line []byte, zone *time.Location) (Row, error) {
	if len(line) > MaxLine {
		return Row{}, fmt.Errorf("%w: it has %d bytes, more than %d", ErrBadRecord, len(line), MaxLine)
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return Row{}, fmt.Errorf("%w: it holds a NUL byte", ErrBadRecord)
	}
	var f [maxColumns]string
	n, err := split(string(line), &f)
	if err != nil {
		return Row{}, err
	}
	var r Row
	var next int // the first column after userfield
	switch n {
	case 21:
		r.UniqueID, r.UserField = f[16], f[17]
		next = 18
	case 20: // either uniqueid or userfield, and the three new ones
		if _, ok := created(f[16]); !ok {
			return Row{}, &MissingColumnError{Column: "uniqueid", Setting: setUniqueID}
		}
		r.UniqueID = f[16]
		r.absent |= fieldUserField
		next = 17
	case 19, 16:
		return Row{}, &MissingColumnError{Column: "uniqueid", Setting: setUniqueID}
	case 18:
		return Row{}, &MissingColumnError{Column: "linkedid", Setting: setNewColumns}
	case 17:
		if _, ok := created(f[16]); !ok {
			return Row{}, &MissingColumnError{Column: "uniqueid", Setting: setUniqueID}
		}
		return Row{}, &MissingColumnError{Column: "linkedid", Setting: setNewColumns}
	default:
		return Row{}, fmt.Errorf("%w: it has %d columns, and cdr_csv writes 16 to 21", ErrBadRecord, n)
	}
	r.AccountCode, r.Src, r.Dst, r.DContext, r.CLID = f[0], f[1], f[2], f[3], f[4]
	r.Channel, r.DstChannel, r.LastApp, r.LastData = f[5], f[6], f[7], f[8]
	r.Disposition = f[14]
	r.PeerAccount, r.LinkedID = f[next], f[next+1]
	text := rawRow{start: f[9], answer: f[10], end: f[11], duration: f[12], billsec: f[13], amaflags: f[15], sequence: f[next+2]}
	return r, text.finish(&r, zone)
}

// split cuts a record at its commas. Quoted values may hold commas, newlines
// and doubled quotes; unquoted ones are numbers or empty.
func split(s string, fields *[maxColumns]string) (int, error) {
	n := 0
	for {
		if n == maxColumns {
			return 0, fmt.Errorf("%w: it has more than %d columns", ErrBadRecord, maxColumns)
		}
		if s == "" || s[0] != '"' {
			end := strings.IndexByte(s, ',')
			last := end < 0
			if last {
				end = len(s)
			}
			if strings.ContainsAny(s[:end], "\"\r\n") {
				return 0, fmt.Errorf("%w: column %d has a quote or newline outside quotes", ErrBadRecord, n+1)
			}
			fields[n] = s[:end]
			n++
			if last {
				return n, nil
			}
			s = s[end+1:]
			continue
		}
		s = s[1:]
		end, doubled := 0, false
		for {
			quote := strings.IndexByte(s[end:], '"')
			if quote < 0 {
				return 0, fmt.Errorf("%w: column %d has no closing quote", ErrBadRecord, n+1)
			}
			end += quote
			if end+1 < len(s) && s[end+1] == '"' {
				doubled = true
				end += 2
				continue
			}
			break
		}
		if doubled {
			fields[n] = strings.ReplaceAll(s[:end], `""`, `"`)
		} else {
			fields[n] = s[:end]
		}
		n++
		s = s[end+1:]
		if s == "" {
			return n, nil
		}
		if s[0] != ',' {
			return 0, fmt.Errorf("%w: column %d has text after its closing quote", ErrBadRecord, n)
		}
		s = s[1:]
	}
}

// rawRow holds the values that are not text, as they came.
type rawRow struct{ start, answer, end, duration, billsec, amaflags, sequence string }

// finish checks the text fields of r, brings them into the form of records and fills in
// the others.
func (t *rawRow) finish(r *Row, zone *time.Location) error {
	if err := checkText(r); err != nil {
		return err
	}
	var err error
	if r.Duration, err = seconds("duration", t.duration); err != nil {
		return err
	}
	if r.BillSec, err = seconds("billsec", t.billsec); err != nil {
		return err
	}
	if r.Sequence, err = strconv.ParseInt(t.sequence, 10, 64); err != nil || r.Sequence < 0 {
		return &FieldError{"sequence", "is no whole number"}
	}
	if r.AMAFlags, err = amaFlags(t.amaflags); err != nil {
		return err
	}
	switch r.Disposition {
	case "ANSWERED", "NO ANSWER", "BUSY", "FAILED", "CONGESTION", "CANCEL":
	default:
		return &FieldError{"disposition", "is none of ANSWERED, NO ANSWER, BUSY, FAILED, CONGESTION, CANCEL"}
	}
	return resolveTimes(r, t, zone)
}

func checkText(r *Row) error {
	for _, f := range [...]struct {
		name  string
		value *string
	}{
		{"accountcode", &r.AccountCode}, {"src", &r.Src}, {"dst", &r.Dst}, {"dcontext", &r.DContext},
		{"clid", &r.CLID}, {"channel", &r.Channel}, {"dstchannel", &r.DstChannel}, {"lastapp", &r.LastApp},
		{"lastdata", &r.LastData}, {"uniqueid", &r.UniqueID}, {"userfield", &r.UserField},
		{"peeraccount", &r.PeerAccount}, {"linkedid", &r.LinkedID},
	} {
		if len(*f.value) > MaxField {
			return &FieldError{f.name, fmt.Sprintf("has %d bytes, more than %d", len(*f.value), MaxField)}
		}
		*f.value = Text(*f.value)
	}
	switch {
	case strings.ContainsFunc(r.UniqueID+r.LinkedID, escaped):
		return &FieldError{"uniqueid", "or linkedid is not UTF-8: give the PBX a systemname that is"}
	case r.UniqueID == "":
		return &FieldError{"uniqueid", "is empty"}
	case r.LinkedID == "":
		return &FieldError{"linkedid", "is empty"}
	case r.Channel == "":
		return &FieldError{"channel", "is empty"}
	}
	return nil
}

func seconds(field, value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	// An hour-long call has 3600; a year is beyond any. It is below 0 where the clock
	// was set back during the call.
	if err != nil || n < -366*24*3600 || n > 366*24*3600 {
		return 0, &FieldError{field, "is no number of seconds"}
	}
	return n, nil
}

// amaFlags makes the number that SQL back ends write the word that the others do.
func amaFlags(value string) (string, error) {
	switch value {
	case "OMIT", "1":
		return "OMIT", nil
	case "BILLING", "2":
		return "BILLING", nil
	case "DOCUMENTATION", "3":
		return "DOCUMENTATION", nil
	case "", "0", "Unknown":
		return "", nil
	}
	return "", &FieldError{"amaflags", "is none of OMIT, BILLING, DOCUMENTATION"}
}
