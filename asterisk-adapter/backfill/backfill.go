// Package backfill brings what a PBX left behind, old files and tables of CDRs and
// folders of recordings, to the adapter that signs it. Whoever reads the files need not
// be the adapter: they talk over the adapter's control socket. Nothing of it has to be
// remembered between two imports, since the adapter's journal knows what it took: an
// import that was cut off is run again.
package backfill

import (
	"context"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
)

// Outcome is what came of one thing that was imported.
type Outcome string

// The outcomes.
const (
	// Imported: it was not known, and is in a signed segment now.
	Imported Outcome = "imported"
	// Known: the journal or the ledger has it, with the same content.
	Known Outcome = "known"
	// Differing: the journal or the ledger has other content for it, which stays.
	Differing Outcome = "differing"
	// LeftOut: it cannot be taken, and Reason says why.
	LeftOut Outcome = "left_out"
	// Watched: the adapter takes it by itself, from the folder it watches.
	Watched Outcome = "watched"
	// Wanted: a recording that is to be digested and brought.
	Wanted Outcome = "wanted"
)

// Result is the outcome of one thing.
type Result struct {
	Outcome Outcome `json:"outcome"`
	// Reason says why it was left out, or in which columns it differs, without their
	// values.
	Reason string `json:"reason,omitempty"`
}

// File is a recording's file.
type File struct {
	// Path is absolute.
	Path string `json:"path"`
	// UniqueID is the channel, from the file's name.
	UniqueID string    `json:"uniqueid"`
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

// Recording is a recording's file with what was read of it.
type Recording struct {
	File
	// SHA256 and SHA512 are hexadecimal.
	SHA256    string `json:"sha256"`
	SHA512    string `json:"sha512"`
	MediaType string `json:"media_type"`
}

// MaxBatch is how many legs, files or recordings are brought at once.
const MaxBatch = 500

// Adapter takes what is imported, each call a batch; it answers once all of it is in
// the adapter's journal, in signed segments, so that nothing is lost that it called
// imported. A dry one writes nothing.
type Adapter interface {
	// Legs takes CDRs.
	Legs(ctx context.Context, rows []cdr.Row, dry bool) ([]Result, error)
	// Files says which recordings are wanted. Those are to be digested.
	Files(ctx context.Context, files []File) ([]Result, error)
	// Recordings takes recordings that were wanted.
	Recordings(ctx context.Context, recordings []Recording) ([]Result, error)
}
