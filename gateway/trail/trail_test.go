package trail

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/gateway/setting"
)

func open(t testing.TB, folder string, changes ...func(*Config)) *Trail {
	t.Helper()
	config := DefaultConfig()
	config.Dir, config.Reserve = folder, 0
	for _, change := range changes {
		change(&config)
	}
	trail, err := Open(config, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = trail.Close() })
	return trail
}

// tell adds a call, flushed.
func tell(t testing.TB, trail *Trail, request string) {
	t.Helper()
	_, err := trail.Begin(Entry{Request: request, Method: "/m", Caller: Caller{Subject: "compliance.atlas", Role: "compliance"}})
	require.NoError(t, err)
	position, err := trail.End(Entry{Request: request, Method: "/m", Outcome: "OK", Transaction: "ab12"})
	require.NoError(t, err)
	require.NoError(t, trail.Flush(position))
}

func verify(t testing.TB, folder string) *Verdict {
	t.Helper()
	verdict, err := Verify(folder, "")
	require.NoError(t, err)
	return verdict
}

func only(t testing.TB, folder string) string {
	t.Helper()
	names, err := files(folder)
	require.NoError(t, err)
	require.Len(t, names, 1)
	return filepath.Join(folder, names[0])
}

func TestTheTrailGoesOnAfterARestart(t *testing.T) {
	folder := t.TempDir()
	first := open(t, folder)
	tell(t, first, "one")
	seq, head := first.Head()
	require.NoError(t, first.Close())
	_, err := first.Begin(Entry{})
	require.Error(t, err, "a closed trail takes nothing")
	second := open(t, folder)
	tell(t, second, "two")
	verdict := verify(t, folder)
	require.True(t, verdict.Whole())
	require.EqualValues(t, 6, verdict.Entries, "opened, begun, ended, twice")
	require.EqualValues(t, 3, seq)
	witnessed, err := Verify(folder, head)
	require.NoError(t, err)
	require.True(t, witnessed.Witnessed)
	absent, err := Verify(folder, strings.Repeat("ab", 32))
	require.NoError(t, err)
	require.False(t, absent.Witnessed)
}

func TestFilesFollowEachOther(t *testing.T) {
	folder := t.TempDir()
	trail := open(t, folder, func(c *Config) { c.FileSize = 4 * setting.KiB })
	var callers sync.WaitGroup
	for i := range 40 {
		callers.Go(func() { tell(t, trail, fmt.Sprint(i)) })
	}
	callers.Wait()
	verdict := verify(t, folder)
	require.True(t, verdict.Whole(), "%v", verdict.Breaks)
	require.GreaterOrEqual(t, verdict.Files, 3)
	require.EqualValues(t, 81, verdict.Entries)
	names, err := files(folder)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(folder, names[1])))
	require.Contains(t, verify(t, folder).Breaks[0].What, "taken out there", "a whole file is missed")
}

// Every change of every line but the last shows; the last one by its head.
func TestWhatWasChangedShows(t *testing.T) {
	folder := t.TempDir()
	trail := open(t, folder)
	for i := range 4 {
		tell(t, trail, fmt.Sprint("request-", i))
	}
	_, head := trail.Head()
	require.NoError(t, trail.Close())
	path := only(t, folder)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := bytes.SplitAfter(content, []byte("\n"))
	lines = lines[:len(lines)-1]
	write := func(changed [][]byte) *Verdict {
		require.NoError(t, os.WriteFile(path, bytes.Join(changed, nil), 0o600))
		verdict, err := Verify(folder, head)
		require.NoError(t, err)
		return verdict
	}
	for i := range lines[:len(lines)-1] {
		without := append(append([][]byte{}, lines[:i]...), lines[i+1:]...)
		require.False(t, write(without).Whole(), "line %d taken out", i+1)
		swapped := append([][]byte{}, lines...)
		swapped[i], swapped[i+1] = lines[i+1], lines[i]
		require.False(t, write(swapped).Whole(), "lines %d and the next swapped", i+1)
		altered := append([][]byte{}, lines...)
		altered[i] = bytes.Replace(lines[i], []byte(`"seq":`), []byte(`"seq": `), 1)
		require.False(t, write(altered).Whole(), "line %d altered by a space", i+1)
		twice := append(append(append([][]byte{}, lines[:i+1]...), lines[i]), lines[i+1:]...)
		require.False(t, write(twice).Whole(), "line %d doubled", i+1)
	}
	cut := write(lines[:len(lines)-1])
	require.True(t, cut.Whole(), "the end is missing, which the lines alone do not tell")
	require.False(t, cut.Witnessed, "but a head that was written down does")
	require.True(t, write(lines).Witnessed)
	require.Contains(t, write([][]byte{[]byte("no entry\n")}).Breaks[0].What, "no entry")
	require.Contains(t, write([][]byte{bytes.Repeat([]byte("x"), maxLine+1)}).Breaks[0].What, "longer")
	_, err = Verify(t.TempDir(), "")
	require.ErrorContains(t, err, "there is no audit trail")
}

func TestWhatACrashLeaves(t *testing.T) {
	for name, tail := range map[string]string{
		"half a line": `{"seq":4,"prev":"ab`, "zeros": strings.Repeat("\x00", 4096), "half a line and zeros": `{"seq":4` + strings.Repeat("\x00", 100),
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			trail := open(t, folder)
			tell(t, trail, "one")
			require.NoError(t, trail.Close())
			file, err := os.OpenFile(only(t, folder), os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = file.WriteString(tail)
			require.NoError(t, err)
			require.NoError(t, file.Close())
			again := open(t, folder)
			tell(t, again, "two")
			verdict := verify(t, folder)
			require.True(t, verdict.Whole(), "%v", verdict.Breaks)
			require.EqualValues(t, 6, verdict.Entries)
			content, err := os.ReadFile(only(t, folder))
			require.NoError(t, err)
			require.Contains(t, string(content), fmt.Sprintf(`"torn":%d`, len(tail)))
		})
	}
	t.Run("a file with nothing in it", func(t *testing.T) {
		folder := t.TempDir()
		trail := open(t, folder)
		tell(t, trail, "one")
		require.NoError(t, trail.Close())
		require.NoError(t, os.WriteFile(filepath.Join(folder, "audit-99999999999999999999.jsonl"), nil, 0o600))
		tell(t, open(t, folder), "two")
		require.True(t, verify(t, folder).Whole())
	})
	t.Run("a last line that is not ours is not written over", func(t *testing.T) {
		folder := t.TempDir()
		trail := open(t, folder)
		require.NoError(t, trail.Close())
		require.NoError(t, os.WriteFile(only(t, folder), []byte("garbage\n"), 0o600))
		_, err := Open(Config{Dir: folder, FileSize: setting.MiB}, nil, slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, "keep the folder")
	})
}

func TestTooLittleSpace(t *testing.T) {
	trail := open(t, t.TempDir())
	_, err := trail.Begin(Entry{Method: "/m"})
	require.NoError(t, err)
	require.NoError(t, trail.Problem())
	trail.config.Reserve, trail.checked = 1<<62, time.Time{}
	_, err = trail.Begin(Entry{Method: "/m"})
	require.ErrorIs(t, err, ErrFull)
	require.ErrorIs(t, trail.Problem(), ErrFull)
	position, err := trail.End(Entry{Method: "/m", Outcome: "OK"})
	require.NoError(t, err, "what has begun has room for its end")
	require.NoError(t, trail.Flush(position))
}

// TestADiskThatIsFull runs in a process of its own, to which the kernel refuses
// files beyond a size.
func TestADiskThatIsFull(t *testing.T) {
	const child = "CALLSEAL_TRAIL_CHILD"
	if folder := os.Getenv(child); folder != "" {
		signal.Ignore(syscall.SIGXFSZ)
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 8000, Max: 8000}))
		trail := open(t, folder)
		written := 0
		for {
			position, err := trail.Begin(Entry{Request: fmt.Sprint(written), Method: strings.Repeat("m", 200)})
			if err != nil {
				require.ErrorIs(t, err, syscall.EFBIG)
				break
			}
			require.NoError(t, trail.Flush(position))
			written++
		}
		_, err := trail.Begin(Entry{Method: "/m" + strings.Repeat("m", 200)})
		require.Error(t, err, "it stays refused")
		require.Greater(t, written, 5)
		verdict := verify(t, folder)
		require.True(t, verdict.Whole(), "%v", verdict.Breaks)
		require.EqualValues(t, written+1, verdict.Entries, "no half line is left")
		require.Zero(t, verdict.Unfinished)
		return
	}
	folder := t.TempDir()
	command := exec.Command(os.Args[0], "-test.run=^TestADiskThatIsFull$", "-test.v")
	command.Env = append(os.Environ(), child+"="+folder)
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
	again := open(t, folder) // without the limit it goes on
	tell(t, again, "after")
	require.True(t, verify(t, folder).Whole())
}

func TestDenialsDoNotFillTheDisk(t *testing.T) {
	folder := t.TempDir()
	trail := open(t, folder)
	for i := range 50_000 {
		trail.Deny(Entry{Method: "/m", Outcome: "Unauthenticated", Caller: Caller{Fingerprint: "same"}, Request: fmt.Sprint(i)})
		trail.Deny(Entry{Method: fmt.Sprint("/", i), Outcome: "PermissionDenied"})
	}
	require.LessOrEqual(t, len(trail.denials.kinds), alike+1)
	trail.denials.settle(time.Now())
	require.NotEmpty(t, trail.denials.kinds, "the window is not over")
	trail.denials.settle(time.Now().Add(2 * window))
	require.Empty(t, trail.denials.kinds)
	content, err := os.ReadFile(only(t, folder))
	require.NoError(t, err)
	require.Less(t, len(content), 600_000)
	require.Contains(t, string(content), fmt.Sprintf(`"messages":%d`, 50_000-eachWindow), "all are counted")
	require.True(t, verify(t, folder).Whole())
}

func TestCheck(t *testing.T) {
	good := DefaultConfig()
	require.NoError(t, good.Check())
	require.ErrorContains(t, (&Config{Reserve: -1}).Check(), "file_size")
	require.ErrorContains(t, (&Config{Reserve: -1}).Check(), "reserve")
}

// FuzzVerify reads whatever stands in a trail's folder without failing, and calls
// whole only what it can follow.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"seq":1,"prev":"` + genesis + `","at":"2026-03-01T00:00:00Z","event":"opened"}` + "\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		folder := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(folder, "audit-00000000000000000001.jsonl"), content, 0o600))
		verdict := verify(t, folder)
		opened, err := Open(Config{Dir: folder, FileSize: setting.MiB}, nil, slog.New(slog.DiscardHandler))
		if err != nil {
			return
		}
		require.NoError(t, errors.Join(opened.Close()))
		if verdict.Whole() {
			require.True(t, verify(t, folder).Whole())
		}
	})
}
