package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBadInput runs the program itself where something is missing: it says all that is,
// and what to install, starts nothing and leaves no result.
func TestBadInput(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "rivs")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(output))
	const rabbitMQ, mariaDB = "install Debian's package rabbitmq-server", "there is no mariadbd: install Debian's packages mariadb-server-core and mariadb-client-core"

	for name, test := range map[string]struct {
		arguments []string
		code      int
		says      []string
	}{
		"neither RabbitMQ nor MariaDB": {code: 1, says: []string{rabbitMQ, mariaDB}},
		"no folder for the results":    {arguments: []string{"-out", program + "/results"}, code: 2, says: []string{"rivs: make the folder for the results: "}},
		"a folder of the kernel":       {arguments: []string{"-out", "/proc"}, code: 2, says: []string{"rivs: results cannot be written: "}},
		"no such group":                {arguments: []string{"-out", folder, "-only", "mysql"}, code: 2, says: []string{`rivs: there is no group "mysql" to measure: the groups are rivs`}},
	} {
		t.Run(name, func(t *testing.T) {
			out, temporary := t.TempDir(), t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(out, "rivs.json"), []byte("of an earlier run"), 0o600))
			arguments := test.arguments
			if arguments == nil {
				arguments = []string{"-quick", "-out", out}
			}
			// In a mount namespace of its own RabbitMQ's folder is empty, whatever this
			// machine has; MariaDB is found by PATH.
			hide := `if [ -d /usr/lib/rabbitmq ]; then mount -t tmpfs none /usr/lib/rabbitmq || exit 99; fi; PATH=/nowhere exec "$0" "$@"`
			command := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", hide, program}, arguments...)...)
			command.Env = append(os.Environ(), "TMPDIR="+temporary)
			command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			output, err := command.CombinedOutput()
			var ended *exec.ExitError
			require.ErrorAs(t, err, &ended, "this test needs a mount namespace: run it as root")
			require.Equal(t, test.code, ended.ExitCode(), string(output))
			for _, says := range test.says {
				require.Contains(t, string(output), says)
			}
			require.LessOrEqual(t, strings.Count(string(output), "\n"), 4, string(output))
			left, err := os.ReadDir(temporary)
			require.NoError(t, err)
			require.Empty(t, left, "nothing was started")
			if test.code == 1 {
				require.NoFileExists(t, filepath.Join(out, "rivs.json"), "an earlier result does not stand in for the one that failed")
			}
		})
	}
}
