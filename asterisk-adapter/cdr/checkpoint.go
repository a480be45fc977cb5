package cdr

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Checkpoint is how far a file was followed. The zero value is the beginning
// of whatever is there.
type Checkpoint struct {
	// Device and Inode name the file itself, under whatever name it now has.
	Device uint64 `json:"device"`
	Inode  uint64 `json:"inode"`
	// Offset is the byte after the last line delivered.
	Offset int64 `json:"offset"`
	// Line is how many lines of the file lie before Offset.
	Line int64 `json:"line"`
	// LastBytes is the length, and LastDigest the SHA-256 in hex, of what stands
	// just before Offset: a file that was rewritten, or a reused inode, shows.
	LastBytes  int    `json:"last_bytes"`
	LastDigest string `json:"last_digest"`
}

// of says whether the checkpoint belongs to the file with this information.
func (c Checkpoint) of(info os.FileInfo) bool {
	device, inode := identity(info)
	return c.Inode == inode && c.Device == device
}

func identity(info os.FileInfo) (device, inode uint64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Dev), s.Ino //nolint:unconvert // Dev is 32 bits on some systems
	}
	return 0, 0
}

// verify says whether the bytes before Offset are still those it was taken at.
func (c Checkpoint) verify(file io.ReaderAt) (bool, error) {
	if c.Offset == 0 {
		return true, nil
	}
	if c.LastBytes <= 0 || c.LastBytes > MaxLine+1 || int64(c.LastBytes) > c.Offset {
		return false, nil
	}
	last := make([]byte, c.LastBytes)
	if _, err := file.ReadAt(last, c.Offset-int64(c.LastBytes)); err != nil {
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, fmt.Errorf("check where the CDR file was left: %w", err)
	}
	return digest(last) == c.LastDigest, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
