package ledger

import (
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

// MarshalText renders the stored form.
func (t Time) MarshalText() ([]byte, error) {
	if !t.set {
		return nil, fmt.Errorf("a time that is not set has no text")
	}
	if year := t.Std().Year(); year < 1970 || year > 9999 {
		return nil, fmt.Errorf("the year %d has no RFC 3339 form", year)
	}
	return []byte(t.String()), nil
}

// UnmarshalText reads the stored form and nothing else.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := time.Parse(timeLayout, string(text))
	if err != nil || parsed.Format(timeLayout) != string(text) || parsed.Year() < 1970 {
		return fmt.Errorf("a time is written like 2026-03-01T09:30:00.000Z")
	}
	*t = TimeOf(parsed)
	return nil
}
