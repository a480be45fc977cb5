package journal_test

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// watchedDisk counts what happens to write-ahead logs, and fails them when told.
type watchedDisk struct {
	vfs.FS
	syncs, full atomic.Int64
	broken      atomic.Bool
	// made counts the logs made, unmade those that the disk had no room for;
	// unmakeable fails them.
	made, unmade atomic.Int64
	unmakeable   atomic.Bool
}

func (d *watchedDisk) watch(name string, file vfs.File, err error) (vfs.File, error) {
	if !strings.HasSuffix(name, ".log") {
		return file, err
	}
	if errors.Is(err, syscall.ENOSPC) {
		d.unmade.Add(1)
	}
	if err == nil && d.unmakeable.Load() {
		return nil, errors.Join(&os.PathError{Op: "open", Path: name, Err: syscall.EIO}, file.Close())
	}
	if err != nil {
		return nil, err
	}
	d.made.Add(1)
	return watchedFile{file, d}, nil
}

func (d *watchedDisk) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := d.FS.Create(name, category)
	return d.watch(name, file, err)
}

func (d *watchedDisk) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := d.FS.ReuseForWrite(old, name, category)
	return d.watch(name, file, err)
}

type watchedFile struct {
	vfs.File
	disk *watchedDisk
}

func (f watchedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	if errors.Is(err, syscall.ENOSPC) {
		f.disk.full.Add(1)
	}
	return n, err
}

func (f watchedFile) sync(do func() error) error {
	f.disk.syncs.Add(1)
	if f.disk.broken.Load() {
		return &os.PathError{Op: "sync", Err: syscall.EIO}
	}
	return do()
}

func (f watchedFile) Sync() error     { return f.sync(f.File.Sync) }
func (f watchedFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f watchedFile) SyncTo(length int64) (bool, error) {
	full := false
	err := f.sync(func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}
