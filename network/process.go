package network

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopPatience is how long a node may take to end after SIGTERM.
const stopPatience = 10 * time.Second

// process is a started program, as its pid file remembers it. A pid alone is
// reused by the system, so the start time and the boot come with it.
type process struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started_ticks"`
	Boot    string `json:"boot_id"`
}

// startProcess runs a program detached from the caller: in a session of its
// own, with its output appended to logFile, remembered in pidFile.
func startProcess(command command, logFile, pidFile string) (process, error) {
	if err := os.MkdirAll(filepath.Dir(logFile), 0o700); err != nil {
		return process{}, fmt.Errorf("make the log folder: %w", err)
	}
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return process{}, fmt.Errorf("open the log: %w", err)
	}
	defer func() { _ = log.Close() }()
	// It outlives this program, and so every context.
	cmd := exec.Command(command.program, command.arguments...) //nolint:noctx // see above
	cmd.Env = cleanEnvironment(command.environment...)
	cmd.Dir = filepath.Dir(logFile)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := startSlack(cmd); err != nil {
		return process{}, fmt.Errorf("start %s: %w", command.program, err)
	}
	// Reaps the child where the caller outlives it; otherwise init does.
	go func() { _ = cmd.Wait() }()
	started, err := startTicks(cmd.Process.Pid)
	if err != nil {
		return process{}, fmt.Errorf("%s ended as soon as it was started: see %s", filepath.Base(command.program), logFile)
	}
	p := process{PID: cmd.Process.Pid, Started: started, Boot: bootID()}
	content, err := json.Marshal(p)
	if err == nil {
		err = writeFile(pidFile, content, 0o600)
	}
	if err != nil {
		// Without its pid file nobody could stop it again.
		_ = cmd.Process.Kill()
		return process{}, fmt.Errorf("remember the process: %w", err)
	}
	return p, nil
}

// readProcess finds the process a pid file names; ok is false when there is no
// such file or the process is gone, even if its pid now belongs to another.
func readProcess(pidFile string) (p process, ok bool) {
	content, err := os.ReadFile(pidFile)
	if err != nil || json.Unmarshal(content, &p) != nil || p.PID <= 1 {
		return process{}, false
	}
	return p, p.alive()
}

func (p process) alive() bool {
	started, err := startTicks(p.PID)
	return err == nil && started == p.Started && bootID() == p.Boot
}

// stop ends the process: SIGTERM, patience, SIGKILL.
func (p process) stop(ctx context.Context, patience time.Duration) error {
	if patience > 0 {
		if err := p.signal(syscall.SIGTERM); err != nil {
			return err
		}
		waiting, cancel := context.WithTimeout(ctx, patience)
		gone := p.wait(waiting)
		cancel()
		if gone {
			return nil
		}
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	// Even a caller out of time must not leave a process it has just killed
	// half there.
	waiting, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	if !p.wait(waiting) {
		return fmt.Errorf("process %d does not end even when killed", p.PID)
	}
	return nil
}

func (p process) signal(signal syscall.Signal) error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal process %d: %w", p.PID, err)
	}
	return nil
}

func (p process) wait(ctx context.Context) bool {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for p.alive() {
		select {
		case <-ctx.Done():
			return !p.alive()
		case <-ticker.C:
		}
	}
	return true
}

// memory is the process's resident memory in bytes, 0 when unknown.
func (p process) memory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return 0
	}
	_, rest, found := strings.Cut(string(status), "VmRSS:")
	if !found {
		return 0
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(fields[0], 10, 64)
	return kib * 1024
}

// startTicks reads when a process started, in clock ticks since boot. It fails
// when there is no such process or it has ended and was not yet reaped.
func startTicks(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	// The second field, the name, may itself hold spaces and brackets.
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, fmt.Errorf("process %d: unreadable /proc entry", pid)
	}
	fields := strings.Fields(string(stat[end+1:]))
	const state, threads, startTime = 0, 17, 19
	if len(fields) <= startTime {
		return 0, fmt.Errorf("process %d: unreadable /proc entry", pid)
	}
	// The first thread may be gone while others still hold the ports.
	if (fields[state] == "Z" || fields[state] == "X") && (fields[threads] == "0" || fields[threads] == "1") {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return strconv.ParseUint(fields[startTime], 10, 64)
}

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// cleanEnvironment is what a node's program is given: enough to run, nothing
// of the caller's. Fabric lets variables named CORE_… or ORDERER_… override its
// files, so one left over in a shell would quietly reconfigure a node.
func cleanEnvironment(extra ...string) []string {
	environment := []string{"LC_ALL=C.UTF-8"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH"} {
		if value, set := os.LookupEnv(name); set {
			environment = append(environment, name+"="+value)
		}
	}
	return append(environment, extra...)
}

// tail returns the last lines of a log that say something, for error texts.
func tail(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	const enough = 64 * 1024
	if len(content) > enough {
		content = content[len(content)-enough:]
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		// Go prints a panic's reason first and its stack after.
		if strings.Contains(lines[i], "panic:") || strings.Contains(lines[i], "PANI") || strings.Contains(lines[i], "FATA") {
			return strings.TrimSpace(lines[i])
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
