// Package fabric drives Callseal's channel through the operator's own peer:
// evaluate, endorse, submit, commit, each a stage with a deadline of its own.
package fabric

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// maxMessageBytes is above the largest block (4 MB and its envelope): evidence
// and transaction look-ups carry whole blocks.
const maxMessageBytes = 20 << 20

// Channel is one channel seen through one peer by one identity. It is safe for
// concurrent use.
type Channel struct {
	connection *grpc.ClientConn
	gateway    *client.Gateway
	network    *client.Network
	contract   *client.Contract
	system     *client.Contract // qscc
	msp        string
	name       string
	partners   *partners
	deadlines  Deadlines
}

// Open prepares the channel. It does not wait for the peer: a peer that is away
// shows in the calls, and in Height.
func Open(config Config) (*Channel, error) {
	transport, err := config.transport()
	if err != nil {
		return nil, err
	}
	signer, sign, err := config.identity()
	if err != nil {
		return nil, err
	}
	connection, err := grpc.NewClient(config.PeerAddress,
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes)),
		// A peer refuses pings more often than once a minute.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Minute, Timeout: 10 * time.Second}),
		// A peer that restarts is back within seconds; do not sleep over it.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnectBackoff, MinConnectTimeout: 2 * time.Second}),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to peer %s: %w", config.PeerAddress, err)
	}
	gateway, err := client.Connect(signer, client.WithSign(sign), client.WithHash(hash.SHA256), client.WithClientConnection(connection))
	if err != nil {
		return nil, fmt.Errorf("connect to peer %s: %w", config.PeerAddress, err)
	}
	network := gateway.GetNetwork(config.Channel)
	return &Channel{
		connection: connection, gateway: gateway, network: network,
		contract: network.GetContract(config.Chaincode), system: network.GetContract("qscc"),
		msp: config.MSP, name: config.Channel, partners: &partners{own: config.MSP, msps: config.Partners}, deadlines: config.Deadlines.withDefaults(),
	}, nil
}

// MSP is the operator the channel's identity belongs to.
func (c *Channel) MSP() string { return c.msp }

// Close ends the connection.
func (c *Channel) Close() error {
	if err := c.gateway.Close(); err != nil {
		return fmt.Errorf("close the gateway client: %w", err)
	}
	if err := c.connection.Close(); err != nil {
		return fmt.Errorf("close the peer connection: %w", err)
	}
	return nil
}

func (c Config) transport() (credentials.TransportCredentials, error) {
	authorities, err := os.ReadFile(c.PeerCAFile)
	if err != nil {
		return nil, fmt.Errorf("read the peer's CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("%s holds no PEM certificate", c.PeerCAFile)
	}
	own, err := tls.LoadX509KeyPair(c.TLSCertFile, c.TLSKeyFile)
	if err != nil {
		return nil, fmt.Errorf("load the TLS certificate for the peer: %w", err)
	}
	return credentials.NewTLS(&tls.Config{
		RootCAs: pool, Certificates: []tls.Certificate{own}, ServerName: c.PeerServerName, MinVersion: tls.VersionTLS12,
	}), nil
}

func (c Config) identity() (*identity.X509Identity, identity.Sign, error) {
	certificatePEM, err := os.ReadFile(c.CertFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the identity's certificate: %w", err)
	}
	certificate, err := identity.CertificateFromPEM(certificatePEM)
	if err != nil {
		return nil, nil, fmt.Errorf("parse %s: %w", c.CertFile, err)
	}
	if now := time.Now(); now.After(certificate.NotAfter) {
		return nil, nil, fmt.Errorf("the certificate in %s expired on %s: renew it", c.CertFile, certificate.NotAfter.UTC().Format(time.RFC3339))
	}
	signer, err := identity.NewX509Identity(c.MSP, certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("identity from %s: %w", c.CertFile, err)
	}
	keyPEM, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the identity's key: %w", err)
	}
	key, err := identity.PrivateKeyFromPEM(keyPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("parse %s: %w", c.KeyFile, err)
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign with %s: %w", c.KeyFile, err)
	}
	return signer, sign, nil
}

// stage gives a call the stage's deadline, or the caller's if that is sooner.
func stage(ctx context.Context, bound time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, bound)
}
