package journal

import (
	"errors"
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
	return errors.Join(
		tx.Bucket(bucketRecordings).Put([]byte(file.Path), text),
		// Recorded into again, it is bound again.
		tx.Bucket(bucketBindings).Delete([]byte(file.Path)),
		tx.Bucket(bucketRemains).Delete([]byte(file.Path)),
	)
}

// Accounted says whether a recording is that of a file known, other than the one named.
func (j *Journal) Accounted(recordingID, but string) (accounted bool, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketRecordings).ForEach(func(path, stored []byte) error {
			if accounted || string(path) == but {
				return nil
			}
			file := &File{}
			if err := decode(stored, file); err != nil {
				return err
			}
			accounted = file.RecordingID == recordingID
			return nil
		})
	})
	if err != nil {
		return false, fmt.Errorf("look for a recording's file: %w", err)
	}
	return accounted, nil
}
