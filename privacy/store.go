package privacy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/syndtr/goleveldb/leveldb/journal"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/table"
)

// kind is what a file must be decoded as. Everything else stands in files as it
// is: Fabric's block files are protobuf, and bbolt does not compress.
type kind int

const (
	kindPlain kind = iota
	// kindTable is a table of LevelDB: blocks compressed by Snappy, keys without
	// what they share with the one before.
	kindTable
	// kindLog is a log of LevelDB: records split over blocks of 32 KiB.
	kindLog
	kindGzip
	// kindPebbleTable and kindPebbleLog are Pebble's, in a form of its own.
	kindPebbleTable
	kindPebbleLog
)

func kindOf(file io.ReaderAt, path string) kind {
	start := make([]byte, 2)
	if _, err := file.ReadAt(start, 0); err == nil && bytes.Equal(start, []byte{0x1f, 0x8b}) {
		return kindGzip
	}
	folder, name := filepath.Split(path)
	if marks, _ := filepath.Glob(filepath.Join(folder, "marker.manifest.*")); len(marks) > 0 {
		switch filepath.Ext(name) {
		case ".sst":
			return kindPebbleTable
		case ".log":
			return kindPebbleLog
		default:
			return kindPlain
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "CURRENT")); err != nil {
		return kindPlain
	}
	manifest, _ := filepath.Match("MANIFEST-*", name)
	switch extension := filepath.Ext(name); {
	case extension == ".ldb" || extension == ".sst":
		return kindTable
	case extension == ".log" || manifest:
		return kindLog
	default:
		return kindPlain
	}
}

// table searches every entry of a table, also those that were deleted or replaced
// and no reader of the database sees.
func (w *walk) table(file *os.File, size int64) error {
	reader, err := table.NewReader(file, size, storage.FileDesc{Type: storage.TypeTable}, nil, nil, &opt.Options{Strict: opt.StrictAll})
	if err != nil {
		return err
	}
	defer reader.Release()
	entries := reader.NewIterator(nil, nil)
	defer entries.Release()
	for n := 1; entries.Next(); n++ {
		w.report.Entries++
		place := func(int) string { return fmt.Sprintf("entry %d of the table", n) }
		w.look(entries.Key(), place)
		w.look(entries.Value(), place)
	}
	return entries.Error()
}

// log searches every record of a log. A torn record at its end, which a crash
// leaves, was searched as it is.
func (w *walk) log(file *os.File) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	records := journal.NewReader(file, nil, false, true)
	for n := 1; ; n++ {
		record, err := records.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		content, err := io.ReadAll(record)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			continue
		}
		if err != nil {
			return err
		}
		w.report.Entries++
		w.look(content, func(int) string { return fmt.Sprintf("record %d of the log", n) })
	}
}
