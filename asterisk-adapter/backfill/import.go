package backfill

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/recording"
)

// digesting is how many recordings are read at once.
const digesting = 2

// Progress is told how far an import is.
type Progress interface {
	// Begin begins a part of the work that is so much, in bytes or, for a table, of
	// unknown size: -1.
	Begin(what string, total int64)
	// Add says that so much more is done.
	Add(done int64)
	// End ends the part.
	End()
}

// Options says what is imported.
type Options struct {
	// Files are those of cdr_csv, rotated or not, packed or not, the oldest first.
	Files []string
	// Zone is that of their times: UTC where they were written with usegmtime = yes.
	Zone *time.Location
	// Table is a table of CDRs; nil for none. From and Before bound when its calls began.
	Table        *cdr.Table
	From, Before time.Time
	// Folders hold recordings, with their subfolders.
	Folders []string
	// DryRun reads everything and changes nothing.
	DryRun   bool
	Progress Progress
}

// Run imports: records first, because a recording belongs to one. The summary is of what
// was done until an error, where there is one.
func Run(ctx context.Context, options Options, adapter Adapter) (*Summary, error) {
	one := &run{Options: options, adapter: adapter, summary: &Summary{DryRun: options.DryRun, LeftOut: []Left{}, began: time.Now()}}
	err := one.all(ctx)
	one.summary.Seconds = time.Since(one.summary.began).Seconds()
	return one.summary, err
}

type run struct {
	Options
	adapter Adapter
	summary *Summary
	// rows wait for a batch, each read at its place.
	rows   []cdr.Row
	places []place
	// zone is that of the rows' times, until it was judged.
	unjudged *time.Location
}

func (r *run) all(ctx context.Context) error {
	if len(r.Files) > 0 {
		total, err := sizes(r.Files)
		if err != nil {
			return err
		}
		r.Progress.Begin("records", total)
		for _, path := range r.Files {
			left := len(r.summary.LeftOut)
			err := r.file(ctx, path)
			r.summary.order(left)
			if err != nil {
				return err
			}
		}
		r.Progress.End()
	}
	if r.Table != nil {
		r.Progress.Begin("rows of the table", -1)
		if err := r.table(ctx); err != nil {
			return err
		}
		r.Progress.End()
	}
	for _, folder := range r.Folders {
		if err := r.folder(ctx, folder); err != nil {
			return err
		}
	}
	return nil
}

func sizes(files []string) (total int64, err error) {
	for _, path := range files {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return 0, fmt.Errorf("look for the file of CDRs: %w", err)
		case info.IsDir():
			return 0, fmt.Errorf("%s is a folder: name the files of CDRs in it; folders of recordings are named by --recordings", path)
		}
		total += info.Size()
	}
	return total, nil
}

// errOtherZone ends the reading of a file.
var errOtherZone = errors.New("another time zone")

func (r *run) file(ctx context.Context, path string) error {
	from, closer, err := open(path, r.Progress.Add)
	if errors.Is(err, ErrPacked) {
		r.summary.count(&r.summary.Records, place{file: path}, Result{LeftOut, err.Error()})
		return nil
	}
	if err != nil {
		return err
	}
	defer closer.Close() //nolint:errcheck // it was only read
	r.unjudged = r.Zone
	err = cdr.Read(from, path, r.Zone, func(entry cdr.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.summary.Records.Read++
		at := place{path, entry.Checkpoint.Line}
		var line *cdr.LineError
		if errors.As(entry.Err, &line) {
			r.summary.count(&r.summary.Records, place{path, line.Line}, Result{LeftOut, line.Err.Error()})
			return nil
		}
		return r.row(ctx, entry.Row, at)
	})
	if err == nil {
		err = r.flush(ctx)
	}
	switch {
	case errors.Is(err, errOtherZone):
		return nil // said already
	case err != nil && ctx.Err() == nil && !errors.Is(err, errAdapter):
		// A packed file that is cut short: what came before counts.
		if flushed := r.flush(ctx); flushed != nil {
			return flushed
		}
		r.summary.count(&r.summary.Records, place{file: path}, Result{LeftOut, fmt.Sprintf("it cannot be read to its end: %v", err)})
		return nil
	}
	return err
}

func (r *run) table(ctx context.Context) error {
	name := "table " + r.Table.Name
	r.unjudged = r.Table.Zone
	err := r.Table.Past(ctx, r.From, r.Before, cdr.TableHandler{
		Row: func(row cdr.Row) error {
			r.summary.Records.Read++
			r.Progress.Add(1)
			return r.row(ctx, row, place{file: name})
		},
		Bad: func(err error) {
			r.summary.Records.Read++
			r.Progress.Add(1)
			r.summary.count(&r.summary.Records, place{file: name}, Result{LeftOut, err.Error()})
		},
	})
	if err == nil {
		err = r.flush(ctx)
	}
	if errors.Is(err, errOtherZone) {
		return nil // said already
	}
	return err
}

func (r *run) row(ctx context.Context, row cdr.Row, at place) error {
	r.rows, r.places = append(r.rows, row), append(r.places, at)
	if len(r.rows) < MaxBatch {
		return nil
	}
	return r.flush(ctx)
}

// errAdapter is about the adapter, not about what is read.
var errAdapter = errors.New("the adapter")

// flush brings the rows that wait.
func (r *run) flush(ctx context.Context) error {
	rows, places := r.rows, r.places
	r.rows, r.places = nil, nil
	if len(rows) == 0 {
		return nil
	}
	if zone := r.unjudged; zone != nil {
		r.unjudged = nil
		if off := zoneOff(rows[:min(len(rows), zoneRows)]); off != 0 {
			r.summary.count(&r.summary.Records, place{file: places[0].file}, Result{LeftOut, zoneError(off, zone).Error()})
			return errOtherZone
		}
	}
	results, err := r.adapter.Legs(ctx, rows, r.DryRun)
	if err != nil {
		return fmt.Errorf("%w: %w", errAdapter, err)
	}
	for i, result := range results {
		r.summary.count(&r.summary.Records, places[i], result)
	}
	return nil
}

// folder imports the recordings of a tree.
func (r *run) folder(ctx context.Context, folder string) error {
	var files []File
	var total int64
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case entry.IsDir(), strings.HasPrefix(entry.Name(), "."):
			return nil
		}
		r.summary.Recordings.Read++
		info, err := entry.Info()
		if err != nil {
			return err
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		id := recording.UniqueIDOf(entry.Name())
		switch {
		case !info.Mode().IsRegular():
			r.summary.count(&r.summary.Recordings, place{file: path}, Result{LeftOut, "it is no regular file"})
		case id == "":
			r.summary.count(&r.summary.Recordings, place{file: path}, Result{LeftOut, "its name does not tell the uniqueid of the channel that it is of"})
		default:
			files = append(files, File{Path: absolute, UniqueID: id, Size: info.Size(), Modified: info.ModTime()})
			total += info.Size()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for recordings: %w", err)
	}
	r.Progress.Begin("recordings in "+folder, total)
	for len(files) > 0 {
		batch := files[:min(len(files), MaxBatch)]
		files = files[len(batch):]
		if err := r.recordings(ctx, batch); err != nil {
			return err
		}
	}
	r.Progress.End()
	return nil
}

// recordings imports a batch: those that the adapter wants are read.
func (r *run) recordings(ctx context.Context, files []File) error {
	results, err := r.adapter.Files(ctx, files)
	if err != nil {
		return fmt.Errorf("%w: %w", errAdapter, err)
	}
	var wanted []File
	for i, result := range results {
		if result.Outcome == Wanted && !r.DryRun {
			wanted = append(wanted, files[i])
			continue
		}
		r.Progress.Add(files[i].Size)
		r.summary.count(&r.summary.Recordings, place{file: files[i].Path}, result)
	}
	read, err := r.digest(ctx, wanted)
	if err != nil || len(read) == 0 {
		return err
	}
	if results, err = r.adapter.Recordings(ctx, read); err != nil {
		return fmt.Errorf("%w: %w", errAdapter, err)
	}
	for i, result := range results {
		r.summary.count(&r.summary.Recordings, place{file: read[i].Path}, result)
	}
	return nil
}

// digest reads files, some at a time, and counts those that are no recordings.
func (r *run) digest(ctx context.Context, files []File) ([]Recording, error) {
	found, problems := make([]Recording, len(files)), make([]error, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(digesting)
	for i, file := range files {
		group.Go(func() error {
			digests, err := recording.Digest(ctx, file.Path)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.Progress.Add(file.Size)
			if problems[i] = err; err != nil {
				return nil //nolint:nilerr // it is told of, and the others are read
			}
			file.Size, file.Modified = digests.Bytes, digests.Modified
			found[i] = Recording{File: file, SHA256: hex.EncodeToString(digests.SHA256[:]), SHA512: hex.EncodeToString(digests.SHA512[:]), MediaType: digests.MediaType}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("read recordings: %w", err)
	}
	var read []Recording
	for i := range files {
		if problems[i] != nil {
			r.summary.count(&r.summary.Recordings, place{file: files[i].Path}, Result{LeftOut, problems[i].Error()})
			continue
		}
		read = append(read, found[i])
	}
	return read, nil
}
