package seal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// Buckets of the keyrings whose index was a file of bbolt.
var (
	// inlineBucket held the keys themselves, in version 1.
	inlineBucket = []byte("record keys v1")
	// The others held the same as the index does now.
	slotBucket      = []byte("record slots v2")
	destroyedBucket = []byte("destroyed keys v1")
	dueBucket       = []byte("slots to overwrite v2")
)

// adopt takes over the index of an older version, with the keys of version 1, and
// overwrites its file. It goes on after a crash: the file loses its name only when
// all of it is in the new index.
func (k *Keyring) adopt(path string) error {
	for _, left := range []string{halfMade(path), replaced(path)} {
		if err := removeOverwritten(left); err != nil {
			return err
		}
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return fmt.Errorf("the keyring %s is in use by another gateway", path)
	}
	if err != nil {
		return fmt.Errorf("open the keyring %s: %w", path, err)
	}
	err = db.View(k.takeOver)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("take over the keyring %s: %w", path, err)
	}
	if err := rename(path, replaced(path)); err != nil {
		return err
	}
	return removeOverwritten(replaced(path))
}

// takeOver copies what the older version holds.
func (k *Keyring) takeOver(old *bbolt.Tx) error {
	if slots := old.Bucket(slotBucket); slots != nil && k.slots.next == 0 {
		if first, _ := slots.Cursor().First(); first != nil {
			return errors.New("the index names keys and the file of keys holds none: restore that file too")
		}
	}
	for _, part := range []struct {
		bucket []byte
		prefix byte
	}{{slotBucket, slotPrefix}, {destroyedBucket, destroyedPrefix}, {dueBucket, duePrefix}} {
		if err := k.copyBucket(old.Bucket(part.bucket), part.prefix); err != nil {
			return err
		}
	}
	return k.takeKeys(old.Bucket(inlineBucket))
}

func (k *Keyring) copyBucket(from *bbolt.Bucket, prefix byte) error {
	if from == nil {
		return nil
	}
	return pages(from, func(tx *change, key, value []byte) error {
		return tx.set(append([]byte{prefix}, key...), value)
	}, k.index)
}

// takeKeys moves the keys of version 1 into slots. The slots are marked first, so
// that what a crash leaves in them is overwritten: nothing else would name them.
func (k *Keyring) takeKeys(inline *bbolt.Bucket) error {
	if inline == nil {
		return nil
	}
	fresh := k.slots.begin()
	var names [][]byte
	err := inline.ForEach(func(of, key []byte) error {
		known, err := k.index.get(append([]byte{slotPrefix}, of...))
		if err == nil && known == nil {
			names = append(names, of)
			fresh.add(key)
		}
		return err
	})
	if err == nil {
		err = k.index.update(func(tx *change) error {
			for i := range names {
				if err := tx.set(dueKey(fresh.first+int64(i)), nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil {
		err = k.slots.append(fresh)
	}
	if err != nil {
		return err
	}
	return k.index.update(func(tx *change) error {
		for i, of := range names {
			slot := fresh.first + int64(i)
			if err := errors.Join(tx.set(append([]byte{slotPrefix}, of...), encodeSlot(slot)), tx.remove(dueKey(slot))); err != nil {
				return err
			}
		}
		return nil
	})
}

// pageOf is how many entries are copied at once.
const pageOf = 10_000

// pages copies a bucket in changes of bounded size.
func pages(from *bbolt.Bucket, copyOne func(tx *change, key, value []byte) error, into *index) error {
	cursor := from.Cursor()
	key, value := cursor.First()
	for key != nil {
		err := into.update(func(tx *change) error {
			for n := 0; key != nil && n < pageOf; n++ {
				if err := copyOne(tx, key, value); err != nil {
					return err
				}
				key, value = cursor.Next()
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// halfMade is what a crash may have left of the adoption by an older version, and
// replaced is a file that was taken over.
func halfMade(path string) string { return path + ".new" }
func replaced(path string) string { return path + ".old" }

// removeOverwritten overwrites and removes a file, if it is there.
func removeOverwritten(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove an old keyring: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := overwriteFile(file); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove an old keyring: %w", err)
	}
	return nil
}

// rename replaces a file so that a crash leaves either.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("replace the keyring: %w", err)
	}
	return syncFolder(to)
}

// syncFolder has a file's name on disk.
func syncFolder(of string) error {
	folder, err := os.Open(filepath.Dir(of))
	if err != nil {
		return fmt.Errorf("keep the keyring's folder: %w", err)
	}
	defer func() { _ = folder.Close() }()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("keep the keyring's folder: %w", err)
	}
	return nil
}

// overwriteFile fills a file with zeros, on disk when it returns.
func overwriteFile(file *os.File) error {
	size, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, err = io.CopyN(file, zeros{}, size)
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return fmt.Errorf("overwrite the old keyring: %w", err)
	}
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
