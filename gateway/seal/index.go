package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

const (
	// lockTimeout bounds the wait for another process to let the keyring go.
	lockTimeout = 2 * time.Second
	// leastFree is the room on the disk below which nothing more is written: Pebble
	// does not survive a log that it cannot write.
	leastFree = 8 << 20
	// memTableBytes is small, and cacheBytes enough for the filters of some five million
	// keys: what is looked up is mostly not there, which they tell.
	memTableBytes = 1 << 20
	cacheBytes    = 8 << 20
)

// The first byte of an entry's key. The index holds no record's key: Pebble does not
// clear what it deletes.
const (
	// slotPrefix and a name say in which slot the record's key is.
	slotPrefix = 's'
	// destroyedPrefix and a name tell of a key that is no more.
	destroyedPrefix = 'd'
	// duePrefix and a slot say that this is to be overwritten: between a deletion and
	// its overwriting, and after a crash that came between.
	duePrefix = 'o'
)

// name stands for a record: the SHA-256 of its key on the ledger.
type name [sha256.Size]byte

func nameOf(recordKey string) name { return sha256.Sum256([]byte(recordKey)) }

func slotKey(of name) []byte      { return append([]byte{slotPrefix}, of[:]...) }
func destroyedKey(of name) []byte { return append([]byte{destroyedPrefix}, of[:]...) }
func dueKey(slot int64) []byte    { return append([]byte{duePrefix}, encodeSlot(slot)...) }

func encodeSlot(slot int64) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(slot)) //nolint:gosec // counted from 0
}

func decodeSlot(entry []byte) int64 {
	return int64(binary.BigEndian.Uint64(entry)) //nolint:gosec // written by encodeSlot
}

// index says where the keys are. Names are random, so it is a log-structured tree: a
// page for each name, in place, would cost a hundred times what an entry holds.
type index struct {
	db      *pebble.DB
	path    string
	failure *failure
	// closing is held by who uses db, and exclusively by who closes it.
	closing sync.RWMutex
	closed  bool
}

// reading is an index, or a change of it with what it has written so far.
type reading interface {
	// get is an entry, nil where there is none.
	get(key []byte) ([]byte, error)
}

var errClosed = errors.New("the keyring is closed")

func openIndex(path string) (*index, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open the keyring %s: it is no file", path)
	}
	failed := newFailure()
	options := &pebble.Options{
		FS:        paced{vfs.Default},
		CacheSize: cacheBytes, MemTableSize: memTableBytes, MaxOpenFiles: 64, FormatMajorVersion: pebble.FormatNewest, Logger: pebbleLog{failed},
	}
	for i := range options.Levels {
		// Hashes do not get smaller.
		options.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	for began := time.Now(); ; time.Sleep(lockTimeout / 40) {
		db, err := pebble.Open(IndexFolder(path), options)
		if err == nil {
			failed.running.Store(true)
			return &index{db: db, path: IndexFolder(path), failure: failed}, nil
		}
		if !isLocked(err) {
			return nil, fmt.Errorf("open the keyring %s: %w", path, err)
		}
		if time.Since(began) > lockTimeout {
			return nil, fmt.Errorf("the keyring %s is in use by another gateway", path)
		}
	}
}

// isLocked recognises a folder that another has open: another process, or this one.
func isLocked(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || err.Error() == "lock held by current process"
}

func (i *index) close() error {
	i.closing.Lock()
	defer i.closing.Unlock()
	if i.closed {
		return nil
	}
	i.closed = true
	if i.failure.err() != nil {
		return nil // its disk is not to be trusted with a last word
	}
	return i.db.Close()
}

// use holds the index open until it is told to let go.
func (i *index) use() (letGo func(), err error) {
	i.closing.RLock()
	if i.closed {
		i.closing.RUnlock()
		return nil, errClosed
	}
	return i.closing.RUnlock, nil
}

func (i *index) get(key []byte) ([]byte, error) {
	letGo, err := i.use()
	if err != nil {
		return nil, err
	}
	defer letGo()
	return getIn(i.db, key)
}

func getIn(from pebble.Reader, key []byte) ([]byte, error) {
	value, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the index: %w", err)
	}
	copied := append([]byte{}, value...)
	if err := closer.Close(); err != nil {
		return nil, fmt.Errorf("read the index: %w", err)
	}
	return copied, nil
}

// change is what is written to the index at once.
type change struct{ batch *pebble.Batch }

func (c *change) get(key []byte) ([]byte, error) { return getIn(c.batch, key) }

func (c *change) set(key, value []byte) error {
	if err := c.batch.Set(key, value, nil); err != nil {
		return fmt.Errorf("change the index: %w", err)
	}
	return nil
}

func (c *change) remove(key []byte) error {
	if err := c.batch.Delete(key, nil); err != nil {
		return fmt.Errorf("change the index: %w", err)
	}
	return nil
}

// update makes a change, on disk when it returns, or none.
func (i *index) update(write func(*change) error) (err error) {
	letGo, err := i.use()
	if err != nil {
		return err
	}
	defer letGo()
	if err := i.failure.err(); err != nil {
		return err
	}
	if usage, err := vfs.Default.GetDiskUsage(i.path); err == nil && usage.AvailBytes < leastFree {
		return fmt.Errorf("the disk of %s has %d bytes left: %w", i.path, usage.AvailBytes, syscall.ENOSPC)
	}
	tx := &change{i.db.NewIndexedBatch()}
	defer func() { _ = tx.batch.Close() }()
	if err := write(tx); err != nil || tx.batch.Empty() {
		return err
	}
	// Pebble panics where the next log cannot be made, with its locks in disorder.
	defer func() {
		if reason := recover(); reason != nil {
			err = i.failure.fail(fmt.Errorf("%v", reason)) //nolint:err113 // Pebble's own words
		}
	}()
	if err := tx.batch.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	return i.failure.err()
}

// each calls for the entries with a prefix until it is answered false.
func (i *index) each(prefix byte, call func(key []byte) bool) error {
	letGo, err := i.use()
	if err != nil {
		return err
	}
	defer letGo()
	iterator, err := i.db.NewIter(&pebble.IterOptions{LowerBound: []byte{prefix}, UpperBound: []byte{prefix + 1}})
	if err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	for more := iterator.First(); more && call(iterator.Key()[1:]); more = iterator.Next() {
	}
	if err := iterator.Close(); err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	return nil
}

// names says whether there is any key.
func (i *index) names() (found bool, err error) {
	err = i.each(slotPrefix, func([]byte) bool { found = true; return false })
	return found, err
}

// due are the slots that are to be overwritten.
func (i *index) due() (slots []int64, err error) {
	err = i.each(duePrefix, func(key []byte) bool { slots = append(slots, decodeSlot(key)); return true })
	return slots, err
}
