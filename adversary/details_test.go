package adversary_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/callseal/callseal/adversary"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/seal"
)

// collection is the collection of Atlas's details.
const collection = "_implicit_org_" + atlasMSP

// wantDetails are the calls that answer Atlas's details to those who may read them.
func (w *world) wantDetails() [][]string {
	leg := w.call.Call.Leg
	return [][]string{
		{"details:GetCall", atlasMSP, atlasPBX, leg.LinkedID, leg.UniqueID, sequenceOf(leg)},
		{"details:GetRecording", atlasMSP, atlasPBX, w.recorded.Recording.ID, "1"},
	}
}

func testReadDetails(t *testing.T, w *world) {
	w.unharmed(t, func() {
		t.Run("the owner can", func(t *testing.T) {
			for _, call := range w.wantDetails() {
				answer, err := w.channels[atlas].Evaluate(within(t), call[0], call[1:]...)
				require.NoError(t, err)
				require.NotEmpty(t, decode[ledger.Sealed](t, answer).Ciphertext)
			}
		})
		t.Run("every peer's contract refuses", func(t *testing.T) {
			for _, role := range []string{"gateway", "compliance", "admin", "auditor"} {
				who := w.party(t, corvus, role)
				for _, call := range w.wantDetails() {
					for _, name := range append([]string{corvus}, honest...) {
						w.refused(t, name, w.proposeAs(t, who, nil, call...), ledger.CodeDenied)
					}
				}
			}
		})
		t.Run("its own chaincode finds nothing on its own peer", func(t *testing.T) {
			for _, key := range []string{w.call.Key(), w.recorded.Key()} {
				plot := adversary.Plot{Steps: []adversary.Step{{Act: adversary.GetPrivate, Collection: collection, Key: key}}}
				_, err := adversary.Ask(within(t), w.peers[corvus], w.propose(t, plotted(t, plot), "calls:Anchor", ""))
				require.ErrorContains(t, err, "private data matching public hash version is not available")
			}
		})
		for name, through := range map[string]string{"its own peer sent to Atlas's": corvus, "Atlas's peer itself": atlas} {
			t.Run("evaluate through "+name, func(t *testing.T) {
				contract := w.fabricContract(t, w.peers[through])
				for _, call := range w.wantDetails() {
					_, err := contract.EvaluateWithContext(within(t), call[0], client.WithArguments(call[1:]...), client.WithEndorsingOrganizations(atlasMSP))
					require.ErrorContains(t, err, string(ledger.CodeDenied))
				}
			})
		}
		// This is how Fabric is: a peer delivers the data of implicit collections to
		// every reader of the channel. So what it has must be of no use to them.
		t.Run("what Atlas's peer delivers to anyone is sealed", func(t *testing.T) {
			delivered := w.delivered(t, w.reach(t, atlas, corvus), w.gateway)
			require.Contains(t, delivered, w.call.Key())
			require.Contains(t, delivered, w.recorded.Key())
			guess, err := seal.Open(filepath.Join(t.TempDir(), "keyring"))
			require.NoError(t, err)
			defer func() { _ = guess.Close() }()
			for key, value := range delivered {
				sealed := decode[ledger.Sealed](t, value)
				require.NoError(t, sealed.Check())
				_, err := guess.Unseal(key, sealed)
				require.Error(t, err)
				for _, number := range []string{gatewaytest.Caller, gatewaytest.Callee} {
					require.NotContains(t, string(value)+string(sealed.Ciphertext), number[1:])
				}
			}
		})
	})
}

// reach is a member's peer as another, or the same, reaches it.
func (w *world) reach(t *testing.T, name, by string) adversary.Endpoint {
	t.Helper()
	files := w.Layout().Operator(by).Identity("gateway")
	return adversary.Endpoint{
		Address: w.member(t, name).Peer.Address, CAFile: w.Layout().Operator(name).TLSCAFile(),
		CertFile: files.TLSCertFile(), KeyFile: files.TLSKeyFile(),
	}
}

// fabricContract is the contract through a peer's gateway service, as Corvus.
func (w *world) fabricContract(t *testing.T, connection *grpc.ClientConn) *client.Contract {
	t.Helper()
	certificate, err := identity.CertificateFromPEM(w.gateway.Certificate)
	require.NoError(t, err)
	who, err := identity.NewX509Identity(corvusMSP, certificate)
	require.NoError(t, err)
	opened, err := client.Connect(who, client.WithSign(w.gateway.SignDigest), client.WithClientConnection(connection))
	require.NoError(t, err)
	t.Cleanup(func() { _ = opened.Close() })
	return opened.GetNetwork(w.Consortium().Channel).GetContract(w.Consortium().Chaincode)
}

// delivered asks a peer for all its blocks with the private data that it gives the
// asker, and answers the chaincode's, by key.
func (w *world) delivered(t *testing.T, at adversary.Endpoint, as *adversary.Party) map[string][]byte {
	t.Helper()
	creator, err := as.Serialized()
	require.NoError(t, err)
	hash, err := at.CertHash()
	require.NoError(t, err)
	height, err := w.channels[atlas].Height(within(t))
	require.NoError(t, err)
	payload := encode(t, &common.Payload{
		Header: &common.Header{
			ChannelHeader: encode(t, &common.ChannelHeader{
				Type: int32(common.HeaderType_DELIVER_SEEK_INFO), ChannelId: w.Consortium().Channel, Timestamp: timestamppb.Now(),
				TlsCertHash: hash,
			}),
			SignatureHeader: encode(t, &common.SignatureHeader{Creator: creator, Nonce: []byte(gatewaytest.Random(t, 24))}),
		},
		Data: encode(t, &orderer.SeekInfo{
			Start:    &orderer.SeekPosition{Type: &orderer.SeekPosition_Oldest{Oldest: &orderer.SeekOldest{}}},
			Stop:     &orderer.SeekPosition{Type: &orderer.SeekPosition_Specified{Specified: &orderer.SeekSpecified{Number: height - 1}}},
			Behavior: orderer.SeekInfo_FAIL_IF_NOT_READY,
		}),
	})
	signature, err := as.Sign(payload)
	require.NoError(t, err)
	stream, err := peer.NewDeliverClient(w.dial(t, at)).DeliverWithPrivateData(within(t))
	require.NoError(t, err)
	require.NoError(t, stream.Send(&common.Envelope{Payload: payload, Signature: signature}))
	values := map[string][]byte{}
	for {
		answer, err := stream.Recv()
		require.NoError(t, err)
		with := answer.GetBlockAndPrivateData()
		if with == nil {
			require.Equal(t, common.Status_SUCCESS, answer.GetStatus())
			return values
		}
		for _, set := range with.GetPrivateDataMap() {
			for _, namespace := range set.GetNsPvtRwset() {
				if namespace.GetNamespace() != w.Consortium().Chaincode {
					continue
				}
				for _, one := range namespace.GetCollectionPvtRwset() {
					written := &kvrwset.KVRWSet{}
					require.NoError(t, proto.Unmarshal(one.GetRwset(), written))
					for _, write := range written.GetWrites() {
						values[write.GetKey()] = write.GetValue()
					}
				}
			}
		}
	}
}

func testPurgeDetails(t *testing.T, w *world) {
	key := w.call.Key()
	w.unharmed(t, func() {
		for _, step := range []adversary.Step{
			{Act: adversary.PurgePrivate, Collection: collection, Key: key},
			{Act: adversary.PutPrivate, Collection: collection, Key: key, Value: []byte("nothing")},
		} {
			t.Run(string(step.Act)+" by its own chaincode", func(t *testing.T) {
				require.Equal(t, notEndorsed, w.plottedAlone(t, adversary.Plot{Steps: []adversary.Step{step}}))
			})
		}
		t.Run("signed without any chaincode, with Borealis's endorsement bent to it", func(t *testing.T) {
			set, err := adversary.PrivateSet(w.Consortium().Chaincode, collection, &kvrwset.KVWriteHash{KeyHash: hashOf(key), IsDelete: true, IsPurge: true})
			require.NoError(t, err)
			proposal := w.propose(t, nil, "calls:Anchor", "")
			response := w.responseOf(t, proposal, set)
			require.Equal(t, notEndorsed, w.submitted(t, proposal, response, w.own(t, response)))
		})
		t.Run("even two operators together, without the owner", func(t *testing.T) {
			set, err := adversary.PrivateSet(w.Consortium().Chaincode, collection, &kvrwset.KVWriteHash{KeyHash: hashOf(key), IsDelete: true, IsPurge: true})
			require.NoError(t, err)
			proposal := w.propose(t, nil, "calls:Anchor", "")
			response := w.responseOf(t, proposal, set)
			require.Equal(t, notEndorsed, w.submitted(t, proposal, response, w.own(t, response), endorse(t, w.peerKey(t, borealis), response)))
		})
		t.Run("every function of the owner's contract refuses", func(t *testing.T) {
			tried := map[string]bool{}
			for _, one := range w.story(t) {
				if !one.private {
					continue
				}
				tried[one.function] = true
				var transient map[string][]byte
				if one.transient != nil {
					transient = one.transient(t)
				}
				for _, role := range []string{"gateway", "compliance", "admin"} {
					proposal := w.proposeAs(t, w.party(t, corvus, role), transient, append([]string{one.function}, one.args(t)...)...)
					w.refused(t, atlas, proposal, ledger.CodeDenied)
				}
			}
			for _, function := range w.functions(t, w.Consortium().Chaincode) {
				require.True(t, tried[function] || !strings.HasPrefix(function, "details:"), "%s was not tried", function)
			}
		})
	})
}

// anchoringTakes is how long the slowest of some honest anchorings takes.
func (w *world) anchoringTakes(t *testing.T, times int) time.Duration {
	t.Helper()
	adapter := w.atlas.Reborn(t)
	var took []time.Duration
	for range times {
		begun := time.Now()
		endorsed := w.anchoredByAtlas(t, adapter.Segment(t, gatewaytest.Calls(t, 1)))
		_, err := w.witnesses[atlas].Await(within(t), endorsed)
		require.NoError(t, err)
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	t.Logf("honest anchoring: median %s, longest %s", took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	return took[len(took)-1]
}

func testStall(t *testing.T, w *world) {
	before := w.anchoringTakes(t, 9)
	ids := []string{}
	for range 50 {
		// Hashes of data that nobody has, in the collection whose data Atlas's peer
		// would have to have.
		set, err := adversary.PrivateSet(w.Consortium().Chaincode, collection, &kvrwset.KVWriteHash{
			KeyHash: hashOf(gatewaytest.Random(t, 8)), ValueHash: hashOf(gatewaytest.Random(t, 8)),
		})
		require.NoError(t, err)
		proposal := w.propose(t, nil, "calls:Anchor", "")
		response := w.responseOf(t, proposal, set)
		w.order(t, proposal, response, w.own(t, response))
		ids = append(ids, proposal.ID)
	}
	after := w.anchoringTakes(t, 9)
	for _, id := range ids {
		require.Equal(t, notEndorsed, w.judged(t, id).String())
	}
	// The known failure is a minute for each block; a busy machine is no failure.
	require.Less(t, after, 10*before+2*time.Second, "Atlas's peer was held up: %s before, %s after", before, after)
}
