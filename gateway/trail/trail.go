// Package trail keeps the gateway's audit trail: who did what that needs a
// privilege, and who was denied. It is a folder of files with a JSON object a line,
// each line carrying the hash of the one before, so that a line that was changed or
// taken out shows. What a caller is answered for is on disk before the answer.
package trail

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	suffix = ".jsonl"
	// maxLine bounds a line; ours are some hundred bytes.
	maxLine = 64 << 10
	// spaceCheck is how long an answer about free space is good.
	spaceCheck = time.Second
)

// genesis is what the first line names as the one before it.
var genesis = strings.Repeat("0", 64)

// ErrFull says that the trail's disk has less free than is kept in reserve.
var ErrFull = errors.New("the audit trail's disk is nearly full")

// Trail is an open audit trail. It is safe for concurrent use.
type Trail struct {
	config  Config
	log     *slog.Logger
	metrics *Metrics
	denials denials

	flushing sync.Mutex // taken before mu
	durable  uint64     // the last entry known to be on disk

	mu      sync.Mutex
	file    *os.File
	size    int64
	seq     uint64 // of the last entry
	last    string // its digest
	failure error  // why nothing more can be written
	failed  chan struct{}
	checked time.Time
	space   error
}

// Open opens the trail in its folder, or begins one. An unfinished last line, as a
// crash leaves, is dropped; one that is whole but cannot be read is an error.
func Open(config Config, metrics *Metrics, log *slog.Logger) (*Trail, error) {
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the audit trail's folder: %w", err)
	}
	t := &Trail{config: config, log: log, metrics: metrics, last: genesis, failed: make(chan struct{})}
	t.denials.trail = t
	names, err := files(config.Dir)
	if err != nil {
		return nil, err
	}
	torn := int64(0)
	if len(names) == 0 {
		err = t.begin()
	} else {
		torn, err = t.resume(names)
	}
	if err != nil {
		return nil, err
	}
	if torn > 0 {
		log.Warn("an unfinished line at the audit trail's end was dropped, as a crash leaves it", "bytes", torn)
	}
	position, err := t.append(Entry{Event: Opened, Torn: torn})
	if err == nil {
		err = t.Flush(position)
	}
	if err != nil {
		return nil, errors.Join(err, t.file.Close())
	}
	return t, nil
}

// files are the names of the trail's files, oldest first.
func files(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("read the audit trail's folder: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "audit-") && strings.HasSuffix(entry.Name(), suffix) {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// begin begins the next file.
func (t *Trail) begin() error {
	path := filepath.Join(t.config.Dir, fmt.Sprintf("audit-%020d%s", t.seq+1, suffix))
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("begin a file of the audit trail: %w", err)
	}
	folder, err := os.Open(t.config.Dir)
	if err == nil {
		err = errors.Join(folder.Sync(), folder.Close())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("begin a file of the audit trail: %w", err), file.Close())
	}
	t.file, t.size = file, 0
	return nil
}

// resume goes on after the last whole line, and answers how much follows it.
func (t *Trail) resume(names []string) (torn int64, err error) {
	for len(names) > 0 {
		path := filepath.Join(t.config.Dir, names[len(names)-1])
		content, err := os.ReadFile(path)
		if err != nil {
			return 0, fmt.Errorf("read the audit trail: %w", err)
		}
		// A line is whole when its end is there; a power failure may leave zeros.
		whole := content[:bytes.LastIndexByte(bytes.TrimRight(content, "\x00"), '\n')+1]
		if len(whole) == 0 && len(names) > 1 {
			// The file was begun and nothing came of it.
			torn += int64(len(content))
			if err := os.Remove(path); err != nil {
				return 0, fmt.Errorf("drop an empty file of the audit trail: %w", err)
			}
			names = names[:len(names)-1]
			continue
		}
		if len(whole) > 0 {
			line := whole[bytes.LastIndexByte(whole[:len(whole)-1], '\n')+1:]
			entry, err := parse(line)
			if err != nil {
				return 0, fmt.Errorf("the last line of the audit trail in %s cannot be read: keep the folder for whoever looks into it, and name another in audit.dir: %w", path, err)
			}
			t.seq, t.last = entry.Seq, digest(line)
		}
		if t.file, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
			return 0, fmt.Errorf("open the audit trail: %w", err)
		}
		if err := t.file.Truncate(int64(len(whole))); err != nil {
			return 0, errors.Join(fmt.Errorf("open the audit trail: %w", err), t.file.Close())
		}
		t.size = int64(len(whole))
		return torn + int64(len(content)-len(whole)), nil
	}
	return torn, nil
}

// Begin adds the entry of a call that is about to be carried out. It fails when
// the trail's disk is nearly full: then the call must be refused.
func (t *Trail) Begin(entry Entry) (position uint64, err error) {
	if err := t.room(); err != nil {
		t.metrics.failed()
		return 0, err
	}
	entry.Event = Begun
	return t.append(entry)
}

// End adds what became of a call.
func (t *Trail) End(entry Entry) (position uint64, err error) {
	entry.Event = Ended
	return t.append(entry)
}

// Problem is why privileged calls are refused, nil when they are not.
func (t *Trail) Problem() error {
	t.mu.Lock()
	failure := t.failure
	t.mu.Unlock()
	if failure != nil {
		return failure
	}
	return t.room()
}

// Failed is closed when the disk failed the trail in a way that only a new process can
// go on after; Problem says why.
func (t *Trail) Failed() <-chan struct{} { return t.failed }

// fail ends the trail; the lock is held.
func (t *Trail) fail(err error) error {
	if t.failure == nil {
		t.failure = err
		close(t.failed)
	}
	return t.failure
}

// Head is the last entry's number and digest: kept elsewhere, it proves later that
// the trail's end was not cut off.
func (t *Trail) Head() (seq uint64, digest string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seq, t.last
}

// room fails when less is free than the reserve.
func (t *Trail) room() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.checked) > spaceCheck {
		t.checked, t.space = now, nil
		var disk unix.Statfs_t
		if err := unix.Statfs(t.config.Dir, &disk); err != nil {
			t.space = fmt.Errorf("look for space for the audit trail: %w", err)
		} else if free := disk.Bavail * uint64(disk.Bsize); free < uint64(t.config.Reserve) { //nolint:gosec // sizes are positive
			t.space = fmt.Errorf("%w: %d MiB are free, %s are kept in reserve", ErrFull, free>>20, t.config.Reserve)
		}
	}
	return t.space
}

// append writes one entry; it is on disk when [Trail.Flush] says so.
func (t *Trail) append(entry Entry) (position uint64, err error) {
	defer func() {
		if err != nil {
			t.metrics.failed()
		}
	}()
	t.mu.Lock()
	full := t.size >= int64(t.config.FileSize)
	t.mu.Unlock()
	if full {
		if err := t.rotate(); err != nil {
			return 0, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failure != nil {
		return 0, t.failure
	}
	entry.Seq, entry.Prev, entry.At = t.seq+1, t.last, time.Now().UTC().Truncate(time.Millisecond)
	line, err := entry.line()
	if err != nil {
		return 0, err
	}
	if _, err := t.file.Write(line); err != nil {
		// Half a line would be the end of the chain.
		if undone := t.file.Truncate(t.size); undone != nil {
			return 0, t.fail(fmt.Errorf("the audit trail is damaged and the gateway must be started anew: %w", undone))
		}
		return 0, fmt.Errorf("write the audit trail: %w", err)
	}
	t.seq, t.last, t.size = entry.Seq, digest(line), t.size+int64(len(line))
	t.metrics.wrote(entry.Event)
	return t.seq, nil
}

// rotate begins the next file if the one at hand is still full.
func (t *Trail) rotate() error {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.size < int64(t.config.FileSize) || t.failure != nil {
		return nil
	}
	full := t.file
	if err := full.Sync(); err != nil {
		return t.fail(fmt.Errorf("the audit trail could not be written and the gateway must be started anew: %w", err))
	}
	t.durable = t.seq
	if err := t.begin(); err != nil {
		return err
	}
	t.log.Info("the audit trail goes on in another file", "head", t.last, "entries", t.seq)
	return full.Close()
}

// Flush answers once the entry at a position, and all before it, are on disk. Those
// who wait at the same time share one fsync.
func (t *Trail) Flush(position uint64) error {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	if t.durable >= position {
		return nil
	}
	t.mu.Lock()
	file, upTo, failure := t.file, t.seq, t.failure
	t.mu.Unlock()
	if failure != nil {
		return failure
	}
	if err := file.Sync(); err != nil {
		// What a failed fsync leaves on disk nobody knows.
		err = fmt.Errorf("the audit trail could not be written and the gateway must be started anew: %w", err)
		t.metrics.failed()
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.fail(err)
	}
	t.durable = upTo
	return nil
}

// Close writes what is counted and closes the trail.
func (t *Trail) Close() error {
	t.denials.settle(time.Time{})
	position, head := t.Head()
	err := t.Flush(position)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failure = fs.ErrClosed
	t.log.Info("the audit trail is closed", "head", head, "entries", position)
	return errors.Join(err, t.file.Close())
}
