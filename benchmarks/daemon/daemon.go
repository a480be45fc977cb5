// Package daemon runs the programs that are measured as children: their output in a log,
// ended with this program however it ends, and a sentence with the last lines of the
// log where one fails.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// stopPatience is how long one may take to end after SIGTERM.
	stopPatience = 10 * time.Second
	// readyPoll is how often one is asked whether it is ready.
	readyPoll = 50 * time.Millisecond
	// tailLines and tailBytes bound what an error shows of a log.
	tailLines = 5
	tailBytes = 16 * 1024
)

// Command is a program to run.
type Command struct {
	// Name is what errors call it.
	Name string
	// Program is its file.
	Program string
	// Arguments do not hold its name.
	Arguments []string
	// Folder is where it runs and leaves NAME.log.
	Folder string
	// Environment are variables, NAME=value, beside a few that keep it in Folder. It has
	// none of this program's but PATH.
	Environment []string
}

// Daemon is a program that was started.
type Daemon struct {
	name    string
	log     string
	process *os.Process
	done    chan struct{}
	result  error
	stopped atomic.Bool
}

// Start runs a command until it is stopped or this program ends.
func Start(c Command) (*Daemon, error) {
	d := &Daemon{name: c.Name, log: filepath.Join(c.Folder, c.Name+".log"), done: make(chan struct{})}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", c.Name, err)
	}
	// It is stopped by Stop, which asks first, and not by a context.
	cmd := exec.Command(c.Program, c.Arguments...) //nolint:noctx // see above
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.Folder, log, log
	// Variables such as OP_NODE_… or GETH_… of a shell would quietly reconfigure it.
	cmd.Env = append([]string{"LC_ALL=C.UTF-8", "HOME=" + c.Folder, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + c.Folder}, c.Environment...)
	// Its own group, so that a terminal's interrupt reaches us first.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	go func() {
		// The kernel ties the death signal to the thread that forked, which has to
		// live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { _ = log.Close() }()
		err := cmd.Start()
		started <- err
		if err == nil {
			d.result = cmd.Wait()
			close(d.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	d.process = cmd.Process
	return d, nil
}

// Name is what it was called.
func (d *Daemon) Name() string { return d.name }

// PID is its process.
func (d *Daemon) PID() int { return d.process.Pid }

// Done is closed when it has ended.
func (d *Daemon) Done() <-chan struct{} { return d.done }

// Err is nil while it runs and after Stop, and says else how it ended.
func (d *Daemon) Err() error {
	select {
	case <-d.done:
	default:
		return nil
	}
	if d.stopped.Load() {
		return nil
	}
	how := "without an error"
	if d.result != nil {
		how = "with " + d.result.Error()
	}
	return fmt.Errorf("%s ended %s; the last of its log: %s", d.name, how, d.Tail())
}

// Await asks until ready answers nil, and says why it did not: because the program
// ended, or because the context's time was over.
func (d *Daemon) Await(ctx context.Context, ready func(context.Context) error) error {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-d.done:
			return d.Err()
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w: %w; the last of its log: %s", d.name, context.Cause(ctx), err, d.Tail())
		case <-ticker.C:
		}
	}
}

// Wait waits until it ends by itself, and says how where that is not well.
func (d *Daemon) Wait(ctx context.Context) error {
	select {
	case <-d.done:
	case <-ctx.Done():
		return fmt.Errorf("%s has not ended: %w; the last of its log: %s", d.name, context.Cause(ctx), d.Tail())
	}
	if d.result != nil {
		return fmt.Errorf("%s ended with %w; the last of its log: %s", d.name, d.result, d.Tail())
	}
	return nil
}

// Stop ends it: SIGTERM, patience, SIGKILL. A nil or ended one is stopped already.
func (d *Daemon) Stop() {
	if d == nil || d.stopped.Swap(true) {
		return
	}
	_ = d.process.Signal(syscall.SIGTERM)
	select {
	case <-d.done:
	case <-time.After(stopPatience):
		_ = d.process.Kill()
		<-d.done
	}
}

// Kill ends it at once, for what knows no other end.
func (d *Daemon) Kill() {
	if d == nil || d.stopped.Swap(true) {
		return
	}
	_ = d.process.Kill()
	<-d.done
}

// Tail is the last lines of its log that say something, in one line.
func (d *Daemon) Tail() string {
	file, err := os.Open(d.log)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err.Error()
	}
	text := make([]byte, min(info.Size(), tailBytes))
	if _, err := file.ReadAt(text, info.Size()-int64(len(text))); err != nil {
		return err.Error()
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "(empty)"
	}
	return strings.Join(lines[max(0, len(lines)-tailLines):], " | ")
}

// Ports answers n ports of 127.0.0.1 that are free now.
func Ports(ctx context.Context, n int) ([]int, error) {
	var ports []int
	var listeners []net.Listener
	defer func() {
		for _, listener := range listeners {
			_ = listener.Close()
		}
	}()
	for range n {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		listeners = append(listeners, listener)
		address, ok := listener.Addr().(*net.TCPAddr)
		if !ok {
			return nil, errors.New("find a free port: the listener has none")
		}
		ports = append(ports, address.Port)
	}
	return ports, nil
}
