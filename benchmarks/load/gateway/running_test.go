package gateway

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
	"github.com/callseal/callseal/soak"
)

// Each kind of network that cannot be measured is named, on one real network that is
// said to be of another version.
func TestUnfitNetworks(t *testing.T) {
	refused := func(state, why string) {
		t.Helper()
		_, err := Running(t.Context(), state)
		require.ErrorIs(t, err, ErrUnfit)
		require.ErrorContains(t, err, why)
	}
	refused(filepath.Join(t.TempDir(), "nowhere"), "there is no folder")
	other := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(other, "file"), nil, 0o600))
	refused(other, "holds other files and no network")
	refused(t.TempDir(), "holds no network")

	old := func(o *network.Options) { o.ChaincodeVersion = "1.9" }
	n := networktest.Start(t, networktest.WithGateways(), old)
	state := n.Layout().Root()
	refused(state, "runs version 1.9 of")

	n.Stop("corvus-peer")
	refused(state, "is only half up, corvus-peer is stopped")

	org := n.Layout().Operator(soak.Operator)
	for _, file := range []string{org.Identity("auditor").CertFile(), org.Identity("gateway").TLSCertFile(), org.EnrolmentCAKeyFile()} {
		require.NoError(t, os.Rename(file, file+".away"))
		refused(state, file)
		require.NoError(t, os.WriteFile(file, []byte("no certificate"), 0o600))
		refused(state, file)
		require.NoError(t, os.Rename(file+".away", file))
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, n.Down(ctx))
	refused(state, "is down: start it with `callseal network up --state "+state)
}
