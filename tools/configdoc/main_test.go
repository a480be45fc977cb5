package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	adapter "github.com/callseal/callseal/asterisk-adapter"
	"github.com/callseal/callseal/gateway"
)

func TestTheExampleIsUpToDateAndLoads(t *testing.T) {
	root := filepath.Join("..", "..")
	want, err := example(root)
	require.NoError(t, err)
	path := filepath.Join(root, "gateway", "gateway.example.yaml")
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run `make generate`")

	config, err := gateway.LoadConfig(path)
	require.NoError(t, err)
	folder, err := filepath.Abs(filepath.Dir(path))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(folder, "tls", "server-cert.pem"), config.Server.CertFile)

	// What an operator need not give holds the default.
	defaults := gateway.DefaultConfig()
	require.Equal(t, defaults.Server.StopTimeout, config.Server.StopTimeout)
	require.Equal(t, defaults.Metrics, config.Metrics)
	require.Equal(t, defaults.Reputation, config.Reputation)
}

func TestTheAdaptersExampleIsUpToDateAndLoads(t *testing.T) {
	root := filepath.Join("..", "..")
	want, err := adapterExample(root)
	require.NoError(t, err)
	path := filepath.Join(root, "asterisk-adapter", "adapter.example.yaml")
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got), "run `make generate`")
	config, err := adapter.LoadConfig(path)
	require.NoError(t, err)
	require.Equal(t, "atlas-pbx-1", config.PBX)
	require.Equal(t, adapter.Defaults().Recordings.PairWait, config.Recordings.PairWait)
	require.NotNil(t, config.CDR.Table)
	require.NotNil(t, config.AMI)
	require.NotNil(t, config.ARI)
}
