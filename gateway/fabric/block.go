package fabric

import (
	"context"
	"fmt"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/gateway/fault"
)

// Height is the number of blocks an own peer has; an error says that none can be
// asked.
func (c *Channel) Height(ctx context.Context) (uint64, error) {
	return heightIn(c.query(ctx, "GetChainInfo", c.name))
}

// heightOf is the number of blocks a peer has.
func (c *Channel) heightOf(ctx context.Context, at *Peer) (uint64, error) {
	ctx, cancel := stage(ctx, c.deadlines.Evaluate)
	defer cancel()
	return heightIn(c.evaluateAt(ctx, at, system, Proposal{Function: "GetChainInfo", Args: []string{c.name}}))
}

func heightIn(result []byte, err error) (uint64, error) {
	if err != nil {
		return 0, err
	}
	info := &common.BlockchainInfo{}
	if err := proto.Unmarshal(result, info); err != nil {
		return 0, fmt.Errorf("read the chain's height: %w", err)
	}
	return info.GetHeight(), nil
}

// Commit finds a committed transaction: its block, its validation code and who
// endorsed it.
func (c *Channel) Commit(ctx context.Context, transactionID string) (Commit, error) {
	result, err := c.query(ctx, "GetBlockByTxID", c.name, transactionID)
	if err != nil {
		return Commit{}, err
	}
	block := &common.Block{}
	if err := proto.Unmarshal(result, block); err != nil {
		return Commit{}, fmt.Errorf("read block: %w", err)
	}
	return commitIn(block, transactionID)
}

// system is the peers' own chaincode that tells of the chain.
const system = "qscc"

// query asks it.
func (c *Channel) query(ctx context.Context, function string, args ...string) ([]byte, error) {
	result, err := c.evaluate(ctx, system, Proposal{Function: function, Args: args})
	if err != nil && mentions(err, "no such transaction ID", "entry not found") {
		return nil, &fault.Error{Kind: fault.NotFound, Stage: fault.StageEvaluate, Message: "the peer knows no such transaction", Err: err}
	}
	return result, err
}

// commitIn looks a transaction up in a block.
func commitIn(block *common.Block, transactionID string) (Commit, error) {
	codes := block.GetMetadata().GetMetadata()[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
	for i, data := range block.GetData().GetData() {
		payload, err := follow(data, toPayload)
		if err != nil {
			return Commit{}, fmt.Errorf("envelope %d of block %d: %w", i, block.GetHeader().GetNumber(), err)
		}
		id, err := transactionIDOf(payload)
		if err != nil {
			return Commit{}, fmt.Errorf("envelope %d of block %d: %w", i, block.GetHeader().GetNumber(), err)
		}
		if id != transactionID {
			continue
		}
		endorsers, err := endorsersOf(payload)
		if err != nil {
			return Commit{}, fmt.Errorf("envelope %d of block %d: %w", i, block.GetHeader().GetNumber(), err)
		}
		if i >= len(codes) {
			return Commit{}, fmt.Errorf("block %d says nothing of transaction %d", block.GetHeader().GetNumber(), i)
		}
		return Commit{
			TransactionID: id, Block: block.GetHeader().GetNumber(), Endorsers: endorsers,
			Validation: peer.TxValidationCode(codes[i]).String(),
		}, nil
	}
	return Commit{}, &fault.Error{Kind: fault.NotFound, Stage: fault.StageEvaluate, TransactionID: transactionID, Message: "the block does not hold the transaction"}
}

func transactionIDOf(payload []byte) (string, error) {
	header, err := channelHeaderOf(payload)
	return header.GetTxId(), err
}

// endorsersOf names the MSPs that endorsed a payload, in its order.
func endorsersOf(payload []byte) ([]string, error) {
	var names []string
	err := eachAction(payload, func(action []byte) error {
		endorsed, err := follow(action, toEndorsed)
		if err != nil {
			return err
		}
		return eachPart(endorsed, endorsementsOfAction, func(part []byte) error {
			encoded, err := bytesIn(part, endorserOfEndorsement)
			if err != nil {
				return fmt.Errorf("read endorsement: %w", err)
			}
			endorser := &msp.SerializedIdentity{}
			if err := proto.Unmarshal(encoded, endorser); err != nil {
				return fmt.Errorf("read endorser: %w", err)
			}
			names = append(names, endorser.GetMspid())
			return nil
		})
	})
	return names, err
}

// answerOf is what the contract answered, as the first action of a payload has it.
func answerOf(payload []byte) (answer []byte, err error) {
	first := true
	err = eachAction(payload, func(action []byte) error {
		if !first {
			return nil
		}
		first = false
		answer, err = follow(action, toEndorsed, toResponse, toExtension, toAnswer, toAnswerPayload)
		return err
	})
	return answer, err
}
