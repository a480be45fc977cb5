package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// keyBytes is the length of a key and of a slot.
const keyBytes = 32

// slotsHeader fills the place of the first slot and says what the file is.
var slotsHeader = []byte("callseal record keys, slots v2\n\n")

// slots is a file of keys in slots of equal size. An overwritten slot is zeros and
// is not used again.
type slots struct {
	file *os.File
	next int64 // the first that was never used
}

func openSlots(path string) (*slots, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the keys %s: %w", path, err)
	}
	header := make([]byte, keyBytes)
	switch n, err := file.ReadAt(header, 0); {
	case n < keyBytes && errors.Is(err, io.EOF) && bytes.Equal(header[:n], slotsHeader[:n]):
		// New, or a crash came while it was made.
		_, err := file.WriteAt(slotsHeader, 0)
		if err == nil {
			err = errors.Join(file.Sync(), syncFolder(path))
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make the keys %s: %w", path, err), file.Close())
		}
	case err != nil && !errors.Is(err, io.EOF), !bytes.Equal(header, slotsHeader):
		return nil, errors.Join(fmt.Errorf("%s is no file of keys: %w", path, errors.Join(err, errWrongFile)), file.Close())
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the keys %s: %w", path, err), file.Close())
	}
	// A key that a crash cut short belongs to nobody.
	return &slots{file: file, next: (info.Size() - 1) / keyBytes}, nil
}

var errWrongFile = errors.New("it does not begin as one")

func (s *slots) close() error { return s.file.Close() }

func place(slot int64) int64 { return (slot + 1) * keyBytes }

// read is the key in a slot, or ErrNoKey where it was overwritten.
func (s *slots) read(slot int64) ([]byte, error) {
	key := make([]byte, keyBytes)
	if _, err := s.file.ReadAt(key, place(slot)); err != nil {
		return nil, fmt.Errorf("read a key: %w", err)
	}
	if bytes.Equal(key, make([]byte, keyBytes)) {
		return nil, ErrNoKey
	}
	return key, nil
}

// batch are keys on their way into the file.
type batch struct {
	first int64
	keys  []byte
}

func (s *slots) begin() *batch { return &batch{first: s.next} }

// add answers the slot of a key.
func (b *batch) add(key []byte) int64 {
	b.keys = append(b.keys, key...)
	return b.first + int64(len(b.keys)/keyBytes) - 1
}

// key is a key of the batch, nil for one of another.
func (b *batch) key(slot int64) []byte {
	if b == nil || slot < b.first || slot >= b.first+int64(len(b.keys)/keyBytes) {
		return nil
	}
	from := (slot - b.first) * keyBytes
	return b.keys[from : from+keyBytes]
}

// append writes a batch, on disk when it returns. One at a time: the
// keyring sees to it. Slots of a batch that the index does not come to name stay
// unused.
func (s *slots) append(b *batch) error {
	if len(b.keys) == 0 {
		return nil
	}
	s.next += int64(len(b.keys) / keyBytes)
	if _, err := s.file.WriteAt(b.keys, place(b.first)); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("write keys: %w", errors.Join(errUnsynced, err))
	}
	return nil
}

// errUnsynced is in the chain of errors of an fsync.
var errUnsynced = errors.New("it is not known to be on disk")

// overwrite fills slots with zeros, on disk when it returns.
func (s *slots) overwrite(which []int64) error {
	for _, slot := range which {
		if slot >= s.next {
			continue // a crash came before it was written
		}
		if _, err := s.file.WriteAt(make([]byte, keyBytes), place(slot)); err != nil {
			return fmt.Errorf("overwrite a key: %w", err)
		}
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("overwrite a key: %w", errors.Join(errUnsynced, err))
	}
	return nil
}
