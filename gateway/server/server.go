// Package server is the gateway's gRPC face: who is calling, what they may do,
// what they get, and how errors look. REST comes beside it.
package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/consent"
	"github.com/callseal/callseal/gateway/erasure"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/reputation"
	"github.com/callseal/callseal/gateway/seal"
)

const (
	// maxMessageBytes is above the largest segment with its details.
	maxMessageBytes = 48 << 20
	// maxConcurrentStreams bounds what one connection may have under way.
	maxConcurrentStreams = 250
)

// Server serves one operator's gateway.
type Server struct {
	config Config
	grpc   *grpc.Server
	health *health.Server
	peer   *peerWatch
	log    *slog.Logger
}

// Parts are what the services stand on. A nil part is one this gateway lacks; what
// needs it says so.
type Parts struct {
	// Channel and Keyring are always there.
	Channel *fabric.Channel
	Keyring *seal.Keyring
	// Anchorer takes segments to the ledger.
	Anchorer *anchor.Anchorer
	// Eraser runs erasures.
	Eraser *erasure.Eraser
	// Tally counts evidence; nil without a consortium key.
	Tally *reputation.Tally
	// Consents is told of every segment that was anchored.
	Consents *consent.Watch
	// Metrics count the calls; nil where nobody asks.
	Metrics *Metrics
}

// New assembles the services.
func New(config Config, parts Parts, log *slog.Logger) (*Server, error) {
	creds, err := config.credentials()
	if err != nil {
		return nil, err
	}
	guard := guard{log: log}
	if parts.Metrics == nil {
		parts.Metrics = NewMetrics(nil)
	}
	server := grpc.NewServer(
		grpc.Creds(creds),
		grpc.ChainUnaryInterceptor(parts.Metrics.calls.UnaryServerInterceptor(), guard.unary),
		grpc.ChainStreamInterceptor(parts.Metrics.calls.StreamServerInterceptor(), guard.stream),
		grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.MaxConcurrentStreams(maxConcurrentStreams),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	)
	reading := reader{channel: parts.Channel, keyring: parts.Keyring}
	pb.RegisterAnchorServiceServer(server, &anchorService{anchorer: parts.Anchorer, consents: parts.Consents, msp: parts.Channel.MSP()})
	pb.RegisterCallServiceServer(server, &callService{reader: reading})
	pb.RegisterRecordingServiceServer(server, &recordingService{reader: reading})
	pb.RegisterReputationServiceServer(server, &reputationService{tally: parts.Tally})
	pb.RegisterErasureServiceServer(server, &erasureService{eraser: parts.Eraser})
	pb.RegisterLedgerServiceServer(server, &ledgerService{reader: reading})
	status := health.NewServer()
	healthpb.RegisterHealthServer(server, status)
	reflection.Register(server)
	parts.Metrics.calls.InitializeMetrics(server)
	return &Server{config: config, grpc: server, health: status, peer: newPeerWatch(parts.Channel, status, server, log), log: log}, nil
}

// Serve serves until the context ends, then refuses new calls and lets running
// ones end for at most the configured time.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.grpc.Serve(listener) }()
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	go s.peer.run(watching)
	select {
	case err := <-served:
		return fmt.Errorf("serve gRPC: %w", err)
	case <-ctx.Done():
	}
	s.health.Shutdown()
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

func (c *Config) credentials() (credentials.TransportCredentials, error) {
	own, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load the server's certificate: %w", err)
	}
	authorities, err := os.ReadFile(c.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("read the callers' CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s holds no PEM certificate", c.ClientCAFile)
	}
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS13,
	}), nil
}
