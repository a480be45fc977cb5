package network

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// slackOf is a process's timer slack, in nanoseconds.
func slackOf(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", pid))
	require.NoError(t, err)
	slack, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	require.NoError(t, err)
	return slack
}

func TestSlackIsTheNodesOwn(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(t.Context(), "sleep", "60")
	require.NoError(t, startSlack(cmd))
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	require.Equal(t, timerSlack.Nanoseconds(), slackOf(t, cmd.Process.Pid))
	// What this thread starts otherwise has the slack of this program.
	other := exec.CommandContext(t.Context(), "sleep", "60")
	require.NoError(t, other.Start())
	defer func() { _, _ = other.Process.Kill(), other.Wait() }()
	require.Less(t, slackOf(t, other.Process.Pid), timerSlack.Nanoseconds())
}

func TestAProgramThatIsNotThere(t *testing.T) {
	require.ErrorIs(t, startSlack(exec.CommandContext(t.Context(), "/nowhere/peer")), os.ErrNotExist)
}
