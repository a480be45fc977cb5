package adapter

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"
	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/network/msp"
	"github.com/callseal/callseal/network/networktest"
)

// lone is the program itself, beside a PBX that never calls and a gateway that is away.
type lone struct {
	*logbook
	config  Config
	folder  string
	command *exec.Cmd
	manager *serviceManager
}

// newLone writes what an adapter needs where any user may read it.
func newLone(t *testing.T) *lone {
	t.Helper()
	folder, err := os.MkdirTemp("", "lone")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	require.NoError(t, os.Chmod(folder, 0o755))
	issuer, err := msp.NewIssuer("ca.atlas", "Atlas")
	require.NoError(t, err)
	pair, err := issuer.Issue(msp.Request{CommonName: testPBX, Unit: msp.UnitClient, Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: testPBX}})
	require.NoError(t, err)
	block, _ := pem.Decode(issuer.Pair().CertPEM)
	require.NotNil(t, block)
	at := func(name string) string { return filepath.Join(folder, name) }
	for name, text := range map[string][]byte{"ca.pem": issuer.Pair().CertPEM, "cert.pem": pair.CertPEM, "key.pem": pair.KeyPEM} {
		require.NoError(t, os.WriteFile(at(name), text, 0o644))
	}
	l := &lone{logbook: &logbook{}, folder: folder, manager: newServiceManager(t, folder)}
	l.config = Config{
		MSP: testMSP, PBX: testPBX, User: me(t), StateDir: at("state"), Gateway: GatewayConfig{Address: "127.0.0.1:1", CAFile: at("ca.pem")},
		Identity: IdentityConfig{CertFile: at("cert.pem"), KeyFile: at("key.pem")}, CDR: CDRConfig{CSV: at("Master.csv")},
		Recordings: RecordingsConfig{Folder: folder},
	}
	return l
}

func (l *lone) write(t *testing.T) string {
	t.Helper()
	text, err := yaml.Marshal(&l.config)
	require.NoError(t, err)
	file := filepath.Join(l.folder, "adapter.yaml")
	require.NoError(t, os.WriteFile(file, text, 0o644))
	return file
}

func (l *lone) start(t *testing.T) {
	t.Helper()
	program := filepath.Join(networktest.Build(t, "callseal-asterisk-adapter"), "callseal-asterisk-adapter")
	l.command = exec.Command(program, "--config", l.write(t))
	l.command.Stderr = l
	l.command.Env = append(os.Environ(), "NOTIFY_SOCKET="+l.manager.address, "WATCHDOG_USEC=400000")
	require.NoError(t, l.command.Start())
	t.Cleanup(func() {
		_ = l.command.Process.Kill()
		if t.Failed() {
			t.Logf("the adapter's log:\n%s", l)
		}
	})
	l.until(t, "adapter ready", 1)
}

func (l *lone) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, l.command.Process.Signal(syscall.SIGTERM))
	require.NoError(t, l.command.Wait(), "%s", l)
}

// serviceManager hears what a service says, as systemd does.
type serviceManager struct {
	address string

	mu    sync.Mutex
	heard []string
}

func newServiceManager(t *testing.T, folder string) *serviceManager {
	t.Helper()
	m := &serviceManager{address: filepath.Join(folder, "notify")}
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.address, Net: "unixgram"})
	require.NoError(t, err)
	require.NoError(t, os.Chmod(m.address, 0o777))
	t.Cleanup(func() { _ = socket.Close() })
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.heard = append(m.heard, strings.Split(string(buffer[:n]), "\n")...)
			m.mu.Unlock()
		}
	}()
	return m
}

// until waits until something that matches was heard so often.
func (m *serviceManager) until(t *testing.T, pattern string, times int) {
	t.Helper()
	expression := regexp.MustCompile("^" + pattern + "$")
	require.Eventually(t, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		count := 0
		for _, line := range m.heard {
			if expression.MatchString(line) {
				count++
			}
		}
		return count >= times
	}, patience, 5*time.Millisecond, "%d × %s", times, pattern)
}

// TestReload has the program take up another configuration on SIGHUP: what may change
// does, what may not is named, and what cannot be used changes nothing.
func TestReload(t *testing.T) {
	l := newLone(t)
	l.start(t)
	l.manager.until(t, "READY=1", 1)
	l.manager.until(t, "WATCHDOG=1", 3)
	hangUp := func() { require.NoError(t, l.command.Process.Signal(syscall.SIGHUP)) }

	l.config.LogLevel, l.config.Beat, l.config.Contexts = "debug", "2h", map[string]string{"lab": "internal"}
	l.config.Recordings.PairWait, l.config.PBX = "3s", "another"
	l.write(t)
	hangUp()
	require.Equal(t, []any{"beat", "contexts", "log_level", "recordings.pair_wait"}, l.until(t, "configuration reloaded", 1)[0]["options"])
	require.Equal(t, []any{"pbx"}, l.until(t, "these changes of the configuration wait for a restart", 1)[0]["options"])
	l.manager.until(t, "RELOADING=1", 1)
	l.manager.until(t, `MONOTONIC_USEC=\d+`, 1)
	l.manager.until(t, "READY=1", 2)

	l.config.PBX, l.config.Beat = testPBX, "never"
	l.write(t)
	hangUp()
	require.Contains(t, l.until(t, "the configuration is not reloaded, the old one stays in force", 1)[0]["error"], `beat is "never"`)
	require.NoError(t, os.WriteFile(filepath.Join(l.folder, "adapter.yaml"), []byte("log_depth: debug\n"), 0o644))
	hangUp()
	require.Contains(t, l.until(t, "the configuration is not reloaded", 2)[1]["error"], "log_depth")
	l.manager.until(t, "READY=1", 4)

	l.config.Beat = "2h"
	l.write(t)
	hangUp()
	require.Equal(t, []any(nil), asList(l.until(t, "configuration reloaded", 2)[1]["options"]), "it is what is in force")
	l.stop(t)
	l.manager.until(t, "STOPPING=1", 1)
}

func asList(value any) []any {
	list, _ := value.([]any)
	return list
}

// TestReloadedOptionsTakeEffect follows each option to where it counts.
func TestReloadedOptionsTakeEffect(t *testing.T) {
	b := newBench(t, filepath.Join(t.TempDir(), "journal.db"), &gatewayEdge{})
	p := newPairing(b.book, b.closer, time.Hour, b.closer.log)
	p.setWait(0, 0)
	p.leg(t.Context(), newLeg(t, b.book, "1.1", 0, nil))
	b.untilEmpty(t)
	require.Len(t, b.edge.order(), 1, "a leg waits no longer")

	a := newMapper(t)
	row := parseRow(t, wholeRow)
	next := *a.config
	next.Contexts = map[string]string{"from-trunk": "outbound"}
	next.Recordings.Due = dueNone
	a.inForce.Store(&next)
	call, _, err := a.newCall(row)
	require.NoError(t, err)
	require.Equal(t, "outbound", call.Direction)
	require.False(t, call.RecordingDue)
	require.ErrorIs(t, b.end(), context.Canceled)
}

// TestRootIsGivenUp looks at what the kernel says of every thread of the program.
func TestRootIsGivenUp(t *testing.T) {
	l := newLone(t)
	if os.Geteuid() != 0 {
		l.config.User = "root"
		out := l.refused(t)
		require.Contains(t, out, "user is root, and this was started as another")
		return
	}
	l.config.User = ""
	require.Contains(t, l.refused(t), "this was started as root: set user")
	l.config.User = "nobody-at-all"
	require.Contains(t, l.refused(t), "user nobody-at-all is not known here")

	const name = "nobody"
	l.config.User = name
	l.start(t)
	who, err := exec.Command("id", "-u", name).Output()
	require.NoError(t, err)
	uid := strings.TrimSpace(string(who))
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", l.command.Process.Pid))
	require.NoError(t, err)
	require.NotEmpty(t, tasks)
	for _, task := range tasks {
		status := statusOf(t, task)
		require.Equal(t, slices.Repeat([]string{uid}, 4), strings.Fields(status["Uid"]))
		require.NotContains(t, strings.Fields(status["Gid"]), "0")
		require.NotContains(t, strings.Fields(status["Groups"]), "0")
		require.Equal(t, "1", status["NoNewPrivs"])
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			bits, err := strconv.ParseUint(status[set], 16, 64)
			require.NoError(t, err)
			require.Zero(t, bits, set)
		}
	}
	info, err := os.Stat(l.config.StateDir)
	require.NoError(t, err)
	stat, is := info.Sys().(*syscall.Stat_t)
	require.True(t, is)
	require.Equal(t, uid, strconv.FormatUint(uint64(stat.Uid), 10))
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	l.stop(t)
}

// refused starts the program, which ends, and answers what it says.
func (l *lone) refused(t *testing.T) string {
	t.Helper()
	program := filepath.Join(networktest.Build(t, "callseal-asterisk-adapter"), "callseal-asterisk-adapter")
	out, err := exec.CommandContext(t.Context(), program, "--config", l.write(t)).CombinedOutput()
	require.Error(t, err)
	return string(out)
}

func statusOf(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	status := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.TrimSpace(value)
	}
	return status
}

// TestUnit reads the unit file: what keeps the adapter to itself is there, and systemd,
// where it is installed, finds nothing wrong with it.
func TestUnit(t *testing.T) {
	const path = "systemd/callseal-asterisk-adapter.service"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	options, err := unit.DeserializeOptions(strings.NewReader(string(text)))
	require.NoError(t, err)
	of := map[string][]string{}
	for _, option := range options {
		of[option.Name] = append(of[option.Name], option.Value)
	}
	for name, want := range map[string]string{
		"User": "callseal", "Type": "notify", "NoNewPrivileges": "yes", "ProtectSystem": "strict", "CapabilityBoundingSet": "", "ProtectHome": "yes",
		"SupplementaryGroups": "asterisk", "StateDirectory": "callseal/adapter", "ReadWritePaths": "/var/spool/asterisk/callseal/closed",
		"ExecReload": "/bin/kill -HUP $MAINPID", "Restart": "always", "MemoryMax": "512M", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
	} {
		require.Equal(t, []string{want}, of[name], name)
	}
	require.Contains(t, of["SystemCallFilter"], "@system-service")
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		return // the unit was read all the same
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "callseal-asterisk-adapter.service")
	require.NoError(t, os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "/usr/bin/callseal-asterisk-adapter", "/bin/true")), 0o600))
	out, err := exec.CommandContext(t.Context(), analyze, "verify", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), file, "%s", out)
	out, err = exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--threshold=20", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
