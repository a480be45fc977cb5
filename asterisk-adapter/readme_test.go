package adapter

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/cdr/mariadbtest"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/asterisk-adapter/pbx"
)

// shell is a shell that a reader types into.
type shell struct {
	in    io.Writer
	lines chan string
	said  strings.Builder
	count int
}

func newShell(t *testing.T, folder string, environment []string) *shell {
	t.Helper()
	command := exec.Command("sh", "-u")
	command.Dir, command.Env = folder, environment
	in, err := command.StdinPipe()
	require.NoError(t, err)
	out, writer := io.Pipe()
	command.Stdout, command.Stderr = writer, writer
	require.NoError(t, command.Start())
	s := &shell{in: in, lines: make(chan string, 1000)}
	go func() {
		scanner := bufio.NewScanner(out)
		for scanner.Scan() {
			s.lines <- scanner.Text()
		}
		close(s.lines)
	}()
	t.Cleanup(func() {
		_, _ = io.WriteString(in, "kill $! 2>/dev/null; wait\n")
		_ = in.Close()
		_ = command.Wait()
		_ = writer.Close()
		if t.Failed() || testing.Verbose() {
			t.Logf("the shell said:\n%s", s.said.String())
		}
	})
	return s
}

// types has a shell take a block and answers what is said; each of its lines must succeed.
func (s *shell) types(t *testing.T, block string) string {
	t.Helper()
	s.count++
	end := fmt.Sprintf("end of block %d", s.count)
	_, err := fmt.Fprintf(s.in, "set -e\n%s\nset +e\necho %s\n", block, end)
	require.NoError(t, err)
	var said strings.Builder
	for timeout := time.After(4 * patience); ; {
		select {
		case line, open := <-s.lines:
			require.True(t, open, "a line of the README failed:\n%s\n%s", block, said.String())
			if line == end {
				return said.String()
			}
			said.WriteString(line + "\n")
			s.said.WriteString(line + "\n")
		case <-timeout:
			t.Fatalf("the README's lines do not end:\n%s\n%s", block, said.String())
		}
	}
}

// blocks are what a section of the README has its reader type.
func blocks(t *testing.T, title string) []string {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## "+title+"\n")
	require.True(t, found, title)
	section, _, _ = strings.Cut(section, "\n## ")
	var typed []string
	for i, part := range strings.Split(section, "```") {
		if i%2 == 1 {
			typed = append(typed, strings.TrimPrefix(part, "sh\n"))
		}
	}
	return typed
}

// reader is somebody with an Asterisk, a checkout of the project and a network that is up.
type reader struct {
	*scene
	shell *shell
	tree  string
}

// newReader starts an Asterisk that knows nothing of Callseal, and a shell that finds it
// where the README's variables say.
func newReader(t *testing.T, options lab.Options, programs map[string]string, environment ...string) *reader {
	t.Helper()
	p := newPast(t)
	p.auditor = p.dial(t, "auditor")
	asterisk, err := lab.Require(t).Start(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(asterisk.Stop)
	require.NoError(t, asterisk.RegisterPhones(t.Context()))
	p.asterisk, p.placed = asterisk, map[string]placed{}

	r := &reader{scene: p.scene, tree: t.TempDir()}
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(filepath.Join(root, "asterisk-adapter"), filepath.Join(r.tree, "asterisk-adapter")))
	require.NoError(t, os.Mkdir(filepath.Join(r.tree, "bin"), 0o755))
	for _, name := range []string{"callseal", "callseal-asterisk-adapter"} {
		require.NoError(t, os.Symlink(filepath.Join(p.programs, name), filepath.Join(r.tree, "bin", name)))
	}
	path := t.TempDir()
	programs["asterisk"] = "exec '" + strings.Join(asterisk.Program(), "' '") + "' \"$@\""
	for name, script := range programs {
		require.NoError(t, os.WriteFile(filepath.Join(path, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	}
	who := me(t)
	r.shell = newShell(t, r.tree, append(os.Environ(), append([]string{
		"PATH=" + path + ":" + os.Getenv("PATH"), "CALLSEAL_STATE=" + p.network.Layout().Root(),
		"ASTERISK_ETC=" + asterisk.ConfigDir(), "ASTERISK_SPOOL=" + asterisk.SpoolDir(), "ASTERISK_LOG=" + asterisk.LogDir(),
		"ASTERISK_AMI=" + asterisk.AMI(), "ASTERISK_ARI=" + asterisk.ARI(), "ASTERISK_USER=" + who, "CALLSEAL_USER=" + who,
		"CALLSEAL_ETC=" + filepath.Join(r.tree, "etc"), "CALLSEAL_LIB=" + filepath.Join(r.tree, "lib"),
	}, environment...)...))
	return r
}

// follow types all blocks but the last, places a call, and types the last once the call
// is on the ledger.
func (r *reader) follow(t *testing.T, title string, contains ...string) {
	t.Helper()
	typed := blocks(t, title)
	for _, block := range typed[:len(typed)-1] {
		r.shell.types(t, block)
	}
	log := filepath.Join(r.tree, "adapter.log")
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(log)
		return strings.Contains(string(text), `"ARI connected"`) && strings.Contains(string(text), `"AMI connected"`)
	}, patience, 20*time.Millisecond, "the adapter is there")
	_, err := r.asterisk.PlaceCall(t.Context(), lab.Call{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		text, _ := os.ReadFile(log)
		return strings.Contains(string(text), `"call anchored"`) && strings.Contains(string(text), `"cdr":true`) && r.complete(t)
	}, patience, 50*time.Millisecond, "the call is on the ledger with its recording")
	said := r.shell.types(t, typed[len(typed)-1])
	for _, text := range append(contains, "ANSWERED", "INTACT") {
		require.Contains(t, strings.ToUpper(said), strings.ToUpper(text), said)
	}
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.NotContains(t, string(text), `"level":"ERROR"`)
}

// complete says whether an answered leg is on the ledger with its recording.
func (r *reader) complete(t *testing.T) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	listed, err := pb.NewCallServiceClient(r.auditor).ListCalls(ctx, &pb.ListCallsRequest{Msp: r.owner.MSP, Pbx: r.owner.PBXs[0]})
	if err != nil || len(listed.GetCalls()) != 1 {
		return false
	}
	recordings, err := pb.NewRecordingServiceClient(r.auditor).ListRecordings(ctx, &pb.ListRecordingsRequest{Msp: r.owner.MSP, Pbx: r.owner.PBXs[0], Linkedid: listed.GetCalls()[0].GetLeg().GetLinkedid()})
	return err == nil && len(recordings.GetRecordings()) == 1
}

// TestREADMEConnectAnAsterisk does what the README says, with the files that Debian
// installs for Asterisk where Callseal's have to go.
func TestREADMEConnectAnAsterisk(t *testing.T) {
	const ip = "127.93.1.1"
	files := map[string]string{
		pbx.CDR: "[general]\nenable = yes\n", pbx.CDRManager: "[general]\n; enabled = no\n[mappings]\n",
		"manager.conf": "[general]\nenabled = yes\nport = 5038\nbindaddr = " + ip + "\n#include \"manager.d/*.conf\"\n",
		"http.conf":    "[general]\nservername = Asterisk\nbindaddr = " + ip + "\n",
		"ari.conf":     "[general]\nenabled = yes\n",
		"extensions.conf": "[general]\nstatic = yes\n\n[lab]\nexten => _X.,1,Set(CDR(userfield)=${CHANNEL(pjsip,call-id)})\n" +
			" same => n,Gosub(callseal-record,s,1)\n same => n,Dial(PJSIP/${EXTEN},30)\n same => n,Hangup()\n",
	}
	r := newReader(t, lab.Options{Loopback: ip, Files: files}, map[string]string{})
	r.follow(t, "Connect an Asterisk")
}

// TestREADMEConnectAFreePBX does what the README says, with files that include each other
// as FreePBX has them, and its table in a real MariaDB. FreePBX's own programs are not
// there: "fwconsole reload" has Asterisk reload, which is what it comes down to.
func TestREADMEConnectAFreePBX(t *testing.T) {
	const ip, database = "127.93.2.1", "asteriskcdrdb"
	server := mariadbtest.Start(t)
	_, root := server.Database()
	for _, statement := range []string{"CREATE DATABASE " + database, "USE " + database, mariadbtest.FreePBX, "GRANT INSERT, SELECT ON " + database + ".* TO asterisk@'127.0.0.1'"} {
		_, err := root.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	files := map[string]string{}
	folder := os.DirFS("testdata/freepbx")
	names, err := fs.Glob(folder, "*.conf")
	require.NoError(t, err)
	require.Greater(t, len(names), 20)
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		require.NoError(t, err)
		files[name] = strings.ReplaceAll(string(text), "@IP@", ip)
	}
	options := lab.Options{Loopback: ip, Files: files, Table: &lab.Table{Address: server.Address(), Database: database, User: "asterisk"}}
	r := newReader(t, options, map[string]string{
		"fwconsole": "[ \"$*\" = reload ] && exec asterisk -rx 'core reload'",
		"mariadb":   "exec " + mariadb(t) + " --no-defaults --user=root --socket='" + server.Socket() + "' \"$@\"",
	}, "MARIADB_SOCKET="+server.Socket())
	r.follow(t, "Connect a FreePBX")
	var rows int
	require.NoError(t, root.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+database+".cdr WHERE answer IS NOT NULL AND `end` IS NOT NULL").Scan(&rows))
	require.Equal(t, 1, rows)
}

func mariadb(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("mariadb")
	require.NoError(t, err, "the package mariadb-client-core has it")
	return path
}
