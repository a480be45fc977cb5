package journal_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
	"github.com/callseal/callseal/gateway/setting"
)

// disk mounts a filesystem of a few MB.
func disk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+options), "this test needs to mount a small filesystem: run it as root")
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// stuff fills the disk up to what it leaves free.
func stuff(t *testing.T, dir string, leave uint64) string {
	t.Helper()
	path := filepath.Join(dir, "another-program's")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(t, err)
	for {
		var now unix.Statfs_t
		require.NoError(t, unix.Statfs(dir, &now))
		free := now.Bavail * uint64(now.Bsize)
		if free <= leave {
			break
		}
		if _, err := file.Write(make([]byte, min(free-leave, 64<<10))); err != nil {
			require.ErrorIs(t, err, unix.ENOSPC)
			break
		}
	}
	require.NoError(t, file.Close())
	return path
}

// A disk that is nearly full is refused before it is full; what was accepted is
// worked off; space that returns is used.
func TestNearlyFull(t *testing.T) {
	dir := disk(t, "8m")
	j := open(t, filepath.Join(dir, "journal"), small)
	ctx := t.Context()
	_, err := j.Append(ctx, accept("pbx1", 1))
	require.NoError(t, err)
	filler := stuff(t, dir, uint64(small.MinFreeBytes)-4096)
	_, err = j.Append(ctx, accept("pbx1", 2))
	what := fault.Of(err)
	require.Equal(t, fault.Busy, what.Kind, "%v", err)
	require.Positive(t, what.RetryAfter)
	require.Contains(t, what.Message, "nearly full")
	stats, err := j.Stats()
	require.NoError(t, err)
	require.Contains(t, stats.Full, "nearly full")
	require.Equal(t, 1, stats.Queued)
	results, err := j.Append(ctx, accept("pbx1", 1))
	require.NoError(t, err, "a repetition takes no space")
	require.True(t, results[0].Repeated)
	settle(t, j, 1)
	require.NoError(t, os.Remove(filler))
	results, err = j.Append(ctx, accept("pbx1", 2))
	require.NoError(t, err)
	require.EqualValues(t, 2, results[0].Entry.Number)
}

func settle(t *testing.T, j *journal.Journal, number int64) {
	t.Helper()
	id := fmt.Sprint("tx", number)
	require.NoError(t, j.Begin(t.Context(), journal.Transaction{ID: id, Stage: journal.Public, Numbers: []int64{number}, Envelope: noise(4096)}))
	require.NoError(t, j.Resolve(t.Context(), id, journal.Outcome{Number: number, State: journal.Settled, Commit: &journal.Commit{TransactionID: id, Block: 1}}))
}

// Another program takes the last byte: the write-ahead log really meets ENOSPC,
// the reserve is given up for it, and everything accepted is worked off.
func TestFullUnderTheLog(t *testing.T) {
	dir := disk(t, "16m")
	config := small
	config.ReserveBytes = 4 << 20
	j := open(t, filepath.Join(dir, "journal"), config)
	ctx := t.Context()
	const entries = 200
	for i := range int64(entries) {
		_, err := j.Append(ctx, accept("pbx1", i))
		require.NoError(t, err)
	}
	reserve := filepath.Join(dir, "journal", "reserve")
	require.FileExists(t, reserve)
	filler := stuff(t, dir, 0)
	for number := range int64(entries) {
		settle(t, j, number+1) // 4 KiB each: more than a log that is allocated ahead has
	}
	require.NoFileExists(t, reserve, "it was needed")
	_, err := j.Append(ctx, accept("pbx1", entries))
	require.Equal(t, fault.Busy, fault.Of(err).Kind, "%v", err)
	require.ErrorContains(t, err, "full")
	stats, err := j.Stats()
	require.NoError(t, err)
	require.Equal(t, entries, stats.Settled)
	require.Zero(t, stats.Depth()+stats.InFlight)

	require.NoError(t, os.Remove(filler))
	require.Eventually(t, func() bool {
		_, err := j.Append(ctx, accept("pbx1", entries))
		return err == nil
	}, 30*time.Second, 50*time.Millisecond, "it recovers by itself")
	require.FileExists(t, reserve)
}

// Even the reserve is not enough, because another program takes that too: writes
// wait, nothing is lost, and all goes on by itself when there is space again.
func TestFullBeyondTheReserve(t *testing.T) {
	dir := disk(t, "8m")
	j := open(t, filepath.Join(dir, "journal"), small)
	ctx := t.Context()
	const entries = 50
	for i := range int64(entries) {
		_, err := j.Append(ctx, accept("pbx1", i))
		require.NoError(t, err)
	}
	var rounds atomic.Int64
	var group errgroup.Group
	group.Go(func() error {
		for rounds.Load() < 1<<30 {
			// Ever larger, so that space is needed that never was.
			round := rounds.Load()
			id, number := fmt.Sprint(round), round%entries+1
			if err := j.Begin(ctx, journal.Transaction{ID: id, Stage: journal.Public, Numbers: []int64{number}, Envelope: noise(int(min(round, 100)) << 14)}); err != nil {
				return err
			}
			if err := j.Resolve(ctx, id, journal.Outcome{Number: number, State: journal.Queued}); err != nil {
				return err
			}
			rounds.Add(1)
		}
		return nil
	})
	stuck := int64(-1)
	for before := rounds.Load(); stuck < 0; before = rounds.Load() {
		for range 500 {
			stuff(t, dir, 0)
			time.Sleep(2 * time.Millisecond)
		}
		if rounds.Load() == before {
			stuck = before
		}
	}
	stats, err := j.Stats()
	require.NoError(t, err, "it is full, not failed")
	require.Contains(t, stats.Full, "full")
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = j.Append(short, accept("pbx1", entries))
	require.Error(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "another-program's")))
	require.Eventually(t, func() bool { return rounds.Load() > stuck+3 }, 60*time.Second, 10*time.Millisecond, "it goes on by itself")
	rounds.Store(1 << 30)
	require.NoError(t, group.Wait())
	pending, err := j.Pending("pbx1", 0, 1000)
	require.NoError(t, err)
	require.Len(t, pending, entries)
}

// The next write-ahead log cannot be made, because the disk has no room for one more
// file. Pebble would panic.
func TestFullWhereTheLogIsChanged(t *testing.T) {
	dir, watched := disk(t, "16m,nr_inodes=200"), &watchedDisk{FS: vfs.Default}
	j, err := journal.OpenOn(filepath.Join(dir, "journal"), small, slog.New(slog.DiscardHandler), watched)
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close()) }()
	ctx := t.Context()
	_, err = j.Append(ctx, accept("pbx1", 1))
	require.NoError(t, err)
	others := filepath.Join(dir, "others")
	require.NoError(t, os.Mkdir(others, 0o700))
	for i := 0; err == nil; i++ {
		err = os.WriteFile(filepath.Join(others, fmt.Sprint(i)), nil, 0o600)
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	const rounds = 64 // the log is changed every few
	ended := make(chan error, 1)
	go func() {
		ended <- func() error {
			for i := range rounds {
				id := fmt.Sprint(i)
				if err := j.Begin(ctx, journal.Transaction{ID: id, Stage: journal.Public, Numbers: []int64{1}, Envelope: noise(32 << 10)}); err != nil {
					return err
				}
				if err := j.Resolve(ctx, id, journal.Outcome{Number: 1, State: journal.Queued}); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	require.Eventually(t, func() bool { return watched.unmade.Load() > 3 }, time.Minute, time.Millisecond, "there was a log to be had: this proves nothing")
	require.NoError(t, j.Err(), "it is full, not failed")
	require.Empty(t, ended)
	made := watched.made.Load()
	require.NoError(t, os.RemoveAll(others))
	require.NoError(t, <-ended)
	require.Greater(t, watched.made.Load(), made)
	entry, err := j.Entry(1)
	require.NoError(t, err)
	require.Equal(t, rounds, entry.Attempts)
}

func TestBounds(t *testing.T) {
	config := small
	config.MaxEntries = 3
	j := open(t, t.TempDir(), config)
	ctx := t.Context()
	_, err := j.Append(ctx, accept("pbx1", 1), accept("pbx1", 2), accept("pbx1", 3), accept("pbx1", 4))
	require.Equal(t, fault.Busy, fault.Of(err).Kind)
	require.Empty(t, j.Lanes(), "all or none")
	_, err = j.Append(ctx, accept("pbx1", 1), accept("pbx1", 2), accept("pbx1", 3))
	require.NoError(t, err)
	_, err = j.Append(ctx, accept("pbx1", 4))
	require.Equal(t, fault.Busy, fault.Of(err).Kind)
	settle(t, j, 1)
	_, err = j.Append(ctx, accept("pbx1", 4))
	require.NoError(t, err)

	config.MaxEntries, config.MaxBytes = 1000, setting.Bytes(len(accept("pbx1", 1).Payload))
	j = open(t, t.TempDir(), config)
	_, err = j.Append(ctx, accept("pbx1", 1))
	require.NoError(t, err)
	_, err = j.Append(ctx, accept("pbx1", 2))
	require.Equal(t, fault.Busy, fault.Of(err).Kind)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = j.Append(ended, accept("pbx1", 1))
	if err != nil {
		require.ErrorIs(t, err, context.Canceled)
	}
}
