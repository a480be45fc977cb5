// Package sample holds two calls that a real Asterisk recorded in the lab, for
// machines where no Asterisk can be had.
package sample

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// CSV is the name of the file of call records, as cdr_csv wrote it with the
// settings in pbx (times in UTC, all columns).
const CSV = "Master.csv"

// Files holds Master.csv and one UNIQUEID.wav a call.
//
//go:embed *.csv *.wav
var Files embed.FS

// Call is one of the sample's calls.
type Call struct {
	// UniqueID is Asterisk's name for the caller's channel.
	UniqueID string
	// Line is the call's line of CSV, without its end.
	Line string
	// Recording is the file name of its recording, UniqueID.wav.
	Recording string
}

// Calls returns the sample's calls, in the order they were placed.
func Calls() ([]Call, error) {
	content, err := Files.ReadFile(CSV)
	if err != nil {
		return nil, err
	}
	var calls []Call
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		// The fifth column from the end, and nothing in the sample has a comma
		// behind it.
		columns := strings.Split(line, ",")
		id := strings.Trim(columns[len(columns)-5], `"`)
		calls = append(calls, Call{UniqueID: id, Line: line, Recording: id + ".wav"})
	}
	if len(calls) < 2 {
		return nil, fmt.Errorf("the sample holds %d calls instead of two: remake it", len(calls))
	}
	return calls, nil
}

// Extract writes the CSV and the recordings into a folder.
func Extract(folder string) error {
	entries, err := Files.ReadDir(".")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		content, err := fs.ReadFile(Files, entry.Name())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, entry.Name()), content, 0o644); err != nil {
			return fmt.Errorf("extract the sample: %w", err)
		}
	}
	return nil
}
