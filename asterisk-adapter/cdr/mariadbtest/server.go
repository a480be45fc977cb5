// Package mariadbtest starts real MariaDB servers for tests: private, in a temporary
// folder, on a loopback port, stopped when the test ends. A machine without MariaDB
// fails the test; nothing is skipped.
package mariadbtest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// patience bounds the start and stop of a server.
const patience = time.Minute

// FreePBX is the statement that makes FreePBX's table of CDRs, column by column, with
// the indexes by which it is searched.
const FreePBX = `CREATE TABLE cdr (
	calldate DATETIME NOT NULL DEFAULT '1970-01-01 00:00:00', clid VARCHAR(80) NOT NULL DEFAULT '', src VARCHAR(80) NOT NULL DEFAULT '',
	dst VARCHAR(80) NOT NULL DEFAULT '', dcontext VARCHAR(80) NOT NULL DEFAULT '', channel VARCHAR(80) NOT NULL DEFAULT '',
	dstchannel VARCHAR(80) NOT NULL DEFAULT '', lastapp VARCHAR(80) NOT NULL DEFAULT '', lastdata VARCHAR(80) NOT NULL DEFAULT '',
	duration INT NOT NULL DEFAULT 0, billsec INT NOT NULL DEFAULT 0, disposition VARCHAR(45) NOT NULL DEFAULT '', amaflags INT NOT NULL DEFAULT 0,
	accountcode VARCHAR(20) NOT NULL DEFAULT '', uniqueid VARCHAR(32) NOT NULL DEFAULT '', userfield VARCHAR(255) NOT NULL DEFAULT '',
	did VARCHAR(50) NOT NULL DEFAULT '', recordingfile VARCHAR(255) NOT NULL DEFAULT '', cnum VARCHAR(80) NOT NULL DEFAULT '',
	cnam VARCHAR(80) NOT NULL DEFAULT '', outbound_cnum VARCHAR(80) NOT NULL DEFAULT '', outbound_cnam VARCHAR(80) NOT NULL DEFAULT '',
	dst_cnam VARCHAR(80) NOT NULL DEFAULT '', linkedid VARCHAR(32) NOT NULL DEFAULT '', peeraccount VARCHAR(80) NOT NULL DEFAULT '',
	sequence INT NOT NULL DEFAULT 0,
	KEY calldate (calldate), KEY dst (dst), KEY accountcode (accountcode), KEY uniqueid (uniqueid), KEY linkedid (linkedid)
) DEFAULT CHARSET = utf8mb4`

// Times is what FreePBX's table needs to be followed.
const Times = "ALTER TABLE cdr ADD COLUMN `answer` DATETIME, ADD COLUMN `end` DATETIME"

// Server is a running server.
type Server struct {
	tb      testing.TB
	folder  string
	port    int
	count   int
	process *os.Process // nil while it is stopped
	ended   chan error
}

// Installed answers an error that says what to install, unless MariaDB is there.
func Installed() error {
	for _, program := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("this needs MariaDB's server, and there is no %s: install Debian's packages mariadb-server-core and mariadb-client-core", program)
		}
	}
	return nil
}

// Start makes and starts a server with data of its own.
func Start(tb testing.TB) *Server {
	tb.Helper()
	if err := Installed(); err != nil {
		tb.Fatal(err)
	}
	s := &Server{tb: tb, folder: tb.TempDir()}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	install := exec.CommandContext(ctx, "mariadb-install-db", "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal", "--skip-test-db", "--user="+me(tb))
	if output, err := install.CombinedOutput(); err != nil {
		tb.Fatalf("mariadb-install-db: %v\n%s", err, output)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	tb.Cleanup(s.Stop)
	s.Again()
	return s
}

// me is the user that the server runs as: it refuses root unless told.
func me(tb testing.TB) string {
	tb.Helper()
	who, err := user.Current()
	if err != nil {
		tb.Fatal(err)
	}
	return who.Username
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// Address is the server's host:port.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Socket is the path of the server's socket.
func (s *Server) Socket() string { return filepath.Join(s.folder, "s") }

// Again starts the server, as Start did and after Stop or Kill, and waits until it
// answers.
func (s *Server) Again() {
	s.tb.Helper()
	server := exec.CommandContext(context.Background(), "mariadbd", "--no-defaults", "--datadir="+s.data(), "--socket="+s.Socket(), "--port="+strconv.Itoa(s.port),
		"--bind-address=127.0.0.1", "--skip-name-resolve", "--user="+me(s.tb), "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=16M", "--performance-schema=OFF")
	// It ends with the test, however the test ends.
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.OpenFile(filepath.Join(s.folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.tb.Fatalf("open MariaDB's log: %v", err)
	}
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		s.tb.Fatalf("start MariaDB: %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait(); close(ended); _ = log.Close() }()
	s.process, s.ended = server.Process, ended
	root := s.Open("root", "", "")
	defer func() { _ = root.Close() }()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if root.PingContext(context.Background()) == nil {
			return
		}
		select {
		case err := <-ended:
			log, _ := os.ReadFile(filepath.Join(s.folder, "log"))
			s.tb.Fatalf("MariaDB ended: %v\n%s", err, bytes.TrimSpace(log))
		default:
		}
		if time.Since(began) > patience {
			s.tb.Fatalf("MariaDB does not answer after %s", patience)
		}
	}
}

// Open prepares connections as a user to a database; the empty one is none.
func (s *Server) Open(who, password, database string) *sql.DB {
	s.tb.Helper()
	config := mysql.NewConfig()
	config.User, config.Passwd, config.Net, config.Addr, config.DBName = who, password, "tcp", s.Address(), database
	config.InterpolateParams, config.Logger = true, &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		s.tb.Fatal(err)
	}
	return sql.OpenDB(connector)
}

// Database makes a database with FreePBX's table of CDRs, changed by statements, a user "asterisk" that may write to
// it and a user "callseal" that may read the table and nothing else, both without a
// password. What is answered is root's.
func (s *Server) Database(statements ...string) (name string, root *sql.DB) {
	s.tb.Helper()
	s.count++
	name = fmt.Sprintf("pbx%d", s.count)
	root = s.Open("root", "", "")
	s.tb.Cleanup(func() { _ = root.Close() })
	root.SetMaxOpenConns(1) // USE is a connection's
	for _, statement := range slices.Concat([]string{"CREATE DATABASE " + name, "USE " + name, FreePBX}, statements, []string{
		"CREATE USER IF NOT EXISTS asterisk@'127.0.0.1'", "CREATE USER IF NOT EXISTS callseal@'127.0.0.1'",
		"GRANT INSERT, SELECT ON " + name + ".* TO asterisk@'127.0.0.1'", "GRANT SELECT ON " + name + ".cdr TO callseal@'127.0.0.1'",
	}) {
		if _, err := root.ExecContext(s.tb.Context(), statement); err != nil {
			first, _, _ := strings.Cut(statement, "\n")
			s.tb.Fatalf("%s: %v", first, err)
		}
	}
	return name, root
}

// Stop stops the server, which cuts its connections.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends it as a power cut would.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(signal syscall.Signal) {
	if s.process == nil {
		return
	}
	process := s.process
	s.process = nil
	_ = process.Signal(signal)
	select {
	case <-s.ended: //nolint:errcheck // however it ended
	case <-time.After(patience):
		_ = process.Kill()
		s.tb.Errorf("MariaDB did not stop within %s", patience)
	}
}
