package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// The program's measurement, once, with real networks and the real demo.
func TestMeasure(t *testing.T) {
	group := &result.Group{Name: "callseal-start", Title: "Start", Began: time.Now()}
	measure(t, 1, group)
	group.Ended = time.Now()
	require.NoError(t, group.Write(t.TempDir()))
	for _, name := range []string{"network/first", "network/again", "demo"} {
		values := group.Find(name).Values
		require.Len(t, values, 1, name)
		require.Positive(t, values[0], name)
	}
}

// A disk on which no network fits: a sentence, and no result.
func TestAFullDisk(t *testing.T) {
	folder, out, small := t.TempDir(), t.TempDir(), t.TempDir()
	program := filepath.Join(folder, "start")
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(output))
	built := networktest.Build(t, "callseal", "callseal-chaincode", "callseal-gateway", "callseal-asterisk-adapter")
	require.NoError(t, unix.Mount("tmpfs", small, "tmpfs", 0, "size=64k"), "this test needs to mount a small filesystem: run it as root")
	t.Cleanup(func() { require.NoError(t, unix.Unmount(small, unix.MNT_DETACH)) })
	var problem bytes.Buffer
	command := exec.CommandContext(t.Context(), program, "-out", out)
	command.Env = append(os.Environ(), "TMPDIR="+small, networktest.ProgramsEnv+"="+built)
	command.Stderr = &problem
	var ended *exec.ExitError
	require.ErrorAs(t, command.Run(), &ended)
	require.Equal(t, 1, ended.ExitCode())
	require.Contains(t, problem.String(), "no space left on device")
	left, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestTheLastLineSaysWhy(t *testing.T) {
	require.Equal(t, "Error: ports are taken", last([]byte("orderers\npeers\nError: ports are taken\n\n")))
	require.Empty(t, last(nil))
}
