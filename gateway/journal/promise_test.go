package journal_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/journal"
)

// A disk that fails an fsync has failed the journal: nobody is told "accepted",
// nobody waits, and what was acknowledged before is there.
func TestAFailedDisk(t *testing.T) {
	dir, watched := t.TempDir(), &watchedDisk{FS: vfs.Default}
	j, err := journal.OpenOn(dir, small, slog.New(slog.DiscardHandler), watched)
	require.NoError(t, err)
	ctx := t.Context()
	_, err = j.Append(ctx, accept("pbx1", 1))
	require.NoError(t, err)
	watched.broken.Store(true)
	var group sync.WaitGroup
	for i := range int64(16) {
		group.Go(func() {
			_, err := j.Append(ctx, accept("pbx1", 2+i))
			if errors := fault.Of(err); err == nil || errors.Kind != fault.Unavailable {
				t.Errorf("not a fault: %v", err)
			}
		})
	}
	group.Wait()
	<-j.Failed()
	require.ErrorIs(t, j.Err(), journal.ErrFailed)
	for name, call := range map[string]func() error{
		"append":  func() error { _, err := j.Append(ctx, accept("pbx1", 99)); return err },
		"begin":   func() error { return j.Begin(ctx, journal.Transaction{ID: "x", Numbers: []int64{1}}) },
		"resolve": func() error { return j.Resolve(ctx, "x") },
		"replay":  func() error { return j.Replay(ctx, 1) },
		"drop":    func() error { _, err := j.Drop(ctx, 1); return err },
		"pending": func() error { _, err := j.Pending("pbx1", 0, 1); return err },
		"payload": func() error { _, err := j.Payload(1); return err },
		"stats":   func() error { _, err := j.Stats(); return err },
	} {
		require.ErrorIs(t, call(), journal.ErrFailed, name)
	}
	require.NoError(t, j.Close())
	again := open(t, crashed(t, dir), small)
	entry, err := again.Find(accept("pbx1", 1).Name)
	require.NoError(t, err)
	require.EqualValues(t, 1, entry.Number)
}

// The disk fails where one write-ahead log follows another, where Pebble would panic:
// the journal has failed, and nobody waits.
func TestADiskThatFailsWhereTheLogIsChanged(t *testing.T) {
	for name, fail := range map[string]func(*watchedDisk){
		"closing one": func(d *watchedDisk) { d.broken.Store(true) },
		"making one":  func(d *watchedDisk) { d.unmakeable.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, watched := t.TempDir(), &watchedDisk{FS: vfs.Default}
			j, err := journal.OpenOn(dir, small, slog.New(slog.DiscardHandler), watched)
			require.NoError(t, err)
			_, err = j.Append(t.Context(), accept("pbx1", 1))
			require.NoError(t, err)
			fail(watched)
			// More than the log holds, so that it is changed for this batch.
			large := journal.Transaction{ID: "large", Stage: journal.Public, Numbers: []int64{1}, Envelope: noise(4 * int(small.MemTableBytes))}
			require.ErrorIs(t, j.Begin(t.Context(), large), journal.ErrFailed)
			require.ErrorIs(t, j.Err(), journal.ErrFailed)
			require.NoError(t, j.Close())
			again := open(t, crashed(t, dir), small)
			_, err = again.Find(accept("pbx1", 1).Name)
			require.NoError(t, err)
		})
	}
}

// ENOSPC under the write-ahead log itself, not only under tables.
func TestTheLogItselfMeetsAFullDisk(t *testing.T) {
	dir, watched := disk(t, "16m"), &watchedDisk{FS: vfs.Default}
	config := small
	config.ReserveBytes, config.MemTableBytes = 4<<20, 4<<20
	j, err := journal.OpenOn(filepath.Join(dir, "journal"), config, slog.New(slog.DiscardHandler), watched)
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close()) }()
	_, err = j.Append(t.Context(), accept("pbx1", 1))
	require.NoError(t, err)
	stuff(t, dir, 0)
	for i := range 100 {
		id := fmt.Sprint(i)
		require.NoError(t, j.Begin(t.Context(), journal.Transaction{ID: id, Stage: journal.Public, Numbers: []int64{1}, Envelope: noise(16 << 10)}))
		require.NoError(t, j.Resolve(t.Context(), id, journal.Outcome{Number: 1, State: journal.Queued}))
	}
	require.Positive(t, watched.full.Load(), "the log never met a full disk: this proves nothing")
	entry, err := j.Entry(1)
	require.NoError(t, err)
	require.Equal(t, 100, entry.Attempts)
}

// Many callers share an fsync, and each PBX's numbers rise in the order accepted.
func TestConcurrentAppends(t *testing.T) {
	watched := &watchedDisk{FS: vfs.Default}
	j, err := journal.OpenOn(t.TempDir(), small, slog.New(slog.DiscardHandler), watched)
	require.NoError(t, err)
	defer func() { require.NoError(t, j.Close()) }()
	const callers, each = 32, 40
	watched.syncs.Store(0)
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			last := int64(0)
			for i := range int64(each) {
				results, err := j.Append(t.Context(), accept(fmt.Sprint("pbx", caller), i))
				if err != nil || results[0].Entry.Number <= last {
					t.Errorf("%v after %d: %v", results, last, err)
					return
				}
				last = results[0].Entry.Number
			}
		})
	}
	group.Wait()
	require.Less(t, watched.syncs.Load(), int64(callers*each), "no fsync was shared")
	t.Logf("%d appends, %d fsyncs", callers*each, watched.syncs.Load())
	require.Len(t, j.Lanes(), callers)
}

// The same segment from many callers at once, and what comes back to each is on
// disk when it comes back.
func TestTheSameSegmentAtOnce(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, small)
	var group sync.WaitGroup
	var fresh sync.Map
	for range 16 {
		group.Go(func() {
			for i := range int64(50) {
				results, err := j.Append(t.Context(), accept("pbx1", i))
				if err != nil || results[0].Err != nil {
					t.Errorf("%v %v", results, err)
					return
				}
				fresh.Store([2]int64{i, results[0].Entry.Number}, true)
			}
		})
	}
	group.Wait()
	count := 0
	fresh.Range(func(_, _ any) bool { count++; return true })
	require.Equal(t, 50, count, "a segment under two numbers")
	stats, err := j.Stats()
	require.NoError(t, err)
	require.Equal(t, 50, stats.Queued)
}

// The wall clock decides nothing.
func TestClockJumps(t *testing.T) {
	config := small
	config.KeepSettled, config.KeepFor = 2, time.Hour
	j := open(t, t.TempDir(), config)
	clocks := []time.Time{
		time.Now(), time.Now().Add(time.Hour), time.Now().Add(-time.Hour), time.Unix(0, 0), time.Now().Add(100 * 365 * 24 * time.Hour), time.Unix(0, 0),
	}
	for i, now := range clocks {
		j.SetClock(func() time.Time { return now })
		results, err := j.Append(t.Context(), accept("pbx1", int64(i)))
		require.NoError(t, err)
		require.WithinDuration(t, now, results[0].Entry.AcceptedAt, time.Second)
		dropped, err := j.Drop(t.Context(), 1<<40)
		require.NoError(t, err)
		require.Zero(t, dropped)
	}
	pending, err := j.Pending("pbx1", 0, 100)
	require.NoError(t, err)
	for i := range pending {
		require.EqualValues(t, i, pending[i].Name.FirstSeq, "the order of acceptance")
	}
	for i := range clocks {
		j.SetClock(func() time.Time { return clocks[len(clocks)-1-i] })
		settle(t, j, int64(i)+1)
	}
	dropped, err := j.Drop(t.Context(), 1<<40)
	require.NoError(t, err)
	require.Equal(t, len(clocks)-2, dropped, "the number alone decided")
	_, err = j.Find(accept("pbx1", int64(len(clocks)-1)).Name)
	require.NoError(t, err, "the newest are kept")
}

// Age is the time that the journal was open, over restarts.
func TestReceiptsAge(t *testing.T) {
	dir, config := t.TempDir(), small
	config.KeepFor = 300 * time.Millisecond
	j := open(t, dir, config)
	_, err := j.Append(t.Context(), accept("pbx1", 1))
	require.NoError(t, err)
	settle(t, j, 1)
	dropped, err := j.Drop(t.Context(), 1)
	require.NoError(t, err)
	require.Zero(t, dropped)
	require.NoError(t, j.Close())
	j = open(t, dir, config)
	require.Eventually(t, func() bool {
		dropped, err := j.Drop(t.Context(), 1)
		return err == nil && dropped == 1
	}, 30*time.Second, 20*time.Millisecond)
}

// What was settled leaves the disk.
func TestDroppedPayloadsLeaveTheDisk(t *testing.T) {
	dir := t.TempDir()
	config := small
	config.MemTableBytes = 1 << 20
	j := open(t, dir, config)
	ctx := t.Context()
	random := rand.NewChaCha8([32]byte{1})
	payload := func() []byte {
		text := make([]byte, 64<<10)
		_, _ = random.Read(text) // which does not compress
		copy(text, "SEALED-DETAILS-OF-SOMEBODY")
		return text
	}
	const entries = 200
	for i := range int64(entries) {
		a := accept("pbx1", i)
		a.Payload = payload()
		_, err := j.Append(ctx, a)
		require.NoError(t, err)
	}
	stats, err := j.Stats()
	require.NoError(t, err)
	require.Greater(t, stats.DiskBytes, int64(entries*64<<10))
	for i := range int64(entries) {
		settle(t, j, i+1)
	}
	require.NoError(t, j.Reclaim(ctx))
	require.Eventually(t, func() bool {
		stats, err = j.Stats()
		return err == nil && stats.DiskBytes < entries*64<<10/2
	}, 30*time.Second, 50*time.Millisecond)
	tables, err := filepath.Glob(filepath.Join(dir, "db", "*.sst"))
	require.NoError(t, err)
	for _, table := range tables {
		text, err := os.ReadFile(table)
		require.NoError(t, err)
		require.False(t, bytes.Contains(text, []byte("SEALED-DETAILS-OF-SOMEBODY")), table)
	}
	t.Logf("%d bytes of payloads settled, %d bytes on disk", entries*64<<10, stats.DiskBytes)
}

func TestBadCalls(t *testing.T) {
	j := open(t, t.TempDir(), small)
	ctx := t.Context()
	_, err := j.Append(ctx, accept("pbx1", 1), accept("pbx1", 2))
	require.NoError(t, err)
	commit := &journal.Commit{TransactionID: "t", Block: 1}
	for name, call := range map[string]func() error{
		"no PBX":                    func() error { _, err := j.Append(ctx, accept("", 1)); return err },
		"a number below zero":       func() error { _, err := j.Append(ctx, accept("pbx1", -1)); return err },
		"a transaction without id":  func() error { return j.Begin(ctx, journal.Transaction{Numbers: []int64{1}}) },
		"a transaction of nothing":  func() error { return j.Begin(ctx, journal.Transaction{ID: "a"}) },
		"of an unknown entry":       func() error { return j.Begin(ctx, journal.Transaction{ID: "a", Numbers: []int64{77}}) },
		"resolving what is not":     func() error { return j.Resolve(ctx, "nowhere") },
		"refused without a problem": func() error { return j.Resolve(ctx, "", journal.Outcome{Number: 1, State: journal.Refused}) },
		"settled without a commit":  func() error { return j.Resolve(ctx, "", journal.Outcome{Number: 1, State: journal.Settled}) },
		"to no state":               func() error { return j.Resolve(ctx, "", journal.Outcome{Number: 1, State: "elsewhere"}) },
		"replay of what is queued":  func() error { return j.Replay(ctx, 1) },
		"replay of nothing known":   func() error { return j.Replay(ctx, 77) },
		"a queued one with a commit": func() error {
			return j.Resolve(ctx, "", journal.Outcome{Number: 1, State: journal.Queued, Commit: commit})
		},
		"too long a receipt": func() error {
			return j.Resolve(ctx, "", journal.Outcome{Number: 1, State: journal.Committed, Commit: commit, Receipt: make([]byte, journal.MaxReceiptBytes+1)})
		},
	} {
		require.Error(t, call(), name)
	}
	stats, err := j.Stats()
	require.NoError(t, err)
	require.Equal(t, 2, stats.Queued, "nothing of it was done")
	require.Zero(t, stats.InFlight)
}

func FuzzDecodeEntry(f *testing.F) {
	entry := journal.Entry{Number: 1, Name: journal.Name{PBX: "pbx1"}, State: journal.Queued, AcceptedAt: time.Unix(1, 0).UTC()}
	for _, state := range []journal.State{journal.Queued, journal.Committed, journal.Settled} {
		entry.State = state
		text, err := journal.EncodeEntry(&entry)
		require.NoError(f, err)
		f.Add(text)
		entry.Commit = &journal.Commit{TransactionID: "t", Block: 1, Endorsers: []string{"AtlasMSP"}}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		entry, err := journal.DecodeEntry(text)
		if err != nil {
			return
		}
		again, err := journal.EncodeEntry(entry)
		require.NoError(t, err)
		same, err := journal.DecodeEntry(again)
		require.NoError(t, err)
		require.Equal(t, entry, same)
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 8, 64} {
		for _, size := range []int{1 << 10, 256 << 10} {
			b.Run(fmt.Sprintf("callers=%d/bytes=%d", callers, size), func(b *testing.B) {
				watched := &watchedDisk{FS: vfs.Default}
				dir := b.TempDir()
				j, err := journal.OpenOn(dir, journal.Config{MaxEntries: 1 << 30, MaxBytes: 1 << 40, ReserveBytes: 1 << 20, MinFreeBytes: 1 << 20}, slog.New(slog.DiscardHandler), watched)
				require.NoError(b, err)
				defer func() { require.NoError(b, j.Close()) }()
				work := make(chan int64)
				var group sync.WaitGroup
				b.ResetTimer()
				for caller := range callers {
					group.Go(func() {
						payload := make([]byte, size)
						random := rand.NewChaCha8([32]byte{byte(caller)})
						for i := range work {
							_, _ = random.Read(payload[:size/2])
							a := accept(fmt.Sprint("pbx", caller), i)
							a.Payload = payload
							if _, err := j.Append(context.Background(), a); err != nil {
								b.Error(err)
							}
						}
					})
				}
				for i := range b.N {
					work <- int64(i)
				}
				close(work)
				group.Wait()
				b.StopTimer()
				b.ReportMetric(float64(watched.syncs.Load())/float64(b.N), "fsyncs/append")
				stats, err := j.Stats()
				require.NoError(b, err)
				b.ReportMetric(float64(stats.DiskBytes)/float64(b.N), "diskB/append")
			})
		}
	}
}

// BenchmarkWay is an entry's whole way: accepted, committed, settled.
func BenchmarkWay(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			j := open(b, b.TempDir(), journal.Config{})
			work := make(chan int64)
			var group sync.WaitGroup
			b.ResetTimer()
			for caller := range callers {
				group.Go(func() {
					for i := range work {
						a := accept(fmt.Sprint("pbx", caller), i)
						a.Payload = noise(1 << 10)
						results, err := j.Append(context.Background(), a)
						if err != nil {
							b.Error(err)
							return
						}
						id, number := fmt.Sprint(a.Name), results[0].Entry.Number
						for _, err := range []error{
							j.Begin(context.Background(), journal.Transaction{ID: id, Stage: journal.Public, Numbers: []int64{number}}),
							j.Resolve(context.Background(), id, journal.Outcome{Number: number, State: journal.Committed, Commit: &journal.Commit{TransactionID: id}}),
							j.Begin(context.Background(), journal.Transaction{ID: id, Stage: journal.Details, Numbers: []int64{number}}),
							j.Resolve(context.Background(), id, journal.Outcome{Number: number, State: journal.Settled}),
						} {
							if err != nil {
								b.Error(err)
							}
						}
					}
				})
			}
			for i := range b.N {
				work <- int64(i)
			}
			close(work)
			group.Wait()
		})
	}
}
