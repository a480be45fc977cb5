package journal

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"golang.org/x/sys/unix"
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
		text += ": " + strings.Join(strings.Fields(strings.ReplaceAll(e.Err.Error(), "<corruption detail carrier>", "")), " ")
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
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("open the journal: the disk of %s is full, free some space and start again: nothing is lost: %w", dir, err)
	}
	if errors.Is(err, unix.EAGAIN) || strings.Contains(err.Error(), "lock held") {
		return fmt.Errorf("open the journal: another gateway works on %s: %w", dir, err)
	}
	return &DamageError{File: fileOf(dir, err), Reason: "it cannot be opened", Err: err}
}

// unreadable wraps an error of reading: a damaged file where it is one.
func unreadable(dir string, err error) error {
	var known *DamageError
	if errors.As(err, &known) {
		return err
	}
	if pebble.IsCorruptionError(err) {
		return &DamageError{File: fileOf(dir, err), Reason: "it cannot be read", Err: err}
	}
	return fmt.Errorf("read the journal: %w", err)
}

// The ways in which Pebble names a file: tables by number, the log in a detail.
var (
	namesManifest = regexp.MustCompile(`MANIFEST-\d+`)
	namesLog      = regexp.MustCompile(`replaying wal (\d+)`)
	namesTable    = regexp.MustCompile(`\b\d{6}\b`)
)

// fileOf finds the file that Pebble's error is about.
func fileOf(dir string, err error) string {
	text := fmt.Sprintf("%+v", err)
	folder := filepath.Join(dir, "db")
	if found := namesLog.FindStringSubmatch(text); found != nil {
		return filepath.Join(folder, fmt.Sprintf("%06s.log", found[1]))
	}
	if found := namesManifest.FindString(text); found != "" {
		return filepath.Join(folder, found)
	}
	if found := namesTable.FindString(text); found != "" {
		return filepath.Join(folder, found+".sst")
	}
	return folder
}

// newestLog is the write-ahead log that was written last.
func newestLog(dir string) string {
	logs, err := filepath.Glob(filepath.Join(dir, "db", "*.log"))
	if err != nil || len(logs) == 0 {
		return filepath.Join(dir, "db")
	}
	return slices.Max(logs)
}
