package npm

import (
	"encoding/json"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

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
