package gateway_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/callseal/callseal/gateway/gatewaytest"
)

// anchorsAgain sends a segment until it is anchored: after a node's return the
// network takes a moment to notice.
func (w *world) anchorsAgain(t *testing.T, entries ...gatewaytest.Entry) {
	t.Helper()
	segment := w.adapter.Segment(t, entries)
	ctx := within(t, patience)
	for {
		receipt, err := w.send(t, segment)
		if err == nil {
			require.Len(t, receipt.GetRecords(), len(entries))
			return
		}
		code := status.Code(err)
		require.True(t, code == codes.Unavailable || code == codes.Aborted, "only what may pass: %v", err)
		require.NoError(t, ctx.Err(), "last: %v", err)
	}
}

func testChaincodeAway(t *testing.T, w *world) {
	w.Kill("borealis-chaincode")
	w.anchorsAgain(t, gatewaytest.Call(t))
	w.StartNode("borealis-chaincode")

	w.Kill("atlas-chaincode")
	call := gatewaytest.Call(t)
	segment := w.adapter.Segment(t, []gatewaytest.Entry{call})
	_, err := w.send(t, segment)
	_, notRead := w.call(t, call.Record.Call.Leg)
	w.StartNode("atlas-chaincode")
	for _, err := range []error{err, notRead} {
		info := refused(t, err, codes.Unavailable, "its chaincode service")
		require.Equal(t, "true", info.GetMetadata()["retryable"])
	}
	ctx := within(t, patience)
	for err != nil {
		require.NoError(t, ctx.Err(), "last: %v", err)
		_, err = w.send(t, segment)
	}
	_, err = w.call(t, call.Record.Call.Leg)
	require.NoError(t, err)
}

func testPeerAway(t *testing.T, w *world) {
	w.Kill("atlas-peer")
	w.awaitHealth(t, statuses{"peer": notServing})
	segment := w.adapter.Segment(t, gatewaytest.Calls(t, 1))
	_, err := w.send(t, segment)
	info := refused(t, err, codes.Unavailable, "the peer cannot be reached")
	require.Equal(t, "true", info.GetMetadata()["retryable"])
	w.StartNode("atlas-peer")
	w.awaitHealth(t, statuses{"peer": serving, "ledger": serving})
	// It was accepted, and is under way.
	receipt, err := w.send(t, segment)
	require.NoError(t, err)
	require.Len(t, receipt.GetRecords(), 1)
	w.anchorsAgain(t, gatewaytest.Call(t))
}

func testTwoOperatorsAway(t *testing.T, w *world) {
	w.Kill("borealis-peer")
	w.Kill("corvus-peer")
	before := w.height(t)
	segment := w.adapter.Segment(t, gatewaytest.Calls(t, 1))
	_, err := w.send(t, segment)
	after := w.height(t)
	w.StartNode("borealis-peer")
	info := refused(t, err, codes.Unavailable, "not enough operators")
	require.Equal(t, "true", info.GetMetadata()["retryable"])
	require.Equal(t, "endorse", info.GetMetadata()["stage"])
	require.Equal(t, before, after, "nothing is written")
	ctx := within(t, patience)
	for err != nil {
		require.NoError(t, ctx.Err(), "last: %v", err)
		_, err = w.send(t, segment)
	}
	w.StartNode("corvus-peer")
}
