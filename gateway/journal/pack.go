package journal

import (
	"fmt"

	"github.com/klauspost/compress/s2"
)

// What is opaque here is text for the most part, of which half can be saved; the
// disk and what is held of it in memory are the dearer.

const (
	// spare is more than what an entry or a transaction takes beside its payload.
	spare = 2 << 10
	// bytesANumber is what the number of an entry takes in a transaction's.
	bytesANumber = 20
)

// pack makes a payload or an envelope smaller.
func pack(value []byte) []byte { return s2.Encode(nil, value) }

// unpack undoes pack.
func unpack(packed []byte) ([]byte, error) {
	value, err := s2.Decode(nil, packed)
	if err != nil {
		return nil, fmt.Errorf("unpack what the journal holds: %w", err)
	}
	return value, nil
}

// unpackedLength is the length of what was packed.
func unpackedLength(packed []byte) (int, error) {
	length, err := s2.DecodedLen(packed)
	if err != nil {
		return 0, fmt.Errorf("read the length of what the journal holds: %w", err)
	}
	return length, nil
}
