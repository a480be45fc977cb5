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

// startSlack starts a program with that slack.
func startSlack(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		// Slack is a thread's own, and a child has that of the thread which forked it.
		// The thread stays locked, and so ends with this function.
		runtime.LockOSThread()
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0); err != nil {
			started <- fmt.Errorf("set its timers' slack: %w", err)
			return
		}
		started <- cmd.Start()
	}()
	return <-started
}
