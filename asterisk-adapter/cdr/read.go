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
	source := &stream{from: from}
	t := &Tail{Path: path, Zone: zone, from: source, store: make([]byte, chunk+2*MaxLine)}
	switch err := t.drain(deliver); {
	case err != nil && source.broken:
		// What came before counts.
		return errors.Join(t.records(deliver), err)
	case err != nil:
		return err
	}
	return t.rest(deliver)
}

// stream has a reader look like a file that is read from its beginning on.
type stream struct {
	from io.Reader
	// broken says that it could not be read to its end.
	broken bool
}

// ReadAt reads on: it is asked for one stretch after the other. A packed file that is cut
// short ends with io.ErrUnexpectedEOF.
func (s *stream) ReadAt(p []byte, _ int64) (int, error) {
	n := 0
	for n < len(p) {
		got, err := s.from.Read(p[n:])
		n += got
		if err != nil {
			s.broken = !errors.Is(err, io.EOF)
			return n, err //nolint:wrapcheck // Tail says what it was doing
		}
	}
	return n, nil
}
