// Package service runs both chaincodes, the calls' and governance's, each as a gRPC
// server that the operator's own peer connects to (Fabric's "chaincode as a
// service"), over mutual TLS only. There are two servers because a peer knows a
// chaincode by its package id and holds one connection for each.
package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/callseal/callseal/chaincode/contract"
)

// maxMessageBytes is the peer's own limit on chaincode messages.
const maxMessageBytes = 100 << 20

// Config says where the service listens and whom it trusts. All members are
// required.
type Config struct {
	// Address is host:port (CHAINCODE_SERVER_ADDRESS).
	Address string
	// PackageID is what the peer knows the installed package by
	// (CORE_CHAINCODE_ID_NAME).
	PackageID string
	// GovernanceAddress and GovernancePackageID are the same for the governance
	// chaincode (CALLSEAL_GOVERNANCE_ADDRESS, CALLSEAL_GOVERNANCE_ID).
	GovernanceAddress, GovernancePackageID string
	// PeerMSP is the operator whose peer connects (CORE_PEER_LOCALMSPID).
	PeerMSP string
	// CertFile and KeyFile are the server's TLS certificate and key, PEM
	// (CALLSEAL_TLS_CERT, CALLSEAL_TLS_KEY).
	CertFile, KeyFile string
	// ClientCAFile holds the CAs of the peers that may connect, PEM
	// (CALLSEAL_TLS_CLIENT_CA).
	ClientCAFile string
}

// FromEnvironment reads the configuration from the environment.
func FromEnvironment() Config {
	return Config{
		Address:             os.Getenv("CHAINCODE_SERVER_ADDRESS"),
		PackageID:           os.Getenv("CORE_CHAINCODE_ID_NAME"),
		GovernanceAddress:   os.Getenv("CALLSEAL_GOVERNANCE_ADDRESS"),
		GovernancePackageID: os.Getenv("CALLSEAL_GOVERNANCE_ID"),
		PeerMSP:             os.Getenv("CORE_PEER_LOCALMSPID"),
		CertFile:            os.Getenv("CALLSEAL_TLS_CERT"),
		KeyFile:             os.Getenv("CALLSEAL_TLS_KEY"),
		ClientCAFile:        os.Getenv("CALLSEAL_TLS_CLIENT_CA"),
	}
}

// check names every variable that is missing, at once.
func (c Config) check() error {
	var missing []error
	for _, required := range []struct{ variable, value string }{
		{"CHAINCODE_SERVER_ADDRESS", c.Address}, {"CORE_CHAINCODE_ID_NAME", c.PackageID},
		{"CALLSEAL_GOVERNANCE_ADDRESS", c.GovernanceAddress}, {"CALLSEAL_GOVERNANCE_ID", c.GovernancePackageID}, {"CORE_PEER_LOCALMSPID", c.PeerMSP},
		{"CALLSEAL_TLS_CERT", c.CertFile}, {"CALLSEAL_TLS_KEY", c.KeyFile}, {"CALLSEAL_TLS_CLIENT_CA", c.ClientCAFile},
	} {
		if required.value == "" {
			missing = append(missing, fmt.Errorf("%s is not set", required.variable))
		}
	}
	return errors.Join(missing...)
}

// Run serves until SIGINT or SIGTERM. What the peer is simulating then fails, and
// its gateway asks again.
func Run(config Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return Serve(ctx, config)
}

// Serve serves until the context ends, or until either chaincode cannot be served.
func Serve(ctx context.Context, config Config) error {
	if err := config.check(); err != nil {
		return err
	}
	calls, err := contract.New(config.PeerMSP)
	if err != nil {
		return err
	}
	governance, err := contract.NewGovernance()
	if err != nil {
		return err
	}
	transport, err := config.transport()
	if err != nil {
		return err
	}
	both := []chaincode{
		{address: config.Address, packageID: config.PackageID, contracts: calls},
		{address: config.GovernanceAddress, packageID: config.GovernancePackageID, contracts: governance},
	}
	for i := range both {
		if err := both[i].listen(ctx); err != nil {
			if i > 0 {
				_ = both[0].listener.Close()
			}
			return err
		}
	}
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(both))
	for _, one := range both {
		go func() { ended <- one.serve(serving, transport) }()
	}
	var failures []error
	for range both {
		failures = append(failures, <-ended)
		// One chaincode without the other is of no use to the peer.
		cancel()
	}
	return errors.Join(failures...)
}

// chaincode is one of the two, where it listens and what its peer knows it by.
type chaincode struct {
	address, packageID string
	contracts          *contract.Chaincode
	listener           net.Listener
}

func (c *chaincode) listen(ctx context.Context) error {
	var err error
	if c.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", c.address); err != nil {
		return fmt.Errorf("listen for the peer: %w", err)
	}
	return nil
}

// serve answers the peer until the context ends.
func (c *chaincode) serve(ctx context.Context, transport credentials.TransportCredentials) error {
	server := grpc.NewServer(
		grpc.Creds(transport),
		grpc.MaxRecvMsgSize(maxMessageBytes), grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		// The peer pings at least this often while it waits for work.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second, PermitWithoutStream: true}),
	)
	peer.RegisterChaincodeServer(server, &shim.ChaincodeServer{CCID: c.packageID, CC: c.contracts})
	status := health.NewServer()
	healthpb.RegisterHealthServer(server, status)
	status.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)

	served := make(chan error, 1)
	go func() { served <- server.Serve(c.listener) }()
	slog.Info("chaincode service ready", "address", c.listener.Addr().String(), "package", c.packageID, "version", contract.Version)
	select {
	case err := <-served:
		return fmt.Errorf("serve the peer: %w", err)
	case <-ctx.Done():
	}
	// The peer keeps its stream open for ever, so a graceful stop never ends.
	status.Shutdown()
	server.Stop()
	return nil
}

// transport is mutual TLS: only the operator's own nodes may connect.
func (c Config) transport() (credentials.TransportCredentials, error) {
	certificate, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load the service's TLS certificate: %w", err)
	}
	authorities, err := os.ReadFile(c.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("read the peers' CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s holds no PEM certificate", c.ClientCAFile)
	}
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		MinVersion:   tls.VersionTLS12,
	}), nil
}
