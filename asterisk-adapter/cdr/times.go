package cdr

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// created returns the second in which the channel of a uniqueid was created.
// A uniqueid is [systemname-]epoch.counter.
func created(uniqueID string) (int64, bool) {
	epoch, counter, ok := strings.Cut(uniqueID[strings.LastIndexByte(uniqueID, '-')+1:], ".")
	if !ok || counter == "" || strings.Trim(counter, "0123456789") != "" {
		return 0, false
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	return seconds, err == nil && seconds > 0
}

// slack, in seconds, forgives that Asterisk truncates each time on its own.
const slack = 2

// resolveTimes turns wall-clock text into instants. In the hour that a clock
// change repeats, wall time alone is ambiguous: then the durations, which
// Asterisk counts on real time, and the channel's creation decide.
func resolveTimes(r *Row, t *rawRow, zone *time.Location) error {
	starts, err := instants("start", t.start, zone)
	if err != nil {
		return err
	}
	ends, err := instants("end", t.end, zone)
	if err != nil {
		return err
	}
	var answers wallTimes
	if t.answer != "" {
		if answers, err = instants("answer", t.answer, zone); err != nil {
			return err
		}
	}
	birth, known := created(r.UniqueID)
	if !known {
		birth = 0
	}
	if err := pick(r, starts, ends, birth, zone); err != nil {
		return err
	}
	// Where the PBX's clock was set back during the call, Asterisk counted backwards.
	setBack := (r.Duration < 0 || r.BillSec < 0) && near(r.End.Unix()-r.Start.Unix(), r.Duration)
	if (r.End.Before(r.Start) || r.Duration < 0) && !setBack {
		return fmt.Errorf("%w: the call starts and ends %d s apart and says it took %d s: check the zone (%s), and whether the record was edited", ErrTimes, r.End.Unix()-r.Start.Unix(), r.Duration, zone)
	}
	if r.Start.Unix() < birth-slack {
		return fmt.Errorf("%w: the call starts %d s before its channel was made, so its times are not in %s: set the PBX's time zone in the adapter's configuration to what Asterisk uses, UTC for a CSV with usegmtime = yes", ErrTimes, birth-r.Start.Unix(), zone)
	}
	if t.answer == "" {
		return nil
	}
	r.Answer = answers.first()
	for _, a := range answers.list() {
		if near(r.End.Unix()-a.Unix(), r.BillSec) {
			r.Answer = a
			break
		}
	}
	if (r.Answer.Before(r.Start) || r.Answer.After(r.End)) && (!setBack || !near(r.End.Unix()-r.Answer.Unix(), r.BillSec)) {
		return fmt.Errorf("%w: the answer is not between start and end", ErrTimes)
	}
	return nil
}

// pick chooses start and end among what their wall times can mean.
func pick(r *Row, starts, ends wallTimes, birth int64, zone *time.Location) error {
	r.Start, r.End = starts.first(), ends.first()
	if starts.n == 1 && ends.n == 1 {
		return nil
	}
	for _, s := range starts.list() {
		for _, e := range ends.list() {
			if near(e.Unix()-s.Unix(), r.Duration) && s.Unix() >= birth-slack {
				r.Start, r.End = s, e
				return nil
			}
		}
	}
	return fmt.Errorf("%w: start and end fall into a clock change of %s, and neither reading of them fits the duration of %d s", ErrTimes, zone, r.Duration)
}

func near(a, b int64) bool { return a-b <= slack && b-a <= slack }

// wallTimes are the instants that one wall-clock text can mean: one, or two
// when the clock was set back.
type wallTimes struct {
	at [2]time.Time
	n  int
}

func (w *wallTimes) first() time.Time  { return w.at[0] }
func (w *wallTimes) list() []time.Time { return w.at[:w.n] }

// wallClock reads "2006-01-02 15:04:05" as if it were UTC. It does what
// time.Parse does in a fifth of the time.
func wallClock(text string) (time.Time, bool) {
	if len(text) != len("2006-01-02 15:04:05") {
		return time.Time{}, false
	}
	var part [6]int
	for n, p := range [...]struct {
		from, to int
		before   byte
		low, top int
	}{{0, 4, 0, 1970, 9999}, {5, 7, '-', 1, 12}, {8, 10, '-', 1, 31}, {11, 13, ' ', 0, 23}, {14, 16, ':', 0, 59}, {17, 19, ':', 0, 59}} {
		value, ok := digits(text[p.from:p.to])
		if !ok || value < p.low || value > p.top || n > 0 && text[p.from-1] != p.before {
			return time.Time{}, false
		}
		part[n] = value
	}
	at := time.Date(part[0], time.Month(part[1]), part[2], part[3], part[4], part[5], 0, time.UTC)
	return at, at.Day() == part[2] // 31 November is 1 December
}

// instants reads a wall time in the zone.
func instants(field, text string, zone *time.Location) (wallTimes, error) {
	var w wallTimes
	utc, ok := wallClock(text)
	if !ok {
		return w, &FieldError{field, "is no time like 2006-01-02 15:04:05"}
	}
	if zone == time.UTC {
		w.at[0], w.n = utc, 1
		return w, nil
	}
	// The zone's offsets shortly before and after are the only ones possible.
	wall := utc.Unix()
	_, before := utc.Add(-26 * time.Hour).In(zone).Zone()
	_, after := utc.Add(26 * time.Hour).In(zone).Zone()
	for n, offset := range [...]int{before, after} {
		if n == 1 && before == after {
			break
		}
		at := time.Unix(wall-int64(offset), 0).In(zone)
		if _, there := at.Zone(); there == offset {
			w.at[w.n] = at.UTC()
			w.n++
		}
	}
	if w.n == 0 {
		return w, fmt.Errorf("%w: %s is a wall time that %s skips when its clocks go forward: check the PBX's time zone in the adapter's configuration", ErrTimes, field, zone)
	}
	if w.n == 2 && w.at[1].Before(w.at[0]) {
		w.at[0], w.at[1] = w.at[1], w.at[0]
	}
	return w, nil
}

func digits(s string) (int, bool) {
	n := 0
	for i := range len(s) {
		d := s[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = n*10 + int(d)
	}
	return n, true
}
