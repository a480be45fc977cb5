package fabric_test

import (
	"fmt"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

// sets are the writes of a transaction, by namespace.
type sets map[string][]*kvrwset.KVWrite

func marshal(tb testing.TB, message proto.Message) []byte {
	tb.Helper()
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	require.NoError(tb, err)
	return text
}

// envelope is a transaction as a block holds it.
func envelope(tb testing.TB, id string, kind common.HeaderType, written sets) []byte {
	tb.Helper()
	results := &rwset.TxReadWriteSet{}
	for _, namespace := range []string{"_lifecycle", "callseal", "other"} {
		if writes, found := written[namespace]; found {
			results.NsRwset = append(results.NsRwset, &rwset.NsReadWriteSet{Namespace: namespace, Rwset: marshal(tb, &kvrwset.KVRWSet{Writes: writes})})
		}
	}
	event := marshal(tb, &peer.ChaincodeEvent{ChaincodeId: "callseal", EventName: "anchored", Payload: []byte("forged")})
	response := &peer.ProposalResponsePayload{Extension: marshal(tb, &peer.ChaincodeAction{Results: marshal(tb, results), Events: event})}
	content := &peer.ChaincodeActionPayload{Action: &peer.ChaincodeEndorsedAction{ProposalResponsePayload: marshal(tb, response)}}
	return marshal(tb, &common.Envelope{Payload: marshal(tb, &common.Payload{
		Header: &common.Header{ChannelHeader: marshal(tb, &common.ChannelHeader{Type: int32(kind), TxId: id})},
		Data:   marshal(tb, &peer.Transaction{Actions: []*peer.TransactionAction{{Payload: marshal(tb, content)}}}),
	})})
}

func block(codes []byte, transactions ...[]byte) *common.Block {
	return &common.Block{
		Header: &common.BlockHeader{Number: 7}, Data: &common.BlockData{Data: transactions},
		Metadata: &common.BlockMetadata{Metadata: [][]byte{nil, nil, codes}},
	}
}

func TestPublicWrites(t *testing.T) {
	put := func(key, value string) *kvrwset.KVWrite {
		return &kvrwset.KVWrite{Key: key, Value: []byte(value)}
	}
	writes, err := fabric.PublicWrites(block(
		[]byte{byte(peer.TxValidationCode_VALID), byte(peer.TxValidationCode_MVCC_READ_CONFLICT), byte(peer.TxValidationCode_VALID), byte(peer.TxValidationCode_VALID), byte(peer.TxValidationCode_BAD_PAYLOAD), byte(peer.TxValidationCode_VALID)},
		envelope(t, "good", common.HeaderType_ENDORSER_TRANSACTION, sets{"callseal": {put("a", "1"), put("b", "2")}, "other": {put("c", "3")}, "_lifecycle": {put("d", "4")}}),
		envelope(t, "invalid", common.HeaderType_ENDORSER_TRANSACTION, sets{"callseal": {put("a", "forged")}}),
		envelope(t, "event only", common.HeaderType_ENDORSER_TRANSACTION, nil),
		envelope(t, "deletes", common.HeaderType_ENDORSER_TRANSACTION, sets{"callseal": {{Key: "a", IsDelete: true}, {Key: "b"}}}),
		[]byte("an invalid transaction may be anything"),
		envelope(t, "configuration", common.HeaderType_CONFIG, sets{"callseal": {put("e", "5")}}),
	), "callseal")
	require.NoError(t, err)
	require.Equal(t, []fabric.Write{
		{Block: 7, Position: 0, TransactionID: "good", Chaincode: "callseal", Key: "a", Value: []byte("1")},
		{Block: 7, Position: 0, TransactionID: "good", Chaincode: "callseal", Key: "b", Value: []byte("2")},
		{Block: 7, Position: 3, TransactionID: "deletes", Chaincode: "callseal", Key: "a", Deleted: true},
		{Block: 7, Position: 3, TransactionID: "deletes", Chaincode: "callseal", Key: "b", Deleted: true},
	}, writes)
}

func TestPublicWritesOfSeveralChaincodes(t *testing.T) {
	put := func(key string) *kvrwset.KVWrite { return &kvrwset.KVWrite{Key: key, Value: []byte("1")} }
	writes, err := fabric.PublicWrites(block([]byte{byte(peer.TxValidationCode_VALID)},
		envelope(t, "both", common.HeaderType_ENDORSER_TRANSACTION, sets{"callseal": {put("a")}, "other": {put("a")}, "_lifecycle": {put("d")}})), "other", "callseal")
	require.NoError(t, err)
	require.Equal(t, []fabric.Write{
		{Block: 7, TransactionID: "both", Chaincode: "callseal", Key: "a", Value: []byte("1")},
		{Block: 7, TransactionID: "both", Chaincode: "other", Key: "a", Value: []byte("1")},
	}, writes)
}

func TestPublicWritesRefusesWhatIsNoPeersBlock(t *testing.T) {
	good := envelope(t, "good", common.HeaderType_ENDORSER_TRANSACTION, nil)
	for name, test := range map[string]struct {
		block *common.Block
		says  string
	}{
		"an orderer's block":        {block: &common.Block{Header: &common.BlockHeader{Number: 7}, Data: &common.BlockData{Data: [][]byte{good}}}, says: "carries no validation codes"},
		"too few codes":             {block: block(nil, good), says: "carries 0 validation codes for 1 transactions"},
		"too many codes":            {block: block([]byte{0, 0}, good), says: "carries 2 validation codes for 1 transactions"},
		"valid and yet not legible": {block: block([]byte{0}, []byte("?")), says: "transaction 0 of block 7"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fabric.PublicWrites(test.block, "callseal")
			require.ErrorContains(t, err, test.says)
		})
	}
}

// BenchmarkPublicWrites reads a block of ten segments of 50 records, as whoever follows
// the ledger does for each.
func BenchmarkPublicWrites(b *testing.B) {
	const segments, records = 10, 50
	var codes []byte
	var transactions [][]byte
	size := 0
	for i := range segments {
		writes := make([]*kvrwset.KVWrite, records)
		for n := range writes {
			entry := gatewaytest.Call(b)
			entry.Record.MSP, entry.Record.PBX, entry.Record.V = "AtlasMSP", "pbx1", ledger.SchemaVersion
			writes[n] = &kvrwset.KVWrite{Key: entry.Record.Key(), Value: gatewaytest.JSON(b, &entry.Record)}
		}
		codes = append(codes, byte(peer.TxValidationCode_VALID))
		transactions = append(transactions, envelope(b, fmt.Sprint(i), common.HeaderType_ENDORSER_TRANSACTION, sets{"callseal": writes}))
		size += len(transactions[i])
	}
	made := block(codes, transactions...)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		writes, err := fabric.PublicWrites(made, "callseal")
		if err != nil || len(writes) != segments*records {
			b.Fatal(len(writes), err)
		}
	}
}
