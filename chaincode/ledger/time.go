package ledger

import (
	"bytes"
	"fmt"
	"time"
)

// timeLayout is RFC 3339 in UTC with exactly three fractional digits.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Time is an instant to the millisecond, stored as RFC 3339 UTC text. The zero
// Time is "not set" and is left out of stored values.
type Time struct {
	ms  int64 // since 1970-01-01T00:00:00Z
	set bool
}

// TimeOf truncates t to the millisecond.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{ms: t.UnixMilli(), set: true}
}

// IsZero reports whether the time is not set.
func (t Time) IsZero() bool { return !t.set }

// UnixMilli is the number of milliseconds since 1970-01-01T00:00:00Z.
func (t Time) UnixMilli() int64 { return t.ms }

// Std is the same instant as a time.Time in UTC; zero when not set.
func (t Time) Std() time.Time {
	if !t.set {
		return time.Time{}
	}
	return time.UnixMilli(t.ms).UTC()
}

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool { return t.ms < u.ms }

// Sub is t − u in milliseconds.
func (t Time) Sub(u Time) int64 { return t.ms - u.ms }

// String is the stored form, or "" when not set.
func (t Time) String() string {
	if !t.set {
		return ""
	}
	return t.Std().Format(timeLayout)
}

// AppendText appends the stored form.
func (t Time) AppendText(out []byte) ([]byte, error) {
	if !t.set {
		return out, fmt.Errorf("a time that is not set has no text")
	}
	at := t.Std()
	year, month, day := at.Date()
	if year < 1970 || year > 9999 {
		return out, fmt.Errorf("the year %d has no RFC 3339 form", year)
	}
	hour, minute, second := at.Clock()
	for _, part := range [...]struct {
		value, width int
		after        byte
	}{{year, 4, '-'}, {int(month), 2, '-'}, {day, 2, 'T'}, {hour, 2, ':'}, {minute, 2, ':'}, {second, 2, '.'}, {at.Nanosecond() / 1e6, 3, 'Z'}} {
		out = append(appendPadded(out, int64(part.value), part.width), part.after)
	}
	return out, nil
}

// MarshalText renders the stored form.
func (t Time) MarshalText() ([]byte, error) { return t.AppendText(make([]byte, 0, len(timeLayout))) }

// UnmarshalText reads the stored form and nothing else.
func (t *Time) UnmarshalText(text []byte) error {
	if read, ok := parseTime(text); ok {
		*t = read
		return nil
	}
	return fmt.Errorf("a time is written like 2026-03-01T09:30:00.000Z")
}

// parseTime reads timeLayout digit by digit. That it writes back the same tells
// days that do not exist.
func parseTime(text []byte) (Time, bool) {
	if len(text) != len(timeLayout) {
		return Time{}, false
	}
	number := func(from, to int) (n int) {
		for _, c := range text[from:to] {
			n = n*10 + int(c) - '0'
		}
		return n
	}
	at := TimeOf(time.Date(number(0, 4), time.Month(number(5, 7)), number(8, 10), number(11, 13), number(14, 16), number(17, 19), number(20, 23)*1e6, time.UTC))
	var buffer [len(timeLayout)]byte
	back, err := at.AppendText(buffer[:0])
	return at, err == nil && bytes.Equal(back, text)
}

// msTime is the instant that many ms after 1970.
func msTime(ms int64) Time { return Time{ms: ms, set: true} }
