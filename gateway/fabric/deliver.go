package fabric

import (
	"context"
	"errors"
	"fmt"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// request is a request for blocks as the client library makes it, filtered or
// not.
type request interface {
	Bytes() ([]byte, error)
	Digest() []byte
}

// stream is a stream of blocks. The client library's own ends without saying why
// and leaves a sender behind, so the peer's is used as it is.
type stream = grpc.BidiStreamingClient[common.Envelope, peer.DeliverResponse]

// deliverFiltered opens a stream of filtered blocks from one on.
func (l *link) deliverFiltered(ctx context.Context, from uint64) (stream, error) {
	wanted, err := l.network.NewFilteredBlockEventsRequest(client.WithStartBlock(from))
	if err != nil {
		return nil, fmt.Errorf("build the request for blocks: %w", err)
	}
	opened, err := peer.NewDeliverClient(l.connection).DeliverFiltered(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the stream of blocks: %w", err)
	}
	return opened, l.ask(opened, wanted)
}

// deliver opens a stream of whole blocks from one on.
func (l *link) deliver(ctx context.Context, from uint64) (stream, error) {
	wanted, err := l.network.NewBlockEventsRequest(client.WithStartBlock(from))
	if err != nil {
		return nil, fmt.Errorf("build the request for blocks: %w", err)
	}
	opened, err := peer.NewDeliverClient(l.connection).Deliver(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the stream of blocks: %w", err)
	}
	return opened, l.ask(opened, wanted)
}

// ask sends the signed request.
func (l *link) ask(opened stream, wanted request) error {
	serialized, err := wanted.Bytes()
	if err != nil {
		return fmt.Errorf("build the request for blocks: %w", err)
	}
	envelope := &common.Envelope{}
	if err := proto.Unmarshal(serialized, envelope); err != nil {
		return fmt.Errorf("build the request for blocks: %w", err)
	}
	if envelope.Signature, err = l.signer.signDigest(wanted.Digest()); err != nil {
		return err
	}
	if err := opened.Send(envelope); err != nil {
		return fmt.Errorf("ask for blocks: %w", err)
	}
	return nil
}

// received is the next answer of a stream, which may be its end.
func received(from stream) (*peer.DeliverResponse, error) {
	response, err := from.Recv()
	if err != nil {
		return nil, fmt.Errorf("read the stream of blocks: %w", err)
	}
	if ended, is := response.GetType().(*peer.DeliverResponse_Status); is {
		return nil, fmt.Errorf("the peer ended the stream of blocks with status %s", ended.Status)
	}
	return response, nil
}

// wholeBlock is the next block of a stream of whole ones.
func wholeBlock(from stream) (*common.Block, error) {
	response, err := received(from)
	if err != nil {
		return nil, err
	}
	if response.GetBlock() == nil {
		return nil, errors.New("the peer sent something else than a block")
	}
	return response.GetBlock(), nil
}
