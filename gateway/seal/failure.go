package seal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrFailed is in the chain of every error after the disk failed the keyring: what
// was sealed is on disk, and only a new process can go on, because nobody knows what
// such a disk holds. See [Keyring.Failed].
var ErrFailed = errors.New("the keyring's disk failed: the gateway has to be started again")

// failure is the end of a keyring whose disk failed.
type failure struct {
	running atomic.Bool // set once it is open
	once    sync.Once
	failed  chan struct{}
	cause   error
}

func newFailure() *failure { return &failure{failed: make(chan struct{})} }

// fail ends the keyring and answers the error that everybody gets from then on.
func (f *failure) fail(cause error) error {
	f.once.Do(func() {
		slog.Error("keyring: the disk failed; nothing acknowledged is lost, the gateway has to be started again", "error", cause)
		f.cause = errors.Join(ErrFailed, cause)
		close(f.failed)
	})
	return f.err()
}

// err is nil while the disk does what it should.
func (f *failure) err() error {
	select {
	case <-f.failed:
		return f.cause
	default:
		return nil
	}
}

// Failed is closed when the disk failed the keyring for good; Err says why.
func (k *Keyring) Failed() <-chan struct{} { return k.index.failure.failed }

// Err is nil while the keyring works.
func (k *Keyring) Err() error { return k.index.failure.err() }

// pebbleLog takes what Pebble says.
type pebbleLog struct{ failure *failure }

// Infof is for Pebble's developers.
func (pebbleLog) Infof(string, ...any) {}

// Errorf logs.
func (pebbleLog) Errorf(format string, args ...any) {
	slog.Warn("keyring: " + fmt.Sprintf(format, args...))
}

// commitFailed is what Pebble says in the goroutine of a caller; anything else that
// is fatal is said in one of its own, with its locks held.
const commitFailed = "pebble: fatal commit error: %v"

// Fatalf is called where Pebble cannot go on, and must not return into it: Pebble
// would take for written what may not be.
func (l pebbleLog) Fatalf(format string, args ...any) {
	_ = l.failure.fail(fmt.Errorf(format, args...)) //nolint:err113 // Pebble's own words
	if !l.failure.running.Load() {
		os.Exit(1) // nobody waits for it yet
	}
	if format != commitFailed {
		select {}
	}
}

// lookAgain is how soon Pebble may try again to write a table where the disk is full:
// by itself it does so at once, for ever.
const lookAgain = 100 * time.Millisecond

// paced is the filesystem that Pebble writes to.
type paced struct{ vfs.FS }

// Unwrap is the filesystem underneath.
func (p paced) Unwrap() vfs.FS { return p.FS }

// Create makes a file.
func (p paced) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := p.FS.Create(name, category)
	if err != nil {
		return nil, slowly(err)
	}
	return pacedFile{file}, nil
}

type pacedFile struct{ vfs.File }

// Write writes.
func (f pacedFile) Write(text []byte) (int, error) {
	n, err := f.File.Write(text)
	return n, slowly(err)
}

// slowly waits where the disk is full.
func slowly(err error) error {
	if full(err) {
		time.Sleep(lookAgain)
	}
	return err
}
