package cdr

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Column is a column of a table of CDRs.
type Column struct {
	Name string
	// Chars is how many characters a text column holds; 0 where that is no matter.
	Chars int
}

// startColumns are what the start's column is called: FreePBX says calldate, and
// searches by it.
var startColumns = []string{"calldate", "start"}

// columnTypes are what cdr_adaptive_odbc can fill; empty where a table can do
// without the column. FreePBX's has no answer and no end: without them a record
// would have to guess, and would not be the one that the other sources make.
var columnTypes = [len(fieldNames)]string{
	"", varchar80, varchar80, varchar80, varchar80, varchar80, varchar80, varchar80, "VARCHAR(255) NOT NULL", "DATETIME NOT NULL", "DATETIME", "DATETIME",
	"INT NOT NULL", "INT NOT NULL", "VARCHAR(45) NOT NULL", "", "VARCHAR(150) NOT NULL", "", "", "VARCHAR(150) NOT NULL", "INT NOT NULL",
}

const varchar80 = "VARCHAR(80) NOT NULL"

// layout is where a table has which field.
type layout struct {
	// columns are those to be read; fields says which field each is, by its place in
	// fieldNames.
	columns []Column
	fields  []int
	// start is the column that rows are found by.
	start  string
	absent fieldSet
}

// layoutOf finds the fields among a table's columns. The error is a
// *MissingColumnError where one is missing that is needed.
func layoutOf(table string, found []Column) (*layout, error) {
	byName := make(map[string]Column, len(found))
	for _, column := range found {
		byName[strings.ToLower(column.Name)] = column
	}
	l := &layout{}
	missing := &MissingColumnError{}
	for i, name := range fieldNames {
		names := []string{name}
		if name == "start" {
			names = startColumns
		}
		at := slices.IndexFunc(names, func(name string) bool { _, there := byName[name]; return there })
		switch {
		case at < 0 && columnTypes[i] != "":
			missing.add(table, names[0], columnTypes[i])
			continue
		case at < 0:
			l.absent |= 1 << i
			continue
		case name == "start":
			l.start = names[at]
		}
		l.columns, l.fields = append(l.columns, byName[names[at]]), append(l.fields, i)
	}
	if missing.Column != "" {
		return nil, missing
	}
	return l, nil
}

// add names one more column.
func (e *MissingColumnError) add(table, name, kind string) {
	if e.Column == "" {
		e.Column, e.Statement = name, "ALTER TABLE "+table
	} else {
		e.Column += ", " + name
		e.Statement += ","
	}
	e.Statement += fmt.Sprintf(" ADD COLUMN `%s` %s", name, kind)
}

// parse reads a row's values, in the order of the layout's columns, as the
// database writes them as text; nothing stands for NULL.
func (l *layout) parse(values []string, zone *time.Location) (Row, error) {
	r := Row{absent: l.absent}
	var t rawRow
	to := r.places(&t)
	for i, value := range values {
		field := fieldNames[l.fields[i]]
		if strings.IndexByte(value, 0) >= 0 {
			return Row{}, &FieldError{field, "holds a NUL byte"}
		}
		if limit := l.columns[i].Chars; limit > 0 && utf8.RuneCountInString(value) >= limit {
			r.cut |= 1 << l.fields[i]
		}
		*to[l.fields[i]] = value
	}
	for _, at := range []*string{&t.start, &t.answer, &t.end} {
		*at, _, _ = strings.Cut(*at, ".") // a column with fractions of seconds has none to tell
		if strings.HasPrefix(*at, "0000-00-00") {
			*at = ""
		}
	}
	if r.cut&(fieldUniqueID|fieldLinkedID) != 0 {
		return Row{}, &FieldError{"uniqueid", "or linkedid fills its column and may be cut, so that the call cannot be told from others: make both VARCHAR(150)"}
	}
	return r, t.finish(&r, zone)
}
