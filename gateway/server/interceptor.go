package server

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/callseal/callseal/gateway/fault"
)

// defaultDeadline bounds a call whose caller set no deadline.
const defaultDeadline = 30 * time.Second

// guard identifies and authorizes the caller, bounds the call, survives a panic,
// translates the error and logs the outcome: without arguments, they may be
// personal.
type guard struct{ log *slog.Logger }

func (g guard) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (response any, err error) {
	ctx, cancel := withDefaultDeadline(ctx)
	defer cancel()
	err = g.run(ctx, info.FullMethod, func(ctx context.Context) (err error) {
		response, err = handler(ctx, request)
		return err
	})
	return response, err
}

func (g guard) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return g.run(stream.Context(), info.FullMethod, func(ctx context.Context) error {
		return handler(server, &identifiedStream{ServerStream: stream, ctx: ctx})
	})
}

func (g guard) run(ctx context.Context, method string, handle func(context.Context) error) (err error) {
	began := time.Now()
	who, err := identify(ctx)
	if err == nil {
		err = authorize(who, method)
	}
	defer func() {
		if reason := recover(); reason != nil {
			g.log.Error("a handler panicked", "method", method, "reason", reason, "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "the gateway failed; its operator finds the reason in the log")
		}
		g.report(method, who, began, err)
		err = statusOf(err)
	}()
	if err != nil {
		return err
	}
	return handle(context.WithValue(ctx, callerKey{}, who))
}

// report logs denials and failures loudly, the rest quietly.
func (g guard) report(method string, who caller, began time.Time, err error) {
	log := g.log.With("method", method, "caller", who.name, "role", string(who.role), "ms", time.Since(began).Milliseconds())
	if err == nil {
		log.Debug("call served")
		return
	}
	what := fault.Of(err)
	log = log.With("kind", string(what.Kind), "stage", string(what.Stage), "transaction", what.TransactionID, "error", what.Error())
	switch what.Kind {
	case fault.Denied, fault.Unauthenticated:
		log.Warn("call denied")
	case fault.Internal:
		log.Error("call failed")
	default:
		log.Info("call refused")
	}
}

func withDefaultDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, defaultDeadline)
}

// identifiedStream carries the caller in its context.
type identifiedStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // how gRPC streams carry theirs
}

// Context is the stream's context with the caller in it.
func (s *identifiedStream) Context() context.Context { return s.ctx }
