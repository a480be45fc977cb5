// Package postgrestest starts real PostgreSQL servers for tests: private, in a
// temporary folder, on a Unix socket, stopped when the test ends. A machine without
// PostgreSQL fails the test; nothing is skipped.
package postgrestest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds the start and stop of a server.
const patience = time.Minute

// Server is a running server.
type Server struct {
	tb     testing.TB
	folder string
	bin    string
	owner  *syscall.Credential

	mu      sync.Mutex
	count   int
	process *os.Process // nil while it is stopped
	ended   chan error
}

// Start makes and starts a server with a cluster of its own. Its locale is not C, so
// that a test sees who relies on it.
func Start(tb testing.TB) *Server {
	tb.Helper()
	bin, err := programs()
	if err != nil {
		tb.Fatal(err)
	}
	// Not tb.TempDir(): its parents are closed to others than root.
	folder, err := os.MkdirTemp("", "callseal-postgres-")
	if err != nil {
		tb.Fatalf("make a folder for PostgreSQL: %v", err)
	}
	s := &Server{tb: tb, folder: folder, bin: bin}
	tb.Cleanup(func() { _ = os.RemoveAll(folder) })
	if os.Geteuid() == 0 { // initdb and postgres refuse to run as root
		if s.owner, err = unprivileged(); err != nil {
			tb.Fatal(err)
		}
		if err := os.Chown(folder, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			tb.Fatalf("give PostgreSQL its folder: %v", err)
		}
	}
	s.run("initdb", "-D", s.data(), "-U", "callseal", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale", "C.UTF-8")
	tb.Cleanup(s.Stop)
	s.Again()
	return s
}

// Again starts the server, as Start did and after Stop, and waits until it answers.
func (s *Server) Again() {
	s.tb.Helper()
	server := s.command(context.Background(), "postgres", "-D", s.data(), "-k", s.folder, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60")
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.tb.Fatalf("open PostgreSQL's log: %v", err)
	}
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		s.tb.Fatalf("start PostgreSQL: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait(); _ = log.Close() }()
	s.process, s.ended = server.Process, ended
	s.await(ended)
}

// Database makes an empty database and answers how to connect to it.
func (s *Server) Database() string {
	s.tb.Helper()
	s.mu.Lock()
	s.count++
	name := fmt.Sprintf("index%d", s.count)
	s.mu.Unlock()
	s.run("createdb", "-h", s.folder, "-U", "callseal", name)
	return fmt.Sprintf("host=%s user=callseal dbname=%s", s.folder, name)
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	command.Dir = s.folder
	command.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PGCONNECT_TIMEOUT=5")
	// It ends with the test, however the test ends.
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Pdeathsig: syscall.SIGQUIT}
	return command
}

func (s *Server) run(program string, args ...string) {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	command := s.command(ctx, program, args...)
	command.SysProcAttr.Pdeathsig = 0
	if output, err := command.CombinedOutput(); err != nil {
		s.tb.Fatalf("%s: %v\n%s", program, err, output)
	}
}

// await waits until the server answers.
func (s *Server) await(ended <-chan error) {
	s.tb.Helper()
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			log, _ := os.ReadFile(filepath.Join(s.folder, "log"))
			s.tb.Fatalf("PostgreSQL ended: %v\n%s", err, bytes.TrimSpace(log))
		default:
		}
		if s.command(context.Background(), "pg_isready", "-q", "-h", s.folder).Run() == nil {
			return
		}
	}
	s.tb.Fatalf("PostgreSQL does not answer after %s", patience)
}

// Stop stops the server, which cuts its connections.
func (s *Server) Stop() {
	if s.process == nil {
		return
	}
	process := s.process
	s.process = nil
	_ = process.Signal(syscall.SIGINT) // a fast shutdown
	select {
	case <-s.ended: //nolint:errcheck // however it ended
	case <-time.After(patience):
		_ = process.Kill()
		s.tb.Errorf("PostgreSQL did not stop within %s", patience)
	}
}

// programs is the folder of PostgreSQL's own programs, of the newest version there
// is.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", fmt.Errorf("look for PostgreSQL: %w", err)
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	if len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(newest), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", fmt.Errorf("this test needs a PostgreSQL server's programs, and there are none: install Debian's package postgresql")
}

// unprivileged is the user that servers run as where the test runs as root.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(found.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user id of %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(found.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("group id of %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres or nobody")
}
