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
listen: "127.0.0.1:21081"
channel: calls
chaincode: callseal
peer: { address: "127.0.0.1:21051", server_name: peer.atlas, ca_file: tls-ca.pem }
identity: { cert_file: id/cert.pem, key_file: /elsewhere/key.pem }
tls:
  cert_file: tls/cert.pem
  key_file: tls/key.pem
  client_ca_file: ca.pem
  fabric_client_cert_file: client.pem
  fabric_client_key_file: client-key.pem
state_dir: state
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
	require.Equal(t, filepath.Join(folder, "id", "cert.pem"), config.Identity.CertFile, "relative to the file")
	require.Equal(t, "/elsewhere/key.pem", config.Identity.KeyFile)
	require.Equal(t, filepath.Join(folder, "state"), config.StateDir)
	require.Equal(t, filepath.Join(folder, "tls-ca.pem"), config.Peer.CAFile)
	require.Equal(t, filepath.Join(folder, "client-key.pem"), config.TLS.FabricClientKeyFile)
	require.Equal(t, "peer.atlas", config.Peer.ServerName)
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
		"unknown member":        {wholeConfig + "stat_dir: x\n", []string{"stat_dir"}},
		"unknown nested member": {strings.Replace(wholeConfig, "server_name", "servername", 1), []string{"servername"}},
		"one missing":           {without("msp: AtlasMSP\n"), []string{"lacks msp"}},
		"several missing":       {without("msp: AtlasMSP\n", "state_dir: state\n", ", key_file: /elsewhere/key.pem"), []string{"lacks msp, identity.key_file, state_dir"}},
		"empty":                 {"", []string{"peer.address", "tls.client_ca_file", "channel"}},
		"not YAML":              {"msp: [", []string{"gateway.yaml"}},
		"wrong kind":            {strings.Replace(wholeConfig, "msp: AtlasMSP", "msp: [AtlasMSP]", 1), []string{"gateway.yaml"}},
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
	require.Empty(t, config.ConsortiumKeyFile, "a gateway need not count")
	require.EqualValues(t, 1, config.Writer)
	write("consortium_key_file: consortium.key\nprevious_consortium_key_file: /etc/before.key\nwriter: 16\n")
	config, err = gateway.LoadConfig(file)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(folder, "consortium.key"), config.ConsortiumKeyFile)
	require.Equal(t, "/etc/before.key", config.PreviousConsortiumKeyFile)
	require.EqualValues(t, 16, config.Writer)
	for _, writer := range []string{"-1", "17"} {
		write("writer: " + writer)
		_, err = gateway.LoadConfig(file)
		require.ErrorContains(t, err, "between 1 and 16")
	}
}
