package gateway_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

// receiver is a collector that keeps what it gets.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*trace.Span
}

// Export implements opentelemetry.proto.collector.trace.v1.TraceService.
func (r *receiver) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// collect has the gateway send its spans to a collector of the test's.
func (w *world) collect(t *testing.T, config *gateway.Config) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, &w.spans)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	config.Tracing.Endpoint, config.Tracing.Plaintext = listener.Addr().String(), true
}

// The client's trace goes on through the call to the commit, and tells nothing of a
// person.
func testTraces(t *testing.T, w *world) {
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	ctx := metadata.AppendToOutgoingContext(within(t, patience), "traceparent", "00-"+traceID+"-b7ad6b7169203331-01")
	call := gatewaytest.Call(t)
	_, err := pb.NewAnchorServiceClient(w.as(t, "Atlas", atlasPBX)).AnchorSegment(ctx, &pb.AnchorSegmentRequest{Segment: w.adapter.Segment(t, []gatewaytest.Entry{call})})
	require.NoError(t, err)
	id, err := hex.DecodeString(traceID)
	require.NoError(t, err)
	committed := func(span *trace.Span) bool {
		for _, attribute := range span.GetAttributes() {
			if attribute.GetKey() == "callseal.block" && attribute.GetValue().GetIntValue() > 0 {
				return true
			}
		}
		return false
	}
	var mine []*trace.Span
	require.Eventually(t, func() bool {
		w.spans.mu.Lock()
		defer w.spans.mu.Unlock()
		mine = nil
		served, stands := false, false
		for _, span := range w.spans.spans {
			if string(span.GetTraceId()) != string(id) {
				continue
			}
			mine = append(mine, span)
			served = served || span.GetName() == "callseal.v1.AnchorService/AnchorSegment" && hex.EncodeToString(span.GetParentSpanId()) == "b7ad6b7169203331"
			stands = stands || committed(span)
		}
		return served && stands
	}, patience, patience/600, "the trace has the call and its commit")
	w.spans.mu.Lock()
	defer w.spans.mu.Unlock()
	for _, span := range w.spans.spans {
		text := fmt.Sprint(span)
		require.NotContains(t, text, gatewaytest.Caller[1:])
		require.NotContains(t, text, gatewaytest.Callee[1:])
		require.NotContains(t, text, "127.0.0.1")
		require.NotContains(t, span.GetName(), "grpc.health")
	}
}
