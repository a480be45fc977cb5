package journal

import (
	"context"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// OpenOn opens a journal on another filesystem.
func OpenOn(dir string, config Config, log *slog.Logger, fs vfs.FS) (*Journal, error) {
	return open(dir, config, log, fs)
}

// SetClock sets the wall clock.
func (j *Journal) SetClock(now func() time.Time) { j.now = now }

// Reclaim gives space back now.
func (j *Journal) Reclaim(ctx context.Context) error { return j.reclaimDue(ctx, true) }

// DecodeEntry and EncodeEntry are the entry's form on disk.
var (
	DecodeEntry = decodeEntry
	EncodeEntry = encodeEntry
)
