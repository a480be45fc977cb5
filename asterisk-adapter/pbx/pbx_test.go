package pbx

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := fs.ReadFile(Files, name)
	require.NoError(t, err)
	return string(content)
}

// settings are the lines of a file that say something, in order.
func settings(content string) []string {
	var lines []string
	for line := range strings.Lines(content) {
		if line = strings.TrimSpace(line); line != "" && line[0] != ';' {
			lines = append(lines, line)
		}
	}
	return lines
}

// FreePBX's files must not say other than the plain ones.
func TestFreePBXSaysTheSame(t *testing.T) {
	for custom, plain := range map[string]string{
		"cdr_general_custom.conf":         CDR,
		"cdr_non_general_custom.conf":     CDR,
		"cdr_manager_general_custom.conf": CDRManager,
		"cdr_manager_mapping_custom.conf": CDRManager,
		"manager_custom.conf":             Manager,
		"ari_general_custom.conf":         ARI,
		"ari_additional_custom.conf":      ARI,
		"extensions_custom.conf":          Dialplan,
	} {
		require.Subset(t, settings(read(t, plain)), settings(read(t, "freepbx/"+custom)), custom)
	}
}

// A caller must not be able to put anything into a path or command.
func TestDialplanUsesNothingOfTheCaller(t *testing.T) {
	for line := range strings.Lines(read(t, Dialplan)) {
		for _, bad := range []string{"CALLERID", "EXTEN", "CALLFILENAME", "SIPHEADER"} {
			require.NotContains(t, line, bad)
		}
	}
}

// The accounts that users copy must not be able to act.
func TestAccountsOnlyRead(t *testing.T) {
	require.Contains(t, settings(read(t, Manager)), "write =")
	require.Contains(t, settings(read(t, ARI)), "read_only = yes")
	for _, name := range []string{Manager, ARI} {
		require.Contains(t, read(t, name), Placeholder)
	}
}
