package network

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func sleeper(t *testing.T, script string) (process, string) {
	t.Helper()
	folder := t.TempDir()
	pidFile := filepath.Join(folder, "run", "node.json")
	p, err := startProcess(command{program: "/bin/sh", arguments: []string{"-c", script}}, filepath.Join(folder, "logs", "node.log"), pidFile)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.stop(context.Background(), 0) })
	return p, pidFile
}

func TestProcessIsFoundAndStopped(t *testing.T) {
	started, pidFile := sleeper(t, "exec sleep 60")
	found, running := readProcess(pidFile)
	require.True(t, running)
	require.Equal(t, started, found)
	require.Positive(t, found.memory())
	require.NoError(t, found.stop(t.Context(), stopPatience))
	_, running = readProcess(pidFile)
	require.False(t, running)
	require.NoError(t, found.stop(t.Context(), stopPatience), "stopping again does nothing")
}

func TestProcessDeafToTermIsKilled(t *testing.T) {
	p, pidFile := sleeper(t, "trap '' TERM; echo deaf; while :; do sleep 0.05; done")
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(pidFile)), "logs", "node.log"))
		return err == nil && len(log) > 0
	}, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, p.stop(t.Context(), 100*time.Millisecond))
	require.False(t, p.alive())
}

// TestReusedPidIsLeftAlone pretends that the system gave a node's old pid to
// another program: this test itself.
func TestReusedPidIsLeftAlone(t *testing.T) {
	started, err := startTicks(os.Getpid())
	require.NoError(t, err)
	for name, p := range map[string]process{
		"started at another time": {PID: os.Getpid(), Started: started - 1, Boot: bootID()},
		"before a reboot":         {PID: os.Getpid(), Started: started, Boot: "another"},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := json.Marshal(p)
			require.NoError(t, err)
			file := filepath.Join(t.TempDir(), "node.json")
			require.NoError(t, os.WriteFile(file, content, 0o600))
			_, running := readProcess(file)
			require.False(t, running)
			require.NoError(t, p.stop(t.Context(), time.Second), "and it survives")
		})
	}
}

func TestUnreadablePidFileIsNoProcess(t *testing.T) {
	for _, content := range []string{"", "{", `{"pid":1}`, `{"pid":-1}`, `{"pid":0}`} {
		file := filepath.Join(t.TempDir(), "node.json")
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		_, running := readProcess(file)
		require.False(t, running, content)
	}
}

func TestNodesInheritNoFabricSettings(t *testing.T) {
	t.Setenv("CORE_PEER_LOCALMSPID", "WrongMSP")
	t.Setenv("ORDERER_GENERAL_LISTENPORT", "1")
	for _, variable := range cleanEnvironment("FABRIC_CFG_PATH=/x") {
		require.NotContains(t, variable, "CORE_")
		require.NotContains(t, variable, "ORDERER_")
	}
}

func TestTailPrefersTheReason(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(file, []byte("starting\npanic: no disk\n\ngoroutine 1 [running]:\nmain.main()\n"), 0o600))
	require.Equal(t, "panic: no disk", tail(file))
	require.NoError(t, os.WriteFile(file, []byte("one\ntwo\n"), 0o600))
	require.Equal(t, "two", tail(file))
	require.Empty(t, tail(file+".none"))
}
