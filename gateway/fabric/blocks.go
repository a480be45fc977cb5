package fabric

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"math/big"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

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
