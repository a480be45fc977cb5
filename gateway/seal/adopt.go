package seal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// inlineBucket held the keys themselves, in the keyrings of version 1.
var inlineBucket = []byte("record keys v1")

// adopt moves the keys of a keyring of version 1 into slots, and writes its file
// anew without them: bbolt does not clear what it deletes. It goes on after a
// crash, because the bucket goes last and with the file.
func (k *Keyring) adopt(path string) error {
	if err := removeHalfMade(path); err != nil {
		return err
	}
	old := false
	err := k.db.Update(func(tx *bbolt.Tx) error {
		inline, index := tx.Bucket(inlineBucket), tx.Bucket(slotBucket)
		if inline == nil {
			return nil
		}
		old = true
		fresh := k.slots.begin()
		err := inline.ForEach(func(name, key []byte) error {
			if index.Get(name) != nil {
				return nil
			}
			return index.Put(name, encodeSlot(fresh.add(key)))
		})
		if err != nil {
			return err
		}
		return k.slots.append(fresh)
	})
	if err != nil || !old {
		return err
	}
	return k.replace(path)
}

// replace writes the index anew without the keys of version 1 and overwrites the
// old file.
func (k *Keyring) replace(path string) error {
	fresh, err := copyIndex(k.db, halfMade(path))
	if err != nil {
		return fmt.Errorf("write the keyring anew: %w", err)
	}
	// Opened before it loses its name, to be overwritten after.
	old, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return errors.Join(fmt.Errorf("overwrite the old keyring: %w", err), fresh.Close())
	}
	defer func() { _ = old.Close() }()
	if err := rename(halfMade(path), path); err != nil {
		return errors.Join(err, fresh.Close())
	}
	replaced := k.db
	k.db = fresh
	if err := replaced.Close(); err != nil {
		return fmt.Errorf("let the old keyring go: %w", err)
	}
	return overwriteFile(old)
}

func halfMade(path string) string { return path + ".new" }

// removeHalfMade overwrites and removes what a crash left of a copy.
func removeHalfMade(path string) error {
	file, err := os.OpenFile(halfMade(path), os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove a half-made keyring: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := overwriteFile(file); err != nil {
		return err
	}
	if err := os.Remove(halfMade(path)); err != nil {
		return fmt.Errorf("remove a half-made keyring: %w", err)
	}
	return nil
}

// copyIndex copies all buckets but the keys of version 1 into a new file and
// leaves it open and locked, so that no other gateway can come between.
func copyIndex(from *bbolt.DB, path string) (*bbolt.DB, error) {
	fresh, err := openIndex(path)
	if err != nil {
		return nil, err
	}
	err = from.View(func(source *bbolt.Tx) error {
		return fresh.Update(func(target *bbolt.Tx) error {
			return source.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
				if string(name) == string(inlineBucket) {
					return nil
				}
				into, err := target.CreateBucket(name)
				if err != nil {
					return err
				}
				return bucket.ForEach(into.Put)
			})
		})
	})
	if err == nil {
		err = fresh.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, fresh.Close())
	}
	return fresh, nil
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
