package journal

import (
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/callseal/callseal/asterisk-adapter/recording"
)

// Binding says what a recording's file is of, where its name does not.
type Binding struct {
	// UniqueID is the channel's; empty where only the method is known.
	UniqueID string `json:"uniqueid,omitempty"`
	// Method is how it is recorded; see ledger.Recording.
	Method string `json:"method,omitempty"`
}

// Bind keeps what a file that is going to be recorded is of. A file that is recorded
// into again is bound again.
func (j *Journal) Bind(path string, binding Binding) error {
	if before, known, err := j.Binding(path); err != nil || known && before == binding {
		return err
	}
	err := j.db.Update(func(tx *bbolt.Tx) error {
		text, err := encode(binding)
		if err != nil {
			return err
		}
		return tx.Bucket(bucketBindings).Put([]byte(path), text)
	})
	if err != nil {
		return fmt.Errorf("keep whose a recording is: %w", err)
	}
	return nil
}

// Binding answers what a file is of, and whether that is known.
func (j *Journal) Binding(path string) (binding Binding, known bool, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		stored := tx.Bucket(bucketBindings).Get([]byte(path))
		if known = stored != nil; !known {
			return nil
		}
		return decode(stored, &binding)
	})
	if err != nil {
		return Binding{}, false, fmt.Errorf("look up whose a recording is: %w", err)
	}
	return binding, known, nil
}

// KeepRemains keeps what a crash left of a file, before the file is repaired.
func (j *Journal) KeepRemains(path string, remains *recording.Remains) error {
	err := j.db.Update(func(tx *bbolt.Tx) error {
		text, err := encode(remains)
		if err != nil {
			return err
		}
		return tx.Bucket(bucketRemains).Put([]byte(path), text)
	})
	if err != nil {
		return fmt.Errorf("keep what a crash left of a recording: %w", err)
	}
	return nil
}

// Remains answers what a crash left of a file that was repaired, or was going to be,
// and is in no segment since; nil for any other.
func (j *Journal) Remains(path string) (remains *recording.Remains, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		stored := tx.Bucket(bucketRemains).Get([]byte(path))
		if stored == nil {
			return nil
		}
		remains = &recording.Remains{}
		return decode(stored, remains)
	})
	if err != nil {
		return nil, fmt.Errorf("look up what a crash left of a recording: %w", err)
	}
	return remains, nil
}

// HasRecording says whether a recording of a channel is in a segment, or under way: a
// file is bound to it.
func (j *Journal) HasRecording(uniqueID string) (has bool, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		if has = tx.Bucket(bucketRecorded).Get([]byte(uniqueID)) != nil; has {
			return nil
		}
		return tx.Bucket(bucketBindings).ForEach(func(_, stored []byte) error {
			var binding Binding
			err := decode(stored, &binding)
			has = has || binding.UniqueID == uniqueID
			return err
		})
	})
	if err != nil {
		return false, fmt.Errorf("look for a channel's recording: %w", err)
	}
	return has, nil
}
