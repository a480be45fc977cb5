package gatewaytest

import (
	"bytes"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Process is a gateway's own program that a test started, and may end as it likes.
type Process struct {
	t       testing.TB
	command *exec.Cmd
	log     output
	ended   chan struct{}
}

// output is what a process writes, to be read while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write keeps what is written.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// Run starts the program with a configuration and, perhaps, flags. It is killed when
// the test ends, and a failed test prints its log.
func Run(t testing.TB, program, config string, flags ...string) *Process {
	t.Helper()
	p := &Process{t: t, command: exec.Command(program, append([]string{"--config", config}, flags...)...), ended: make(chan struct{})} //nolint:noctx // it is ended as the test wants
	p.command.Stdout, p.command.Stderr = &p.log, &p.log
	require.NoError(t, p.command.Start())
	go func() {
		defer close(p.ended)
		_ = p.command.Wait()
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("the log of the gateway's process %d:\n%s", p.command.Process.Pid, p.Log())
		}
	})
	return p
}

// Kill ends it as a crash would; one that has ended stays so.
func (p *Process) Kill() {
	_ = p.command.Process.Kill()
	<-p.ended
}

// Signal sends it a signal.
func (p *Process) Signal(signal os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.command.Process.Signal(signal))
}

// Ended is closed once it has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Exit waits for its end and answers its exit code, -1 where a signal ended it.
func (p *Process) Exit(patience time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(p.t, "the gateway's process has not ended", "within %s", patience)
	}
	return p.command.ProcessState.ExitCode()
}

// Log is what it has written so far.
func (p *Process) Log() string {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return p.log.text.String()
}
