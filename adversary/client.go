package adversary

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Endpoint is a peer or an orderer, of whichever operator, and how to reach it.
type Endpoint struct {
	Address string
	// CAFile is the TLS authority of the endpoint's operator.
	CAFile string
	// CertFile and KeyFile are the caller's own TLS certificate and key.
	CertFile, KeyFile string
}

// maxMessageBytes is above the largest block.
const maxMessageBytes = 20 << 20

// Dial connects to an endpoint: a member's TLS certificate opens everyone's peers
// and orderers.
func Dial(to Endpoint) (*grpc.ClientConn, error) {
	authority, err := os.ReadFile(to.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the TLS authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no certificate", to.CAFile)
	}
	own, err := tls.LoadX509KeyPair(to.CertFile, to.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load the TLS certificate: %w", err)
	}
	connection, err := grpc.NewClient(to.Address,
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{own}})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to.Address, err)
	}
	return connection, nil
}

// CertHash is what a peer's deliver service wants a TLS client to repeat.
func (e Endpoint) CertHash() ([]byte, error) {
	own, err := tls.LoadX509KeyPair(e.CertFile, e.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load the TLS certificate: %w", err)
	}
	hash := sha256.Sum256(own.Certificate[0])
	return hash[:], nil
}

// RefusedError is what a peer's chaincode answered instead of endorsing.
type RefusedError struct{ Message string }

// Error is the chaincode's own sentence.
func (e *RefusedError) Error() string { return e.Message }

// Ask has a peer simulate a proposal, straight at its endorser service. A refusal
// of the chaincode is a [RefusedError]; any other error is the peer's.
func Ask(ctx context.Context, endorser *grpc.ClientConn, proposal *Proposal) (*peer.ProposalResponse, error) {
	response, err := peer.NewEndorserClient(endorser).ProcessProposal(ctx, proposal.Signed)
	if err != nil {
		return nil, fmt.Errorf("ask the endorser: %w", err)
	}
	if response.GetResponse().GetStatus() >= 400 || response.GetEndorsement() == nil {
		return response, &RefusedError{Message: response.GetResponse().GetMessage()}
	}
	return response, nil
}

// Broadcast sends an envelope to orderers, every one of them, as SmartBFT wants
// it. It fails if all of them refuse, with the first's words.
func Broadcast(ctx context.Context, orderers []*grpc.ClientConn, envelope *common.Envelope) error {
	answers := make(chan error, len(orderers))
	for _, one := range orderers {
		go func() { answers <- broadcast(ctx, one, envelope) }()
	}
	var refused error
	accepted := false
	for range orderers {
		err := <-answers
		accepted = accepted || err == nil
		refused = errors.Join(refused, err)
	}
	if accepted {
		return nil
	}
	return refused
}

func broadcast(ctx context.Context, to *grpc.ClientConn, envelope *common.Envelope) error {
	stream, err := orderer.NewAtomicBroadcastClient(to).Broadcast(ctx)
	if err != nil {
		return fmt.Errorf("open the broadcast: %w", err)
	}
	if err := stream.Send(envelope); err != nil {
		return fmt.Errorf("send the envelope: %w", err)
	}
	answer, err := stream.Recv()
	if err != nil {
		return fmt.Errorf("hear the orderer: %w", err)
	}
	if answer.GetStatus() != common.Status_SUCCESS {
		return fmt.Errorf("the orderer answers %s: %s", answer.GetStatus(), answer.GetInfo())
	}
	return stream.CloseSend()
}
