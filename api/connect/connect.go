// Package connect opens mutual-TLS connections to a Callseal gateway.
package connect

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// maxMessageBytes is above the largest segment with its details.
const maxMessageBytes = 48 << 20

// Config says which gateway to reach and as whom. Files are PEM.
type Config struct {
	// Address is host:port of the gateway.
	Address string
	// ServerName is the name in the gateway's certificate, where it is not the
	// host of Address.
	ServerName string
	// CAFile is the TLS CA of the gateway's operator.
	CAFile string
	// CertFile and KeyFile are the caller's identity, issued by the operator.
	CertFile, KeyFile string
}

// Dial prepares a connection; it is made when first used and mended when broken.
// A certificate that has expired is an error here, in words, because the TLS
// alert that a server could send says less.
func Dial(config Config) (*grpc.ClientConn, error) {
	authorities, err := os.ReadFile(config.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the gateway's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s holds no PEM certificate", config.CAFile)
	}
	own, err := tls.LoadX509KeyPair(config.CertFile, config.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load the certificate for the gateway: %w", err)
	}
	now := time.Now()
	if now.After(own.Leaf.NotAfter) {
		return nil, fmt.Errorf("the certificate in %s expired on %s: have your operator renew it", config.CertFile, own.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if now.Before(own.Leaf.NotBefore) {
		return nil, fmt.Errorf("the certificate in %s is not valid before %s: check this machine's clock", config.CertFile, own.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	connection, err := grpc.NewClient(config.Address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			RootCAs: pool, Certificates: []tls.Certificate{own}, ServerName: config.ServerName, MinVersion: tls.VersionTLS13,
		})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to the gateway at %s: %w", config.Address, err)
	}
	return connection, nil
}
