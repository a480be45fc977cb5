package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/callseal/callseal/gateway/fault"
)

// ErrFailed is in the chain of every error after the disk failed the journal in a
// way that Pebble does not survive: what was acknowledged is on disk, nothing more
// is taken, and only a new process can go on. See Failed.
var ErrFailed = errors.New("the journal's disk failed")

// Journal is one gateway's journal. It is safe for concurrent use.
type Journal struct {
	config Config
	dir    string
	log    *slog.Logger
	db     *pebble.DB
	now    func() time.Time
	opened time.Time // monotonic

	reserve *reserve
	mark    *mark
	// running is set between Open and Close.
	running atomic.Bool

	background sync.WaitGroup
	stop       context.CancelFunc

	failOnce sync.Once
	failed   chan struct{}
	failure  error

	// lock makes the order of batches that of numbers. It is a channel because nobody
	// may wait for it once the journal failed.
	lock  chan struct{}
	meta  meta
	tick0 int64

	// memory holds what follows; it is never held over anything slow, and changed
	// only by who has the lock too.
	memory sync.Mutex
	lanes  map[string]int // how much is pending of a PBX
	// flights are the transactions under way, and which entry is in which.
	flights  map[string]*Transaction
	flightOf map[int64]string
	counts   counts
	waste    waste

	// durable is the highest number that was fsynced.
	durable atomic.Int64
}

// Open opens the journal in dir, which is made if it is not there. What a crash
// tore while it was being written, and so was never acknowledged, is dropped;
// anything else that is not as it was written is a *DamageError, which names the
// file and says what to do.
func Open(dir string, config Config, log *slog.Logger) (*Journal, error) {
	return open(dir, config, log, vfs.Default)
}

func open(dir string, config Config, log *slog.Logger, fs vfs.FS) (*Journal, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the journal's folder: %w", err)
	}
	j := &Journal{
		config: config, dir: dir, log: log, now: time.Now, opened: time.Now(),
		failed: make(chan struct{}), lock: make(chan struct{}, 1),
		lanes: map[string]int{}, flights: map[string]*Transaction{}, flightOf: map[int64]string{},
	}
	j.reserve = newReserve(filepath.Join(dir, "reserve"), &j.config, log)
	if err := j.openDB(fs); err != nil {
		return nil, err
	}
	if err := j.load(); err != nil {
		return nil, errors.Join(err, j.db.Close())
	}
	j.reserve.fill()
	j.running.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	j.stop = cancel
	j.background.Go(func() { j.reclaim(ctx) })
	return j, nil
}

// openDB opens Pebble. Where Pebble meets what it calls fatal, it goes no further
// and does not come back.
func (j *Journal) openDB(fs vfs.FS) error {
	type opening struct {
		db  *pebble.DB
		err error
	}
	done := make(chan opening, 1)
	go func() {
		db, err := pebble.Open(filepath.Join(j.dir, "db"), j.options(fs))
		done <- opening{db, err}
	}()
	select {
	case <-j.failed:
		return j.failure
	case opened := <-done:
		if opened.err != nil {
			return damaged(j.dir, opened.err)
		}
		j.db = opened.db
		return nil
	}
}

func (j *Journal) options(fs vfs.FS) *pebble.Options {
	options := &pebble.Options{
		FS:                 patient{fs, j},
		Logger:             pebbleLog{j},
		FormatMajorVersion: pebble.FormatNewest,
		CacheSize:          int64(j.config.CacheBytes),
		MemTableSize:       uint64(j.config.MemTableBytes), //nolint:gosec // checked
		// Two more may wait to be written out before an append has to.
		MemTableStopWritesThreshold: 3,
		MaxOpenFiles:                64,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { j.log.Error("journal: in the background", "error", err) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				j.log.Error("journal: a file is damaged", "file", info.Path, "error", info.Details)
			},
		},
	}
	// What is large is packed before it comes here, once.
	options.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	return options
}

// load reads what is counted in memory.
func (j *Journal) load() error {
	value, closer, err := j.db.Get([]byte{keyMeta})
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		j.meta = meta{next: 1}
	case err != nil:
		return damaged(j.dir, err)
	default:
		j.meta, err = decodeMeta(value)
		if err = errors.Join(err, closer.Close()); err != nil {
			return damaged(j.dir, err)
		}
	}
	j.tick0 = j.meta.tick
	j.durable.Store(j.meta.next - 1)
	if j.mark, err = openMark(j.dir, j.meta.batch, j.log); err != nil {
		return damaged(j.dir, err)
	}
	if err := errors.Join(j.audit(), j.loadTransactions()); err != nil {
		return damaged(j.dir, err)
	}
	return nil
}

// closeWithin bounds how long Close waits for a write that is stuck.
const closeWithin = 10 * time.Second

// Close closes the files; calling it twice does no harm. No other call may be under
// way. A journal that failed is left as it is: its disk is not to be trusted with a
// last word.
func (j *Journal) Close() error {
	j.reserve.close()
	j.stop()
	if j.Err() != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	if err := j.acquire(ctx); err != nil {
		if j.Err() != nil {
			return nil // failed meanwhile
		}
		return fmt.Errorf("close the journal: a write is stuck, the disk may be full; nothing acknowledged is lost: %w", err)
	}
	defer j.release()
	batch := j.db.NewBatch()
	seq, err := j.enqueue(batch, j.meta)
	if err == nil {
		err = j.await(batch, seq)
	}
	if j.Err() != nil {
		return err // with its last word
	}
	j.background.Wait()
	j.failOnce.Do(func() {
		j.failure = fault.New(fault.Unavailable, "the gateway's journal is closed")
		close(j.failed)
	})
	j.running.Store(false)
	return errors.Join(err, j.db.Close(), j.mark.close())
}

// Failed is closed when the disk failed the journal for good. The gateway then
// says that it is not serving and ends, so that it is started again; Err says why.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Err is nil while the journal works.
func (j *Journal) Err() error {
	select {
	case <-j.failed:
		return j.failure
	default:
		return nil
	}
}

func (j *Journal) fail(cause error) {
	j.failOnce.Do(func() {
		j.failure = &fault.Error{
			Kind: fault.Unavailable, Stage: fault.StageAccept, RetryAfter: 5 * time.Second,
			Message: "the gateway's journal cannot be written: it takes nothing more until it is started again",
			Err:     errors.Join(ErrFailed, cause),
		}
		j.log.Error("journal: failed; nothing acknowledged is lost, the gateway has to be started again", "error", cause)
		close(j.failed)
	})
}

// acquire takes the lock.
func (j *Journal) acquire(ctx context.Context) error {
	if err := j.Err(); err != nil {
		return err
	}
	select {
	case j.lock <- struct{}{}:
		return nil
	case <-j.failed:
		return j.failure
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (j *Journal) release() { <-j.lock }

// enqueue gives a batch its place in the log, with what is then true of the journal.
// The caller holds the lock, releases it, and awaits the batch.
func (j *Journal) enqueue(batch *pebble.Batch, next meta) (uint64, error) {
	return j.write(batch, next, j.db.ApplyNoSyncWait, pebble.Sync)
}

// enqueueUnsynced is for what may be done again after a crash.
func (j *Journal) enqueueUnsynced(batch *pebble.Batch, next meta) error {
	_, err := j.write(batch, next, j.db.Apply, pebble.NoSync)
	return err
}

func (j *Journal) write(batch *pebble.Batch, next meta, apply func(*pebble.Batch, *pebble.WriteOptions) error, how *pebble.WriteOptions) (uint64, error) {
	next.batch++
	next.tick = int64(j.age())
	if err := batch.Set([]byte{keyMeta}, next.encode(), nil); err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	if err := j.unlessFailed(func() error { return apply(batch, how) }); err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	if err := j.Err(); err != nil {
		return 0, err
	}
	j.meta = next
	j.memory.Lock()
	j.counts = next.counts
	j.memory.Unlock()
	return next.batch, nil
}

// await returns once the batch is on disk. Those before it are too.
func (j *Journal) await(batch *pebble.Batch, seq uint64) error {
	if err := j.unlessFailed(batch.SyncWait); err != nil {
		j.fail(err)
	}
	if err := j.Err(); err != nil {
		return err
	}
	if err := j.mark.advance(seq); err != nil {
		j.fail(err)
		return j.failure
	}
	return nil
}

// unlessFailed calls what may never return once the disk failed, and then leaves it
// behind.
func (j *Journal) unlessFailed(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-j.failed:
		return j.failure
	}
}

// age is how long the journal has been open, all in all; it does not depend on the
// wall clock.
func (j *Journal) age() time.Duration {
	return time.Duration(j.tick0) + time.Since(j.opened)
}

// raise sets the highest durable number.
func (j *Journal) raise(number int64) {
	for {
		known := j.durable.Load()
		if known >= number || j.durable.CompareAndSwap(known, number) {
			return
		}
	}
}

// scan calls each for the keys under prefix, from the one after from, until it
// answers false. What it is given does not outlive the call.
func (j *Journal) scan(prefix, from []byte, each func(key, value []byte) (bool, error)) error {
	if from == nil {
		from = prefix
	}
	if err := j.Err(); err != nil {
		return err
	}
	iterator, err := j.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(prefix)})
	if err != nil {
		return unreadable(j.dir, err)
	}
	for valid := iterator.First(); valid; valid = iterator.Next() {
		value, err := iterator.ValueAndErr()
		more := false
		if err == nil {
			more, err = each(iterator.Key(), value)
		}
		if err != nil {
			return errors.Join(unreadable(j.dir, err), iterator.Close())
		}
		if !more {
			break
		}
	}
	if err := iterator.Close(); err != nil {
		return unreadable(j.dir, err)
	}
	return nil
}

// get reads a value; nil when there is none.
func (j *Journal) get(key []byte) (value []byte, err error) {
	return value, j.look(key, func(stored []byte) error {
		value = append([]byte{}, stored...)
		return nil
	})
}

// getPacked reads a value that was packed; nil when there is none.
func (j *Journal) getPacked(key []byte) (value []byte, err error) {
	return value, j.look(key, func(stored []byte) error {
		value, err = unpack(stored)
		return err
	})
}

// look takes a value where it is; it is taken only if there is one.
func (j *Journal) look(key []byte, take func(stored []byte) error) error {
	if err := j.Err(); err != nil {
		return err
	}
	stored, closer, err := j.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return unreadable(j.dir, err)
	}
	taken := take(stored)
	if err := errors.Join(taken, closer.Close()); err != nil {
		return unreadable(j.dir, err)
	}
	return nil
}

// pebbleLog takes what Pebble says.
type pebbleLog struct{ journal *Journal }

// Infof is for Pebble's developers.
func (l pebbleLog) Infof(format string, args ...any) {
	l.journal.log.Debug("journal: " + fmt.Sprintf(format, args...))
}

// Errorf logs.
func (l pebbleLog) Errorf(format string, args ...any) {
	l.journal.log.Warn("journal: " + fmt.Sprintf(format, args...))
}

// commitFailed is what Pebble says in the goroutine of a caller; anything else that
// is fatal is said in one of its own, with its locks held.
const commitFailed = "pebble: fatal commit error: %v"

// Fatalf is called where Pebble cannot go on: a write-ahead log or a manifest that
// could not be written. It must not return into Pebble, which would then take for
// written what may not be.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.journal.fail(fmt.Errorf(format, args...)) //nolint:err113 // Pebble's own words
	if format != commitFailed {
		select {}
	}
}
