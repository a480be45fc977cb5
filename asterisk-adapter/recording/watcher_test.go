package recording

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

type watched struct {
	t              *testing.T
	folder, marker string
	w              *Watcher
	got            chan Closed
	end            func()
}

func watch(t *testing.T, root string, opts Options) *watched {
	t.Helper()
	x := &watched{t: t, folder: filepath.Join(root, "monitor"), marker: filepath.Join(root, "closed"), got: make(chan Closed, 100)}
	for _, dir := range []string{x.folder, x.marker} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	opts.Folders, opts.ClosedFolder = []string{x.folder}, x.marker
	var err error
	x.w, err = NewWatcher(opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.w.Run(ctx, func(c Closed) error { x.got <- c; return nil }) }()
	ended := false
	x.end = func() {
		if !ended {
			ended = true
			cancel()
			require.ErrorIs(t, <-done, context.Canceled)
		}
	}
	t.Cleanup(x.end)
	return x
}

func (x *watched) next() Closed {
	x.t.Helper()
	select {
	case c := <-x.got:
		return c
	case <-time.After(10 * time.Second):
		x.t.Fatal("nothing was told for 10 s")
		return Closed{}
	}
}

func (x *watched) quiet() {
	x.t.Helper()
	select {
	case c := <-x.got:
		x.t.Fatalf("unexpected: %+v", c)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestWatcherTellsWhenClosed(t *testing.T) {
	root := t.TempDir()
	x := watch(t, root, Options{})
	path := filepath.Join(x.folder, "1795244650.0.wav")
	file, err := os.Create(path)
	require.NoError(t, err)
	_, err = file.Write(wav(100))
	require.NoError(t, err)
	x.quiet() // still open
	require.NoError(t, file.Close())
	c := x.next()
	require.Equal(t, CloseWrite, c.Source)
	require.Equal(t, "1795244650.0", c.UniqueID)
	require.Equal(t, int64(144), c.Size)

	// The marker and ARI say the same: once is enough.
	mark := filepath.Join(x.marker, "1795244650.0")
	require.NoError(t, os.WriteFile(mark, nil, 0o644))
	x.w.Finished(t.Context(), path)
	x.quiet()
	require.FileExists(t, mark, "not acknowledged yet")

	// Not acknowledged, it is told again after a restart, the marker first.
	x.end()
	x = watch(t, root, Options{})
	c = x.next()
	require.Equal(t, Marker, c.Source)
	require.Equal(t, path, c.Path)
	x.quiet()
	x.w.Acknowledge(c)
	require.NoFileExists(t, mark)
	// A marker that comes late is tidied away.
	require.NoError(t, os.WriteFile(mark, nil, 0o644))
	require.Eventually(t, func() bool { _, err := os.Stat(mark); return os.IsNotExist(err) }, 10*time.Second, time.Millisecond)
	x.quiet()

	// Appended to, it is another recording.
	file, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString("more")
	require.NoError(t, err)
	require.NoError(t, file.Close())
	require.Equal(t, int64(148), x.next().Size)

	// What an earlier run dealt with is not told.
	x.end()
	require.NoError(t, os.WriteFile(mark, nil, 0o644))
	x = watch(t, root, Options{Done: func(p string, size int64, _ time.Time) bool { return p == path && size == 148 }})
	x.quiet()
	require.NoFileExists(t, mark)
}

func TestWatcherFreePBX(t *testing.T) {
	x := watch(t, t.TempDir(), Options{})
	day := filepath.Join(x.folder, "2026", "11", "21")
	require.NoError(t, os.MkdirAll(day, 0o755))
	path := filepath.Join(day, "external-1001-+351912345678-20261121-070410-1795244650.12.wav")
	require.NoError(t, os.WriteFile(path, wav(10), 0o644))
	c := x.next()
	require.Equal(t, path, c.Path)
	require.Equal(t, "1795244650.12", c.UniqueID)
	require.NoError(t, os.WriteFile(filepath.Join(day, "notes.txt"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(x.marker, "..evil"), nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(x.marker, "1795244650.12"), nil, 0o644))
	x.quiet()
	// A folder moved in as a whole is looked into.
	other := filepath.Join(t.TempDir(), "22")
	require.NoError(t, os.MkdirAll(other, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(other, "pbx2-1795244650.13.wav"), wav(10), 0o644))
	require.NoError(t, os.Rename(other, filepath.Join(x.folder, "22")))
	require.Equal(t, "pbx2-1795244650.13", x.next().UniqueID)
}

// TestWatcherTracks: a channel may have several files. Its marker is owed until all are
// dealt with.
func TestWatcherTracks(t *testing.T) {
	root := t.TempDir()
	x := watch(t, root, Options{})
	all := map[string]Closed{}
	for _, name := range []string{"1795244650.5.wav", "1795244650.5-in.wav", "1795244650.5-Stereo.raw", "ext-1001-+351912345678-20261121-070410-1795244650.5_out.wav"} {
		require.NoError(t, os.WriteFile(filepath.Join(x.folder, name), wav(10), 0o644))
		c := x.next()
		require.Equal(t, "1795244650.5", c.UniqueID)
		all[c.Track] = c
	}
	require.Len(t, all, 4)
	require.Equal(t, []string{"", "received", "transmitted", "stereo", ""}, []string{TrackOf(""), TrackOf("in"), TrackOf(all["out"].Track), TrackOf(all["stereo"].Track), TrackOf("other")})
	mark := filepath.Join(x.marker, "1795244650.5")
	require.NoError(t, os.WriteFile(mark, nil, 0o644))
	x.quiet()
	for _, track := range []string{"", "in", "stereo"} {
		x.w.Acknowledge(all[track])
		require.FileExists(t, mark)
	}
	x.w.Acknowledge(all["out"])
	require.NoFileExists(t, mark)
	// After a restart the marker has all of them told.
	x.end()
	require.NoError(t, os.WriteFile(mark, nil, 0o644))
	x = watch(t, root, Options{})
	for range all {
		require.Equal(t, "1795244650.5", x.next().UniqueID)
	}
	x.quiet()
}

// TestWatcherOddFiles: whatever looks like a recording is told of, and what is none is
// left to Digest to say.
func TestWatcherOddFiles(t *testing.T) {
	root := t.TempDir()
	outside := write(t, "x.wav", wav(10))
	odd := func(folder, suffix string) {
		require.NoError(t, os.Symlink(outside, filepath.Join(folder, "1795244650.1"+suffix)))
		require.NoError(t, unix.Mkfifo(filepath.Join(folder, "1795244650.2"+suffix), 0o600))
		require.NoError(t, os.Mkdir(filepath.Join(folder, "1795244650.3"+suffix), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, "a voice"+suffix), wav(10), 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(root, "monitor"), 0o755))
	odd(filepath.Join(root, "monitor"), ".wav")
	x := watch(t, root, Options{})
	for round := range 2 {
		said := map[string]error{}
		for range 4 {
			c := x.next()
			_, err := Digest(t.Context(), c.Path)
			said[c.UniqueID] = err
		}
		require.ErrorContains(t, said["1795244650.1"], "symbolic link")
		require.ErrorContains(t, said["1795244650.2"], "pipe")
		require.ErrorContains(t, said["1795244650.3"], "folder")
		require.NoError(t, said[""], "whose it is must be told by something else")
		x.quiet()
		if round == 0 {
			odd(x.folder, ".WAV") // while it runs
		}
	}
}

func TestWatcherMarkerWithoutFile(t *testing.T) {
	x := watch(t, t.TempDir(), Options{})
	require.NoError(t, os.WriteFile(filepath.Join(x.marker, "1795244650.9"), nil, 0o644))
	c := x.next()
	require.Equal(t, int64(-1), c.Size)
	_, err := Digest(t.Context(), c.Path)
	require.ErrorIs(t, err, ErrMissing)
	x.w.Acknowledge(c)
	require.NoFileExists(t, filepath.Join(x.marker, "1795244650.9"))
}

func TestWatcherStart(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, "monitor")
	require.NoError(t, os.MkdirAll(folder, 0o755))
	for name, age := range map[string]time.Duration{"1795244650.1.wav": 48 * time.Hour, "1795244650.2.wav": time.Hour} {
		path := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(path, wav(10), 0o644))
		require.NoError(t, os.Chtimes(path, time.Now(), time.Now().Add(-age)))
	}
	growing, err := os.Create(filepath.Join(folder, "1795244650.3.wav"))
	require.NoError(t, err)
	x := watch(t, root, Options{Since: time.Now().Add(-24 * time.Hour)})
	c := x.next()
	require.Equal(t, "1795244650.2", c.UniqueID)
	require.Equal(t, Found, c.Source)
	x.quiet()
	require.NoError(t, growing.Close())
	require.Equal(t, "1795244650.3", x.next().UniqueID)
	x.w.Forget(time.Now().Add(time.Hour))
	require.Empty(t, x.w.told)
}

func TestWatcherOptions(t *testing.T) {
	_, err := NewWatcher(Options{Folders: []string{filepath.Join(t.TempDir(), "none")}})
	require.ErrorContains(t, err, "recording folder")
	_, err = NewWatcher(Options{ClosedFolder: filepath.Join(t.TempDir(), "none")})
	require.ErrorContains(t, err, "pbx/README.md")
	_, err = NewWatcher(Options{Names: []*regexp.Regexp{regexp.MustCompile(`x`)}})
	require.ErrorContains(t, err, "uniqueid")
}
