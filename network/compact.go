package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/table"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// Compacted tells of one database that was compacted.
type Compacted struct {
	// Node is the peer's node, such as "atlas-peer"; empty where a folder was named.
	Node string `json:"node,omitempty"`
	// Store is the database's folder within the peer's, such as
	// "ledgersData/pvtdataStore".
	Store string `json:"store"`
	// BytesBefore and BytesAfter are the sizes of its files.
	BytesBefore int64 `json:"bytes_before"`
	BytesAfter  int64 `json:"bytes_after"`
	// Took is how long it was worked on.
	Took time.Duration `json:"took_ns"`
}

// privateStores are the databases of a peer in which private data was and stays
// after a purge until they are compacted.
var privateStores = []string{
	filepath.Join("ledgersData", "pvtdataStore"),
	filepath.Join("ledgersData", "stateLeveldb"),
	"transientstore",
}

// CompactPeer rewrites the databases of a stopped peer in which private data was,
// so that nothing that was purged or replaced is left in their files. Data is
// the peer's fileSystemPath. It fails when the peer is running and when the folder
// is not a peer's. progress is told each step in a line; nil is allowed.
//
// Every stopped peer may be compacted, also one that Callseal does not run.
// What the file system keeps of removed files is beyond it: encrypt the disk.
func CompactPeer(ctx context.Context, data string, progress func(string)) ([]Compacted, error) {
	progress = oneAtATime(progress)
	var done []Compacted
	for _, store := range privateStores {
		if err := ctx.Err(); err != nil {
			return done, fmt.Errorf("compact %s: %w", store, err)
		}
		one, err := compactStore(filepath.Join(data, store))
		if err != nil {
			return done, fmt.Errorf("compact %s: %w", store, err)
		}
		one.Store = store
		progress(fmt.Sprintf("%s compacted, %d KiB before and %d after (%s)", store, one.BytesBefore>>10, one.BytesAfter>>10, one.Took.Round(time.Millisecond)))
		done = append(done, one)
	}
	return done, nil
}

// Compact stops a member's peers, one after the other, compacts their databases and
// starts them again: what was purged is then in none of their files. A peer is
// started again also when the compaction fails.
func (n *Network) Compact(ctx context.Context, member string, progress func(string)) (done []Compacted, err error) {
	progress = oneAtATime(progress)
	whose, err := n.consortium.Member(strings.ToLower(member))
	if err != nil {
		return nil, err
	}
	// One after the other: the operator's other peers go on serving.
	for _, seat := range whose.Peers() {
		one, err := n.compactOne(ctx, seat, progress)
		done = append(done, one...)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (n *Network) compactOne(ctx context.Context, whose Member, progress func(string)) (done []Compacted, err error) {
	name := nodeName(whose, whose.peerKind())
	_, running := readProcess(n.layout.pidFile(name))
	if running {
		if err := n.Stop(ctx, name); err != nil {
			return nil, err
		}
		progress(name + " stopped")
		defer func() {
			begun := time.Now()
			// Also when the caller gave up: a peer that stays away is worse.
			if started := n.Start(context.WithoutCancel(ctx), name); started != nil {
				err = errors.Join(err, started)
				return
			}
			progress(fmt.Sprintf("%s serving again (%s)", name, elapsed(begun)))
		}()
	}
	done, err = CompactPeer(ctx, n.layout.Operator(whose.Name).peerData(whose.peerKind()), progress)
	for i := range done {
		done[i].Node = name
	}
	return done, err
}

func compactStore(folder string) (one Compacted, err error) {
	if _, err := os.Stat(filepath.Join(folder, "CURRENT")); errors.Is(err, fs.ErrNotExist) {
		return one, fmt.Errorf("%s is not a database: name the folder that is the peer's fileSystemPath", folder)
	}
	begun := time.Now()
	if one.BytesBefore, err = folderSize(folder); err != nil {
		return one, err
	}
	if err := compactWhole(folder); err != nil {
		return one, err
	}
	one.BytesAfter, err = folderSize(folder)
	one.Took = time.Since(begun)
	return one, err
}

// compactRounds bounds how often a database is compacted: once is enough but for
// what a reader kept alive in the last level, twice for that.
const compactRounds = 3

// lockPatience is how long a peer that was just stopped may hold on to its locks:
// its threads end one after the other.
const lockPatience = time.Second

// compactWhole compacts until no table holds a deleted or replaced entry. LevelDB
// does not rewrite its last level by itself, and an entry that was replaced while
// a reader still saw it may stand there; writing its key again, as it is, moves
// it. After each round all tables are read: that none is dead is the proof.
func compactWhole(folder string) error {
	var dead [][]byte
	for range compactRounds {
		err := withStore(folder, func(db *leveldb.DB) error {
			if err := rewrite(db, dead); err != nil {
				return err
			}
			return db.CompactRange(util.Range{})
		})
		if err == nil {
			// Opening removes the tables that were replaced.
			err = withStore(folder, func(*leveldb.DB) error { return nil })
		}
		if err != nil {
			return err
		}
		if dead, err = deadKeys(folder); err != nil || len(dead) == 0 {
			return err
		}
	}
	return fmt.Errorf("%d entries that were deleted or replaced are still in its files: try again", len(dead))
}

// withStore opens a database as Fabric does, but never anew.
func withStore(folder string, work func(*leveldb.DB) error) error {
	db, err := leveldb.OpenFile(folder, &opt.Options{ErrorIfMissing: true})
	for begun := time.Now(); errors.Is(err, syscall.EAGAIN) && time.Since(begun) < lockPatience; {
		time.Sleep(20 * time.Millisecond)
		db, err = leveldb.OpenFile(folder, &opt.Options{ErrorIfMissing: true})
	}
	if errors.Is(err, syscall.EAGAIN) {
		return errors.New("a peer is using it: stop the peer first")
	}
	if err != nil {
		return fmt.Errorf("open it: %w", err)
	}
	return errors.Join(work(db), db.Close())
}

// rewrite writes keys again as they are.
func rewrite(db *leveldb.DB, keys [][]byte) error {
	batch := new(leveldb.Batch)
	for _, key := range keys {
		switch value, err := db.Get(key, nil); {
		case errors.Is(err, leveldb.ErrNotFound):
			batch.Delete(key)
		case err != nil:
			return fmt.Errorf("read it: %w", err)
		default:
			batch.Put(key, value)
		}
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := db.Write(batch, &opt.WriteOptions{Sync: true}); err != nil {
		return fmt.Errorf("write it: %w", err)
	}
	return nil
}

// deadKeys finds the keys of which a table holds a deletion or a replaced value.
// After a compaction each key is in one table only.
func deadKeys(folder string) ([][]byte, error) {
	tables, err := filepath.Glob(filepath.Join(folder, "*.ldb"))
	if err != nil {
		return nil, fmt.Errorf("find its tables: %w", err)
	}
	var dead [][]byte
	for _, file := range tables {
		found, err := deadKeysIn(file)
		if err != nil {
			return nil, fmt.Errorf("look into %s: %w", filepath.Base(file), err)
		}
		dead = append(dead, found...)
	}
	return dead, nil
}

func deadKeysIn(file string) (dead [][]byte, err error) {
	content, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = content.Close() }()
	info, err := content.Stat()
	if err != nil {
		return nil, err
	}
	reader, err := table.NewReader(content, info.Size(), storage.FileDesc{Type: storage.TypeTable}, nil, nil, &opt.Options{})
	if err != nil {
		return nil, err
	}
	defer reader.Release()
	entries := reader.NewIterator(nil, nil)
	defer entries.Release()
	// A key in a table ends in eight bytes: its age and, first, its kind.
	const trailer, deletion = 8, 0
	var last []byte
	for entries.Next() {
		internal := entries.Key()
		if len(internal) < trailer {
			return nil, errors.New("it holds a key that is too short")
		}
		key, kind := internal[:len(internal)-trailer], internal[len(internal)-trailer]
		if kind == deletion || last != nil && bytes.Equal(key, last) {
			dead = append(dead, bytes.Clone(key))
		}
		last = append(last[:0:0], key...)
	}
	return dead, entries.Error()
}

func folderSize(folder string) (size int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
