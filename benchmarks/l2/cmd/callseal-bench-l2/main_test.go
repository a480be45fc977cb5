package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBadInput runs the program itself: whatever it cannot do it says in a sentence, and
// it leaves no result of it.
func TestBadInput(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "callseal-bench-l2")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(output))
	node, err := exec.LookPath("node")
	require.NoError(t, err)
	nodeAlone := filepath.Join(folder, "node-alone")
	require.NoError(t, os.Mkdir(nodeAlone, 0o755))
	require.NoError(t, os.Symlink(node, filepath.Join(nodeAlone, "node")))

	for name, test := range map[string]struct {
		arguments   []string
		environment []string
		says        string
	}{
		"no Node.js":                {arguments: []string{"-quick"}, environment: []string{"PATH=/nowhere", "HOME=" + folder}, says: "and there is no node: install Debian's packages nodejs and npm"},
		"no npm":                    {arguments: []string{"-quick"}, environment: []string{"PATH=" + nodeAlone, "HOME=" + folder}, says: "and there is no npm: install Debian's package npm"},
		"no home":                   {arguments: []string{"-quick"}, environment: []string{"PATH=" + nodeAlone}, says: "set HOME"},
		"nothing to measure":        {arguments: []string{"-op-stack", "none", "-anvil", "none"}, says: "bad option: neither -op-stack nor -anvil names a chain to measure"},
		"no folder for the results": {arguments: []string{"-out", program + "/results"}, says: "make the folder for the results: "},
		"a folder of the kernel":    {arguments: []string{"-out", "/proc"}, says: "results cannot be written: "},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			command := exec.CommandContext(t.Context(), program, append([]string{"-out", out}, test.arguments...)...)
			command.Env = test.environment
			if command.Env == nil {
				command.Env = os.Environ()
			}
			output, err := command.CombinedOutput()
			var ended *exec.ExitError
			require.ErrorAs(t, err, &ended, string(output))
			require.Equal(t, 1, ended.ExitCode())
			lines := strings.Split(strings.TrimSpace(string(output)), "\n")
			last := lines[len(lines)-1] // before it stands what was begun
			require.LessOrEqual(t, len(lines), 2, string(output))
			require.True(t, strings.HasPrefix(last, "callseal-bench-l2: "), last)
			require.Contains(t, last, test.says)
			require.Empty(t, names(t, out))
		})
	}

	t.Run("a disk that is full after", func(t *testing.T) {
		disk := t.TempDir()
		require.NoError(t, syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1200k"), "this test needs to mount a small filesystem: run it as root")
		t.Cleanup(func() { require.NoError(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
		command := exec.CommandContext(t.Context(), program, "-out", disk, "-quick", "-op-stack", "none", "-anvil", "automine", "-anvil-lone", "300ms", "-anvil-open", "500ms", "-roots", "2")
		problems, err := command.StderrPipe()
		require.NoError(t, err)
		require.NoError(t, command.Start())
		says := ""
		for lines := bufio.NewScanner(problems); lines.Scan(); {
			says += lines.Text() + "\n"
			if strings.HasPrefix(lines.Text(), "starting anvil") {
				filler, err := os.Create(filepath.Join(disk, "filler"))
				require.NoError(t, err)
				_, err = filler.Write(make([]byte, 2<<20))
				require.ErrorIs(t, err, syscall.ENOSPC)
				require.NoError(t, filler.Close())
			}
		}
		var ended *exec.ExitError
		require.ErrorAs(t, command.Wait(), &ended, says)
		require.Equal(t, 1, ended.ExitCode())
		require.Contains(t, says, "callseal-bench-l2: write the results of anvil-automine: ")
		require.Contains(t, says, "no space left on device")
		require.Equal(t, []string{"filler"}, names(t, disk), "neither a result nor a part of one")
	})
}

func names(t *testing.T, folder string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, entry := range entries {
		all = append(all, entry.Name())
	}
	return all
}
