package cdr

import (
	"errors"
	"io"
	"time"
)

// Read delivers every record of a file that gets no more, such as a rotated one,
// unpacked where it was packed. Path names it in errors. A line that cannot be taken is
// delivered as an entry with an error, as [Tail] does, and reading goes on; what is
// answered is an error of from or of deliver.
func Read(from io.Reader, path string, zone *time.Location, deliver func(Entry) error) error {
	t := &Tail{Path: path, Zone: zone, from: &stream{from}, store: make([]byte, chunk+2*MaxLine)}
	if err := t.drain(deliver); err != nil {
		return err
	}
	return t.rest(deliver)
}

// stream has a reader look like a file that is read from its beginning on.
type stream struct{ from io.Reader }

// ReadAt reads on: it is asked for one stretch after the other.
func (s *stream) ReadAt(p []byte, _ int64) (int, error) {
	n, err := io.ReadFull(s.from, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return n, io.EOF
	}
	return n, err //nolint:wrapcheck // Tail says what it was doing
}
