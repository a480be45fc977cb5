package cdr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// What a follower reports beside rows. None stops it.
var (
	// ErrTruncated says that the file became shorter than what was read of it.
	ErrTruncated = errors.New("the CDR file was cut")
	// ErrRewritten says that what was read is no longer what stands there.
	ErrRewritten = errors.New("the CDR file was rewritten")
	// ErrLost says that the file that was followed is gone, and what it held after the
	// checkpoint with it.
	ErrLost = errors.New("the CDR file that was followed is gone")
	// ErrIncomplete says that a line never got its end.
	ErrIncomplete = errors.New("the line has no end")
)

// LineError is an error with its place in the file.
type LineError struct {
	Path   string
	Line   int64 // from 1
	Offset int64 // of the line's first byte
	Err    error
}

func (e *LineError) Error() string {
	return fmt.Sprintf("%s, line %d (byte %d): %v", e.Path, e.Line, e.Offset, e.Err)
}

// Unwrap returns what is wrong with the line.
func (e *LineError) Unwrap() error { return e.Err }

// Entry is a row, or what stood in its place.
type Entry struct {
	Row Row
	// Raw is the row's line without its end, as Asterisk wrote it; nil when
	// there is no line.
	Raw []byte
	// Err, when not nil, says why there is no row. The follower goes on.
	Err error
	// Checkpoint is where to go on after this entry.
	Checkpoint Checkpoint
}

// Tail follows the file of cdr_csv.
type Tail struct {
	// Path of the file. It need not exist yet; its folder must.
	Path string
	// Zone of the times in it: UTC with usegmtime = yes.
	Zone *time.Location
	// From is where to begin.
	From Checkpoint
	// Poll is how often to look without being told of a change, for file
	// systems that do not tell; 0 means 1 s.
	Poll time.Duration

	file     *os.File
	from     io.ReaderAt // the file, or what Read reads
	at       Checkpoint
	store    []byte // memory of buf
	buf      []byte // what was read after at.Offset
	read     int64  // offset behind buf
	skipping bool   // inside a line that is too long
}

// maxLines bounds a record with newlines inside quotes; Asterisk itself writes
// none. It keeps an open quote from making every line behind it wait.
const maxLines = 32

// lineWait is how long after its last write a file that was rotated may end in the
// middle of a line.
const lineWait = 2 * time.Second

// chunk is what is read at a time, beside the longest unfinished line.
const chunk = 256 << 10

// Run delivers entries in the file's order, from From on, until the context
// ends or deliver fails. caughtUp, unless nil, is called whenever the end of
// the file is reached.
func (t *Tail) Run(ctx context.Context, deliver func(Entry) error, caughtUp func()) error {
	if t.Zone == nil {
		t.Zone = time.UTC
	}
	t.store = make([]byte, chunk+2*MaxLine)
	if t.Poll == 0 {
		t.Poll = time.Second
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the CDR file: %w", err)
	}
	defer watcher.Close() //nolint:errcheck // it only watched
	// The folder, not the file: a rotation replaces the file.
	if err := watcher.Add(filepath.Dir(t.Path)); err != nil {
		return fmt.Errorf("the CDR file's folder cannot be watched: make sure %s exists and that cdr_csv is loaded: %w", filepath.Dir(t.Path), err)
	}
	defer t.closeFile()
	if err := t.resume(ctx, deliver); err != nil {
		return err
	}
	poll := time.NewTicker(t.Poll)
	defer poll.Stop()
	for {
		if err := t.catchUp(ctx, deliver); err != nil {
			return err
		}
		if caughtUp != nil {
			caughtUp()
		}
		for relevant := false; !relevant; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-poll.C:
				relevant = true
			case event, ok := <-watcher.Events:
				relevant = !ok || event.Name == t.Path || filepath.Base(event.Name) == filepath.Base(t.Path)
			case <-watcher.Errors: //nolint:errcheck // events were lost: look
				relevant = true
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (t *Tail) closeFile() {
	if t.file != nil {
		_ = t.file.Close() // it was only read
		t.file = nil
	}
}

// resume finds the file of the checkpoint, under its own name or the one a
// rotation gave it, and reads it and what came after it, up to the present.
func (t *Tail) resume(ctx context.Context, deliver func(Entry) error) error {
	t.at = t.From
	if t.at.Inode == 0 {
		return nil
	}
	if info, err := os.Stat(t.Path); err == nil && t.at.of(info) {
		return t.open(t.Path, deliver)
	}
	rotated, err := t.rotated()
	if err != nil {
		return err
	}
	if len(rotated) == 0 {
		t.at = Checkpoint{}
		return deliver(Entry{Err: fmt.Errorf("%w: rows written to %s after the adapter stopped may be lost to it; if the old file was compressed or moved away, unpack it beside the present one and start the adapter once with its checkpoint, or compare with the CDR table", ErrLost, t.Path)})
	}
	for _, path := range rotated {
		if err := t.open(path, deliver); err != nil {
			return err
		}
		if err := t.finish(ctx, deliver); err != nil {
			return err
		}
	}
	return nil
}

// rotated lists the file of the checkpoint and those that followed it, oldest
// first, without the present one. Empty means that it is not there.
func (t *Tail) rotated() ([]string, error) {
	dir, base := filepath.Split(t.Path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return nil, fmt.Errorf("look for the rotated CDR file: %w", err)
	}
	type old struct {
		path string
		info os.FileInfo
	}
	var found []old
	for _, entry := range entries {
		if entry.Name() == base || !strings.HasPrefix(entry.Name(), base) || !entry.Type().IsRegular() {
			continue
		}
		if info, err := entry.Info(); err == nil {
			found = append(found, old{filepath.Join(dir, entry.Name()), info})
		}
	}
	slices.SortFunc(found, func(a, b old) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	first := slices.IndexFunc(found, func(o old) bool { return t.at.of(o.info) })
	if first < 0 {
		return nil, nil
	}
	var paths []string
	for _, o := range found[first:] {
		switch filepath.Ext(o.path) {
		case ".gz", ".xz", ".bz2", ".zst":
			continue
		}
		paths = append(paths, o.path)
	}
	return paths, nil
}

// open opens a file to follow: from the checkpoint if it is that file's, else
// from its beginning.
func (t *Tail) open(path string, deliver func(Entry) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the CDR file: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open the CDR file: %w", err), file.Close())
	}
	t.closeFile()
	t.file, t.from = file, file
	if !t.at.of(info) {
		t.at = Checkpoint{}
		t.at.Device, t.at.Inode = identity(info)
	}
	t.reset(t.at)
	return t.intact(deliver)
}

// reset goes to a checkpoint of the open file.
func (t *Tail) reset(at Checkpoint) {
	t.at, t.read, t.buf, t.skipping = at, at.Offset, t.buf[:0], false
}

// intact reports when what was read is no longer there, and begins again.
func (t *Tail) intact(deliver func(Entry) error) error {
	info, err := t.file.Stat()
	if err != nil {
		return fmt.Errorf("the CDR file: %w", err)
	}
	problem := error(nil)
	if info.Size() < t.read {
		problem = fmt.Errorf("%w: it has %d bytes and %d were read; it is read again from its start, and rows that were cut off unread are lost: rotate by renaming (logrotate's create, not copytruncate)", ErrTruncated, info.Size(), t.read)
	} else if same, err := t.at.verify(t.file); err != nil {
		return err
	} else if !same {
		problem = fmt.Errorf("%w before byte %d; it is read again from its start: compare it with what was anchored, and rotate by renaming (logrotate's create, not copytruncate)", ErrRewritten, t.at.Offset)
	}
	if problem == nil {
		return nil
	}
	line := &LineError{t.Path, t.at.Line, t.at.Offset, problem}
	t.reset(Checkpoint{Device: t.at.Device, Inode: t.at.Inode})
	return deliver(Entry{Err: line, Checkpoint: t.at})
}

// catchUp reads to the end of the file, and of those that replace it.
func (t *Tail) catchUp(ctx context.Context, deliver func(Entry) error) error {
	for {
		if t.file == nil {
			err := t.open(t.Path, deliver)
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
		}
		// Asked before reading: what is written to the old file after this was
		// written by someone who still had it open.
		present, err := os.Stat(t.Path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the CDR file: %w", err)
		}
		replaced := err == nil && !t.at.of(present)
		if err := t.intact(deliver); err != nil {
			return err
		}
		if err := t.drain(deliver); err != nil {
			return err
		}
		if !replaced {
			return nil
		}
		if err := t.finish(ctx, deliver); err != nil {
			return err
		}
	}
}

// finish reads a file that gets no more to its end and closes it.
func (t *Tail) finish(ctx context.Context, deliver func(Entry) error) error {
	if err := t.drain(deliver); err != nil {
		return err
	}
	if err := t.awaitEnd(ctx, deliver); err != nil {
		return err
	}
	if err := t.rest(deliver); err != nil {
		return err
	}
	t.closeFile()
	// The next file may get this one's inode.
	t.at = Checkpoint{}
	return nil
}

// rest reports what stands at the end of a file and is no whole line.
func (t *Tail) rest(deliver func(Entry) error) error {
	if len(t.buf) == 0 || t.skipping {
		return nil
	}
	return t.bad(len(t.buf), fmt.Errorf("%w: %d bytes of a record stand at the end of a file that was rotated", ErrIncomplete, len(t.buf)), deliver)
}

// awaitEnd waits, for as long as a write may take, while a file that was rotated ends
// in the middle of a line: whoever has it open writes on.
func (t *Tail) awaitEnd(ctx context.Context, deliver func(Entry) error) error {
	for len(t.buf) > 0 && !t.skipping {
		info, err := t.file.Stat()
		if err != nil {
			return fmt.Errorf("the CDR file: %w", err)
		}
		if age := time.Since(info.ModTime()); age > lineWait || age < -lineWait {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lineWait / 40):
		}
		if err := t.drain(deliver); err != nil {
			return err
		}
	}
	return nil
}

// drain delivers every whole record that is in the file.
func (t *Tail) drain(deliver func(Entry) error) error {
	for {
		if err := t.records(deliver); err != nil {
			return err
		}
		n := copy(t.store, t.buf)
		t.buf = t.store[:n]
		got, err := t.from.ReadAt(t.store[n:], t.read)
		t.buf = t.buf[:n+got]
		t.read += int64(got)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the CDR file: %w", err)
		}
		if got == 0 {
			return nil
		}
	}
}

// records delivers what whole records buf holds.
func (t *Tail) records(deliver func(Entry) error) error {
	for {
		end := bytes.IndexByte(t.buf, '\n')
		if t.skipping {
			// The rest of a line that was reported already.
			if end < 0 {
				t.consume(len(t.buf), 0)
				return nil
			}
			t.consume(end+1, 1)
			t.skipping = false
			continue
		}
		if end > MaxLine || end < 0 && len(t.buf) > MaxLine {
			problem := fmt.Errorf("%w: the line is longer than %d bytes", ErrBadRecord, MaxLine)
			t.skipping = end < 0
			if end < 0 {
				end = len(t.buf) - 1
			}
			if err := t.bad(end+1, problem, deliver); err != nil {
				return err
			}
			continue
		}
		if end < 0 {
			return nil
		}
		if len(trimmed(t.buf[:end])) == 0 {
			t.consume(end+1, 1)
			continue
		}
		if bytes.Count(t.buf[:end], []byte{'"'})%2 != 0 {
			whole, err := t.multiline(end)
			if err != nil {
				// Only the first line is given up: the next may be whole.
				if err := t.bad(end+1, err, deliver); err != nil {
					return err
				}
				continue
			}
			if whole == 0 {
				return nil
			}
			end = whole
		}
		raw := bytes.Clone(trimmed(t.buf[:end]))
		row, err := ParseCSV(raw, t.Zone)
		if err != nil {
			if err := t.bad(end+1, err, deliver); err != nil {
				return err
			}
			continue
		}
		t.consume(end+1, int64(1+bytes.Count(t.buf[:end], []byte{'\n'})))
		if err := deliver(Entry{Row: row, Raw: raw, Checkpoint: t.at}); err != nil {
			return err
		}
	}
}

// multiline looks for the end of a record whose first line, up to first, ends
// inside quotes. 0 means that it is not there yet. An error says that the
// first line is no part of a record: such is left by a crash.
func (t *Tail) multiline(first int) (int, error) {
	quotes := bytes.Count(t.buf[:first], []byte{'"'})
	start := first + 1
	for range maxLines {
		n := bytes.IndexByte(t.buf[start:], '\n')
		if n < 0 {
			if len(t.buf) > MaxLine {
				return 0, fmt.Errorf("%w: a quote is not closed within %d bytes", ErrBadRecord, MaxLine)
			}
			return 0, nil
		}
		line := t.buf[start : start+n]
		// Inside a value every quote is doubled, so no value can pose as this.
		if _, err := ParseCSV(trimmed(line), t.Zone); err == nil {
			return 0, fmt.Errorf("%w: a whole record follows an unfinished line; Asterisk was stopped while it wrote", ErrIncomplete)
		}
		quotes += bytes.Count(line, []byte{'"'})
		if quotes%2 == 0 {
			end := start + n
			if _, err := ParseCSV(trimmed(t.buf[:end]), t.Zone); err != nil {
				return 0, err
			}
			return end, nil
		}
		start += n + 1
	}
	return 0, fmt.Errorf("%w: a quote is not closed within %d lines", ErrBadRecord, maxLines)
}

func trimmed(line []byte) []byte { return bytes.TrimSuffix(line, []byte{'\r'}) }

// bad reports the next n bytes as an error and goes on behind them.
func (t *Tail) bad(n int, problem error, deliver func(Entry) error) error {
	err := &LineError{t.Path, t.at.Line + 1, t.at.Offset, problem}
	lines := int64(1)
	if t.skipping {
		lines = 0 // counted at its end
	}
	t.consume(n, lines)
	return deliver(Entry{Err: err, Checkpoint: t.at})
}

// consume moves the checkpoint over the next n bytes of buf.
func (t *Tail) consume(n int, lines int64) {
	last := t.buf[max(0, n-MaxLine):n]
	if n == 0 {
		return
	}
	t.at.LastBytes, t.at.LastDigest = len(last), digest(last)
	t.at.Offset += int64(n)
	t.at.Line += lines
	t.buf = t.buf[n:]
}
