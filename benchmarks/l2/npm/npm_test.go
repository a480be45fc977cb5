package npm

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func quiet(string) {}

func TestTheToolsAreOfTheVersionsThatArePinned(t *testing.T) {
	tools, err := Install(t.Context(), func(line string) { t.Log(line) })
	require.NoError(t, err)
	output, err := exec.Command(tools.Anvil, "--version").Output()
	require.NoError(t, err)
	require.Contains(t, string(output), AnvilVersion)
	output, err = exec.Command(tools.Node, tools.Solc, "--version").Output()
	require.NoError(t, err)
	require.Contains(t, string(output), SolcVersion)

	var pinned struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	require.NoError(t, json.Unmarshal(manifest, &pinned))
	require.Equal(t, map[string]string{"@foundry-rs/anvil": AnvilVersion, "solc": SolcVersion}, pinned.Dependencies)
}

// only has nothing on PATH but these programs.
func only(t *testing.T, programs map[string]string) {
	t.Helper()
	folder := t.TempDir()
	for name, script := range programs {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(script), 0o755))
	}
	t.Setenv("PATH", folder)
}

func TestMissingProgramsAreNamed(t *testing.T) {
	only(t, nil)
	_, err := installIn(t.Context(), t.TempDir(), quiet)
	require.ErrorIs(t, err, ErrMissing)
	require.ErrorContains(t, err, "there is no node: install Debian's packages nodejs and npm")

	only(t, map[string]string{"node": "#!/bin/sh\n"})
	_, err = installIn(t.Context(), t.TempDir(), quiet)
	require.ErrorIs(t, err, ErrMissing)
	require.ErrorContains(t, err, "there is no npm: install Debian's package npm")
}

func TestNpmThatFailsLeavesNothing(t *testing.T) {
	for name, one := range map[string]struct{ script, says string }{
		"refused":   {"#!/bin/sh\necho 'npm error code E403' >&2\nexit 1\n", "npm could not install anvil and solc: exit status 1: npm error code E403"},
		"installed": {"#!/bin/sh\nexit 0\n", "npm installed no anvil for linux/"},
	} {
		t.Run(name, func(t *testing.T) {
			only(t, map[string]string{"node": "#!/bin/sh\n", "npm": one.script})
			base := t.TempDir()
			_, err := installIn(t.Context(), base, quiet)
			require.ErrorContains(t, err, one.says)
			entries, err := os.ReadDir(base)
			require.NoError(t, err)
			for _, entry := range entries {
				require.False(t, strings.HasPrefix(entry.Name(), "install-"), "%s is left", entry.Name())
			}
		})
	}
}
