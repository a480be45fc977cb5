// Package server is the gateway's gRPC face: who is calling, what they may do,
// what they get, and how errors look. REST comes beside it.
package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/credential"
	"github.com/callseal/callseal/gateway/erasure"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/health"
	"github.com/callseal/callseal/gateway/idempotency"
	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/journal"
	"github.com/callseal/callseal/gateway/limit"
	"github.com/callseal/callseal/gateway/reputation"
	"github.com/callseal/callseal/gateway/seal"
	"github.com/callseal/callseal/gateway/token"
	"github.com/callseal/callseal/gateway/trail"
	"github.com/callseal/callseal/gateway/view"
)

const (
	// maxMessageBytes is above the largest segment with its details.
	maxMessageBytes = 48 << 20
	// maxHeaderBytes bounds a call's metadata: a token and a trace fit.
	maxHeaderBytes = 16 << 10
	// streamWindow and connectionWindow are how much a call, and a connection, may
	// send before anybody reads it.
	streamWindow, connectionWindow = 256 << 10, 1 << 20
)

// Server serves one operator's gateway.
type Server struct {
	config      Config
	credentials *credential.Store
	identity    *identity
	inner       *inner
	chain       *chain
	door        *limit.Doorkeeper

	grpc   *grpc.Server
	health *health.Monitor
	log    *slog.Logger
	// stopping is closed when streams that have no end of their own should end.
	stopping chan struct{}
}

// Parts are what the services stand on. A nil part is one this gateway lacks; what
// needs it says so.
type Parts struct {
	// Channel and Keyring are always there.
	Channel *fabric.Channel
	Keyring *seal.Keyring
	// Pipeline takes segments to the ledger; Window bounds the segments of one
	// stream that it has not answered.
	Pipeline *anchor.Pipeline
	// Journal is what the pipeline stands on.
	Journal *journal.Journal
	Window  int
	// Eraser runs erasures.
	Eraser *erasure.Eraser
	// Tally counts evidence; nil without a consortium key.
	Tally *reputation.Tally
	// View streams to adapters what decides on calls.
	View *view.Admission
	// Index answers lists; nil where the gateway has none.
	Index *index.Index
	// Signers sign for people, by role.
	Signers Signers
	// Keys remember what was asked under an idempotency key; nil takes none.
	Keys *idempotency.Store
	// Trail is the audit trail; nil keeps none.
	Trail *trail.Trail
	// Metrics count the calls; nil where nobody asks.
	Metrics *Metrics
	// Health is told which services there are, and serves the health service; nil
	// says SERVING of all.
	Health *health.Monitor
	// Status answers how the gateway is.
	Status func(context.Context) (*pb.GetStatusResponse, error)
	// Options are further options of the gRPC server: tracing's.
	Options []grpc.ServerOption
}

// New assembles the services.
func New(config Config, parts Parts, log *slog.Logger) (*Server, error) {
	if parts.Metrics == nil {
		parts.Metrics = NewMetrics(nil)
	}
	store, err := credential.Open(config.credentials(), parts.Metrics.credentials, log)
	if err != nil {
		return nil, err
	}
	within, err := newInner()
	if err != nil {
		return nil, err
	}
	limits, unary, answering := parts.Metrics.limits, map[string]bool{}, map[string]bool{}
	s := &Server{
		config: config, log: log, credentials: store, inner: within, stopping: make(chan struct{}),
		identity: &identity{inner: within}, door: limit.NewDoorkeeper(config.Limits.Connections, limits, log),
	}
	if config.Tokens.Issuer != "" {
		if s.identity.tokens, err = token.Open(config.Tokens, log); err != nil {
			return nil, err
		}
	}
	constraints, err := newValidation()
	if err != nil {
		return nil, err
	}
	s.chain = &chain{log: log, identify: s.identity.ofCall, limiter: limit.New(config.Limits, limits), lacking: parts.lacks(), validate: constraints.check, trail: parts.Trail, unary: unary}
	connections := config.Limits.Connections
	s.grpc = grpc.NewServer(append(slices.Clone(parts.Options),
		grpc.Creds(innerAware{store.Transport(connections.StrangerTimeout)}),
		grpc.StreamInterceptor(parts.Metrics.counted(unary, answering, s.chain.stream)), grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxSendMsgSize(maxMessageBytes), grpc.MaxHeaderListSize(maxHeaderBytes),
		// Fixed windows bound what a connection can have us hold unread.
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connectionWindow),
		grpc.MaxConcurrentStreams(connections.Streams), grpc.ConnectionTimeout(connections.HandshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: connections.IdleTimeout, Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)...)
	repeated := &repetition{keys: parts.Keys}
	services := early{Server: s.grpc, unary: unary, answering: answering, around: repeated.unary}
	reading := reader{channel: parts.Channel, keyring: parts.Keyring}
	writing := writer{reader: reading, signers: parts.Signers}
	pb.RegisterAnchorServiceServer(services, &anchorService{
		writer: writing, pipeline: parts.Pipeline, msp: parts.Channel.MSP(), window: max(parts.Window, 1), stopping: s.stopping,
	})
	pb.RegisterCallServiceServer(services, &callService{writer: writing})
	pb.RegisterRecordingServiceServer(services, &recordingService{writer: writing})
	pb.RegisterViewServiceServer(services, &viewService{admission: parts.View})
	pb.RegisterReputationServiceServer(services, &reputationService{tally: parts.Tally})
	pb.RegisterErasureServiceServer(services, &erasureService{eraser: parts.Eraser})
	pb.RegisterLedgerServiceServer(services, &ledgerService{reader: reading})
	pb.RegisterDeviceServiceServer(services, &deviceService{writer: writing, tally: parts.Tally})
	pb.RegisterConsentServiceServer(services, &consentService{writer: writing})
	pb.RegisterPolicyServiceServer(services, &policyService{writer: writing})
	pb.RegisterAdapterServiceServer(services, &adapterService{writer: writing})
	pb.RegisterGraceServiceServer(services, &graceService{writer: writing, tally: parts.Tally})
	pb.RegisterOutboxServiceServer(services, &outboxService{journal: parts.Journal, pipeline: parts.Pipeline})
	pb.RegisterAboutServiceServer(services, &aboutService{reader: reading})
	pb.RegisterSearchServiceServer(services, &searchService{msp: parts.Channel.MSP(), index: parts.Index})
	pb.RegisterWatchServiceServer(services, &watchService{msp: parts.Channel.MSP(), index: parts.Index, stopping: s.stopping})
	pb.RegisterStatusServiceServer(services, &statusService{ask: parts.Status})
	if s.health = parts.Health; s.health == nil {
		s.health = health.New(health.DefaultConfig(), nil, nil, health.NewMetrics(nil), log)
	}
	healthpb.RegisterHealthServer(services, s.health.Server())
	reflection.Register(services)
	parts.Metrics.calls.InitializeMetrics(services)
	serveHealth(s.health, s.grpc)
	return s, nil
}

// TLS is the configuration of a listener beside gRPC's, with the same certificates:
// see [Server.Authenticate].
func (s *Server) TLS() *tls.Config { return s.credentials.TLS() }

// Door counts a listener's connections with all others'.
func (s *Server) Door(listener net.Listener) net.Listener { return s.door.Listen(listener) }

// SetLimits has other limits hold from now on.
func (s *Server) SetLimits(limits limit.Config) {
	s.chain.limiter.Set(limits)
	s.door.Set(limits.Connections)
}

// Problem is what keeps certificates or revocation lists that were replaced from
// being in force, nil when nothing does.
func (s *Server) Problem() error { return s.credentials.Problem() }

// TokenProblem is what keeps the keys of the tokens' issuer from being read, nil when
// nothing does or no tokens are taken.
func (s *Server) TokenProblem() error {
	if s.identity.tokens == nil {
		return nil
	}
	return s.identity.tokens.Problem()
}

// Serve serves until the context ends, then refuses new calls and lets running
// ones end for at most the configured time.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	served := make(chan error, 2)
	go func() { served <- s.grpc.Serve(s.door.Listen(listener)) }()
	go func() { served <- s.grpc.Serve(innerListener{s.inner.listener}) }()
	watching, stopWatching := context.WithCancel(ctx)
	var background sync.WaitGroup
	background.Go(func() { s.credentials.Run(watching) })
	defer background.Wait()
	defer stopWatching()
	defer func() { _ = s.inner.conn.Close() }()
	select {
	case err := <-served:
		return fmt.Errorf("serve gRPC: %w", err)
	case <-ctx.Done():
	}
	s.health.Drain()
	close(s.stopping)
	stopped := make(chan struct{})
	go func() { s.grpc.GracefulStop(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(s.config.StopTimeout):
		s.log.Warn("calls still running are cut off", "after", s.config.StopTimeout)
		s.grpc.Stop()
	}
	return nil
}
