package fabric

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/gateway/fault"
)

// Blocks streams the channel's whole blocks from a number on, in order, as an own
// peer commits them. The stream ends when the peer goes away or the context does;
// whoever reads asks again from where he is, and gets the next peer's.
func (c *Channel) Blocks(ctx context.Context, from uint64) (<-chan *common.Block, error) {
	ctx, cancel := context.WithCancel(ctx)
	var failed []error
	for range c.peers {
		at := c.peers[int(c.blocksFrom.Load())%len(c.peers)]
		opened, err := at.deliver(ctx, c.signer, from)
		if err != nil {
			c.blocksFrom.Add(1)
			failed = append(failed, err)
			continue
		}
		blocks := make(chan *common.Block)
		go func() {
			defer cancel()
			defer close(blocks)
			if forward(ctx, opened, blocks); ctx.Err() == nil {
				c.blocksFrom.Add(1)
			}
		}()
		return blocks, nil
	}
	cancel()
	return nil, classify(fault.StageEvaluate, "", errors.Join(failed...))
}

// forward hands on the blocks of a stream until it or the context ends.
func forward(ctx context.Context, opened stream, blocks chan<- *common.Block) {
	for {
		response, err := received(opened)
		if err != nil {
			return
		}
		select {
		case blocks <- response.GetBlock():
		case <-ctx.Done():
			return
		}
	}
}

// deliver opens a stream of whole blocks from one on.
func (p *Peer) deliver(ctx context.Context, as *signer, from uint64) (stream, error) {
	wanted, err := p.network.NewBlockEventsRequest(client.WithStartBlock(from))
	if err != nil {
		return nil, fmt.Errorf("build the request for blocks: %w", err)
	}
	opened, err := peer.NewDeliverClient(p.connection).Deliver(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the stream of blocks: %w", err)
	}
	return opened, ask(opened, as, wanted)
}

// Block is one block as the own peer holds it.
func (c *Channel) Block(ctx context.Context, number uint64) (*common.Block, error) {
	result, err := c.query(ctx, "GetBlockByNumber", c.name, fmt.Sprint(number))
	if err != nil {
		return nil, err
	}
	block := &common.Block{}
	if err := proto.Unmarshal(result, block); err != nil {
		return nil, fmt.Errorf("read block %d: %w", number, err)
	}
	return block, nil
}

// HeaderHash is the hash of a block's header: what the next block names as
// previous.
func HeaderHash(header *common.BlockHeader) ([]byte, error) {
	text, err := asn1.Marshal(struct {
		Number                 *big.Int
		PreviousHash, DataHash []byte
	}{new(big.Int).SetUint64(header.GetNumber()), header.GetPreviousHash(), header.GetDataHash()})
	if err != nil {
		return nil, fmt.Errorf("encode the header of block %d: %w", header.GetNumber(), err)
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

// CheckData answers unless a block's data is what its header names.
func CheckData(block *common.Block) error {
	sum := sha256.New()
	for _, data := range block.GetData().GetData() {
		sum.Write(data)
	}
	if !bytes.Equal(sum.Sum(nil), block.GetHeader().GetDataHash()) {
		return fmt.Errorf("the data of block %d is not what its header names: the peer's block store is damaged", block.GetHeader().GetNumber())
	}
	return nil
}
