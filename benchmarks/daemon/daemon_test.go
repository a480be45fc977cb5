package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// start runs a line of shell.
func start(t *testing.T, line string) *Daemon {
	t.Helper()
	d, err := Start(Command{Name: "node", Program: "/bin/sh", Arguments: []string{"-c", line}, Folder: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(d.Stop)
	return d
}

var errNever = errors.New("not yet")

func never(context.Context) error { return errNever }

func TestOneThatDiesAtItsStartSaysWhy(t *testing.T) {
	d := start(t, "echo first; echo; echo 'the database is of another version' >&2; exit 3")
	err := d.Await(t.Context(), never)
	require.EqualError(t, err, "node ended with exit status 3; the last of its log: first | the database is of another version")
	require.EqualError(t, d.Err(), err.Error())

	d = start(t, "exit 0")
	require.EqualError(t, d.Await(t.Context(), never), "node ended without an error; the last of its log: (empty)")
}

func TestOneThatIsNeverReadySaysWhyToo(t *testing.T) {
	d := start(t, "echo waiting for a peer; exec sleep 100")
	require.Eventually(t, func() bool { return d.Tail() == "waiting for a peer" }, 10*time.Second, time.Millisecond)
	late := errors.New("no answer within a moment")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, late)
	defer cancel()
	err := d.Await(ctx, never)
	require.ErrorIs(t, err, late)
	require.ErrorIs(t, err, errNever)
	require.ErrorContains(t, err, "waiting for a peer")
	require.NoError(t, d.Err(), "it runs still")
}

func TestStopAsksFirst(t *testing.T) {
	d := start(t, "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
	require.NoError(t, d.Await(t.Context(), func(context.Context) error {
		if d.Tail() != "up" {
			return errNever
		}
		return nil
	}))
	d.Stop()
	d.Stop()
	require.Equal(t, "up | bye", d.Tail())
	require.NoError(t, d.Err(), "it was told to end")
	(*Daemon)(nil).Stop()
}

func TestOnlyTheLastLinesAreShown(t *testing.T) {
	d := start(t, "seq 1 100000")
	<-d.Done()
	require.Equal(t, "99996 | 99997 | 99998 | 99999 | 100000", d.Tail())
}

func TestWhatCannotBeStarted(t *testing.T) {
	_, err := Start(Command{Name: "node", Program: "/nonexistent/node", Folder: t.TempDir()})
	require.ErrorContains(t, err, "start node: ")
	_, err = Start(Command{Name: "node", Program: "/bin/true", Folder: "/nonexistent"})
	require.ErrorContains(t, err, "open the log of node: ")
}

// TestItEndsWithItsParent runs this test again as a parent, which is killed.
func TestItEndsWithItsParent(t *testing.T) {
	const variable = "DAEMON_TEST_PARENT"
	if folder := os.Getenv(variable); folder != "" {
		d, err := Start(Command{Name: "node", Program: "/bin/sleep", Arguments: []string{"100"}, Folder: folder})
		require.NoError(t, err)
		fmt.Println("child", d.PID())
		<-d.Done()
		return
	}
	parent := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	parent.Env = append(os.Environ(), variable+"="+t.TempDir())
	output, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	text := make([]byte, 4096)
	n, err := output.Read(text)
	require.NoError(t, err)
	fields := strings.Fields(string(text[:n]))
	require.Equal(t, "child", fields[0])
	child, err := strconv.Atoi(fields[1])
	require.NoError(t, err)
	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	require.Eventually(t, func() bool {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(state), ") Z ")
	}, 10*time.Second, time.Millisecond)
}

func TestPortsAreFreeAndDiffer(t *testing.T) {
	ports, err := Ports(t.Context(), 20)
	require.NoError(t, err)
	seen := map[int]bool{}
	for _, port := range ports {
		require.False(t, seen[port])
		seen[port] = true
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
}

func TestOneThatEndsByItselfIsWaitedFor(t *testing.T) {
	require.NoError(t, start(t, "sleep 0.1").Wait(t.Context()))
	require.EqualError(t, start(t, "echo 'no space left on device'; exit 2").Wait(t.Context()), "node ended with exit status 2; the last of its log: no space left on device")
	d := start(t, "exec sleep 100")
	enough := errors.New("long enough")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, enough)
	defer cancel()
	require.ErrorIs(t, d.Wait(ctx), enough)
}
