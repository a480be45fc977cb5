package fabric_test

import (
	"slices"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/gateway/fabric"
)

// unmarshalled are the public writes of an envelope as Fabric's own peers read them:
// layer by layer, with the messages of Fabric.
func unmarshalled(envelope []byte, chaincode string) ([]fabric.Write, error) {
	outer, payload, header, transaction := &common.Envelope{}, &common.Payload{}, &common.ChannelHeader{}, &peer.Transaction{}
	if err := read(layer{envelope, outer}); err != nil {
		return nil, err
	}
	if err := read(layer{outer.GetPayload(), payload}); err != nil {
		return nil, err
	}
	if err := read(layer{payload.GetHeader().GetChannelHeader(), header}); err != nil {
		return nil, err
	}
	if common.HeaderType(header.GetType()) != common.HeaderType_ENDORSER_TRANSACTION {
		return nil, nil
	}
	if err := read(layer{payload.GetData(), transaction}); err != nil {
		return nil, err
	}
	var writes []fabric.Write
	for _, action := range transaction.GetActions() {
		content, response, simulated, results := &peer.ChaincodeActionPayload{}, &peer.ProposalResponsePayload{}, &peer.ChaincodeAction{}, &rwset.TxReadWriteSet{}
		if err := read(layer{action.GetPayload(), content}); err != nil {
			return nil, err
		}
		if err := read(layer{content.GetAction().GetProposalResponsePayload(), response}); err != nil {
			return nil, err
		}
		if err := read(layer{response.GetExtension(), simulated}); err != nil {
			return nil, err
		}
		if err := read(layer{simulated.GetResults(), results}); err != nil {
			return nil, err
		}
		for _, namespace := range results.GetNsRwset() {
			if namespace.GetNamespace() != chaincode {
				continue
			}
			set := &kvrwset.KVRWSet{}
			if err := read(layer{namespace.GetRwset(), set}); err != nil {
				return nil, err
			}
			for _, write := range set.GetWrites() {
				writes = append(writes, fabric.Write{
					Block: 7, TransactionID: header.GetTxId(), Chaincode: chaincode, Key: write.GetKey(), Value: write.GetValue(),
					Deleted: write.GetIsDelete() || len(write.GetValue()) == 0,
				})
			}
		}
	}
	return writes, nil
}

type layer struct {
	encoded []byte
	message proto.Message
}

func read(one layer) error { return proto.Unmarshal(one.encoded, one.message) } //nolint:wrapcheck // a test's

// FuzzPublicWrites checks that an envelope never says something else here than it
// says to the peers that judged it: an operator could otherwise write one record on
// the ledger and another into everybody's index.
func FuzzPublicWrites(f *testing.F) {
	good := envelope(f, "good", common.HeaderType_ENDORSER_TRANSACTION, sets{
		"callseal": {{Key: "a", Value: []byte("1")}, {Key: "b", IsDelete: true}, {Key: "c"}}, "other": {{Key: "d", Value: []byte("2")}},
	})
	f.Add(good)
	f.Add(envelope(f, "configuration", common.HeaderType_CONFIG, sets{"callseal": {{Key: "e", Value: []byte("5")}}}))
	f.Add(envelope(f, "", common.HeaderType_ENDORSER_TRANSACTION, nil))
	// What is there twice: the last bytes count, messages are joined.
	f.Add(slices.Concat(good, envelope(f, "second", common.HeaderType_ENDORSER_TRANSACTION, sets{"callseal": {{Key: "f", Value: []byte("6")}}})))
	f.Add(split(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		want, err := unmarshalled(data, "callseal")
		if err != nil {
			return // no peer finds it valid
		}
		got, err := fabric.PublicWrites(block([]byte{byte(peer.TxValidationCode_VALID)}, data), "callseal")
		require.NoError(t, err)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, string(want[i].Value), string(got[i].Value))
			want[i].Value, got[i].Value = nil, nil
			require.Equal(t, want[i], got[i])
		}
	})
}

// split is an envelope whose messages come in pieces.
func split(tb testing.TB) []byte {
	tb.Helper()
	results := slices.Concat(
		marshal(tb, &rwset.TxReadWriteSet{NsRwset: []*rwset.NsReadWriteSet{{Namespace: "callseal", Rwset: marshal(tb, &kvrwset.KVRWSet{Writes: []*kvrwset.KVWrite{{Key: "a", Value: []byte("1")}}})}}}),
		marshal(tb, &rwset.TxReadWriteSet{NsRwset: []*rwset.NsReadWriteSet{{Namespace: "callseal", Rwset: marshal(tb, &kvrwset.KVRWSet{Writes: []*kvrwset.KVWrite{{Key: "b", Value: []byte("2")}}})}}}),
	)
	response := slices.Concat(
		marshal(tb, &peer.ProposalResponsePayload{Extension: []byte("overwritten")}),
		marshal(tb, &peer.ProposalResponsePayload{Extension: marshal(tb, &peer.ChaincodeAction{Results: results})}),
	)
	content := slices.Concat(
		marshal(tb, &peer.ChaincodeActionPayload{Action: &peer.ChaincodeEndorsedAction{Endorsements: []*peer.Endorsement{{Endorser: []byte("one")}}}}),
		marshal(tb, &peer.ChaincodeActionPayload{Action: &peer.ChaincodeEndorsedAction{ProposalResponsePayload: response}}),
	)
	return marshal(tb, &common.Envelope{Payload: slices.Concat(
		marshal(tb, &common.Payload{Header: &common.Header{SignatureHeader: []byte("somebody")}}),
		marshal(tb, &common.Payload{
			Header: &common.Header{ChannelHeader: marshal(tb, &common.ChannelHeader{Type: int32(common.HeaderType_ENDORSER_TRANSACTION), TxId: "in pieces"})},
			Data:   marshal(tb, &peer.Transaction{Actions: []*peer.TransactionAction{{Payload: content}}}),
		}),
	)})
}
