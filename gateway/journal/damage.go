package journal

import (
	"errors"
	"fmt"
	"path/filepath"
)

// DamageError says which file of the journal is not as it was written, and what to
// do.
type DamageError struct {
	// File is the damaged one, or the journal's folder where Pebble names none.
	File   string
	Reason string
	Err    error
}

// Error names the file, the reason and the way out.
func (e *DamageError) Error() string {
	text := fmt.Sprintf("the journal is damaged at %s: %s", e.File, e.Reason)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text + "; restore the file, or move the journal's folder away and start again: adapters send again whatever was not settled, and nothing is anchored twice"
}

// Unwrap is the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// damaged wraps an error of opening.
func damaged(dir string, err error) error {
	var known *DamageError
	if errors.As(err, &known) {
		return known
	}
	return &DamageError{File: filepath.Join(dir, "db"), Reason: "it cannot be opened", Err: err}
}
