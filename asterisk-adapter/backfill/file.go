package backfill

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrPacked is about a file that is packed in a way that is not read here.
var ErrPacked = errors.New("the file is packed")

// packings are what files begin with that are packed, and how they are read; nil where
// they are not.
var packings = []struct {
	name   string
	begins []byte
	unpack func(io.Reader) (io.Reader, error)
}{
	{"gzip", []byte{0x1f, 0x8b}, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
	{"bzip2", []byte("BZh"), func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
	{"xz", []byte{0xfd, '7', 'z', 'X', 'Z', 0}, nil},
	{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, nil},
}

// open opens a file of CDRs, packed by logrotate or not; read is told of the bytes that
// are read of it, as it lies there.
func open(path string, read func(int64)) (io.Reader, io.Closer, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("open the file of CDRs: %w", err)
	}
	unpacked, err := unpack(io.TeeReader(file, counter(read)))
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return unpacked, file, nil
}

func unpack(from io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(from, 256<<10)
	head, err := buffered.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the file of CDRs: %w", err)
	}
	for _, one := range packings {
		switch {
		case !bytes.HasPrefix(head, one.begins):
			continue
		case one.unpack == nil:
			return nil, fmt.Errorf("%w with %s: unpack it first", ErrPacked, one.name)
		}
		unpacked, err := one.unpack(buffered)
		if err != nil {
			return nil, fmt.Errorf("unpack the file of CDRs: %w", err)
		}
		return unpacked, nil
	}
	return buffered, nil
}

// counter counts what is written to it.
type counter func(int64)

func (c counter) Write(p []byte) (int, error) {
	c(int64(len(p)))
	return len(p), nil
}
