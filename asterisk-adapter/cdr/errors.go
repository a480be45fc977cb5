package cdr

import (
	"errors"
	"fmt"
)

var (
	// ErrMissingColumn says that the source lacks a column without which a record
	// cannot be told from others. The error's text names the setting.
	ErrMissingColumn = errors.New("column missing")
	// ErrBadField is about a value that Asterisk does not write.
	ErrBadField = errors.New("bad field")
	// ErrNoTable says that there is no such table, or that the user may not read it.
	ErrNoTable = errors.New("no table of CDRs")
	// ErrBadRecord says that the line as a whole is not a record of cdr_csv.
	ErrBadRecord = errors.New("bad record")
	// ErrTimes is about times that cannot be, such as an end before the start.
	ErrTimes = errors.New("impossible times")
)

// MissingColumnError says which column is missing and which setting of
// Asterisk turns it on, or which statement adds it to a table.
type MissingColumnError struct {
	Column    string
	Setting   string
	Statement string
}

func (e *MissingColumnError) Error() string {
	if e.Statement != "" {
		return fmt.Sprintf("the table of CDRs has no %s: run %s; and reload Asterisk's cdr_adaptive_odbc", e.Column, e.Statement)
	}
	return fmt.Sprintf("the CDR has no %s: set %s and reload Asterisk's cdr modules", e.Column, e.Setting)
}

// Unwrap makes the error ErrMissingColumn.
func (e *MissingColumnError) Unwrap() error { return ErrMissingColumn }

// FieldError says which field of a record is bad and why. It never holds the
// value: that may be personal.
type FieldError struct {
	Field   string
	Problem string
}

func (e *FieldError) Error() string { return fmt.Sprintf("CDR field %s %s", e.Field, e.Problem) }

// Unwrap makes the error ErrBadField.
func (e *FieldError) Unwrap() error { return ErrBadField }
