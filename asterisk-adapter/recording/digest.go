// Package recording tells when a recording's file is closed, digests it, and
// repairs what a crash left of one.
package recording

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Why a file is no recording to be anchored (yet). Errors of Digest wrap one. None
// holds the file's name: FreePBX's hold numbers.
var (
	// ErrMissing: there is no such file, or it was removed while it was read.
	ErrMissing = errors.New("the recording is missing")
	// ErrNotRegular: a symbolic link, pipe, device or folder.
	ErrNotRegular = errors.New("the recording is not a regular file")
	// ErrEmpty: it has no byte.
	ErrEmpty = errors.New("the recording is empty")
	// ErrNoAudio: a header with no audio behind it; an unanswered call leaves
	// such a file.
	ErrNoAudio = errors.New("the recording holds no audio")
	// ErrUnfinished: the lengths in its header are still zero, as while
	// Asterisk writes, or after a crash. Repair mends it.
	ErrUnfinished = errors.New("the recording was not finished")
	// ErrCutShort: its header promises more audio than there is.
	ErrCutShort = errors.New("the recording is cut short")
	// ErrGrowing: it changed while it was read, or someone has it open for
	// writing.
	ErrGrowing = errors.New("the recording is still being written")
	// ErrReplaced: another file took its place while it was read.
	ErrReplaced = errors.New("the recording was replaced while it was read")
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
	// Unfinished says that the lengths in the header are zero; only DigestAsFound
	// answers such a file.
	Unfinished bool
	// Closed says that nobody has it open for writing: the kernel said so. It says so
	// to the file's owner and to root alone.
	Closed bool
	// Begins says, for each content asked about, whether the file begins with it.
	Begins []bool
}

// Earlier is a content that a file had once. The file still begins with it when its
// first bytes have the same digest, the lengths in a WAV's header set back to what
// they were: so was it appended to, and nothing of it was changed.
type Earlier struct {
	Bytes int64
	// SHA256 is in hexadecimal.
	SHA256 string
	// was are the fields of the header then, where that is known.
	was []patch
}

// block is what is read at a time: the memory a digest takes, whatever the
// recording's length.
const block = 256 << 10

// Digest reads a closed recording once and computes both digests (RFC 6234;
// SHA-512 is what a vCon asks for). It refuses a file that is not complete.
func Digest(ctx context.Context, path string, earlier ...Earlier) (Digests, error) {
	return digest(ctx, path, false, earlier)
}

// DigestAsFound is Digest, but takes a file whose header has no lengths.
func DigestAsFound(ctx context.Context, path string, earlier ...Earlier) (Digests, error) {
	return digest(ctx, path, true, earlier)
}

func digest(ctx context.Context, path string, unfinished bool, earlier []Earlier) (Digests, error) {
	file, before, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return Digests{}, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	if before.Size() == 0 {
		return Digests{}, fmt.Errorf("%w: it has 0 bytes; was the disk full, or the call never answered?", ErrEmpty)
	}
	sure, err := refuseWriters(file)
	if err != nil {
		return Digests{}, err
	}
	d := Digests{Bytes: before.Size(), Modified: before.ModTime(), Closed: sure}
	wav, err := d.inspect(file, path)
	if err != nil && (!unfinished || !errors.Is(err, ErrUnfinished)) {
		return Digests{}, err
	}
	d.Unfinished = err != nil

	short, long := sha256.New(), sha512.New()
	begins := beginnings(wav, earlier)
	err = read(ctx, file, before.Size(), func(part []byte, at int64) {
		short.Write(part)
		long.Write(part)
		for _, one := range begins {
			one.write(part, at)
		}
	})
	if err != nil {
		return Digests{}, err
	}
	if err := unchanged(file, before, path); err != nil {
		return Digests{}, err
	}
	short.Sum(d.SHA256[:0])
	long.Sum(d.SHA512[:0])
	d.Begins = make([]bool, len(earlier))
	for _, one := range begins {
		d.Begins[one.of] = d.Begins[one.of] || one.is()
	}
	return d, nil
}

// inspect tells a recording's type and refuses a WAV that is not finished.
func (d *Digests) inspect(file io.ReaderAt, path string) (*WAV, error) {
	head, err := stretch(file, 0, min(d.Bytes, 512))
	if err != nil {
		return nil, err
	}
	d.MediaType = mediaType(head, path)
	if len(head) < 4 || string(head[:4]) != "RIFF" && string(head[:4]) != "RF64" && string(head[:4]) != "BW64" {
		return nil, nil //nolint:nilnil // no WAV
	}
	d.MediaType = "audio/wav"
	wav, err := ReadWAV(file, d.Bytes)
	d.Audio = wav.Length()
	return &wav, err
}

// read reads a file of the given size to its end.
func read(ctx context.Context, file io.ReaderAt, size int64, each func(part []byte, at int64)) error {
	buf := make([]byte, block)
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("digest a recording: %w", err)
		}
		n, err := file.ReadAt(buf, at)
		each(buf[:n], at)
		at += int64(n)
		if errors.Is(err, io.EOF) {
			if at != size {
				return fmt.Errorf("%w: it had %d bytes and ended after %d", ErrGrowing, size, at)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a recording: %w", reason(err))
		}
	}
}

// unchanged refuses a file that is not as it was before it was read.
func unchanged(file *os.File, before os.FileInfo, path string) error {
	after, err := file.Stat()
	if err != nil {
		return fmt.Errorf("look at a recording: %w", reason(err))
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return fmt.Errorf("%w: it changed while it was read; wait until Asterisk has closed it", ErrGrowing)
	}
	if _, err := refuseWriters(file); err != nil {
		return err
	}
	there, err := os.Lstat(path)
	switch {
	case err == nil && !os.SameFile(there, after):
		return fmt.Errorf("%w: what is there now is read instead", ErrReplaced)
	case err != nil && removed(after):
		return fmt.Errorf("%w: it was removed while it was read", ErrMissing)
	}
	return nil // moved elsewhere, it is what it is
}

// removed says whether a file has no name any more.
func removed(info os.FileInfo) bool {
	status, known := info.Sys().(*syscall.Stat_t)
	return known && status.Nlink == 0
}

// beginning is the digest of a file's first bytes as they were.
type beginning struct {
	of int // which of those asked about
	Earlier
	hash hash.Hash
	buf  []byte
}

// beginnings are the ways in which a file may begin with what it was.
func beginnings(wav *WAV, earlier []Earlier) []*beginning {
	var all []*beginning
	add := func(of int, was []patch) {
		one := &beginning{of: of, Earlier: earlier[of], hash: sha256.New()}
		one.was = was
		all = append(all, one)
	}
	for of := range earlier {
		switch {
		case earlier[of].was != nil:
			add(of, earlier[of].was)
		case wav != nil:
			// Asterisk had finished it, or a crash had left it.
			then := wav.lengths(earlier[of].Bytes)
			add(of, then)
			add(of, zeroed(then))
		default:
			add(of, nil)
		}
	}
	return all
}

func (b *beginning) write(part []byte, at int64) {
	if at >= b.Bytes {
		return
	}
	part = part[:min(int64(len(part)), b.Bytes-at)]
	if touches(part, at, b.was) {
		b.buf = append(b.buf[:0], part...)
		laid(b.buf, at, b.was)
		part = b.buf
	}
	b.hash.Write(part)
}

func (b *beginning) is() bool { return hex.EncodeToString(b.hash.Sum(nil)) == b.SHA256 }

// openRegular opens without following a link in the last place and without
// waiting for a pipe's other end.
func openRegular(path string, flag int) (*os.File, os.FileInfo, error) {
	file, err := os.OpenFile(path, flag|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil, fmt.Errorf("%w: was it moved or removed before it could be read?", ErrMissing)
	case errors.Is(err, unix.ELOOP):
		return nil, nil, fmt.Errorf("%w: it is a symbolic link; configure the folder that the recordings really are in", ErrNotRegular)
	case errors.Is(err, unix.ENXIO):
		return nil, nil, fmt.Errorf("%w: it is a socket or pipe", ErrNotRegular)
	case errors.Is(err, unix.EISDIR):
		return nil, nil, fmt.Errorf("%w: it is a folder", ErrNotRegular)
	case err != nil:
		return nil, nil, fmt.Errorf("open a recording: %w", reason(err))
	}
	info, err := file.Stat()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("look at a recording: %w", reason(err)), file.Close())
	}
	if !info.Mode().IsRegular() {
		return nil, nil, errors.Join(fmt.Errorf("%w: it is a %s", ErrNotRegular, kind(info.Mode())), file.Close())
	}
	return file, info, nil
}

// reason is why the operating system refused something, without the file's name.
func reason(err error) error {
	if refused := (*fs.PathError)(nil); errors.As(err, &refused) {
		return refused.Err
	}
	return err
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
// owner or root may ask, and only then is the answer sure; others rely on size and time
// staying the same.
func refuseWriters(file *os.File) (sure bool, err error) {
	_, err = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return false, fmt.Errorf("%w: it is open for writing; wait until Asterisk has closed it", ErrGrowing)
	case err != nil:
		return false, nil //nolint:nilerr // not ours to ask, or a file system without leases
	}
	// Given back at once: held, it would make a new writer wait for us.
	return true, giveBack(file)
}

func giveBack(file *os.File) error {
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
		return fmt.Errorf("give a recording's lease back: %w", err)
	}
	return nil
}
