package fabric

import (
	"fmt"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

// Write is one public key that a VALID transaction wrote.
type Write struct {
	// Block is the block's number, Position the transaction's place in it from 0.
	Block    uint64
	Position int
	// TransactionID is the transaction's.
	TransactionID string
	// Chaincode is whose state was written.
	Chaincode string
	// Key is the key within the chaincode's state, Value what stands there now.
	Key   string
	Value []byte
	// Deleted says that nothing stands there any more.
	Deleted bool
}

// PublicWrites lists what the VALID transactions of a block wrote into the public
// state of the chaincodes, in order.
//
// It is what a reader of blocks may believe. Everything else in a block can be one
// operator's invention: a transaction that was not VALID counts for nothing, and
// one that writes only to its operator's own private collection is VALID by that
// operator's endorsement alone, whatever event and response it carries.
//
// An error says that the block has no validation codes, or that a VALID
// transaction cannot be read.
func PublicWrites(block *common.Block, chaincodes ...string) ([]Write, error) {
	number, transactions := block.GetHeader().GetNumber(), block.GetData().GetData()
	metadata := block.GetMetadata().GetMetadata()
	if len(metadata) <= int(common.BlockMetadataIndex_TRANSACTIONS_FILTER) {
		return nil, fmt.Errorf("block %d carries no validation codes: it does not come from a peer", number)
	}
	codes := metadata[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
	if len(codes) != len(transactions) {
		return nil, fmt.Errorf("block %d carries %d validation codes for %d transactions", number, len(codes), len(transactions))
	}
	var writes []Write
	for i, data := range transactions {
		if peer.TxValidationCode(codes[i]) != peer.TxValidationCode_VALID {
			continue
		}
		written, err := writesOf(data, chaincodes)
		if err != nil {
			return nil, fmt.Errorf("transaction %d of block %d: %w", i, number, err)
		}
		for _, one := range written {
			one.Block, one.Position = number, i
			writes = append(writes, one)
		}
	}
	return writes, nil
}

// writesOf are the public writes of one envelope, which has none unless it is a
// transaction of a chaincode.
func writesOf(data []byte, chaincodes []string) ([]Write, error) {
	envelope, payload, header := &common.Envelope{}, &common.Payload{}, &common.ChannelHeader{}
	if err := proto.Unmarshal(data, envelope); err != nil {
		return nil, fmt.Errorf("read envelope: %w", err)
	}
	if err := proto.Unmarshal(envelope.GetPayload(), payload); err != nil {
		return nil, fmt.Errorf("read payload: %w", err)
	}
	if err := proto.Unmarshal(payload.GetHeader().GetChannelHeader(), header); err != nil {
		return nil, fmt.Errorf("read channel header: %w", err)
	}
	if common.HeaderType(header.GetType()) != common.HeaderType_ENDORSER_TRANSACTION {
		return nil, nil
	}
	transaction := &peer.Transaction{}
	if err := proto.Unmarshal(payload.GetData(), transaction); err != nil {
		return nil, fmt.Errorf("read transaction: %w", err)
	}
	var writes []Write
	for _, action := range transaction.GetActions() {
		results, err := resultsOf(action)
		if err != nil {
			return nil, err
		}
		for _, namespace := range results.GetNsRwset() {
			if !slices.Contains(chaincodes, namespace.GetNamespace()) {
				continue
			}
			set := &kvrwset.KVRWSet{}
			if err := proto.Unmarshal(namespace.GetRwset(), set); err != nil {
				return nil, fmt.Errorf("read write set: %w", err)
			}
			for _, write := range set.GetWrites() {
				writes = append(writes, Write{
					TransactionID: header.GetTxId(), Chaincode: namespace.GetNamespace(), Key: write.GetKey(), Value: write.GetValue(),
					// To a peer an empty value is a deletion too.
					Deleted: write.GetIsDelete() || len(write.GetValue()) == 0,
				})
			}
		}
	}
	return writes, nil
}

// resultsOf is what endorsers signed that an action reads and writes.
func resultsOf(action *peer.TransactionAction) (*rwset.TxReadWriteSet, error) {
	content, response, simulated := &peer.ChaincodeActionPayload{}, &peer.ProposalResponsePayload{}, &peer.ChaincodeAction{}
	if err := proto.Unmarshal(action.GetPayload(), content); err != nil {
		return nil, fmt.Errorf("read action: %w", err)
	}
	if err := proto.Unmarshal(content.GetAction().GetProposalResponsePayload(), response); err != nil {
		return nil, fmt.Errorf("read proposal response: %w", err)
	}
	if err := proto.Unmarshal(response.GetExtension(), simulated); err != nil {
		return nil, fmt.Errorf("read chaincode action: %w", err)
	}
	results := &rwset.TxReadWriteSet{}
	if err := proto.Unmarshal(simulated.GetResults(), results); err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	return results, nil
}
