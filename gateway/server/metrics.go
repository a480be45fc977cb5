package server

import (
	"context"

	grpcprometheus "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/callseal/callseal/gateway/credential"
	"github.com/callseal/callseal/gateway/limit"
)

// Metrics count calls by service, method and code, how long they took, and what
// was not let in.
type Metrics struct {
	calls       *grpcprometheus.ServerMetrics
	credentials *credential.Metrics
	limits      *limit.Metrics
}

// NewMetrics registers them; nil registers nowhere.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: grpcprometheus.NewServerMetrics(grpcprometheus.WithServerHandlingTimeHistogram(
			// An acceptance is an fsync, a commit some tens of milliseconds.
			grpcprometheus.WithHistogramBuckets([]float64{.001, .0025, .005, .01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5, 10, 30}),
		)),
		credentials: credential.NewMetrics(registerer), limits: limit.NewMetrics(registerer),
	}
	if registerer != nil {
		registerer.MustRegister(m.calls)
	}
	return m
}

// counted is the interceptor with calls counted as what they are: see early.go.
func (m *Metrics) counted(isUnary, answering map[string]bool, next grpc.StreamServerInterceptor) grpc.StreamServerInterceptor {
	unary, streaming := m.calls.UnaryServerInterceptor(), m.calls.StreamServerInterceptor()
	return func(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if !isUnary[info.FullMethod] {
			counted := *info
			counted.IsClientStream = info.IsClientStream && !answering[info.FullMethod]
			return streaming(server, stream, &counted, func(server any, stream grpc.ServerStream) error { return next(server, stream, info, handler) })
		}
		_, err := unary(stream.Context(), nil, &grpc.UnaryServerInfo{Server: server, FullMethod: info.FullMethod}, func(context.Context, any) (any, error) {
			return nil, next(server, stream, info, handler)
		})
		return err
	}
}
