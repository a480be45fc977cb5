package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/callseal/callseal/gateway/fault"
)

// innerHeader carries the ticket of a caller from REST to gRPC, within this
// process.
const innerHeader = "callseal-ticket"

// inner is the way from REST to the services: a connection within the process, on
// which calls go through the same chain as all others. Who calls is known from
// REST's side; the call bears a ticket, drawn anew for each and good while it
// runs, and tickets are looked at on this connection only.
type inner struct {
	listener *bufconn.Listener
	conn     *grpc.ClientConn
	tickets  sync.Map // ticket to caller
}

// innerInfo marks the connection within the process.
type innerInfo struct{ credentials.CommonAuthInfo }

// AuthType names it.
func (innerInfo) AuthType() string { return "inner" }

// innerConn is the server's end of it.
type innerConn struct{ net.Conn }

func newInner() (*inner, error) {
	i := &inner{listener: bufconn.Listen(256 << 10)}
	conn, err := grpc.NewClient("passthrough:///inner",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return i.listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, request, response any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
			ctx, done, err := i.bearTicket(ctx)
			if err != nil {
				return err
			}
			defer done()
			return invoke(ctx, method, request, response, conn, options...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
			ctx, done, err := i.bearTicket(ctx)
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, done)
			return open(ctx, desc, conn, method, options...)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect within the process: %w", err)
	}
	i.conn = conn
	return i, nil
}

// bearTicket replaces whatever the metadata says of who calls.
func (i *inner) bearTicket(ctx context.Context) (context.Context, func(), error) {
	who, known := ctx.Value(callerKey{}).(caller)
	if !known {
		return nil, nil, statusOf(fault.New(fault.Unauthenticated, "nobody is known to make this call"))
	}
	ticket := rand.Text()
	i.tickets.Store(ticket, who)
	carried, _ := metadata.FromOutgoingContext(ctx)
	carried = carried.Copy()
	carried.Set(innerHeader, ticket)
	carried.Delete("authorization")
	return metadata.NewOutgoingContext(ctx, carried), func() { i.tickets.Delete(ticket) }, nil
}

// callerOf is whose ticket the call bears.
func (i *inner) callerOf(ctx context.Context) (caller, error) {
	if tickets := metadata.ValueFromIncomingContext(ctx, innerHeader); len(tickets) == 1 {
		if who, known := i.tickets.Load(tickets[0]); known {
			return who.(caller), nil
		}
	}
	return caller{}, fault.New(fault.Unauthenticated, "the call bears no ticket")
}

// innerListener marks what it accepts.
type innerListener struct{ net.Listener }

// Accept waits for the connection.
func (l innerListener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return innerConn{accepted}, nil
}

// innerAware leaves the connection within the process without TLS.
type innerAware struct {
	credentials.TransportCredentials
}

// ServerHandshake makes the handshake.
func (c innerAware) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if _, isInner := raw.(innerConn); isInner {
		return raw, innerInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
	}
	return c.TransportCredentials.ServerHandshake(raw)
}

// Clone copies the credentials.
func (c innerAware) Clone() credentials.TransportCredentials {
	return innerAware{c.TransportCredentials.Clone()}
}

// Inner is the connection that REST calls the services on. A call's context must
// come from [Server.Authenticate].
func (s *Server) Inner() grpc.ClientConnInterface { return s.inner.conn }

// Authenticate lets requests through whose sender shows one of the operator's
// certificates or a token, and puts who it is into their context for calls on
// [Server.Inner]. Others are answered by refuse with a gRPC status error. The
// sender's certificate may be shown on a listener with [Server.TLS].
func (s *Server) Authenticate(next http.Handler, refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		who, err := s.ofRequest(ctx, r)
		if err != nil {
			refuse(w, r, s.chain.refuse(r.Method+" over REST", who, err))
			return
		}
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			defer s.credentials.Hold(r.TLS.PeerCertificates, cancel)()
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, callerKey{}, who)))
	})
}

func (s *Server) ofRequest(ctx context.Context, r *http.Request) (caller, error) {
	if r.TLS == nil {
		return caller{}, fault.New(fault.Unauthenticated, "the connection has no TLS")
	}
	shown := r.TLS.PeerCertificates
	return s.identity.of(ctx, shown, func() error { return s.credentials.Judge(shown) }, bearerOf(r.Header.Values("Authorization")))
}
