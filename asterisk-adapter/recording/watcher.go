package recording

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Source says how it became known that a recording is closed.
type Source string

// Sources, the surest first.
const (
	// Marker: MixMonitor's post-process command left its marker.
	Marker Source = "marker"
	// Finished: ARI said RecordingFinished with state done.
	Finished Source = "ari"
	// CloseWrite: a writer closed the file.
	CloseWrite Source = "close-write"
	// Found: the file was there at the start or after events were lost.
	Found Source = "found"
)

// Closed is a recording whose file nobody writes any more.
type Closed struct {
	// Path of the file. For a marker without a file it is where the file was
	// expected, and Size is -1.
	Path string
	// UniqueID is the channel that was recorded, from the file's name; empty
	// for one named otherwise.
	UniqueID string
	// Track is the word in the file's name for which voices are on it, such as
	// "received"; see TrackOf. Empty where there is none.
	Track    string
	Size     int64
	Modified time.Time
	Source   Source
	// Noticed is when the watcher knew.
	Noticed time.Time
}

// state tells one content of a file from the next: a file that is appended to
// is told of again.
type state struct {
	size     int64
	modified time.Time
}

// DefaultNames are the names of pbx's dialplan (UNIQUEID.wav) and of FreePBX
// (…-YYYYMMDD-HHMMSS-UNIQUEID.wav), either with a word for which voices are on it:
// UNIQUEID-received.wav. Each has a group named uniqueid, and may have one named track.
var DefaultNames = []*regexp.Regexp{
	regexp.MustCompile(`^` + uniqueIDPart + trackPart),
	regexp.MustCompile(`-\d{8}-\d{6}-` + uniqueIDPart + trackPart),
}

const (
	uniqueIDPart = `(?P<uniqueid>(?:[A-Za-z0-9._]+-)?\d{9,11}\.\d+)`
	trackPart    = `(?:[-_](?P<track>[A-Za-z][A-Za-z0-9]*))?\.[A-Za-z0-9]+$`
)

var uniqueIDName = regexp.MustCompile(`^(?:[A-Za-z0-9._]+-)?\d{9,11}\.\d+$`)

// Options says what to watch.
type Options struct {
	// Folders hold recordings, with their subfolders.
	Folders []string
	// ClosedFolder gets the markers; empty means there are none.
	ClosedFolder string
	// Names are what recordings are called; a group named uniqueid is the
	// channel. Empty means DefaultNames.
	Names []*regexp.Regexp
	// Since leaves files out at the start that were last written before it.
	Since time.Time
	// Done says that this very content was dealt with, in an earlier run for
	// instance. Optional.
	Done func(path string, size int64, modified time.Time) bool
}

// Watcher tells of recordings once each, at the first of several signs that
// the file is closed; a hang-up is none.
type Watcher struct {
	opts Options
	in   *inotify

	finished chan Closed

	mu    sync.Mutex
	told  map[string]state    // by path, what was delivered
	byID  map[string][]string // paths of a channel's files
	acked map[string]struct{} // paths whose delivered state was acknowledged
}

// NewWatcher checks the folders and starts to collect signs; Run delivers.
func NewWatcher(opts Options) (*Watcher, error) {
	if len(opts.Names) == 0 {
		opts.Names = DefaultNames
	}
	for _, name := range opts.Names {
		if name.SubexpIndex("uniqueid") < 0 {
			return nil, fmt.Errorf("recording name pattern %q has no group (?P<uniqueid>…)", name)
		}
	}
	in, err := newInotify()
	if err != nil {
		return nil, err
	}
	w := &Watcher{
		opts: opts, in: in, finished: make(chan Closed, 64),
		told: make(map[string]state), byID: make(map[string][]string), acked: make(map[string]struct{}),
	}
	if opts.ClosedFolder != "" {
		if err := in.watch(opts.ClosedFolder, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO); err != nil {
			return nil, errors.Join(fmt.Errorf("folder for markers: %w: make it, writable for Asterisk, as pbx/README.md shows", err), in.close())
		}
	}
	for _, folder := range opts.Folders {
		if err := w.watchTree(folder); err != nil {
			return nil, errors.Join(fmt.Errorf("recording folder: %w", err), in.close())
		}
	}
	return w, nil
}

func (w *Watcher) watchTree(folder string) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if path != folder && errors.Is(err, fs.ErrNotExist) {
				return nil // removed while we walked
			}
			return err
		}
		if !entry.IsDir() {
			return nil
		}
		err = w.in.watch(path, unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO|unix.IN_CREATE)
		if errors.Is(err, unix.ENOENT) && path != folder {
			return nil
		}
		return err
	})
}

// Run delivers recordings, one at a time, until the context ends or deliver
// fails: first what is there already, then what gets closed.
func (w *Watcher) Run(ctx context.Context, deliver func(Closed) error) error {
	defer context.AfterFunc(ctx, func() { _ = w.in.close() })()
	defer w.in.close() //nolint:errcheck // it only watched

	type batch struct {
		changes  []change
		overflow bool
		err      error
	}
	batches := make(chan batch)
	go func() {
		for {
			var b batch
			b.changes, b.overflow, b.err = w.in.read()
			select {
			case batches <- b:
			case <-ctx.Done():
				return
			}
			if b.err != nil {
				return
			}
		}
	}()
	if err := w.scan(deliver); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case c := <-w.finished:
			if err := w.tell(c, deliver); err != nil {
				return err
			}
		case b := <-batches:
			if b.err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return fmt.Errorf("watch recordings: %w", b.err)
			}
			for _, c := range b.changes {
				if err := w.changed(c, deliver); err != nil {
					return err
				}
			}
			if b.overflow {
				if err := w.scan(deliver); err != nil {
					return err
				}
			}
		}
	}
}

// Finished tells the watcher that ARI finished a recording. It may be called
// from any goroutine while Run runs.
func (w *Watcher) Finished(ctx context.Context, path string) {
	select {
	case w.finished <- w.closed(path, Finished, time.Now()):
	case <-ctx.Done():
	}
}

func (w *Watcher) changed(c change, deliver func(Closed) error) error {
	now := time.Now()
	if c.dir == w.opts.ClosedFolder {
		return w.marker(c.name, now, deliver)
	}
	if c.mask&unix.IN_ISDIR != 0 {
		if c.mask&(unix.IN_CREATE|unix.IN_MOVED_TO) == 0 {
			return nil
		}
		if closed := w.closed(c.path(), Found, now); closed.UniqueID != "" {
			if err := w.tell(closed, deliver); err != nil { // a folder that is called like a recording
				return err
			}
		}
		if err := w.watchTree(c.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// Files may have come before the watch did.
		return w.scanFolder(c.path(), deliver)
	}
	if c.mask&(unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO) == 0 && regular(c.path()) {
		return nil // it was just created; a link or a pipe is never closed
	}
	closed := w.closed(c.path(), CloseWrite, now)
	if closed.UniqueID == "" && !IsAudio(c.name) {
		return nil
	}
	return w.tell(closed, deliver)
}

// regular says whether a file is one, or is gone.
func regular(path string) bool {
	info, err := os.Lstat(path)
	return err != nil || info.Mode().IsRegular()
}

// closed is what a file's name tells.
func (w *Watcher) closed(path string, source Source, noticed time.Time) Closed {
	id, track := parse(w.opts.Names, path)
	return Closed{Path: path, UniqueID: id, Track: track, Source: source, Noticed: noticed}
}

// marker deals with a marker: an empty file named by the recorded channel.
func (w *Watcher) marker(name string, now time.Time, deliver func(Closed) error) error {
	if !uniqueIDName.MatchString(name) {
		return nil
	}
	owed := false
	for _, path := range w.find(name) {
		if w.acknowledged(path) {
			continue
		}
		owed = true
		closed := w.closed(path, Marker, now)
		closed.UniqueID = name
		if err := w.tell(closed, deliver); err != nil {
			return err
		}
	}
	if !owed {
		w.removeMarker(name)
	}
	return nil
}

// tell delivers a recording unless this very content was delivered before.
func (w *Watcher) tell(c Closed, deliver func(Closed) error) error {
	info, err := os.Lstat(c.Path)
	switch {
	case err == nil:
		c.Size, c.Modified = info.Size(), info.ModTime()
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("recording: %w", err)
	case c.Source == Marker || c.Source == Finished:
		c.Size = -1
	default:
		return nil // removed or moved on since
	}
	w.mu.Lock()
	now := state{c.Size, c.Modified}
	if w.told[c.Path] == now {
		w.mu.Unlock()
		return nil
	}
	w.told[c.Path] = now
	delete(w.acked, c.Path)
	if c.UniqueID != "" && c.Size >= 0 && !slices.Contains(w.byID[c.UniqueID], c.Path) {
		w.byID[c.UniqueID] = append(w.byID[c.UniqueID], c.Path)
	}
	w.mu.Unlock()
	if w.opts.Done != nil && w.opts.Done(c.Path, c.Size, c.Modified) {
		w.Acknowledge(c)
		return nil
	}
	return deliver(c)
}

// Acknowledge says that a recording is dealt with for good: once all of its channel's
// are, the marker is removed. Until then a restart tells of it again.
func (w *Watcher) Acknowledge(c Closed) {
	w.mu.Lock()
	current := w.told[c.Path] == state{c.Size, c.Modified}
	if current {
		w.acked[c.Path] = struct{}{}
	}
	w.mu.Unlock()
	if !current || c.UniqueID == "" {
		return
	}
	if c.Size >= 0 && !w.acknowledged(c.Path) {
		return // a file that was written to again has a marker that is still owed
	}
	w.mu.Lock()
	others := slices.Clone(w.byID[c.UniqueID])
	w.mu.Unlock()
	if !slices.ContainsFunc(others, func(path string) bool { return path != c.Path && !w.acknowledged(path) }) {
		w.removeMarker(c.UniqueID)
	}
}

// acknowledged says whether a file is as it was when it was acknowledged.
func (w *Watcher) acknowledged(path string) bool {
	w.mu.Lock()
	_, acked := w.acked[path]
	was := w.told[path]
	w.mu.Unlock()
	if !acked {
		return false
	}
	info, err := os.Lstat(path)
	return err == nil && info.Size() == was.size && info.ModTime().Equal(was.modified)
}

func (w *Watcher) removeMarker(uniqueID string) {
	if w.opts.ClosedFolder != "" && uniqueIDName.MatchString(uniqueID) {
		// Most often not there yet: close-write came first. The marker is then
		// removed when it comes.
		_ = os.Remove(filepath.Join(w.opts.ClosedFolder, uniqueID))
	}
}

// find returns the files of a channel, or where its file was expected.
func (w *Watcher) find(uniqueID string) []string {
	w.mu.Lock()
	found := slices.Clone(w.byID[uniqueID])
	w.mu.Unlock()
	if len(found) > 0 {
		return found
	}
	for _, folder := range w.opts.Folders {
		direct := filepath.Join(folder, uniqueID+".wav")
		if _, err := os.Lstat(direct); err == nil {
			return []string{direct}
		}
	}
	for _, folder := range w.opts.Folders {
		_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error { // best effort: a missing file is told of as such
			if err == nil && !entry.IsDir() {
				if id, _ := parse(w.opts.Names, entry.Name()); id == uniqueID {
					found = append(found, path)
				}
			}
			return nil
		})
	}
	if len(found) == 0 && len(w.opts.Folders) > 0 {
		found = append(found, filepath.Join(w.opts.Folders[0], uniqueID+".wav"))
	}
	return found
}

// scan tells of what is there: markers first, they are sure.
func (w *Watcher) scan(deliver func(Closed) error) error {
	if w.opts.ClosedFolder != "" {
		entries, err := os.ReadDir(w.opts.ClosedFolder)
		if err != nil {
			return fmt.Errorf("folder for markers: %w", err)
		}
		for _, entry := range entries {
			if err := w.marker(entry.Name(), time.Now(), deliver); err != nil {
				return err
			}
		}
	}
	for _, folder := range w.opts.Folders {
		if err := w.scanFolder(folder, deliver); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watcher) scanFolder(folder string, deliver func(Closed) error) error {
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		closed := w.closed(path, Found, time.Now())
		if closed.UniqueID == "" && (entry.IsDir() || !IsAudio(entry.Name())) || path == folder {
			return nil
		}
		info, err := entry.Info()
		if err != nil || info.ModTime().Before(w.opts.Since) {
			return nil //nolint:nilerr // gone since
		}
		if open, err := beingWritten(path); open || errors.Is(err, ErrMissing) {
			return nil // its close-write will come
		}
		return w.tell(closed, deliver)
	})
}

// beingWritten says whether someone has the file open for writing, or a WAV's
// sizes are not written yet.
func beingWritten(path string) (bool, error) {
	file, _, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	if _, err := refuseWriters(file); err != nil {
		return true, nil
	}
	return false, nil
}

// Forget drops what is remembered of files last written before the given
// time, so that memory does not grow with the years.
func (w *Watcher) Forget(before time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for path, was := range w.told {
		if was.modified.Before(before) {
			delete(w.told, path)
			delete(w.acked, path)
			for id, paths := range w.byID {
				if paths = slices.DeleteFunc(paths, func(one string) bool { return one == path }); len(paths) == 0 {
					delete(w.byID, id)
				} else {
					w.byID[id] = paths
				}
			}
		}
	}
}
