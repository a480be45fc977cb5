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

	"github.com/callseal/callseal/soak"
)

// application is a program as Fabric's tutorials have it: it connects to its
// organisation's peer and submits transactions with the client library.
type application struct {
	connection *grpc.ClientConn
	gateway    *client.Gateway
	contract   *client.Contract
}

// newApplication connects as the operator's gateway identity, which may anchor.
func newApplication(lab *soak.Lab) (*application, error) {
	member, org := lab.Member(soak.Operator), lab.Layout().Operator(soak.Operator)
	files := org.Identity("gateway")
	authority, err := os.ReadFile(org.TLSCAFile())
	if err != nil {
		return nil, fmt.Errorf("read the peer's CA: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	pair, err := tls.LoadX509KeyPair(files.TLSCertFile(), files.TLSKeyFile())
	if err != nil {
		return nil, fmt.Errorf("read the client's certificate: %w", err)
	}
	who, sign, err := signer(member.MSP, files.CertFile(), files.KeyFile())
	if err != nil {
		return nil, err
	}
	transport := credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	connection, err := grpc.NewClient(member.Peer.Address, grpc.WithTransportCredentials(transport))
	if err != nil {
		return nil, fmt.Errorf("reach the peer: %w", err)
	}
	gateway, err := client.Connect(who, client.WithSign(sign), client.WithHash(hash.SHA256), client.WithClientConnection(connection),
		client.WithEndorseTimeout(time.Minute), client.WithSubmitTimeout(time.Minute), client.WithCommitStatusTimeout(time.Minute))
	if err != nil {
		_ = connection.Close()
		return nil, fmt.Errorf("connect to the peer's gateway: %w", err)
	}
	return &application{connection: connection, gateway: gateway, contract: gateway.GetNetwork(lab.Consortium().Channel).GetContract(lab.Consortium().Chaincode)}, nil
}

func signer(msp, certFile, keyFile string) (*identity.X509Identity, identity.Sign, error) {
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the identity: %w", err)
	}
	certificate, err := identity.CertificateFromPEM(certPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("read the identity: %w", err)
	}
	who, err := identity.NewX509Identity(msp, certificate)
	if err != nil {
		return nil, nil, fmt.Errorf("read the identity: %w", err)
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("read the identity's key: %w", err)
	}
	key, err := identity.PrivateKeyFromPEM(keyPEM)
	if err != nil {
		return nil, nil, fmt.Errorf("read the identity's key: %w", err)
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return nil, nil, fmt.Errorf("read the identity's key: %w", err)
	}
	return who, sign, nil
}

func (a *application) close() {
	_ = a.gateway.Close()
	_ = a.connection.Close()
}

// anchor submits one call and waits until it is committed.
func (a *application) anchor(ctx context.Context, writer *soak.Writer) error {
	if _, err := a.contract.SubmitWithContext(ctx, "calls:Anchor", client.WithArguments(string(writer.Next()))); err != nil {
		return fmt.Errorf("submit a transaction: %w", err)
	}
	return nil
}
