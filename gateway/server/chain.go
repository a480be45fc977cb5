package server

import (
	"context"
	"crypto/rand"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/limit"
	"github.com/callseal/callseal/gateway/trail"
)

// defaultDeadline bounds a call whose caller set no deadline.
const defaultDeadline = 30 * time.Second

// requestIDHeader is the answer's header with the number a call has in the log and
// in the audit trail.
const requestIDHeader = "callseal-request-id"

// call is one call on its way through the chain.
type call struct {
	id     string
	method string
	rule   rule
	who    caller
	began  time.Time
	// request is the message at hand: the one of a unary call, the last of a stream.
	request proto.Message
	// response likewise.
	response proto.Message
	messages int64
	// object is what the audit trail says of the request; audited says that it has
	// the call, and ended its end.
	object         trail.Object
	audited, ended bool
}

// chain is what every call goes through, whatever its service:
//
//	recover    a panic is an INTERNAL error, not the end
//	identify   who calls: certificate or token
//	limit      not too often, not too much at once
//	authorise  may this role call this method
//	validate   is the message well formed
//	audit      what is privileged is on disk first
//	handle     the service
//	map errors domain error to gRPC status
//
// No byte of a message is read before the caller is known, within bounds and
// permitted: see early.go. What was refused is logged and audited on the way out.
type chain struct {
	log      *slog.Logger
	identify func(context.Context) (caller, error)
	limiter  *limit.Limiter
	// lacking are the services that cannot answer.
	lacking lacking
	// validate checks a message against the constraints in its definition; nil checks
	// nothing.
	validate func(proto.Message) error
	// trail is the audit trail, nil where none is kept.
	trail *trail.Trail
	// unary are the methods of one message each way.
	unary map[string]bool
}

// stream takes a call through the chain. Unary calls come this way too.
func (c *chain) stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	one := &call{id: rand.Text(), method: info.FullMethod, rule: allowed[info.FullMethod], began: time.Now()}
	_ = stream.SetHeader(metadata.Pairs(requestIDHeader, one.id))
	err := c.admit(stream.Context(), one, func(ctx context.Context) error {
		return handler(server, &guardedStream{ServerStream: stream, ctx: ctx, chain: c, call: one})
	})
	c.endAudit(one, err)
	c.report(one, err)
	return statusOf(err)
}

// admit lets the call in, or says why not.
func (c *chain) admit(ctx context.Context, one *call, handle func(context.Context) error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			c.log.Error("a handler panicked", "method", one.method, "request", one.id, "reason", redact(reason), "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "the gateway failed; its operator finds the reason in the log, under %s", one.id)
		}
	}()
	if one.who, err = c.identify(ctx); err != nil {
		return err
	}
	if c.limiter != nil {
		done, err := c.limiter.Begin(ctx, one.who.key(), one.rule.class)
		if err != nil {
			return err
		}
		defer done()
	}
	if err := authorize(one.who, one.method); err != nil {
		return err
	}
	if err := c.lacking.check(one.method); err != nil {
		return err
	}
	ctx, cancel := one.who.bound(ctx)
	defer cancel()
	return handle(context.WithValue(ctx, callerKey{}, one.who))
}

// guardedStream carries the caller in its context and looks at what comes in.
type guardedStream struct {
	grpc.ServerStream
	ctx   context.Context //nolint:containedctx // how gRPC streams carry theirs
	chain *chain
	call  *call
}

// Context is the stream's context with the caller in it.
func (s *guardedStream) Context() context.Context { return s.ctx }

// RecvMsg receives a message and validates it.
func (s *guardedStream) RecvMsg(message any) error {
	in := inbound{message: message}
	if err := s.ServerStream.RecvMsg(&in); err != nil {
		return err
	}
	if in.err != nil {
		return undecodable(in.err)
	}
	request, isMessage := message.(proto.Message)
	if !isMessage {
		return nil
	}
	s.call.request = request
	s.call.messages++
	if s.chain.validate != nil {
		if err := s.chain.validate(request); err != nil {
			return err
		}
	}
	return s.chain.beginAudit(s.call)
}

// SendMsg sends a message.
func (s *guardedStream) SendMsg(message any) error {
	s.call.response, _ = message.(proto.Message)
	if s.chain.unary[s.call.method] {
		s.chain.endAudit(s.call, nil)
	}
	return s.ServerStream.SendMsg(message)
}

func withDefaultDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, defaultDeadline)
}
