package recording

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotWritable says that a file could not be repaired because it may not be written to, or
// because it cannot be told whether somebody else writes to it.
var ErrNotWritable = errors.New("the recording cannot be repaired")

// Remains are a file as a crash left it. It is kept before the file is changed, so that
// whatever happens then, it can be told what was found.
type Remains struct {
	Bytes int64 `json:"bytes"`
	// SHA256 is in hexadecimal.
	SHA256 string `json:"sha256"`
	// Was are the fields of the header that a repair changes, as they were.
	Was []patch `json:"was,omitempty"`
}

// Earlier is for Digest: whether the file still begins with what was found.
func (r *Remains) Earlier() Earlier { return Earlier{Bytes: r.Bytes, SHA256: r.SHA256, was: r.Was} }

// Repair writes the lengths into the header of a WAV that a crash left without
// (ErrUnfinished of Digest), in place: the audio stays, the file's length and its
// modification time too. What was found is given to keep first, and nothing is
// written unless that succeeds. Known is what was kept by a repair that was cut off;
// nil without one. Repair may be cut off at any instant and begun again.
//
// A file that somebody has open is refused with ErrGrowing; one that may not be
// written to, or of which the kernel does not say whether somebody has it open, with
// ErrNotWritable.
func Repair(ctx context.Context, path string, known *Remains, keep func(*Remains) error) (err error) {
	file, info, err := openRegular(path, os.O_RDWR)
	if err != nil {
		if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS) || errors.Is(err, unix.ETXTBSY) {
			return fmt.Errorf("%w: %w", ErrNotWritable, err)
		}
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// A write lease is given only where nobody else has the file open, and whoever
	// opens it then waits until we are done (fcntl(2)).
	_, err = unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	switch {
	case errors.Is(err, unix.EAGAIN):
		return fmt.Errorf("%w: somebody has it open", ErrGrowing)
	case err != nil:
		return fmt.Errorf("%w: only its owner can ask whether somebody writes to it: %w", ErrNotWritable, err)
	}
	defer func() { err = errors.Join(err, giveBack(file)) }()
	wav, err := ReadWAV(file, info.Size())
	if !errors.Is(err, ErrUnfinished) {
		return err // repaired already, or nothing to repair
	}
	fields := wav.lengths(info.Size())
	if fields == nil {
		return fmt.Errorf("%w: its header has no room for its lengths", ErrNotWritable)
	}
	if wav.DataBytes > 0 && wav.DataBytes <= info.Size()-wav.DataOffset {
		fields = fields[:1] // how much audio there is, it says
	}
	found, err := asFound(ctx, file, info.Size(), fields, known)
	if err != nil {
		return err
	}
	if err := keep(found); err != nil {
		return err
	}
	return patchFile(file, info.ModTime(), fields)
}

// asFound is what is there, or what was there before a repair that was cut off.
func asFound(ctx context.Context, file *os.File, size int64, fields []patch, known *Remains) (*Remains, error) {
	var was []patch
	for _, field := range fields {
		now, err := stretch(file, field.At, int64(len(field.Bytes)))
		if err != nil {
			return nil, err
		}
		was = append(was, patch{field.At, now})
	}
	digest := sha256.New()
	var before *beginning
	if known != nil && known.Bytes == size {
		before = &beginning{Earlier: known.Earlier(), hash: sha256.New()}
	}
	err := read(ctx, file, size, func(part []byte, at int64) {
		digest.Write(part)
		if before != nil {
			before.write(part, at)
		}
	})
	if err != nil {
		return nil, err
	}
	if before != nil && before.is() {
		return known, nil
	}
	return &Remains{Bytes: size, SHA256: hex.EncodeToString(digest.Sum(nil)), Was: was}, nil
}

// patchFile writes fields and sets the file's times back: it was recorded when it was.
func patchFile(file *os.File, modified time.Time, fields []patch) error {
	for _, field := range fields {
		if _, err := file.WriteAt(field.Bytes, field.At); err != nil {
			return fmt.Errorf("repair a recording: %w", reason(err))
		}
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("repair a recording: %w", reason(err))
	}
	times := []unix.Timespec{unix.NsecToTimespec(modified.UnixNano()), unix.NsecToTimespec(modified.UnixNano())}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", file.Fd()), times, 0); err != nil {
		return fmt.Errorf("set a recording's times back: %w", err)
	}
	return file.Sync()
}
