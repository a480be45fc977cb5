package fabric

import (
	"fmt"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/encoding/protowire"
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
	// Key is the key within the chaincode's state, Value what stands there now, which
	// is a part of the block.
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
// transaction of a chaincode. Values are parts of the envelope.
func writesOf(envelope []byte, chaincodes []string) ([]Write, error) {
	payload, err := follow(envelope, toPayload)
	if err != nil {
		return nil, err
	}
	header, err := channelHeaderOf(payload)
	if err != nil {
		return nil, err
	}
	if common.HeaderType(header.GetType()) != common.HeaderType_ENDORSER_TRANSACTION {
		return nil, nil
	}
	var writes []Write
	err = eachAction(payload, func(action []byte) error {
		results, err := follow(action, toEndorsed, toResponse, toExtension, toResults)
		if err != nil {
			return err
		}
		return eachPart(results, namespacesOfResults, func(part []byte) error {
			name, err := bytesIn(part, namespaceName)
			if err != nil || !slices.Contains(chaincodes, string(name)) {
				return err
			}
			set, err := follow(part, toNamespaceSet)
			if err != nil {
				return err
			}
			return eachPart(set, writesOfSet, func(part []byte) error {
				write, err := writeOf(part)
				write.TransactionID, write.Chaincode = header.GetTxId(), string(name)
				writes = append(writes, write)
				return err
			})
		})
	})
	return writes, err
}

func writeOf(encoded []byte) (Write, error) {
	var write Write
	err := eachField(encoded, func(one field) error {
		switch {
		case one.number == keyOfWrite && one.kind == protowire.BytesType:
			write.Key = string(one.part)
		case one.number == deletionOfWrite && one.kind == protowire.VarintType:
			write.Deleted = protowire.DecodeBool(one.value)
		case one.number == valueOfWrite && one.kind == protowire.BytesType:
			write.Value = one.part
		}
		return nil
	})
	// To a peer an empty value is a deletion too.
	write.Deleted = write.Deleted || len(write.Value) == 0
	return write, err
}

// channelHeaderOf is the channel's header of a payload.
func channelHeaderOf(payload []byte) (*common.ChannelHeader, error) {
	encoded, err := follow(payload, toHeader, toChannelHeader)
	if err != nil {
		return nil, err
	}
	header := &common.ChannelHeader{}
	if err := proto.Unmarshal(encoded, header); err != nil {
		return nil, fmt.Errorf("read channel header: %w", err)
	}
	return header, nil
}
