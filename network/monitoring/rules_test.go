// Package monitoring has the rules for the operator's Prometheus; its test runs
// them through Prometheus's own tool.
package monitoring

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// promtool is Prometheus's, from $PROMTOOL or PATH, else unpacked from Debian's
// package into a folder of the test's: the machine is not touched.
func promtool(t *testing.T) string {
	t.Helper()
	if given := os.Getenv("PROMTOOL"); given != "" {
		return given
	}
	if found, err := exec.LookPath("promtool"); err == nil {
		return found
	}
	folder := t.TempDir()
	for _, command := range []*exec.Cmd{
		exec.CommandContext(t.Context(), "apt-get", "download", "prometheus"),
		exec.CommandContext(t.Context(), "sh", "-c", "dpkg-deb -x prometheus_*.deb tree"),
	} {
		command.Dir = folder
		out, err := command.CombinedOutput()
		require.NoError(t, err, "there is no promtool, and Debian's package prometheus cannot be had: %s", out)
	}
	return filepath.Join(folder, "tree", "usr", "bin", "promtool")
}

func TestAlerts(t *testing.T) {
	tool := promtool(t)
	for _, arguments := range [][]string{{"check", "rules", "gateway.rules.yaml"}, {"test", "rules", "gateway.rules.test.yaml"}} {
		out, err := exec.CommandContext(t.Context(), tool, arguments...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "SUCCESS")
	}
}
