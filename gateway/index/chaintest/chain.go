// Package chaintest makes chains of blocks as peers deliver them, with headers that
// follow each other, for tests and measurements of what reads blocks.
package chaintest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/gateway/fabric"
)

// Chaincode is the chaincode that transactions write unless they say otherwise.
const Chaincode = "callseal"

// Put is one write of a transaction.
type Put struct {
	Key     string
	Value   []byte
	Deleted bool
}

// Transaction is one transaction of a block.
type Transaction struct {
	// Chaincode is whose state it writes; Chaincode when empty.
	Chaincode string
	Puts      []Put
	// Code is its validation code.
	Code peer.TxValidationCode
}

// Chain is a chain of blocks that grows. It is an index.Source.
type Chain struct {
	mu     sync.Mutex
	blocks []*common.Block
	next   *common.BlockHeader // what the next block follows
	count  uint64
	keep   bool
	grown  chan struct{}
}

// New is a chain with its genesis block, which differs by name. It keeps its blocks.
func New(name string) *Chain {
	c := &Chain{keep: true, grown: make(chan struct{})}
	c.append([][]byte{genesis(name)}, []byte{0})
	return c
}

// Flowing is a chain that keeps none of its blocks.
func Flowing(name string) (*Chain, *common.Block) {
	c := &Chain{grown: make(chan struct{})}
	return c, c.append([][]byte{genesis(name)}, []byte{0})
}

// Add appends a block with the transactions.
func (c *Chain) Add(transactions ...Transaction) *common.Block {
	var data [][]byte
	var codes []byte
	for i := range transactions {
		id := sha256.Sum256(fmt.Appendf(nil, "%d/%d", c.height(), i))
		data, codes = append(data, envelope(hex.EncodeToString(id[:]), &transactions[i])), append(codes, byte(transactions[i].Code)) //nolint:gosec // a code of Fabric
	}
	return c.append(data, codes)
}

// AddRaw appends a block of given envelopes and codes.
func (c *Chain) AddRaw(data [][]byte, codes []byte) *common.Block { return c.append(data, codes) }

func (c *Chain) height() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

func (c *Chain) append(data [][]byte, codes []byte) *common.Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := sha256.New()
	for _, one := range data {
		sum.Write(one)
	}
	header := &common.BlockHeader{Number: c.count, DataHash: sum.Sum(nil)}
	if c.next != nil {
		hash, err := fabric.HeaderHash(c.next)
		if err != nil {
			panic(err)
		}
		header.PreviousHash = hash
	}
	block := &common.Block{Header: header, Data: &common.BlockData{Data: data}, Metadata: &common.BlockMetadata{Metadata: [][]byte{nil, nil, codes, nil, nil}}}
	c.next, c.count = header, c.count+1
	if c.keep {
		c.blocks = append(c.blocks, block)
		close(c.grown)
		c.grown = make(chan struct{})
	}
	return block
}

// Branch is a chain that shares the first blocks of this one.
func (c *Chain) Branch(height int) *Chain {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Chain{
		keep: true, grown: make(chan struct{}), blocks: append([]*common.Block{}, c.blocks[:height]...), next: c.blocks[height-1].GetHeader(), count: uint64(height), //nolint:gosec // small
	}
}

// Blocks implements index.Source.
func (c *Chain) Blocks(ctx context.Context, from uint64) (<-chan *common.Block, error) {
	stream := make(chan *common.Block)
	go func() {
		defer close(stream)
		for n := from; ; n++ {
			block := c.await(ctx, n)
			if block == nil {
				return
			}
			select {
			case stream <- block:
			case <-ctx.Done():
				return
			}
		}
	}()
	return stream, nil
}

// await is block n, when there is one; nil when the context ends.
func (c *Chain) await(ctx context.Context, n uint64) *common.Block {
	for {
		c.mu.Lock()
		grown := c.grown
		if n < uint64(len(c.blocks)) {
			defer c.mu.Unlock()
			return c.blocks[n]
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-grown:
		}
	}
}

// Block implements index.Source.
func (c *Chain) Block(_ context.Context, number uint64) (*common.Block, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number >= uint64(len(c.blocks)) {
		return nil, fmt.Errorf("there is no block %d", number)
	}
	return c.blocks[number], nil
}

// Height implements index.Source.
func (c *Chain) Height(context.Context) (uint64, error) { return c.height(), nil }

// genesis is a configuration envelope.
func genesis(name string) []byte {
	return marshal(&common.Envelope{Payload: marshal(&common.Payload{
		Header: &common.Header{ChannelHeader: marshal(&common.ChannelHeader{Type: int32(common.HeaderType_CONFIG), ChannelId: name})},
	})})
}

func marshal(message proto.Message) []byte {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		panic(err) // nothing of ours cannot be marshalled
	}
	return text
}

// envelope is a transaction as a block holds it.
func envelope(id string, transaction *Transaction) []byte {
	namespace := transaction.Chaincode
	if namespace == "" {
		namespace = Chaincode
	}
	set := &kvrwset.KVRWSet{}
	for _, put := range transaction.Puts {
		set.Writes = append(set.Writes, &kvrwset.KVWrite{Key: put.Key, Value: put.Value, IsDelete: put.Deleted})
	}
	results := &rwset.TxReadWriteSet{NsRwset: []*rwset.NsReadWriteSet{{Namespace: namespace, Rwset: marshal(set)}}}
	response := &peer.ProposalResponsePayload{Extension: marshal(&peer.ChaincodeAction{Results: marshal(results)})}
	content := &peer.ChaincodeActionPayload{Action: &peer.ChaincodeEndorsedAction{ProposalResponsePayload: marshal(response)}}
	return marshal(&common.Envelope{Payload: marshal(&common.Payload{
		Header: &common.Header{ChannelHeader: marshal(&common.ChannelHeader{Type: int32(common.HeaderType_ENDORSER_TRANSACTION), TxId: id})},
		Data:   marshal(&peer.Transaction{Actions: []*peer.TransactionAction{{Payload: marshal(content)}}}),
	})})
}
