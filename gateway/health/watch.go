package health

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// lastWord is how long a watcher keeps its stream once the gateway stops, to be
// told so.
const lastWord = 50 * time.Millisecond

// server is the health service; who watches is let go when the gateway stops.
type server struct {
	*health.Server
	drained <-chan struct{}
}

// Watch implements grpc.health.v1.Health.
func (s server) Watch(request *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() {
		select {
		case <-ctx.Done():
		case <-s.drained:
			time.Sleep(lastWord)
			cancel()
		}
	}()
	return s.Server.Watch(request, boundedStream{stream, ctx})
}

type boundedStream struct {
	grpc.ServerStreamingServer[healthpb.HealthCheckResponse]
	ctx context.Context //nolint:containedctx // how gRPC streams carry theirs
}

// Context ends with the gateway.
func (s boundedStream) Context() context.Context { return s.ctx }
