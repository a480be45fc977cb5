package cdr

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// followed runs a Tail beside a test.
type followed struct {
	t       *testing.T
	entries chan Entry
	end     func()
	last    Checkpoint
}

func startTail(t *testing.T, path string, from Checkpoint) *followed {
	t.Helper()
	f := &followed{t: t, entries: make(chan Entry, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	caughtUp := make(chan struct{}, 1000)
	tail := Tail{Path: path, Zone: time.UTC, From: from, Poll: 20 * time.Millisecond}
	go func() {
		done <- tail.Run(ctx, func(e Entry) error { f.entries <- e; return nil }, func() {
			select {
			case caughtUp <- struct{}{}:
			default:
			}
		})
	}()
	ended := false
	f.end = func() {
		if !ended {
			ended = true
			cancel()
			require.ErrorIs(t, <-done, context.Canceled)
		}
	}
	t.Cleanup(f.end)
	<-caughtUp
	return f
}

func (f *followed) next() Entry {
	f.t.Helper()
	select {
	case e := <-f.entries:
		f.last = e.Checkpoint
		return e
	case <-time.After(10 * time.Second):
		f.t.Fatal("nothing came for 10 s")
		return Entry{}
	}
}

// row expects a row with this sequence number.
func (f *followed) row(sequence int) Entry {
	f.t.Helper()
	e := f.next()
	require.NoError(f.t, e.Err)
	require.Equal(f.t, int64(sequence), e.Row.Sequence)
	return e
}

func (f *followed) quiet() {
	f.t.Helper()
	select {
	case e := <-f.entries:
		f.t.Fatalf("unexpected: %+v", e)
	case <-time.After(100 * time.Millisecond):
	}
}

func numbered(n int) string { return strings.TrimSuffix(written, "0") + fmt.Sprint(n) + "\n" }

func add(t *testing.T, path, text string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	require.NoError(t, err)
	_, err = file.WriteString(text)
	require.NoError(t, errors.Join(err, file.Close()))
}

func TestTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Master.csv")
	f := startTail(t, path, Checkpoint{}) // there is no file yet
	add(t, path, numbered(1)+numbered(2))
	f.row(1)
	e := f.row(2)
	require.Equal(t, int64(2), e.Checkpoint.Line)
	require.Equal(t, strings.TrimSuffix(numbered(2), "\n"), string(e.Raw))

	// A half-written line waits for its end.
	add(t, path, numbered(3)[:100])
	f.quiet()
	add(t, path, numbered(3)[100:])
	f.row(3)

	// A newline inside quotes belongs to the value.
	odd := strings.Replace(numbered(4), "boss", "bo\nss", 1)
	add(t, path, odd[:strings.IndexByte(odd, '\n')+1])
	f.quiet()
	add(t, path, odd[strings.IndexByte(odd, '\n')+1:])
	require.Contains(t, f.row(4).Row.CLID, "bo\nss")
	require.Equal(t, int64(5), f.last.Line)

	// After a stop it goes on where it was, and not twice.
	f.end()
	add(t, path, numbered(5))
	stored, err := json.Marshal(f.last)
	require.NoError(t, err)
	var from Checkpoint
	require.NoError(t, json.Unmarshal(stored, &from))
	f = startTail(t, path, from)
	f.row(5)
	f.quiet()
}

func TestTailRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Master.csv")
	add(t, path, numbered(1))
	f := startTail(t, path, Checkpoint{})
	f.row(1)
	// Renamed, written on by one who had it open, then made anew.
	require.NoError(t, os.Rename(path, path+".1"))
	add(t, path+".1", numbered(2))
	add(t, path, numbered(3))
	f.row(2)
	f.row(3)
	require.Equal(t, int64(1), f.last.Line)

	// Renamed in the middle of a line, which its writer finishes when the new file is
	// there already.
	add(t, path, numbered(8)[:40])
	require.NoError(t, os.Rename(path, path+".0"))
	add(t, path, numbered(9))
	f.quiet()
	add(t, path+".0", numbered(8)[40:])
	f.row(8)
	f.row(9)
	require.NoError(t, os.Remove(path+".0"))

	// Rotated twice while the adapter was down.
	f.end()
	add(t, path, numbered(4))
	require.NoError(t, os.Rename(path+".1", path+".3"))
	require.NoError(t, os.Rename(path, path+".2"))
	add(t, path, numbered(5)+numbered(6)[:50])
	require.NoError(t, os.Chtimes(path+".2", time.Now(), time.Now().Add(-time.Minute)))
	require.NoError(t, os.Chtimes(path+".3", time.Now(), time.Now().Add(-time.Hour)))
	require.NoError(t, os.Rename(path, path+".1"))
	add(t, path, numbered(7))
	f = startTail(t, path, f.last)
	f.row(4)
	f.row(5)
	e := f.next()
	require.ErrorIs(t, e.Err, ErrIncomplete)
	f.row(7)

	// The file of the checkpoint was removed altogether.
	f.end()
	require.NoError(t, os.Remove(path))
	add(t, path+".new", numbered(8))
	require.NoError(t, os.Rename(path+".new", path))
	lost := f.last
	lost.Inode++ // a file system may give the same number again
	f = startTail(t, path, lost)
	require.ErrorIs(t, f.next().Err, ErrLost)
	f.row(8)
}

func TestTailCopyTruncate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Master.csv")
	add(t, path, numbered(1)+numbered(2))
	f := startTail(t, path, Checkpoint{})
	f.row(1)
	f.row(2)
	require.NoError(t, os.Truncate(path, 0))
	require.ErrorIs(t, f.next().Err, ErrTruncated)
	add(t, path, numbered(3))
	f.row(3)

	// Truncated and grown beyond the old length while nobody looked.
	f.end()
	require.NoError(t, os.Truncate(path, 0))
	add(t, path, numbered(4)+numbered(5)+numbered(6))
	f = startTail(t, path, f.last)
	require.ErrorIs(t, f.next().Err, ErrRewritten)
	f.row(4)
	f.row(5)
	f.row(6)
}

func TestTailGoesOnAfterBadLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Master.csv")
	torn := numbered(1)[:30] + "\n" // ends inside quotes
	odd := strings.Replace(numbered(2), "boss", "b\x00ss", 1)
	huge := strings.Repeat("x", MaxLine+10) + "\n"
	open := `"` + strings.Repeat("x\n", 100)
	add(t, path, torn+numbered(1)+odd+numbered(2)+huge+numbered(3)+"\n"+numbered(4))
	f := startTail(t, path, Checkpoint{})
	line := func(number int, want error) {
		t.Helper()
		e := f.next()
		require.ErrorIs(t, e.Err, want)
		var at *LineError
		require.ErrorAs(t, e.Err, &at)
		require.Equal(t, int64(number), at.Line)
	}
	line(1, ErrIncomplete)
	f.row(1)
	line(3, ErrBadRecord)
	f.row(2)
	line(5, ErrBadRecord)
	f.row(3)
	f.row(4)
	require.Equal(t, int64(8), f.last.Line)

	// A quote that is never closed is given up line by line, and what follows
	// is found.
	add(t, path, open+numbered(5))
	for n := range 100 {
		e := f.next()
		require.Error(t, e.Err, n)
	}
	f.row(5)
}

func TestTailNeedsTheColumns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Master.csv")
	add(t, path, columns(true, true, false)+"\n")
	f := startTail(t, path, Checkpoint{})
	e := f.next()
	require.ErrorIs(t, e.Err, ErrMissingColumn)
	require.ErrorContains(t, e.Err, "newcdrcolumns = yes")
}

func TestTailWithoutFolder(t *testing.T) {
	tail := Tail{Path: filepath.Join(t.TempDir(), "no", "Master.csv")}
	err := tail.Run(t.Context(), func(Entry) error { return nil }, nil)
	require.ErrorContains(t, err, "cdr_csv")
}

func BenchmarkTail(b *testing.B) {
	path := filepath.Join(b.TempDir(), "Master.csv")
	const rows = 10_000
	var text strings.Builder
	for n := range rows {
		text.WriteString(numbered(n))
	}
	require.NoError(b, os.WriteFile(path, []byte(text.String()), 0o644))
	stop := errors.New("read to the end")
	for b.Loop() {
		n := 0
		tail := Tail{Path: path}
		err := tail.Run(b.Context(), func(Entry) error {
			if n++; n == rows {
				return stop
			}
			return nil
		}, nil)
		require.ErrorIs(b, err, stop)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}
