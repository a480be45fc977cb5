package journal

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// bookkeepingBytes is what is set aside for each entry held: its transactions and
// its moves to the end are written too.
const bookkeepingBytes = 1 << 10

// reserve keeps space for working off what was accepted: appends are refused while
// less than MinFreeBytes would remain, and if the disk is full all the same,
// because others write to it, a file of ReserveBytes is given up. Appends are then
// refused until it can be made again.
type reserve struct {
	path   string
	config *Config
	log    *slog.Logger
	spent  atomic.Bool
	stop   chan struct{}
	once   sync.Once
	done   sync.WaitGroup
}

func newReserve(path string, config *Config, log *slog.Logger) *reserve {
	r := &reserve{path: path, config: config, log: log, stop: make(chan struct{})}
	r.spent.Store(true)
	return r
}

// refillEvery is how soon it is noticed that there is space again.
const refillEvery = time.Second

// fill makes the file now, and again whenever it was given up and there is space.
func (r *reserve) fill() {
	r.try()
	r.done.Go(func() {
		ticker := time.NewTicker(refillEvery)
		defer ticker.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-ticker.C:
				r.try()
			}
		}
	})
}

func (r *reserve) close() {
	r.once.Do(func() { close(r.stop) })
	r.done.Wait()
}

// spend gives the file up, when a write found the disk full; it is then tried again.
func (r *reserve) spend() {
	r.spent.Store(true)
	switch err := os.Remove(r.path); {
	case err == nil:
		r.log.Warn("journal: the disk is full; nothing is accepted until there is space, what was accepted is worked off", "reserve_bytes", r.config.ReserveBytes)
	case !errors.Is(err, os.ErrNotExist):
		r.log.Error("journal: the disk is full and the reserve cannot be given up", "error", err)
	}
}

// try makes the file if it is not there and there is space.
func (r *reserve) try() {
	if !r.spent.Load() {
		return
	}
	info, err := os.Stat(r.path)
	if err == nil && info.Size() == int64(r.config.ReserveBytes) {
		r.spent.Store(false)
		return
	}
	free, err := r.free()
	if err != nil || free < int64(r.config.ReserveBytes+r.config.MinFreeBytes) {
		return
	}
	if err := allocate(r.path, int64(r.config.ReserveBytes)); err != nil {
		r.log.Warn("journal: the reserve cannot be made", "error", errors.Join(err, os.Remove(r.path)))
		return
	}
	r.spent.Store(false)
	r.log.Info("journal: reserve made", "bytes", r.config.ReserveBytes)
}

func allocate(path string, size int64) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("make the reserve: %w", err)
	}
	err = unix.Fallocate(int(file.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = write(file, size)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("make the reserve: %w", err)
	}
	return nil
}

// write fills a file where the filesystem cannot allocate.
func write(file *os.File, size int64) error {
	block := make([]byte, 1<<20)
	for size > 0 {
		n, err := file.Write(block[:min(size, int64(len(block)))])
		if err != nil {
			return fmt.Errorf("write the reserve: %w", err)
		}
		size -= int64(n)
	}
	return nil
}

func (r *reserve) free() (int64, error) {
	usage, err := vfs.Default.GetDiskUsage(filepath.Dir(r.path))
	if err != nil {
		return 0, fmt.Errorf("ask for the space on the journal's disk: %w", err)
	}
	return int64(usage.AvailBytes), nil //nolint:gosec // a size
}

// room says why nothing more may be taken; nil when it may.
func (r *reserve) room(entries int, bytes int64) error {
	if r.spent.Load() {
		return errors.New("the disk under the gateway's journal is full")
	}
	free, err := r.free()
	if err != nil {
		return err
	}
	if least := int64(r.config.MinFreeBytes) + int64(entries)*bookkeepingBytes + bytes; free < least {
		return fmt.Errorf("the disk under the gateway's journal is nearly full: %d bytes are free, %d are needed", free, least)
	}
	return nil
}
