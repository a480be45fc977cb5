package cdr

import (
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/ami"
)

// written is a line of Asterisk 22.10.
const written = `"","1001","1002","lab","""Zé, ""the"" boss"" <1001>","PJSIP/1001-00000000","PJSIP/1002-00000001","Dial","PJSIP/1002,30","2026-11-21 07:04:10","2026-11-21 07:04:10","2026-11-21 07:04:12",2,2,"ANSWERED","DOCUMENTATION","1795244650.0","1-1-30761@127.34.27.2","","1795244650.0",0`

func lisbon(tb testing.TB) *time.Location {
	tb.Helper()
	zone, err := time.LoadLocation("Europe/Lisbon")
	require.NoError(tb, err)
	return zone
}

func TestParseCSV(t *testing.T) {
	r, err := ParseCSV([]byte(written), time.UTC)
	require.NoError(t, err)
	require.Equal(t, `"Zé, "the" boss" <1001>`, r.CLID)
	require.Equal(t, "PJSIP/1002,30", r.LastData)
	require.Equal(t, time.Date(2026, 11, 21, 7, 4, 12, 0, time.UTC), r.End)
	require.Equal(t, Key{"1795244650.0", "1795244650.0", 0}, r.Key())
	require.Equal(t, int64(2), r.BillSec)
	require.Len(t, r.Fields(), 21)
}

// columns cuts the written line down to another set of columns.
func columns(uniqueID, userField, newer bool) string {
	c := csv.NewReader(strings.NewReader(written))
	f, err := c.Read()
	if err != nil {
		panic(err)
	}
	out := f[:16:16]
	if uniqueID {
		out = append(out, f[16])
	}
	if userField {
		out = append(out, f[17])
	}
	if newer {
		out = append(out, f[18:]...)
	}
	for i, v := range out {
		out[i] = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
	}
	return strings.Join(out, ",")
}

func TestColumnSets(t *testing.T) {
	for _, c := range []struct {
		uniqueID, userField, newer bool
		missing, setting           string
	}{
		{true, true, true, "", ""},
		{true, false, true, "", ""},
		{false, true, true, "uniqueid", "loguniqueid"},
		{false, false, true, "uniqueid", "loguniqueid"},
		{true, true, false, "linkedid", "newcdrcolumns"},
		{true, false, false, "linkedid", "newcdrcolumns"},
		{false, true, false, "uniqueid", "loguniqueid"},
		{false, false, false, "uniqueid", "loguniqueid"},
	} {
		r, err := ParseCSV([]byte(columns(c.uniqueID, c.userField, c.newer)), time.UTC)
		if c.missing == "" {
			require.NoError(t, err)
			full, err := ParseCSV([]byte(written), time.UTC)
			require.NoError(t, err)
			require.True(t, full.Equal(&r), "a column that one source lacks is no difference")
			continue
		}
		require.ErrorIs(t, err, ErrMissingColumn)
		var missing *MissingColumnError
		require.ErrorAs(t, err, &missing)
		require.Equal(t, c.missing, missing.Column)
		require.ErrorContains(t, err, c.setting)
	}
}

func TestHostileLines(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		want error
	}{
		"uniqueid not UTF-8": {strings.ReplaceAll(written, "1795244650.0", "\xff-1795244650.0"), ErrBadField},
		"NUL":                {strings.Replace(written, "boss", "b\x00ss", 1), ErrBadRecord},
		"8 KB field":         {strings.Replace(written, "boss", strings.Repeat("x", 8192), 1), ErrBadField},
		"open quote":         {strings.TrimSuffix(written, `0",0`) + `0`, ErrBadRecord},
		"text after quote":   {strings.Replace(written, `"lab",`, `"lab"x,`, 1), ErrBadRecord},
		"bare quote":         {strings.Replace(written, `,2,2,`, `,2",2,`, 1), ErrBadRecord},
		"22 columns":         {written + ",1", ErrBadRecord},
		"3 columns":          {"a,b,c", ErrBadRecord},
		"a word":             {strings.Replace(written, ",2,2,", ",two,2,", 1), ErrBadField},
		"negative":           {strings.Replace(written, ",2,2,", ",-2,2,", 1), ErrTimes},
		"ages":               {strings.Replace(written, ",2,2,", ",-99999999,2,", 1), ErrBadField},
		"disposition":        {strings.Replace(written, "ANSWERED", "NO", 1), ErrBadField},
		"amaflags":           {strings.Replace(written, "DOCUMENTATION", "9", 1), ErrBadField},
		"no time":            {strings.Replace(written, "2026-11-21 07:04:12", "now", 1), ErrBadField},
		"31 November":        {strings.Replace(written, "2026-11-21 07:04:12", "2026-11-31 07:04:12", 1), ErrBadField},
		"sequence":           {written + "x", ErrBadField},
		"end before start":   {strings.Replace(written, "07:04:12", "07:04:02", 1), ErrTimes},
		"answer outside":     {strings.Replace(written, `"2026-11-21 07:04:10","2026-11-21 07:04:12"`, `"2026-11-21 07:05:10","2026-11-21 07:04:12"`, 1), ErrTimes},
		"another zone":       {strings.ReplaceAll(written, "07:04:1", "06:04:1"), ErrTimes},
		"too long":           {strings.Replace(written, "boss", strings.Repeat("x", MaxLine), 1), ErrBadRecord},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseCSV([]byte(c.line), time.UTC)
			require.ErrorIs(t, err, c.want)
		})
	}
}

// TestAClockThatWasSetBack reads what Asterisk writes when its clock is set back by an
// hour during a call.
func TestAClockThatWasSetBack(t *testing.T) {
	back := strings.Replace(strings.Replace(written, "07:04:12", "06:04:14", 1), ",2,2,", ",-3596,-3596,", 1)
	row, err := ParseCSV([]byte(back), time.UTC)
	require.NoError(t, err)
	require.EqualValues(t, -3596, row.Duration)
	require.True(t, row.End.Before(row.Start))
	// Between start and answer.
	early := strings.Replace(strings.Replace(back, `"2026-11-21 07:04:10","2026-11-21 06`, `"2026-11-21 06:04:12","2026-11-21 06`, 1), ",-3596,-3596,", ",-3596,2,", 1)
	row, err = ParseCSV([]byte(early), time.UTC)
	require.NoError(t, err)
	require.EqualValues(t, 2, row.BillSec)
	require.True(t, row.Answer.Before(row.Start))
}

func TestDiffNamesTheFields(t *testing.T) {
	a, err := ParseCSV([]byte(written), time.UTC)
	require.NoError(t, err)
	b, err := ParseCSV([]byte(strings.Replace(strings.Replace(written, `"1002"`, `"1003"`, 1), ",2,2,", ",2,1,", 1)), time.UTC)
	require.NoError(t, err)
	require.False(t, a.Equal(&b))
	require.Equal(t, []FieldDifference{{"dst", "1002", "1003"}, {"billsec", "2", "1"}}, a.Diff(&b))
	require.Nil(t, a.Diff(&a))
	numeric, err := ParseCSV([]byte(strings.Replace(written, "DOCUMENTATION", "3", 1)), time.UTC)
	require.NoError(t, err)
	require.True(t, a.Equal(&numeric), "SQL back ends write amaflags as a number")
}

// TestClockChange: Lisbon goes from UTC+1 back to UTC at 01:00 UTC on
// 25 October 2026, so wall times from 01:00 to 02:00 come twice; and from UTC
// to UTC+1 at 01:00 UTC on 29 March, so those of that hour never come.
func TestClockChange(t *testing.T) {
	zone := lisbon(t)
	row := func(start, answer, end string, duration, billsec int, created string) string {
		at, err := time.Parse(time.RFC3339, created)
		require.NoError(t, err)
		id := fmt.Sprintf("%d.7", at.Unix())
		return fmt.Sprintf(`"","1","2","c","","PJSIP/1-1","PJSIP/2-1","Dial","","%s",%s,"%s",%d,%d,"ANSWERED","DOCUMENTATION","%s","","","%s",3`, start, answer, end, duration, billsec, id, id)
	}
	for name, c := range map[string]struct {
		line               string
		start, answer, end string
	}{
		"summer": {row("2026-07-01 12:00:00", `"2026-07-01 12:00:05"`, "2026-07-01 12:01:00", 60, 55, "2026-07-01T11:00:00Z"),
			"2026-07-01T11:00:00Z", "2026-07-01T11:00:05Z", "2026-07-01T11:01:00Z"},
		"first time round": {row("2026-10-25 01:30:00", `"2026-10-25 01:30:10"`, "2026-10-25 01:31:00", 60, 50, "2026-10-25T00:30:00Z"),
			"2026-10-25T00:30:00Z", "2026-10-25T00:30:10Z", "2026-10-25T00:31:00Z"},
		"second time round": {row("2026-10-25 01:30:00", `"2026-10-25 01:30:10"`, "2026-10-25 01:31:00", 60, 50, "2026-10-25T01:30:00Z"),
			"2026-10-25T01:30:00Z", "2026-10-25T01:30:10Z", "2026-10-25T01:31:00Z"},
		"across the change": {row("2026-10-25 01:50:00", `"2026-10-25 01:10:00"`, "2026-10-25 01:20:00", 1800, 600, "2026-10-25T00:50:00Z"),
			"2026-10-25T00:50:00Z", "2026-10-25T01:10:00Z", "2026-10-25T01:20:00Z"},
		"into the change": {row("2026-10-25 00:50:00", `"2026-10-25 00:50:01"`, "2026-10-25 01:20:00", 5400, 5399, "2026-10-24T23:50:00Z"),
			"2026-10-24T23:50:00Z", "2026-10-24T23:50:01Z", "2026-10-25T01:20:00Z"},
		"a later record of an old channel": {row("2026-10-25 01:30:00", ``, "2026-10-25 02:10:00", 2400, 0, "2026-10-25T00:10:00Z"),
			"2026-10-25T01:30:00Z", "", "2026-10-25T02:10:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ParseCSV([]byte(c.line), zone)
			require.NoError(t, err)
			require.Equal(t, c.start, formatTime(r.Start))
			require.Equal(t, c.answer, formatTime(r.Answer))
			require.Equal(t, c.end, formatTime(r.End))
		})
	}
	_, err := ParseCSV([]byte(row("2026-03-29 01:30:00", ``, "2026-03-29 02:10:00", 0, 0, "2026-03-29T00:30:00Z")), zone)
	require.ErrorIs(t, err, ErrTimes)
	require.ErrorContains(t, err, "skips")
	_, err = ParseCSV([]byte(row("2026-10-25 01:50:00", ``, "2026-10-25 01:20:00", 9, 0, "2026-10-25T00:50:00Z")), zone)
	require.ErrorIs(t, err, ErrTimes)
	// Local summer time taken for UTC would put the call an hour late, and a
	// zone west of the PBX before its channel was made.
	_, err = ParseCSV([]byte(row("2026-07-01 12:00:00", ``, "2026-07-01 12:01:00", 60, 0, "2026-07-01T12:59:00Z")), time.UTC)
	require.ErrorContains(t, err, "time zone")
}

func TestEvent(t *testing.T) {
	headers := map[string]string{
		"AccountCode": "", "Source": "1001", "Destination": "1002", "DestinationContext": "lab", "CallerID": `"Zé, "the" boss" <1001>`,
		"Channel": "PJSIP/1001-00000000", "DestinationChannel": "PJSIP/1002-00000001", "LastApplication": "Dial", "LastData": "PJSIP/1002,30",
		"StartTime": "2026-11-21 07:04:10", "AnswerTime": "2026-11-21 07:04:10", "EndTime": "2026-11-21 07:04:12", "Duration": "2", "BillableSeconds": "2",
		"Disposition": "ANSWERED", "AMAFlags": "DOCUMENTATION", "UniqueID": "1795244650.0", "UserField": "1-1-30761@127.34.27.2",
		"PeerAccount": "", "LinkedID": "1795244650.0", "Sequence": "0",
	}
	get := func(name string) (string, bool) { v, ok := headers[name]; return v, ok }
	e, err := ParseEvent(get, time.UTC)
	require.NoError(t, err)
	r, err := ParseCSV([]byte(written), time.UTC)
	require.NoError(t, err)
	require.Empty(t, r.Diff(&e))

	delete(headers, "LinkedID")
	_, err = ParseEvent(get, time.UTC)
	require.ErrorIs(t, err, ErrMissingColumn)
	require.ErrorContains(t, err, "linkedid => LinkedID")
	delete(headers, "Source")
	_, err = ParseEvent(get, time.UTC)
	require.ErrorIs(t, err, ErrBadField)
}

// FuzzCSV holds our splitter against encoding/csv: what we take, it takes too,
// and means the same.
func FuzzCSV(f *testing.F) {
	f.Add([]byte(written))
	f.Add([]byte(columns(true, false, true)))
	for _, name := range hostile {
		f.Add([]byte(strings.Replace(written, "boss", strings.ReplaceAll(name, `"`, `""`), 1)))
	}
	f.Add([]byte(`"a` + "\n" + `b","c""d",,1`))
	zone := lisbon(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		if _, err := ParseCSV(line, zone); err != nil && !errors.Is(err, ErrBadField) && !errors.Is(err, ErrBadRecord) && !errors.Is(err, ErrMissingColumn) && !errors.Is(err, ErrTimes) {
			t.Fatal(err)
		}
		var ours [maxColumns]string
		n, err := split(string(line), &ours)
		if err != nil || len(line) == 0 || strings.Contains(string(line), "\r") {
			return
		}
		theirs, err := csv.NewReader(strings.NewReader(string(line))).Read()
		if err != nil && strings.Trim(string(line), "\n") == "" {
			return
		}
		require.NoError(t, err)
		require.Equal(t, theirs, ours[:n])
	})
}

func FuzzEvent(f *testing.F) {
	f.Add("2026-11-21 07:04:10", "2", "1795244650.0", "x", "3")
	for _, name := range hostile {
		f.Add("2026-11-21 07:04:10", "2", "1795244650.0", name, "DOCUMENTATION")
	}
	f.Fuzz(func(t *testing.T, when, count, id, text, flags string) {
		get := func(name string) (string, bool) {
			switch name {
			case "StartTime", "AnswerTime", "EndTime":
				return when, true
			case "Duration", "BillableSeconds", "Sequence":
				return count, true
			case "UniqueID", "LinkedID":
				return id, true
			case "Disposition":
				return "ANSWERED", true
			case "AMAFlags":
				return flags, true
			}
			return text, true
		}
		r, err := ParseEvent(get, time.UTC)
		if err == nil {
			require.True(t, r.Equal(&r))
			require.Empty(t, r.Diff(&r))
		}
	})
}

func BenchmarkParseCSV(b *testing.B) {
	for name, zone := range map[string]*time.Location{"UTC": time.UTC, "local": lisbon(b)} {
		b.Run(name, func(b *testing.B) {
			line := []byte(written)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseCSV(line, zone); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParseEvent reads what AMI's session made of a Cdr event.
func BenchmarkParseEvent(b *testing.B) {
	headers := ami.Headers{{Name: "Event", Value: "Cdr"}, {Name: "Privilege", Value: "cdr,all"}}
	for _, one := range [][2]string{
		{"AccountCode", ""}, {"Source", "1001"}, {"Destination", "1002"}, {"DestinationContext", "lab"}, {"CallerID", `"Zé, "the" boss" <1001>`},
		{"Channel", "PJSIP/1001-00000000"}, {"DestinationChannel", "PJSIP/1002-00000001"}, {"LastApplication", "Dial"}, {"LastData", "PJSIP/1002,30"},
		{"StartTime", "2026-11-21 07:04:10"}, {"AnswerTime", "2026-11-21 07:04:10"}, {"EndTime", "2026-11-21 07:04:12"}, {"Duration", "2"}, {"BillableSeconds", "2"},
		{"Disposition", "ANSWERED"}, {"AMAFlags", "DOCUMENTATION"}, {"UniqueID", "1795244650.0"}, {"UserField", "1-1-30761@127.34.27.2"}, {"PeerAccount", ""},
		{"LinkedID", "1795244650.0"}, {"Sequence", "0"},
	} {
		headers = append(headers, ami.Header{Name: one[0], Value: one[1]})
	}
	zone := lisbon(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseEvent(headers.Get, zone); err != nil {
			b.Fatal(err)
		}
	}
}
