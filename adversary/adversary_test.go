package adversary_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/callseal/callseal/adversary"
	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

const (
	atlas, borealis, corvus, meridian = "Atlas", "Borealis", "Corvus", "Meridian"
	atlasMSP, corvusMSP               = "AtlasMSP", "CorvusMSP"
	atlasPBX, corvusPBX               = "atlas-pbx-1", "corvus-pbx-1"

	// patience bounds every single wait. A stalled peer waits for 60 s.
	patience = 30 * time.Second
)

// honest are the operators whose peers must stand fast.
var honest = []string{atlas, borealis}

// TestOneDishonestOperator mounts every attack on one network. What cannot be
// undone comes last.
func TestOneDishonestOperator(t *testing.T) {
	w := raise(t)
	for _, attack := range []struct {
		name  string
		mount func(*testing.T, *world)
	}{
		{"write for another", testWriteForAnother},
		{"change or delete a record", testChangeOrDelete},
		{"forge an endorsement", testForgeEndorsement},
		{"endorse with the wrong peers", testWrongEndorsers},
		{"hide a write in another transaction", testSmuggle},
		{"read another's details", testReadDetails},
		{"purge another's details", testPurgeDetails},
		{"stall another's peer", testStall},
		{"forge an event", testForgeEvent},
		{"alter a segment on its way", testAlterSegment},
		{"shift the time", testShiftTime},
		{"anchor one record twice at once", testConcurrentAnchors},
		{"change the rules alone", testChangeRules},
		{"lower a subject alone", testLowerSubject},
		{"endorsement is deterministic", testDeterminism},
		{"anchor with a revoked adapter", testRevokedAdapter},
		{"anchor with a revoked gateway", testRevokedGateway},
	} {
		t.Run(attack.name, func(t *testing.T) { attack.mount(t, w) })
	}
}

// world is the network, what Corvus has of it, and who watches.
type world struct {
	*networktest.Network
	// Corvus's own: its identities, its peer's key, its PBX's adapter.
	gateway, admin, peer *adversary.Party
	adapter              *gatewaytest.Adapter
	// peers and orderers of everyone, as Corvus reaches them.
	peers    map[string]*grpc.ClientConn
	orderers []*grpc.ClientConn
	// witnesses follow the honest peers; channels ask everyone's own.
	witnesses map[string]*adversary.Witness
	channels  map[string]*fabric.Channel
	// atlas is Atlas's adapter, and what of Atlas stands on the ledger.
	atlas          *gatewaytest.Adapter
	call, recorded *ledger.Record
	segment        *ledger.Segment
}

func raise(t *testing.T) *world {
	t.Helper()
	w := &world{
		Network:   networktest.Start(t, networktest.WithGateways(), networktest.WithProgram(t, "corvus-chaincode", "./adversary/chaincode")),
		peers:     map[string]*grpc.ClientConn{},
		witnesses: map[string]*adversary.Witness{}, channels: map[string]*fabric.Channel{},
	}
	own := w.Layout().Operator(corvus)
	w.gateway, w.admin = w.party(t, corvus, "gateway"), w.party(t, corvus, "admin")
	w.peer = w.peerKey(t, corvus)
	w.adapter = w.adapterOf(t, corvus, corvusPBX)
	w.atlas = w.adapterOf(t, atlas, atlasPBX)
	for _, member := range w.Consortium().Members() {
		tls := own.Identity("gateway")
		authority := w.Layout().Operator(member.Name).TLSCAFile()
		w.peers[member.Name] = w.dial(t, adversary.Endpoint{Address: member.Peer.Address, CAFile: authority, CertFile: tls.TLSCertFile(), KeyFile: tls.TLSKeyFile()})
		w.orderers = append(w.orderers, w.dial(t, adversary.Endpoint{Address: member.Orderer.Address, CAFile: authority, CertFile: tls.TLSCertFile(), KeyFile: tls.TLSKeyFile()}))
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	for _, name := range honest {
		files := w.Layout().Operator(name).Identity("auditor")
		endpoint := adversary.Endpoint{Address: w.member(t, name).Peer.Address, CAFile: w.Layout().Operator(name).TLSCAFile(), CertFile: files.TLSCertFile(), KeyFile: files.TLSKeyFile()}
		witness, err := adversary.Follow(ctx, endpoint, w.party(t, name, "auditor"), w.Consortium().Channel, w.Consortium().Chaincode)
		require.NoError(t, err)
		w.witnesses[name] = witness
		w.channels[name] = w.channel(t, name, "gateway")
	}
	w.channels[corvus] = w.channel(t, corvus, "auditor")
	w.anchorVictim(t)
	return w
}

// anchorVictim has Atlas anchor a call with its recording, by its own gateway.
func (w *world) anchorVictim(t *testing.T) {
	t.Helper()
	call := gatewaytest.Call(t)
	recording := gatewaytest.Recording(t, call.Record.Call.Leg, []byte("what Atlas recorded"))
	segment := w.atlas.Segment(t, []gatewaytest.Entry{call, recording})
	connection, err := connect.Dial(w.access(t, atlas, atlasPBX))
	require.NoError(t, err)
	defer func() { _ = connection.Close() }()
	response, err := pb.NewAnchorServiceClient(connection).AnchorSegment(within(t), &pb.AnchorSegmentRequest{Segment: segment})
	require.NoError(t, err)
	require.Equal(t, pb.Outcome_OUTCOME_ANCHORED, response.GetReceipt().GetOutcome())
	w.segment = decode[ledger.Segment](t, segment.GetSegmentJson())
	w.call = decode[ledger.Record](t, segment.GetRecordsJson()[0])
	w.recorded = decode[ledger.Record](t, segment.GetRecordsJson()[1])
	for _, name := range honest {
		_, err := w.witnesses[name].Await(within(t), response.GetReceipt().GetCommit().GetTransactionId())
		require.NoError(t, err)
	}
}

func (w *world) member(t *testing.T, name string) network.Member {
	t.Helper()
	members := w.Consortium().Members()
	i := slices.IndexFunc(members, func(m network.Member) bool { return m.Name == name })
	require.GreaterOrEqual(t, i, 0, "no member %s", name)
	return members[i]
}

// party is an identity of a member's.
func (w *world) party(t *testing.T, member, identity string) *adversary.Party {
	t.Helper()
	files := w.Layout().Operator(member).Identity(identity)
	party, err := adversary.LoadParty(w.member(t, member).MSP, files.CertFile(), files.KeyFile())
	require.NoError(t, err)
	return party
}

// peerKey is what a member's peer signs with.
func (w *world) peerKey(t *testing.T, member string) *adversary.Party {
	t.Helper()
	folder := filepath.Join(filepath.Dir(w.Layout().Operator(member).MSPDir()), "peer", "msp")
	party, err := adversary.LoadParty(w.member(t, member).MSP, filepath.Join(folder, "signcerts", "cert.pem"), filepath.Join(folder, "keystore", "key.pem"))
	require.NoError(t, err)
	return party
}

func (w *world) adapterOf(t *testing.T, member, pbx string) *gatewaytest.Adapter {
	t.Helper()
	files := w.Layout().Operator(member).Identity(pbx)
	return gatewaytest.Load(t, w.member(t, member).MSP, pbx, files.CertFile(), files.KeyFile())
}

func (w *world) dial(t *testing.T, to adversary.Endpoint) *grpc.ClientConn {
	t.Helper()
	connection, err := adversary.Dial(to)
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

// access is how a member's identity reaches its own gateway.
func (w *world) access(t *testing.T, member, identity string) connect.Config {
	t.Helper()
	org := w.Layout().Operator(member)
	return connect.Config{
		Address: w.member(t, member).Gateway.Address, CAFile: org.TLSCAFile(),
		CertFile: org.Identity(identity).CertFile(), KeyFile: org.Identity(identity).KeyFile(),
	}
}

// channel is the channel through the member's own peer.
func (w *world) channel(t *testing.T, member, identity string) *fabric.Channel {
	t.Helper()
	files := w.Layout().Operator(member).Identity(identity)
	opened, err := fabric.Open(fabric.Config{
		MSP: w.member(t, member).MSP, Channel: w.Consortium().Channel, Chaincode: w.Consortium().Chaincode,
		Peers:       []fabric.PeerConfig{{Address: w.member(t, member).Peer.Address, CAFile: w.Layout().Operator(member).TLSCAFile()}},
		TLSCertFile: files.TLSCertFile(), TLSKeyFile: files.TLSKeyFile(), CertFile: files.CertFile(), KeyFile: files.KeyFile(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func decode[T any](t *testing.T, text []byte) *T {
	t.Helper()
	var value T
	require.NoError(t, ledger.DecodeStrict(text, &value))
	return &value
}

// propose is a proposal of Corvus's gateway.
func (w *world) propose(t *testing.T, transient map[string][]byte, args ...string) *adversary.Proposal {
	t.Helper()
	return w.proposeAs(t, w.gateway, transient, args...)
}

func (w *world) proposeAs(t *testing.T, who *adversary.Party, transient map[string][]byte, args ...string) *adversary.Proposal {
	t.Helper()
	proposal, err := adversary.Propose(who, adversary.Invocation{
		Channel: w.Consortium().Channel, Chaincode: w.Consortium().Chaincode, Args: args, Transient: transient,
	})
	require.NoError(t, err)
	return proposal
}

// plotted is transient data with a plot for the dishonest chaincode.
func plotted(t *testing.T, plot adversary.Plot) map[string][]byte {
	t.Helper()
	text, err := json.Marshal(plot)
	require.NoError(t, err)
	return map[string][]byte{adversary.PlotName: text}
}

// endorsed is what a peer signs for the proposal, which it must.
func (w *world) endorsed(t *testing.T, peerOf string, proposal *adversary.Proposal) *peer.ProposalResponse {
	t.Helper()
	response, err := adversary.Ask(within(t), w.peers[peerOf], proposal)
	require.NoError(t, err)
	return response
}

// refused asserts that a peer's contract refuses the proposal with the code.
func (w *world) refused(t *testing.T, peerOf string, proposal *adversary.Proposal, code ledger.Code) {
	t.Helper()
	_, err := adversary.Ask(within(t), w.peers[peerOf], proposal)
	var refusal *adversary.RefusedError
	require.ErrorAs(t, err, &refusal, "the peer of %s endorsed or failed", peerOf)
	coded, found := ledger.ParseError(refusal.Message)
	require.True(t, found, refusal.Message)
	require.Equal(t, code, coded.Code, coded.Message)
}

// own is Corvus's peer's endorsement of any response, made with its key.
func (w *world) own(t *testing.T, response []byte) *peer.Endorsement {
	t.Helper()
	return endorse(t, w.peer, response)
}

func endorse(t *testing.T, by *adversary.Party, response []byte) *peer.Endorsement {
	t.Helper()
	endorsement, err := adversary.Endorse(by, response)
	require.NoError(t, err)
	return endorsement
}

// order sends an envelope to all orderers.
func (w *world) order(t *testing.T, proposal *adversary.Proposal, response []byte, endorsements ...*peer.Endorsement) {
	t.Helper()
	envelope, err := proposal.Envelope(w.gateway, response, endorsements...)
	require.NoError(t, err)
	w.orderEnvelope(t, envelope)
}

func (w *world) orderEnvelope(t *testing.T, envelope *common.Envelope) {
	t.Helper()
	require.NoError(t, adversary.Broadcast(within(t), w.orderers, envelope))
}

// judged is the code that every honest peer's block carries for a transaction.
func (w *world) judged(t *testing.T, id string) peer.TxValidationCode {
	t.Helper()
	var first peer.TxValidationCode
	for i, name := range honest {
		code, err := w.witnesses[name].Await(within(t), id)
		require.NoError(t, err)
		if i == 0 {
			first = code
		}
		require.Equal(t, first, code, "%s and %s judge differently", honest[0], name)
	}
	return first
}

// submitted orders a transaction and answers how it was judged.
func (w *world) submitted(t *testing.T, proposal *adversary.Proposal, response []byte, endorsements ...*peer.Endorsement) string {
	t.Helper()
	w.order(t, proposal, response, endorsements...)
	return w.judged(t, proposal.ID).String()
}

// plottedAlone has the dishonest chaincode endorse a plot, orders it with that
// endorsement alone, and answers how it was judged.
func (w *world) plottedAlone(t *testing.T, plot adversary.Plot) string {
	t.Helper()
	proposal := w.propose(t, plotted(t, plot), "calls:Anchor", "")
	response := w.endorsed(t, corvus, proposal)
	return w.submitted(t, proposal, response.GetPayload(), response.GetEndorsement())
}

// unharmed runs an attack and asserts that on every honest peer the state stayed
// as it was: its whole public state as blocks make it, what its contracts answer
// about everybody's records, and Atlas's details.
func (w *world) unharmed(t *testing.T, attack func()) {
	t.Helper()
	before := w.facts(t)
	attack()
	after := w.facts(t)
	for _, fact := range slices.Sorted(maps.Keys(before)) {
		require.Equal(t, before[fact], after[fact], "%q changed", fact)
	}
	for _, fact := range slices.Sorted(maps.Keys(after)) {
		if _, known := before[fact]; !known {
			t.Fatalf("%q was added", fact)
		}
	}
}

// facts is what honest operators know, each under a name.
func (w *world) facts(t *testing.T) map[string]string {
	t.Helper()
	facts := map[string]string{}
	leg := w.call.Call.Leg
	place := []string{atlasMSP, atlasPBX}
	questions := [][]string{
		{"calls:Get", atlasMSP, atlasPBX, leg.LinkedID, leg.UniqueID, fmt.Sprint(leg.Sequence)},
		{"calls:Segment", atlasMSP, atlasPBX, fmt.Sprint(w.segment.Epoch), fmt.Sprint(w.segment.FirstSeq)},
		append([]string{"calls:List"}, append(place, "1000", "")...),
		append([]string{"calls:Incidents"}, place...),
		{"recordings:Get", atlasMSP, atlasPBX, w.recorded.Recording.ID, "1"},
		{"recordings:BySHA256", w.recorded.Recording.SHA256},
		{"adapters:List", atlasMSP}, {"adapters:List", "BorealisMSP"},
	}
	for _, name := range honest {
		for _, question := range questions {
			answer, err := w.channels[name].Evaluate(within(t), question[0], question[1:]...)
			require.NoError(t, err, question[0])
			facts[name+" "+strings.Join(question, " ")] = string(answer)
		}
		for key, value := range w.witnesses[name].State() {
			facts[name+" "+key] = value
		}
	}
	details, err := w.channels[atlas].Evaluate(within(t), "details:GetCall", atlasMSP, atlasPBX, leg.LinkedID, leg.UniqueID, fmt.Sprint(leg.Sequence))
	require.NoError(t, err)
	facts["details of "+atlas] = string(details)
	return facts
}

// wire is segments as calls:Anchor takes them.
func wire(t *testing.T, segments ...*pb.SignedSegment) []byte {
	t.Helper()
	var all []ledger.SignedSegment
	for _, segment := range segments {
		all = append(all, *signed(t, segment))
	}
	return gatewaytest.JSON(t, all)
}

// signed is a segment as the ledger's types have it.
func signed(t *testing.T, segment *pb.SignedSegment) *ledger.SignedSegment {
	t.Helper()
	whole := &ledger.SignedSegment{Segment: *decode[ledger.Segment](t, segment.GetSegmentJson()), Signature: segment.GetSignature()}
	for _, record := range segment.GetRecordsJson() {
		whole.Records = append(whole.Records, *decode[ledger.Record](t, record))
	}
	return whole
}

// anchoring is transient data for calls:Anchor.
func anchoring(t *testing.T, segments ...*pb.SignedSegment) map[string][]byte {
	t.Helper()
	return map[string][]byte{"segments": wire(t, segments...)}
}
