package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestBadInput runs the program itself: whatever it cannot do it says in a sentence, and
// it leaves no result of it.
func TestBadInput(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "peers")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(output))

	for says, arguments := range map[string][]string{
		"peers: -out is missing: name the folder for the results\n":                                   nil,
		"peers: there is no group \"tessera\" to measure: the groups are tessera-default, tessera-tu": {"-out", folder, "-only", "tessera"},
		"peers: make the folder for the results: ":                                                    {"-out", program + "/results"},
		"peers: results cannot be written: ":                                                          {"-out", "/proc"},
		"peers: -repetitions must be at least 1\n":                                                    {"-out", folder, "-repetitions", "0"},
	} {
		var problem bytes.Buffer
		command := exec.CommandContext(t.Context(), program, arguments...)
		command.Stderr = &problem
		var ended *exec.ExitError
		require.ErrorAs(t, command.Run(), &ended, arguments)
		require.Equal(t, 2, ended.ExitCode())
		require.True(t, strings.HasPrefix(problem.String(), says), "%q", problem.String())
		require.Equal(t, 1, strings.Count(problem.String(), "\n"))
	}

	t.Run("a disk that is full before", func(t *testing.T) {
		disk := small(t)
		fill(t, disk)
		says, code := tuned(t, program, disk, func() {})
		require.Equal(t, 2, code)
		require.Contains(t, says, "peers: results cannot be written to "+disk+": ")
		require.Contains(t, says, "no space left on device")
		require.Equal(t, []string{"filler"}, names(t, disk))
	})
	t.Run("a disk that is full after", func(t *testing.T) {
		disk := small(t)
		require.NoError(t, os.WriteFile(filepath.Join(disk, "tessera-tuned.json"), []byte("of an earlier run"), 0o600))
		says, code := tuned(t, program, disk, func() { fill(t, disk) })
		require.Equal(t, 1, code)
		require.Contains(t, says, "peers: write the results of tessera-tuned: ")
		require.Contains(t, says, "no space left on device")
		require.Equal(t, []string{"filler"}, names(t, disk), "neither a part of the result, nor the earlier one in its place")
	})
}

// small is a disk that is large enough for results and for little else.
func small(t *testing.T) string {
	t.Helper()
	disk := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1200k"), "this test needs to mount a small filesystem: run it as root")
	t.Cleanup(func() { require.NoError(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	return disk
}

// fill leaves no byte of a disk free.
func fill(t *testing.T, disk string) {
	t.Helper()
	file, err := os.Create(filepath.Join(disk, "filler"))
	require.NoError(t, err)
	_, err = file.Write(make([]byte, 2<<20))
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, file.Close())
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

// tuned has the program measure one group, and does something once it has begun.
func tuned(t *testing.T, program, out string, begun func()) (says string, code int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, "-guard", "-only", "tessera-tuned", "-out", out)
	problems, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	for lines := bufio.NewScanner(problems); lines.Scan(); {
		says += lines.Text() + "\n"
		if strings.HasSuffix(lines.Text(), ": begun") {
			begun()
		}
	}
	var ended *exec.ExitError
	require.ErrorAs(t, command.Wait(), &ended)
	return says, ended.ExitCode()
}
