package npm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func quiet(string) {}

// tools are packages to install below a folder.
func tools(base string) Packages {
	return Packages{Title: "anvil and solc", Manifest: []byte("{}"), Lock: []byte("{}"), Base: base, Needs: []string{filepath.Join("solc", "solc.js")}}
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
	_, err := Install(t.Context(), tools(t.TempDir()), quiet)
	require.ErrorIs(t, err, ErrMissing)
	require.ErrorContains(t, err, "there is no node: install Debian's packages nodejs and npm")

	only(t, map[string]string{"node": "#!/bin/sh\n"})
	_, err = Install(t.Context(), tools(t.TempDir()), quiet)
	require.ErrorIs(t, err, ErrMissing)
	require.ErrorContains(t, err, "there is no npm: install Debian's package npm")
}

func TestNpmThatFailsLeavesNothing(t *testing.T) {
	for name, one := range map[string]struct{ script, says string }{
		"refused":   {"#!/bin/sh\necho 'npm error code E403' >&2\nexit 1\n", "npm could not install anvil and solc: exit status 1: npm error code E403"},
		"installed": {"#!/bin/sh\nexit 0\n", "npm installed no solc.js for linux/"},
	} {
		t.Run(name, func(t *testing.T) {
			only(t, map[string]string{"node": "#!/bin/sh\n", "npm": one.script})
			base := t.TempDir()
			_, err := Install(t.Context(), tools(base), quiet)
			require.ErrorContains(t, err, one.says)
			entries, err := os.ReadDir(base)
			require.NoError(t, err)
			for _, entry := range entries {
				require.False(t, strings.HasPrefix(entry.Name(), "install-"), "%s is left", entry.Name())
			}
		})
	}
}

func TestWhatIsInstalledIsNotInstalledAgain(t *testing.T) {
	base, path := t.TempDir(), os.Getenv("PATH")
	only(t, map[string]string{"node": "#!/bin/sh\n", "npm": "#!/bin/sh\nPATH=" + path + "\nmkdir -p node_modules/solc && touch node_modules/solc/solc.js\n"})
	said := 0
	first, err := Install(t.Context(), tools(base), func(string) { said++ })
	require.NoError(t, err)
	only(t, map[string]string{"node": "#!/bin/sh\n"})
	second, err := Install(t.Context(), tools(base), func(string) { said++ })
	require.NoError(t, err)
	require.Equal(t, first.Modules, second.Modules)
	require.Equal(t, 1, said)
	require.FileExists(t, filepath.Join(second.Modules, "solc", "solc.js"))
}
