// Package lab starts a real Asterisk 22 and real SIP phones (SIPp) on loopback
// addresses, for tests and for the demo. Nothing it starts outlives it.
package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/pbx"
)

// User is the AMI and ARI account of the configuration in pbx.
const User = "callseal"

// controlUser may also change calls; it is the lab's own.
const controlUser = "lab"

// Asterisk is a running Asterisk. Its methods are for one goroutine at a time,
// except PlaceCall and PlaceCalls.
type Asterisk struct {
	inst   *Installation
	opts   Options
	dir    string
	temp   bool
	runDir string // of the control socket
	ip     string
	secret string
	env    []string
	inZone []string // goes before the command, for another time zone
	// program is Asterisk's command, without arguments.
	program []string

	proc  *process
	sipps []*process
	calls callNumber
}

// Start starts an Asterisk and returns when it has fully booted.
func (i *Installation) Start(ctx context.Context, opts Options) (*Asterisk, error) {
	a := &Asterisk{inst: i, opts: opts, secret: rand.Text()}
	if err := a.prepare(ctx); err != nil {
		a.cleanUp()
		return nil, fmt.Errorf("prepare Asterisk: %w", err)
	}
	if err := a.boot(ctx); err != nil {
		a.cleanUp()
		return nil, err
	}
	return a, nil
}

func (a *Asterisk) prepare(ctx context.Context) error {
	var err error
	if a.opts.Dir == "" {
		if a.dir, err = os.MkdirTemp("", "callseal-asterisk-"); err != nil {
			return err
		}
		a.temp = true
	} else if a.dir, err = filepath.Abs(a.opts.Dir); err != nil {
		return err
	}
	a.runDir = a.path("run")
	// A Unix socket's path has at most 107 bytes.
	if len(filepath.Join(a.runDir, "asterisk.ctl")) > 107 {
		if a.runDir, err = os.MkdirTemp("", "callseal-run-"); err != nil {
			return err
		}
	}
	for _, dir := range []string{"etc", "run", "db", "cache", "sipp", "log/cdr-csv", "spool/tmp", "spool/" + pbx.MonitorDir, "spool/recording", "spool/" + pbx.ClosedDir, "spool/" + pbx.ConsentDir, "spool/" + pbx.EvidenceDir} {
		if err := os.MkdirAll(a.path(dir), 0o750); err != nil {
			return err
		}
	}
	if a.ip = a.opts.Loopback; a.ip == "" {
		if a.ip, err = freeLoopback(ctx); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(a.ip, "127.") || !strings.HasSuffix(a.ip, ".1") || net.ParseIP(a.ip) == nil {
		return fmt.Errorf("loopback address %q is not of the form 127.x.y.1", a.ip)
	}
	a.env = []string{"LC_ALL=C.UTF-8", "PATH=" + os.Getenv("PATH")}
	if a.opts.Table != nil {
		a.env = append(a.env, "ODBCINI="+a.path("etc", "odbc.ini"))
	}
	a.program = a.inst.asterisk
	if a.opts.Clock {
		if err := a.prepareClock(); err != nil {
			return err
		}
	}
	if a.opts.Timezone != "" {
		if a.inZone, err = a.inst.inZone(a.opts.Timezone); err != nil {
			return err
		}
	}
	return a.writeConfig(a.opts)
}

func (a *Asterisk) boot(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	argv := append(slices.Concat(a.inZone, a.program), "-f", "-n", "-C", a.path("etc", "asterisk.conf"))
	proc, err := startProcess(argv, a.env, a.dir, a.path("log", "console.log"))
	if err != nil {
		return err
	}
	a.proc = proc
	// Until its socket is there the command fails at once; from then on the
	// command itself waits.
	for {
		if out, err := a.Command(ctx, "core waitfullybooted"); err == nil && strings.Contains(out, "fully booted") {
			return nil
		}
		select {
		case <-proc.done:
			return fmt.Errorf("Asterisk ended while it booted: %w: %s", errors.Join(proc.err, a.lastError()), a.dir)
		case <-ctx.Done():
			proc.kill()
			return fmt.Errorf("Asterisk did not boot: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Program is the command line that Asterisk's own program has here: with "-rx" and a
// command behind it, it talks to this Asterisk.
func (a *Asterisk) Program() []string {
	return append(slices.Clone(a.inst.asterisk), "-C", a.path("etc", "asterisk.conf"))
}

// SpoolDir is the folder of recordings and markers.
func (a *Asterisk) SpoolDir() string { return a.path("spool") }

// LogDir is the folder of logs and CDRs.
func (a *Asterisk) LogDir() string { return a.path("log") }

// lastError returns the last lines of what Asterisk said.
func (a *Asterisk) lastError() error {
	content, err := os.ReadFile(a.path("log", "console.log"))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return errors.New(strings.Join(lines[max(0, len(lines)-5):], "; "))
}

// Command runs one command of Asterisk's console and returns what it prints.
func (a *Asterisk) Command(ctx context.Context, command string) (string, error) {
	args := append(a.inst.asterisk[1:len(a.inst.asterisk):len(a.inst.asterisk)], "-C", a.path("etc", "asterisk.conf"), "-rx", command)
	cmd := exec.CommandContext(ctx, a.inst.asterisk[0], args...)
	cmd.Env = append(os.Environ(), a.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("asterisk -rx %q: %w: %s", command, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// Stop ends the phones and Asterisk, in order, and removes a temporary run
// directory. Asterisk writes the records of calls still up before it goes.
func (a *Asterisk) Stop() {
	a.stopPhones()
	if a.proc != nil {
		a.proc.stop(10 * time.Second)
	}
	a.cleanUp()
}

// Kill ends Asterisk as a power cut would (SIGKILL). The run directory stays,
// a temporary one too, until Stop.
func (a *Asterisk) Kill() {
	if a.proc != nil {
		a.proc.kill()
	}
}

// Restart ends Asterisk if it runs, in order, and boots it again on the same
// directory and address. Phones that were registered stay so.
func (a *Asterisk) Restart(ctx context.Context) error {
	if a.proc != nil && a.proc.alive() {
		a.proc.stop(10 * time.Second)
	}
	return a.boot(ctx)
}

func (a *Asterisk) cleanUp() {
	if a.proc != nil && a.proc.alive() {
		a.proc.kill()
	}
	if a.runDir != "" && a.runDir != a.path("run") {
		_ = os.RemoveAll(a.runDir) // a leftover empty folder harms nobody
	}
	if a.temp {
		_ = os.RemoveAll(a.dir) // as above: the system's temporary folder
	}
}

func (a *Asterisk) path(elem ...string) string {
	return filepath.Join(append([]string{a.dir}, elem...)...)
}

// ConfigDir is Asterisk's configuration folder.
func (a *Asterisk) ConfigDir() string { return a.path("etc") }

// CSV is the path of the file cdr_csv writes. It exists after the first call.
func (a *Asterisk) CSV() string { return a.path("log", "cdr-csv", "Master.csv") }

// RecordingDir is where the dialplan's recordings are written.
func (a *Asterisk) RecordingDir() string { return a.path("spool", pbx.MonitorDir) }

// ClosedDir is where the post-process command leaves its markers.
func (a *Asterisk) ClosedDir() string { return a.path("spool", filepath.FromSlash(pbx.ClosedDir)) }

// ARIRecordingDir is where ARI's recordings are written.
func (a *Asterisk) ARIRecordingDir() string { return a.path("spool", "recording") }

// IP is the loopback address of SIP, AMI and HTTP.
func (a *Asterisk) IP() string { return a.ip }

// Secret is the password of User in AMI and ARI, and of the phones.
func (a *Asterisk) Secret() string { return a.secret }

// AMI is the host:port of the manager interface.
func (a *Asterisk) AMI() string { return net.JoinHostPort(a.ip, amiPort) }

// ARI is the base URL of the REST interface, such as "http://127.3.4.1:8088/ari".
func (a *Asterisk) ARI() string {
	return (&url.URL{Scheme: "http", Host: net.JoinHostPort(a.ip, ariPort), Path: "/ari"}).String()
}

// Control returns the name and password of an ARI and AMI user that may change calls.
// It exists in the lab only: the adapter's own user may not.
func (a *Asterisk) Control() (user, password string) { return controlUser, a.secret }

// PID is Asterisk's process.
func (a *Asterisk) PID() int { return a.proc.cmd.Process.Pid }
