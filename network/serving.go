package network

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// serves asks a gRPC service of ours for its health. Where the health service
// is not obligatory, an answer that it does not exist is health enough: the
// call got through mutual TLS.
func (n *Network) serves(ctx context.Context, name, address, certFile, keyFile string, roots *x509.CertPool, obligatory bool) error {
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return permanent(fmt.Errorf("certificate to ask %s with: %w", name, err))
	}
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{certificate},
		})),
		grpc.WithConnectParams(impatient))
	if err != nil {
		return permanent(fmt.Errorf("connect to %s: %w", name, err))
	}
	defer func() { _ = connection.Close() }()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	answer, err := grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	switch {
	case status.Code(err) == codes.Unimplemented && !obligatory:
		return nil
	case err != nil:
		return fmt.Errorf("ask %s for its health: %w", name, err)
	case answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING:
		return fmt.Errorf("%s answers %s", name, answer.GetStatus())
	}
	return nil
}
