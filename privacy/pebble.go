package privacy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"
	"github.com/klauspost/compress/s2"
)

// maxUnpacked bounds what a value is unpacked to: more is no value of a journal.
const maxUnpacked = 256 << 20

// entry searches a key and its value, also what the value packs by S2, as a
// gateway's journal does.
func (w *walk) entry(key, value []byte, place string) {
	w.report.Entries++
	where := func(int) string { return place }
	w.look(key, where)
	w.look(value, where)
	if length, err := s2.DecodedLen(value); err != nil || length > maxUnpacked {
		return
	}
	if unpacked, err := s2.Decode(nil, value); err == nil {
		w.look(unpacked, func(int) string { return place + ", packed" })
	}
}

// pebbleTable searches every entry of a table of Pebble, also those that were deleted
// or replaced.
func (w *walk) pebbleTable(path string) (err error) {
	file, err := vfs.Default.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	reader, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	entries, err := reader.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, entries.Close()) }()
	n := 0
	for one := entries.First(); one != nil; one = entries.Next() {
		n++
		value, _, err := one.Value(nil)
		if err != nil {
			return err
		}
		w.entry(one.K.UserKey, value, fmt.Sprintf("entry %d of the table", n))
	}
	return entries.Error()
}

// pebbleLog searches every entry of a log of Pebble. A log that was used before ends
// where the older one's rest begins, and what a crash tore was searched as it is.
func (w *walk) pebbleLog(path string) error {
	folder, name := filepath.Split(path)
	logs, err := wal.Scan(wal.Dir{FS: vfs.Default, Dirname: folder})
	if err != nil {
		return err
	}
	for _, one := range logs {
		if one.Num.String() == strings.TrimSuffix(name, ".log") {
			return w.pebbleRecords(one.OpenForRead())
		}
	}
	return nil
}

func (w *walk) pebbleRecords(log wal.Reader) (err error) {
	defer func() { err = errors.Join(err, log.Close()) }()
	for n := 1; ; n++ {
		var content []byte
		from, _, err := log.NextRecord()
		if err == nil {
			content, err = io.ReadAll(from)
		}
		switch {
		case errors.Is(err, io.EOF), record.IsInvalidRecord(err):
			return nil
		case err != nil:
			return err
		}
		place := fmt.Sprintf("record %d of the log", n)
		w.look(content, func(int) string { return place })
		for batch := batchrepr.Read(content); ; {
			_, key, value, more, err := batch.Next()
			if err != nil {
				return err
			}
			if !more {
				break
			}
			w.entry(key, value, place)
		}
	}
}
