package server

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/callseal/callseal/gateway/fabric"
)

const (
	// peerPoll is how often the peer is asked, peerDeadline how long it may take.
	peerPoll     = 500 * time.Millisecond
	peerDeadline = 2 * time.Second
)

// peerWatch keeps the health service truthful: NOT_SERVING from the start until
// the own peer answers on the channel, and again whenever it stops answering.
// "" and every service of ours share the one answer: none works without it.
type peerWatch struct {
	channel *fabric.Channel
	health  *health.Server
	names   []string
	log     *slog.Logger
}

func newPeerWatch(channel *fabric.Channel, status *health.Server, server *grpc.Server, log *slog.Logger) *peerWatch {
	watch := &peerWatch{channel: channel, health: status, names: []string{""}, log: log}
	for name := range server.GetServiceInfo() {
		if name != healthpb.Health_ServiceDesc.ServiceName {
			watch.names = append(watch.names, name)
		}
	}
	watch.set(healthpb.HealthCheckResponse_NOT_SERVING)
	return watch
}

// run polls until the context ends.
func (w *peerWatch) run(ctx context.Context) {
	last := healthpb.HealthCheckResponse_NOT_SERVING
	ticker := time.NewTicker(peerPoll)
	defer ticker.Stop()
	for {
		now := w.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		if now != last {
			w.log.Info("health changed", "status", now.String())
			w.set(now)
			last = now
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (w *peerWatch) ask(ctx context.Context) healthpb.HealthCheckResponse_ServingStatus {
	ctx, cancel := context.WithTimeout(ctx, peerDeadline)
	defer cancel()
	if _, err := w.channel.Height(ctx); err != nil {
		w.log.Debug("the peer does not answer", "error", err)
		return healthpb.HealthCheckResponse_NOT_SERVING
	}
	return healthpb.HealthCheckResponse_SERVING
}

func (w *peerWatch) set(status healthpb.HealthCheckResponse_ServingStatus) {
	for _, name := range w.names {
		w.health.SetServingStatus(name, status)
	}
}
