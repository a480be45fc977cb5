package gateway_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway"
)

const wholeConfig = `operator: atlas
msp: AtlasMSP
state_dir: state
server:
  listen: "127.0.0.1:21081"
  cert_file: tls/cert.pem
  key_file: tls/key.pem
  client_ca_file: ca.pem
fabric:
  channel: calls
  chaincode: callseal
  peers:
    - address: "127.0.0.1:21051"
      server_name: peer.atlas
      ca_file: tls-ca.pem
  tls_cert_file: client.pem
  tls_key_file: client-key.pem
  cert_file: id/cert.pem
  key_file: /elsewhere/key.pem
`

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gateway.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestLoadConfig(t *testing.T) {
	path := writeConfig(t, wholeConfig)
	config, err := gateway.LoadConfig(path)
	require.NoError(t, err)
	folder := filepath.Dir(path)
	require.Equal(t, "AtlasMSP", config.MSP)
	require.Equal(t, filepath.Join(folder, "id", "cert.pem"), config.Fabric.CertFile, "relative to the file")
	require.Equal(t, "/elsewhere/key.pem", config.Fabric.KeyFile)
	require.Equal(t, filepath.Join(folder, "state"), config.StateDir)
	require.Equal(t, filepath.Join(folder, "tls-ca.pem"), config.Fabric.Peers[0].CAFile)
	require.Equal(t, filepath.Join(folder, "client-key.pem"), config.Fabric.TLSKeyFile)
	require.Equal(t, "peer.atlas", config.Fabric.Peers[0].ServerName)
}

func TestLoadConfigRefuses(t *testing.T) {
	without := func(lines ...string) string {
		text := wholeConfig
		for _, line := range lines {
			require.Contains(t, text, line)
			text = strings.Replace(text, line, "", 1)
		}
		return text
	}
	for name, c := range map[string]struct {
		text string
		says []string
	}{
		"unknown member":        {wholeConfig + "stat_dir: x\n", []string{"gateway.yaml:20: stat_dir is unknown: did you mean state_dir?"}},
		"unknown nested member": {strings.Replace(wholeConfig, "tls_cert_file", "tls_certfile", 1), []string{"gateway.yaml:16: fabric.tls_certfile is unknown: did you mean fabric.tls_cert_file?"}},
		"a peer without a CA":   {without("      ca_file: tls-ca.pem\n"), []string{"peers[0] (127.0.0.1:21051) lacks ca_file"}},
		"unknown within a list": {strings.Replace(wholeConfig, "server_name", "servername", 1), []string{"servername"}},
		"one missing":           {without("msp: AtlasMSP\n"), []string{"msp is missing: give it in the file, as CALLSEAL_GATEWAY_MSP or as --msp"}},
		"several missing":       {without("msp: AtlasMSP\n", "state_dir: state\n", "  key_file: /elsewhere/key.pem\n"), []string{"msp is missing", "state_dir is missing", "fabric.key_file is missing"}},
		"empty":                 {"", []string{"fabric.peers", "server.client_ca_file", "fabric.channel"}},
		"not YAML":              {"msp: [", []string{"gateway.yaml:1: "}},
		"wrong kind":            {strings.Replace(wholeConfig, "msp: AtlasMSP", "msp: [AtlasMSP]", 1), []string{"gateway.yaml:2: msp: this must be a text"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := gateway.LoadConfig(writeConfig(t, c.text))
			require.Error(t, err)
			for _, text := range c.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
	_, err := gateway.LoadConfig(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestWhatReputationNeeds(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "gateway.yaml")
	write := func(more string) {
		require.NoError(t, os.WriteFile(file, []byte(wholeConfig+more), 0o600))
	}
	write("")
	config, err := gateway.LoadConfig(file)
	require.NoError(t, err)
	require.Empty(t, config.Reputation.KeyFile, "a gateway need not count")
	require.EqualValues(t, 1, config.Reputation.Writer)
	write("reputation: {consortium_key_file: consortium.key, previous_consortium_key_file: /etc/before.key, writer: 16}\n")
	config, err = gateway.LoadConfig(file)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(folder, "consortium.key"), config.Reputation.KeyFile)
	require.Equal(t, "/etc/before.key", config.Reputation.PreviousKeyFile)
	require.EqualValues(t, 16, config.Reputation.Writer)
	for _, writer := range []string{"-1", "17"} {
		write("reputation: {writer: " + writer + "}\n")
		_, err = gateway.LoadConfig(file)
		require.ErrorContains(t, err, "between 1 and 16")
	}
}
