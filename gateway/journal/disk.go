package journal

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// lookAgain is how soon it is tried again on a full disk.
const lookAgain = 20 * time.Millisecond

// patient is the filesystem that Pebble writes to. Pebble panics, with its locks in
// disorder, where a write-ahead log cannot be closed or the next one made, and gives
// up where a manifest cannot be written. So on a full disk, once the reserve is given
// up and that was not enough, these wait here until there is space. Only a table may
// fail: Pebble removes what it has written of it, which makes room, and tries again.
//
// What else befalls a write-ahead log fails the journal, and the call never returns.
// That holds for an fsync of whatever error, a full disk's too: the next one may
// succeed without having written what this one lost.
type patient struct {
	vfs.FS
	journal *Journal
}

// Unwrap is the filesystem underneath.
func (p patient) Unwrap() vfs.FS { return p.FS }

// full says whether an error is a full disk's, or a quota's.
func full(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// table says whether Pebble does without a file.
func table(name string) bool {
	extension := filepath.Ext(name)
	return extension == ".sst" || extension == ".blob"
}

// logFile says whether a file is a write-ahead log.
func logFile(name string) bool { return filepath.Ext(name) == ".log" }

// write does what needs space, again for as long as there is none.
func (p patient) write(name string, do func() error) error {
	err := do()
	for full(err) {
		p.journal.reserve.spend()
		if err = do(); !full(err) {
			break
		}
		if !p.journal.running.Load() {
			return err // it can still be refused to open
		}
		time.Sleep(lookAgain)
		if table(name) {
			return err
		}
		err = do()
	}
	return p.last(logFile(name), err)
}

// last does not come back with an error on what Pebble cannot do without.
func (p patient) last(vital bool, err error) error {
	if err == nil || !vital || !p.journal.running.Load() {
		return err
	}
	p.journal.fail(err)
	select {}
}

func (p patient) file(name string, open func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	err := p.write(name, func() (err error) { file, err = open(); return err })
	if err != nil {
		return nil, err
	}
	return patientFile{file, name, logFile(name), p}, nil
}

// Create makes a file.
func (p patient) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return p.file(name, func() (vfs.File, error) { return p.FS.Create(name, category) })
}

// ReuseForWrite renames a file and opens it.
func (p patient) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return p.file(name, func() (vfs.File, error) { return p.FS.ReuseForWrite(old, name, category) })
}

// OpenReadWrite opens a file.
func (p patient) OpenReadWrite(name string, category vfs.DiskWriteCategory, options ...vfs.OpenOption) (vfs.File, error) {
	return p.file(name, func() (vfs.File, error) { return p.FS.OpenReadWrite(name, category, options...) })
}

// OpenDir opens a folder. A log that is made is in it once it is fsynced.
func (p patient) OpenDir(name string) (vfs.File, error) {
	file, err := p.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return patientFile{file, name, true, p}, nil
}

// Link links.
func (p patient) Link(old, name string) error {
	return p.write(name, func() error { return p.FS.Link(old, name) })
}

// Rename renames.
func (p patient) Rename(old, name string) error {
	return p.write(name, func() error { return p.FS.Rename(old, name) })
}

// MkdirAll makes folders.
func (p patient) MkdirAll(name string, mode os.FileMode) error {
	return p.write(name, func() error { return p.FS.MkdirAll(name, mode) })
}

// Lock makes a file and locks it.
func (p patient) Lock(name string) (io.Closer, error) {
	var held io.Closer
	err := p.write(name, func() (err error) { held, err = p.FS.Lock(name); return err })
	return held, err
}

// patientFile is a file of it.
type patientFile struct {
	vfs.File
	name  string
	vital bool
	disk  patient
}

// Write writes all of it, if anything.
func (f patientFile) Write(text []byte) (int, error) {
	written := 0
	err := f.disk.write(f.name, func() error {
		n, err := f.File.Write(text[written:])
		written += n
		return err
	})
	return written, err
}

// WriteAt does so at a place.
func (f patientFile) WriteAt(text []byte, at int64) (int, error) {
	written := 0
	err := f.disk.write(f.name, func() error {
		n, err := f.File.WriteAt(text[written:], at+int64(written))
		written += n
		return err
	})
	return written, err
}

// Sync is fsync.
func (f patientFile) Sync() error { return f.disk.last(f.vital, f.File.Sync()) }

// SyncData is fdatasync.
func (f patientFile) SyncData() error { return f.disk.last(f.vital, f.File.SyncData()) }

// SyncTo is sync_file_range, or fdatasync.
func (f patientFile) SyncTo(length int64) (bool, error) {
	whole, err := f.File.SyncTo(length)
	return whole, f.disk.last(f.vital, err)
}

// Close closes it.
func (f patientFile) Close() error { return f.disk.last(f.vital, f.File.Close()) }
