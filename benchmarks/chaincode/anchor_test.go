package chaincode_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network/networktest"
)

var batches = []int{1, 10, 100, 500}

// BenchmarkAnchor anchors calls with their details through Atlas's gateway and
// tells, per call, what the block files grew by.
func BenchmarkAnchor(b *testing.B) {
	n := networktest.Start(b, networktest.WithGateways())
	signer, connection, atlas := adapter(b, n), dial(b, n, "Atlas", pbx), channel(b, n, "Atlas")
	for _, batch := range batches {
		b.Run(fmt.Sprintf("endorsed-by-one-peer/records=%d", batch), func(b *testing.B) { endorse(b, atlas, signer, batch, "AtlasMSP") })
	}
	for _, batch := range batches {
		b.Run(fmt.Sprintf("endorsed-by-two-peers/records=%d", batch), func(b *testing.B) { endorse(b, atlas, signer, batch, "AtlasMSP", "BorealisMSP") })
	}
	for _, batch := range batches {
		b.Run(fmt.Sprintf("committed-with-details/records=%d", batch), func(b *testing.B) {
			segments := make([]*pb.SignedSegment, b.N)
			for i := range segments {
				segments[i] = signer.Segment(b, legs(b, batch))
			}
			before := height(b, atlas)
			b.ResetTimer()
			for _, segment := range segments {
				anchor(b, connection, segment)
			}
			b.StopTimer()
			time.Sleep(100 * time.Millisecond)
			share := sizes{}
			for number := before; number < height(b, atlas); number++ {
				share.add(b, block(b, atlas, number))
			}
			share.report(b, batch*b.N)
		})
	}
}

// endorse has a segment endorsed that then goes nowhere.
func endorse(b *testing.B, atlas *fabric.Channel, signer *gatewaytest.Adapter, batch int, msps ...string) {
	b.Helper()
	segment := signer.Twin().Segment(b, legs(b, batch))
	signed := ledger.SignedSegment{Signature: segment.GetSignature(), Records: make([]ledger.Record, batch)}
	require.NoError(b, ledger.DecodeStrict(segment.GetSegmentJson(), &signed.Segment))
	for i, record := range segment.GetRecordsJson() {
		require.NoError(b, ledger.DecodeStrict(record, &signed.Records[i]))
	}
	wire, err := ledger.Canonical([]ledger.SignedSegment{signed})
	require.NoError(b, err)
	for b.Loop() {
		_, err := atlas.Endorse(b.Context(), fabric.Proposal{
			Function: "calls:Anchor", Args: []string{""}, Transient: map[string][]byte{"segments": wire}, EndorsedBy: msps,
		})
		require.NoError(b, err)
	}
}

func height(b *testing.B, atlas *fabric.Channel) uint64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	height, err := atlas.Height(ctx)
	require.NoError(b, err)
	return height
}

func block(b *testing.B, atlas *fabric.Channel, number uint64) *common.Block {
	b.Helper()
	result, err := atlas.In("qscc").Evaluate(b.Context(), "GetBlockByNumber", "calls", fmt.Sprint(number))
	require.NoError(b, err)
	read := &common.Block{}
	require.NoError(b, proto.Unmarshal(result, read))
	return read
}

// sizes are the bytes of blocks by what they are for.
type sizes struct {
	total                                    int
	values, keysWritten, keysRead            int
	privateHashes, signatures, proposal, ids int
}

// add takes a block apart.
func (s *sizes) add(b *testing.B, block *common.Block) {
	b.Helper()
	s.total += proto.Size(block)
	for _, metadata := range block.GetMetadata().GetMetadata() {
		s.signatures += len(metadata)
	}
	for _, data := range block.GetData().GetData() {
		envelope, payload, transaction := &common.Envelope{}, &common.Payload{}, &peer.Transaction{}
		require.NoError(b, proto.Unmarshal(data, envelope))
		require.NoError(b, proto.Unmarshal(envelope.GetPayload(), payload))
		require.NoError(b, proto.Unmarshal(payload.GetData(), transaction))
		s.signatures += len(envelope.GetSignature()) + len(payload.GetHeader().GetSignatureHeader()) + len(payload.GetHeader().GetChannelHeader())
		for _, action := range transaction.GetActions() {
			content := &peer.ChaincodeActionPayload{}
			require.NoError(b, proto.Unmarshal(action.GetPayload(), content))
			s.signatures += len(action.GetHeader())
			s.proposal += len(content.GetChaincodeProposalPayload())
			for _, endorsement := range content.GetAction().GetEndorsements() {
				s.signatures += proto.Size(endorsement)
			}
			s.addWrites(b, content.GetAction().GetProposalResponsePayload())
		}
	}
}

func (s *sizes) addWrites(b *testing.B, payload []byte) {
	b.Helper()
	response, action, sets := &peer.ProposalResponsePayload{}, &peer.ChaincodeAction{}, &rwset.TxReadWriteSet{}
	require.NoError(b, proto.Unmarshal(payload, response))
	require.NoError(b, proto.Unmarshal(response.GetExtension(), action))
	require.NoError(b, proto.Unmarshal(action.GetResults(), sets))
	s.ids += len(action.GetResponse().GetPayload())
	for _, set := range sets.GetNsRwset() {
		public := &kvrwset.KVRWSet{}
		require.NoError(b, proto.Unmarshal(set.GetRwset(), public))
		for _, read := range public.GetReads() {
			s.keysRead += proto.Size(read)
		}
		for _, write := range public.GetWrites() {
			s.values += len(write.GetValue())
			s.keysWritten += len(write.GetKey())
		}
		for _, collection := range set.GetCollectionHashedRwset() {
			s.privateHashes += proto.Size(collection)
		}
	}
}

// report tells bytes per call.
func (s *sizes) report(b *testing.B, calls int) {
	b.Helper()
	for unit, bytes := range map[string]int{
		"B/call": s.total, "values-B/call": s.values, "keys-written-B/call": s.keysWritten, "keys-read-B/call": s.keysRead,
		"private-hashes-B/call": s.privateHashes, "signatures-B/call": s.signatures, "arguments-B/call": s.proposal, "answer-B/call": s.ids,
	} {
		b.ReportMetric(float64(bytes)/float64(calls), unit)
	}
}
