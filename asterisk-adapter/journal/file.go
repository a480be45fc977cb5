package journal

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// FileKnown answers whether a recording's file was closed into a segment.
func (j *Journal) FileKnown(path string) (*File, bool, error) {
	var file *File
	err := j.db.View(func(tx *bbolt.Tx) error {
		stored := tx.Bucket(bucketRecordings).Get([]byte(path))
		if stored == nil {
			return nil
		}
		file = &File{}
		return decode(stored, file)
	})
	if err != nil {
		return nil, false, fmt.Errorf("look up the recording: %w", err)
	}
	return file, file != nil, nil
}

// SetFile notes a file that needs no segment: the ledger has it from an earlier
// epoch.
func (j *Journal) SetFile(file *File) error {
	if err := j.db.Update(func(tx *bbolt.Tx) error { return putFile(tx, file) }); err != nil {
		return fmt.Errorf("note the recording: %w", err)
	}
	return nil
}

func putFile(tx *bbolt.Tx, file *File) error {
	text, err := encode(file)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketRecordings).Put([]byte(file.Path), text)
}
