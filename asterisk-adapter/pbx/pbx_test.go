package pbx

import (
	"io/fs"
	"slices"
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
	lines := slices.Concat(settings(read(t, Dialplan)), settings(read(t, ConsentDialplan)))
	shells := 0
	for _, line := range lines {
		for _, bad := range []string{"CALLERID", "EXTEN", "CALLFILENAME", "SIPHEADER"} {
			require.NotContains(t, line, bad)
		}
		// A shell is given what Asterisk made up, and ARG1 of a key, which says who.
		if strings.Contains(line, "TrySystem(") {
			shells++
			for _, own := range []string{"${ASTSPOOLDIR}", "${UNIQUEID}", "${ARG1}", "${CHANNEL(linkedid)}"} {
				line = strings.ReplaceAll(line, own, "")
			}
			require.NotContains(t, line, "$")
		}
	}
	require.Equal(t, 4, shells)
}

// The keys of features.conf go where the dialplan has something to do.
func TestKeysHaveTheirDialplan(t *testing.T) {
	dialplan := read(t, ConsentDialplan)
	for _, line := range settings(read(t, Features)) {
		key, action, is := strings.Cut(line, " => ")
		if !is {
			continue
		}
		require.Contains(t, dialplan, key, "DYNAMIC_FEATURES has it")
		context, _, _ := strings.Cut(strings.SplitN(action, `"`, 2)[1], ",")
		require.Contains(t, dialplan, "["+context+"]")
	}
}

// The accounts that users copy must not be able to act.
func TestAccountsOnlyRead(t *testing.T) {
	require.Contains(t, settings(read(t, Manager)), "write =")
	require.Contains(t, settings(read(t, ARI)), "read_only = yes")
	for _, name := range []string{Manager, ARI, Control, ConsentARI} {
		require.Contains(t, read(t, name), Placeholder)
	}
	// Those that act are told and may do no more than they need.
	require.Subset(t, settings(read(t, Control)), []string{"read = call,user", "write = call"})
}
