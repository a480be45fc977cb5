package network

import (
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// timerSlack is how late the kernel may let a node's timers go off. While a program does
// anything at all, Go's runtime looks after its own scheduling every 20 µs; with fifteen
// programs on one machine these wake-ups alone took a sixth of the processor time of a
// lone record. No timer of a node is finer than a millisecond. It is what systemd calls
// TimerSlackNSec.
const timerSlack = time.Millisecond

// startSlack starts a program with that slack. Slack is a thread's own, and a child has
// that of the thread which forked it.
func startSlack(cmd *exec.Cmd) error {
	// The thread goes back as it was: were it ended instead, whatever else it has started
	// would be told of its parent's death.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0); err != nil {
		return fmt.Errorf("set its timers' slack: %w", err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, ownSlack, 0, 0, 0) }()
	return cmd.Start() //nolint:wrapcheck // the caller says which program
}

// ownSlack has the kernel give a thread the slack that it began with.
const ownSlack = 0
