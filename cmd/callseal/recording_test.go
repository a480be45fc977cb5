package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network/networktest"
)

// typed runs a command line and answers what it printed.
func typed(args ...string) (string, error) {
	var out bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.Execute()
	return out.String(), err
}

func TestARecordingsLifeByCommand(t *testing.T) {
	n := networktest.Start(t, networktest.WithGateways())
	state := n.Layout().Root()
	atlas, err := n.Consortium().Member("Atlas")
	require.NoError(t, err)
	org := n.Layout().Operator("Atlas")
	files := org.Identity(atlas.PBXs[0])
	connection, err := connect.Dial(connect.Config{Address: atlas.Gateway.Address, CAFile: org.TLSCAFile(), CertFile: files.CertFile(), KeyFile: files.KeyFile()})
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	call := gatewaytest.Call(t)
	leg := call.Record.Call.Leg
	recording := gatewaytest.Recording(t, leg, []byte("audio"))
	id := recording.Record.Recording.ID
	adapter := gatewaytest.Load(t, atlas.MSP, atlas.PBXs[0], files.CertFile(), files.KeyFile())
	_, err = pb.NewAnchorServiceClient(connection).AnchorSegment(t.Context(), &pb.AnchorSegmentRequest{Segment: adapter.Segment(t, []gatewaytest.Entry{call, recording})})
	require.NoError(t, err)

	run := func(says string, args ...string) string {
		t.Helper()
		printed, err := typed(append(args, "--state", state)...)
		require.NoError(t, err)
		require.Contains(t, printed, says)
		return printed
	}
	refused := func(says string, args ...string) {
		t.Helper()
		_, err := typed(append(args, "--state", state)...)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "rpc error")
	}
	order := filepath.Join(t.TempDir(), "order.pdf")
	require.NoError(t, os.WriteFile(order, []byte("an order"), 0o600))

	run(id, "recording", "list", leg.LinkedID)
	run(recording.Record.Recording.SHA256, "recording", "get", id)
	run(gatewaytest.Caller, "recording", "get", id, "--details")
	run(`"sha256"`, "recording", "get", id, "--json")
	run("no case", "recording", "state", id)
	run(ledger.StateAnchored, "call", "state", leg.LinkedID, leg.UniqueID, "0")

	run("now: 1", "recording", "hold", leg.LinkedID, "--case", order, "--reason", "court_order", "--until", "2099-01-01T00:00:00Z")
	run("court_order", "recording", "state", id)
	refused("a legal hold", "recording", "erase", id, "--reason", "subject_request")
	_, err = typed("recording", "erase", id, "--reason", "subject_request", "--state", state)
	require.Regexp(t, `^ask the gateway: a legal hold .* \(at endorse, transaction [0-9a-f]{64}\)$`, err.Error())
	refused("ask the gateway: ", "gateway", "outbox", "show", "99")
	refused("the role", "gateway", "outbox", "list", "--role", "compliance")
	refused("a legal hold", "call", "erase", leg.LinkedID, leg.UniqueID, "0", "--reason", "court_order")
	refused("does not hold", "recording", "release", leg.LinkedID, "--case-digest", id+id)
	refused("may not act for", "recording", "release", leg.LinkedID, "--case", order, "--operator", "borealis", "--msp", atlas.MSP, "--pbx", atlas.PBXs[0])
	refused("the role", "recording", "release", leg.LinkedID, "--case", order, "--role", "auditor")
	run("now: 0", "recording", "release", leg.LinkedID, "--case", order)
	run("released", "recording", "holds", leg.LinkedID)

	run("kept until 2027-06-01T00:00:00.000Z", "recording", "retain", id, "--until", "2027-06-01T00:00:00Z")
	refused("keeps this recording until", "recording", "retain", id, "--until", "2099-01-01T00:00:00Z")
	refused("write a time like", "recording", "retain", id, "--until", "tomorrow")
	refused("--reason is one of", "recording", "erase", id, "--reason", "because")

	run("compaction of the peer's files", "recording", "erase", id, "--reason", "subject_request", "--evidence", order)
	run("key destroyed", "call", "erase", leg.LinkedID, leg.UniqueID, "0", "--reason", "subject_request")
	refused("the details", "recording", "get", id, "--details")
	var custody ledger.Custody
	require.NoError(t, json.Unmarshal([]byte(run("", "recording", "state", id, "--json")), &custody))
	require.Equal(t, ledger.StateErased, custody.State)
	require.Equal(t, ledger.EraseSubjectRequest, custody.Erasure.Details.Reason)
	run("details erased", "call", "state", leg.LinkedID, leg.UniqueID, "0", "--operator", "corvus", "--msp", atlas.MSP, "--pbx", atlas.PBXs[0])

	_, err = typed("compact", "--ledger", org.PeerData())
	require.ErrorContains(t, err, "stop the peer first")
	run("atlas-peer serving again", "network", "compact", "atlas")
	refused("no member is called", "network", "compact", "nobody")
	n.Stop("atlas-peer")
	printed, err := typed("compact", "--ledger", org.PeerData(), "--json")
	require.NoError(t, err)
	require.Contains(t, printed, "pvtdataStore")
}
