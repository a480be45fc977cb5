// Package recording tells when a recording's file is closed, and digests it.
package recording

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Why a file is no recording to be anchored (yet). Errors of Digest wrap one.
var (
	// ErrMissing: there is no such file.
	ErrMissing = errors.New("the recording is missing")
	// ErrNotRegular: a symbolic link, pipe, device or folder.
	ErrNotRegular = errors.New("the recording is not a regular file")
	// ErrEmpty: it has no byte.
	ErrEmpty = errors.New("the recording is empty")
	// ErrNoAudio: a header with no audio behind it; an unanswered call leaves
	// such a file.
	ErrNoAudio = errors.New("the recording holds no audio")
	// ErrUnfinished: the sizes in its header are still zero, as while
	// Asterisk writes, or after a crash.
	ErrUnfinished = errors.New("the recording was not finished")
	// ErrGrowing: it changed while it was read, or someone has it open for
	// writing.
	ErrGrowing = errors.New("the recording is still being written")
)

// Digests are what is anchored of a recording's file.
type Digests struct {
	SHA256 [sha256.Size]byte
	SHA512 [sha512.Size]byte
	// Bytes is the file's length.
	Bytes int64
	// MediaType is told from the content: "audio/wav", "audio/gsm" …
	MediaType string
	// Audio is how long a WAV plays; 0 when the format does not say.
	Audio time.Duration
	// Modified is the file's modification time.
	Modified time.Time
}

// block is what is read at a time: the memory a digest takes, whatever the
// recording's length.
const block = 256 << 10

// Digest reads a closed recording once and computes both digests (RFC 6234;
// SHA-512 is what a vCon asks for). It refuses a file that is not complete.
func Digest(ctx context.Context, path string) (Digests, error) {
	name := filepath.Base(path)
	file, before, err := openRegular(path)
	if err != nil {
		return Digests{}, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	if before.Size() == 0 {
		return Digests{}, fmt.Errorf("%w: %s has 0 bytes; was the disk full, or the call never answered?", ErrEmpty, name)
	}
	if err := refuseWriters(file, name); err != nil {
		return Digests{}, err
	}
	var d Digests
	d.Bytes, d.Modified = before.Size(), before.ModTime()

	short, long := sha256.New(), sha512.New()
	buf := make([]byte, block)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return Digests{}, fmt.Errorf("digest %s: %w", name, err)
		}
		n, readErr := io.ReadFull(file, buf)
		if total == 0 && n > 0 {
			if d.MediaType, d.Audio, err = inspect(buf[:n], before.Size(), name); err != nil {
				return Digests{}, err
			}
		}
		short.Write(buf[:n])
		long.Write(buf[:n])
		total += int64(n)
		if errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF) {
			break
		}
		if readErr != nil {
			return Digests{}, fmt.Errorf("read %s: %w", name, readErr)
		}
	}
	after, err := file.Stat()
	if err != nil {
		return Digests{}, fmt.Errorf("stat %s: %w", name, err)
	}
	if total != before.Size() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return Digests{}, fmt.Errorf("%w: %s changed while it was read; wait until Asterisk has closed it", ErrGrowing, name)
	}
	short.Sum(d.SHA256[:0])
	long.Sum(d.SHA512[:0])
	return d, nil
}

// openRegular opens without following a link in the last place and without
// waiting for a pipe's other end.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	name := filepath.Base(path)
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil, fmt.Errorf("%w: %s is not there; was it moved or removed before it could be read?", ErrMissing, name)
	case errors.Is(err, unix.ELOOP):
		return nil, nil, fmt.Errorf("%w: %s is a symbolic link; configure the folder that the recordings really are in", ErrNotRegular, name)
	case errors.Is(err, unix.ENXIO):
		return nil, nil, fmt.Errorf("%w: %s is a socket or pipe", ErrNotRegular, name)
	case err != nil:
		return nil, nil, fmt.Errorf("open recording: %w", err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is a %s", ErrNotRegular, name, kind(info.Mode()))
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

func kind(mode os.FileMode) string {
	switch {
	case mode.IsDir():
		return "folder"
	case mode&os.ModeNamedPipe != 0:
		return "pipe"
	case mode&os.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// refuseWriters asks the kernel for a read lease, which it refuses while
// anyone has the file open for writing (fcntl(2), F_SETLEASE). Only the file's
// owner or root may ask; others rely on size and time staying the same.
func refuseWriters(file *os.File, name string) error {
	_, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("%w: %s is open for writing; wait until Asterisk has closed it", ErrGrowing, name)
	case err != nil:
		return nil //nolint:nilerr // not ours to ask, or a file system without leases
	}
	// Given back at once: held, it would make a new writer wait for us.
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		return fmt.Errorf("give the lease on %s back: %w", name, err)
	}
	return nil
}
