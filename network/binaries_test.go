package network

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeFabric writes programs that say they are of a version.
func fakeFabric(t *testing.T, version string, programs ...string) string {
	t.Helper()
	folder := t.TempDir()
	for _, program := range programs {
		script := fmt.Sprintf("#!/bin/sh\necho '%s:'\necho ' Version: %s'\n", program, version)
		require.NoError(t, os.WriteFile(filepath.Join(folder, program), []byte(script), 0o700))
	}
	return folder
}

func silent(string) {}

func TestToolModuleCopiesAreCurrent(t *testing.T) {
	for copied, original := range map[string]string{"toolmodule/go.mod.txt": "fabric/go.mod", "toolmodule/go.sum.txt": "fabric/go.sum"} {
		want, err := os.ReadFile(original)
		require.NoError(t, err)
		got, err := os.ReadFile(copied)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "copy %s to %s", original, copied)
	}
}

func TestFabricOfTheRightVersion(t *testing.T) {
	for _, version := range []string{"v3.1.1", "3.1.4"} {
		folder := fakeFabric(t, version, fabricPrograms...)
		found, err := findFabric(t.Context(), folder, silent)
		require.NoError(t, err)
		require.Equal(t, filepath.Join(folder, "peer"), found.peer)
	}
}

func TestFabricOfAnotherVersion(t *testing.T) {
	for _, version := range []string{"v2.5.12", "v3.0.0", "v4.1.0", "v3.10.0"} {
		folder := fakeFabric(t, version, fabricPrograms...)
		t.Setenv("FABRIC_BIN", folder)
		_, err := findFabric(t.Context(), "", silent)
		require.EqualError(t, err, fmt.Sprintf("%s/peer is Fabric %s, and Callseal needs v3.1.x: set FABRIC_BIN to a folder that has it, or take it off PATH to have it built", folder, version))
	}
}

func TestFabricWithAProgramMissing(t *testing.T) {
	folder := fakeFabric(t, "v3.1.1", "peer", "orderer")
	_, err := findFabric(t.Context(), folder, silent)
	require.EqualError(t, err, fmt.Sprintf("the program configtxgen is missing in %s: put Fabric v3.1.1 there or unset FABRIC_BIN to have it built", folder))
}

func TestProgramThatIsNotFabric(t *testing.T) {
	folder := fakeFabric(t, "", fabricPrograms...)
	_, err := findFabric(t.Context(), folder, silent)
	require.ErrorContains(t, err, "does not say its version")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "peer"), []byte("#!/bin/sh\necho broken >&2\nexit 3\n"), 0o700))
	_, err = findFabric(t.Context(), folder, silent)
	require.ErrorContains(t, err, "broken")
}

func TestFabricOnPath(t *testing.T) {
	t.Setenv("FABRIC_BIN", "")
	folder := fakeFabric(t, "v3.1.2", fabricPrograms...)
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	found, err := findFabric(t.Context(), "", silent)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(folder, "orderer"), found.orderer)
}

func TestNoFabricAndNoGo(t *testing.T) {
	t.Setenv("FABRIC_BIN", "")
	t.Setenv("PATH", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	_, err := findFabric(t.Context(), "", silent)
	require.ErrorContains(t, err, "install Go, or set FABRIC_BIN")
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	cache := t.TempDir()
	bin := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\necho no network >&2\nexit 1\n"), 0o700))
	t.Setenv("FABRIC_BIN", "")
	t.Setenv("PATH", bin)
	t.Setenv("XDG_CACHE_HOME", cache)
	var lines []string
	_, err := findFabric(t.Context(), "", func(line string) { lines = append(lines, line) })
	require.ErrorContains(t, err, "building Fabric v3.1.1 failed")
	require.ErrorContains(t, err, "no network")
	require.NotEmpty(t, lines, "a visible progress line")
	left, err := filepath.Glob(filepath.Join(cache, "callseal", "fabric", "*", "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}
