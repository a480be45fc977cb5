package fabric

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// maxMessageBytes is above the largest block (4 MB and its envelope): evidence
// and transaction look-ups carry whole blocks.
const maxMessageBytes = 20 << 20

// link is the way to a peer: a connection and, on it, an identity.
type link struct {
	connection *grpc.ClientConn
	gateway    *client.Gateway
	network    *client.Network
	signer     *signer
}

// connect prepares the way to a peer.
func connect(config *Config, at PeerConfig, as *signer) (*link, error) {
	transport, certHash, err := config.transport(at)
	if err != nil {
		return nil, err
	}
	connection, err := grpc.NewClient(at.Address,
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
		// A peer refuses pings more often than once a minute.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 10 * time.Second}),
		// A peer that restarts is back within seconds; do not sleep over it.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnectBackoff, MinConnectTimeout: 2 * time.Second}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to peer %s: %w", at.Address, err)
	}
	gateway, err := client.Connect(as.identity, client.WithSign(as.sign), client.WithHash(hashed), client.WithClientConnection(connection),
		client.WithTLSClientCertificateHash(certHash))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to peer %s: %w", at.Address, err), connection.Close())
	}
	return &link{connection: connection, gateway: gateway, network: gateway.GetNetwork(config.Channel), signer: as}, nil
}

func (l *link) close() error { return errors.Join(l.gateway.Close(), l.connection.Close()) }

// transport is mutual TLS with a peer, and the hash of the certificate shown to
// it: streams of blocks must name it.
func (c *Config) transport(at PeerConfig) (credentials.TransportCredentials, []byte, error) {
	authorities, err := os.ReadFile(at.CAFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the peer's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, nil, fmt.Errorf("%s holds no PEM certificate", at.CAFile)
	}
	own, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("load the TLS certificate for the peer: %w", err)
	}
	certHash := sha256.Sum256(own.Certificate[0])
	return credentials.NewTLS(&tls.Config{
		RootCAs: pool, Certificates: []tls.Certificate{own}, ServerName: at.ServerName, MinVersion: tls.VersionTLS12,
	}), certHash[:], nil
}
