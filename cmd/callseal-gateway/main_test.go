package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway"
)

func execute(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	root, err := command()
	require.NoError(t, err)
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(arguments)
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

func example(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	require.NoError(t, os.WriteFile(path, gateway.Example, 0o600))
	return path
}

// What is printed reads back as the same, wherever it came from.
func TestPrintedConfigurationReadsBack(t *testing.T) {
	path := example(t)
	t.Setenv("CALLSEAL_GATEWAY_LOG_LEVEL", "debug")
	t.Setenv("CALLSEAL_GATEWAY_SERVER_STOP_TIMEOUT", "7s")
	printed, err := execute(t, "--config", path, "--server.stop_timeout", "8s", "--print-config")
	require.NoError(t, err)
	require.Regexp(t, `\n  level: debug +# environment CALLSEAL_GATEWAY_LOG_LEVEL\n`, printed)
	require.Regexp(t, `\n  stop_timeout: 8s +# flag --server.stop_timeout\n`, printed)
	require.Regexp(t, `\nmsp: AtlasMSP +# `+path+`:\d+\n`, printed)
	back := filepath.Join(t.TempDir(), "printed.yaml")
	require.NoError(t, os.WriteFile(back, []byte(printed), 0o600))
	again, err := execute(t, "--config", back, "--server.stop_timeout", "8s", "--print-config")
	require.NoError(t, err)
	values := func(text string) (values []string) {
		for line := range strings.Lines(text) {
			value, _, _ := strings.Cut(line, " # ")
			values = append(values, strings.TrimSpace(value))
		}
		return values
	}
	require.Equal(t, values(printed), values(again))
}

func TestHelpListsEveryOption(t *testing.T) {
	help, err := execute(t, "--help")
	require.NoError(t, err)
	for _, option := range gateway.Options.Options() {
		line := ""
		for one := range strings.Lines(help) {
			if strings.Contains(one, " --"+option.Name+" ") {
				line = one
			}
		}
		_, name, _ := strings.Cut("."+option.Name, ".")
		require.NotEmpty(t, line, option.Name)
		words := strings.Fields(line)
		require.Greater(t, len(words), 5, "%s is explained: %s", name, line)
		if option.Required {
			require.Contains(t, line, "(required)")
		}
	}
}

func TestWhatCannotBeUsed(t *testing.T) {
	t.Setenv("CALLSEAL_GATEWAY_SERVER_LISTNE", "x")
	_, err := execute(t, "--config", example(t), "--log.level", "loud")
	require.ErrorContains(t, err, "environment CALLSEAL_GATEWAY_SERVER_LISTNE is unknown: did you mean CALLSEAL_GATEWAY_SERVER_LISTEN?")
	require.ErrorContains(t, err, `flag --log.level: log.level is "loud", it must be debug, info, warn or error`)
	_, err = execute(t, "--confg", "x")
	require.ErrorContains(t, err, "unknown flag: --confg")
	_, err = execute(t)
	require.ErrorContains(t, err, "msp is missing")
}
