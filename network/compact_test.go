package network_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/callseal/callseal/network"
)

var stores = []string{"ledgersData/pvtdataStore", "ledgersData/stateLeveldb", "transientstore"}

// secret cannot be made smaller by compression.
const secret = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// holds says whether a database's files hold the text, uncompressed.
func holds(t *testing.T, folder string) bool {
	t.Helper()
	found := false
	require.NoError(t, filepath.WalkDir(folder, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			var content []byte
			content, err = os.ReadFile(path)
			found = found || bytes.Contains(content, []byte(secret))
		}
		return err
	}))
	return found
}

// fill writes a database with a value that is then purged as Fabric does it.
func fill(t *testing.T, folder string, purge func(*leveldb.DB)) {
	t.Helper()
	db, err := leveldb.OpenFile(folder, nil)
	require.NoError(t, err)
	for i := range 200 {
		require.NoError(t, db.Put(fmt.Appendf(nil, "key %03d", i), fmt.Appendf(nil, "value %d", i), nil))
	}
	require.NoError(t, db.Put([]byte("key 100 erased"), []byte(secret), nil))
	purge(db)
	require.NoError(t, db.Close())
}

func TestCompactPeer(t *testing.T) {
	gone := []byte("key 100 erased")
	for name, purge := range map[string]func(*leveldb.DB){
		"all in the log": func(db *leveldb.DB) {
			require.NoError(t, db.Delete(gone, nil))
		},
		"the value in a table, the deletion in the log": func(db *leveldb.DB) {
			require.NoError(t, db.CompactRange(util.Range{}))
			require.NoError(t, db.Delete(gone, nil))
		},
		"replaced": func(db *leveldb.DB) {
			require.NoError(t, db.CompactRange(util.Range{}))
			require.NoError(t, db.Put(gone, []byte("nothing"), nil))
		},
		"kept alive by a reader into the last level": func(db *leveldb.DB) {
			snapshot, err := db.GetSnapshot()
			require.NoError(t, err)
			require.NoError(t, db.Delete(gone, nil))
			require.NoError(t, db.CompactRange(util.Range{}))
			snapshot.Release()
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			for _, store := range stores {
				fill(t, filepath.Join(data, store), purge)
				require.True(t, holds(t, filepath.Join(data, store)), "what is deleted stays in the files")
			}
			var lines []string
			done, err := network.CompactPeer(t.Context(), data, func(line string) { lines = append(lines, line) })
			require.NoError(t, err)
			require.Len(t, done, len(stores))
			require.Len(t, lines, len(stores))
			for i, store := range stores {
				require.Equal(t, store, done[i].Store)
				require.False(t, holds(t, filepath.Join(data, store)))
				db, err := leveldb.OpenFile(filepath.Join(data, store), &opt.Options{ErrorIfMissing: true})
				require.NoError(t, err)
				for i := range 200 {
					value, err := db.Get(fmt.Appendf(nil, "key %03d", i), nil)
					require.NoError(t, err)
					require.Equal(t, fmt.Sprintf("value %d", i), string(value))
				}
				_, err = db.Get(gone, nil)
				require.Equal(t, name == "replaced", err == nil)
				require.NoError(t, db.Close())
			}
		})
	}
}

func TestCompactPeerRefuses(t *testing.T) {
	data := t.TempDir()
	_, err := network.CompactPeer(t.Context(), data, nil)
	require.ErrorContains(t, err, "is not a database")
	entries, err := os.ReadDir(data)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing is made where there was nothing")

	for _, store := range stores {
		fill(t, filepath.Join(data, store), func(*leveldb.DB) {})
	}
	running, err := leveldb.OpenFile(filepath.Join(data, stores[1]), nil)
	require.NoError(t, err)
	done, err := network.CompactPeer(t.Context(), data, nil)
	require.ErrorContains(t, err, "compact ledgersData/stateLeveldb: a peer is using it: stop the peer first")
	require.Len(t, done, 1)
	require.NoError(t, running.Close())

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = network.CompactPeer(ctx, data, nil)
	require.ErrorIs(t, err, context.Canceled)
}
