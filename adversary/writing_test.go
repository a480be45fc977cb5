package adversary_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	mspproto "github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/adversary"
	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/network/msp"
)

const (
	valid        = "VALID"
	notEndorsed  = "ENDORSEMENT_POLICY_FAILURE"
	mvccConflict = "MVCC_READ_CONFLICT"
)

// forgedCall is a record of Atlas's that Atlas never made, and its key.
func (w *world) forgedCall(t *testing.T) (key string, value []byte) {
	t.Helper()
	record := gatewaytest.Call(t).Record
	record.Epoch, record.MSP, record.PBX, record.Segment, record.Seq, record.V = 1, atlasMSP, atlasPBX, 1, 1, ledger.SchemaVersion
	return record.Key(), gatewaytest.JSON(t, &record)
}

func testWriteForAnother(t *testing.T, w *world) {
	key, value := w.forgedCall(t)
	w.unharmed(t, func() {
		t.Run("a segment in Atlas's name, signed by Corvus's adapter", func(t *testing.T) {
			posing := w.adapter.Reborn(t)
			posing.MSP, posing.PBX = atlasMSP, atlasPBX
			proposal := w.propose(t, anchoring(t, posing.Segment(t, gatewaytest.Calls(t, 1))), "calls:Anchor", "")
			for _, name := range append([]string{corvus}, honest...) {
				w.refused(t, name, proposal, ledger.CodeDenied)
			}
		})
		t.Run("a true segment of Atlas's, carried by Corvus's gateway", func(t *testing.T) {
			stolen := w.atlas.Reborn(t).Segment(t, gatewaytest.Calls(t, 1))
			proposal := w.propose(t, anchoring(t, stolen), "calls:Anchor", "")
			for _, name := range append([]string{corvus}, honest...) {
				w.refused(t, name, proposal, ledger.CodeDenied)
			}
		})
		t.Run("through Atlas's gateway", func(t *testing.T) {
			access := w.access(t, atlas, atlasPBX)
			own := w.Layout().Operator(corvus).Identity(corvusPBX)
			access.CertFile, access.KeyFile = own.CertFile(), own.KeyFile()
			connection, err := connect.Dial(access)
			require.NoError(t, err)
			defer func() { _ = connection.Close() }()
			_, err = pb.NewAnchorServiceClient(connection).AnchorSegment(within(t), &pb.AnchorSegmentRequest{Segment: w.atlas.Reborn(t).Segment(t, gatewaytest.Calls(t, 1))})
			require.Equal(t, codes.Unauthenticated, status.Code(err), "it is told why it is not let in: %v", err)
		})
		plot := plotOn(key, value)
		t.Run("its own chaincode writes it, its own peer endorses", func(t *testing.T) {
			require.Equal(t, notEndorsed, w.plottedAlone(t, plot))
		})
		t.Run("honest peers do not endorse the same", func(t *testing.T) {
			proposal := w.propose(t, plotted(t, plot), "calls:Anchor", "")
			w.endorsed(t, corvus, proposal)
			for _, name := range honest {
				w.refused(t, name, proposal, ledger.CodeInvalid)
			}
		})
	})
	t.Run("behind a call that honest peers do endorse", func(t *testing.T) {
		w.unharmed(t, func() {
			transient := anchoring(t, w.adapter.Reborn(t).Segment(t, gatewaytest.Calls(t, 1)))
			for name, text := range plotted(t, plotOn(key, value)) {
				transient[name] = text
			}
			proposal := w.propose(t, transient, "calls:Anchor", "")
			mine, theirs := w.endorsed(t, corvus, proposal), w.endorsed(t, atlas, proposal)
			require.NotEqual(t, theirs.GetPayload(), mine.GetPayload(), "the peers were asked the same and did not answer the same")
			require.Equal(t, notEndorsed, w.submitted(t, proposal, mine.GetPayload(), mine.GetEndorsement(), theirs.GetEndorsement()))
		})
	})
}

// plotOn is a plot that puts one key.
func plotOn(key string, value []byte) adversary.Plot {
	return adversary.Plot{Steps: []adversary.Step{{Act: adversary.Put, Key: key, Value: value}}}
}

func testChangeOrDelete(t *testing.T, w *world) {
	altered := *w.call
	call := *w.call.Call
	call.BillsecMS += 60_000
	altered.Call = &call
	keys := map[string]string{
		"call": w.call.Key(), "recording": w.recorded.Key(), "segment": w.segment.Key(),
		"finding a recording by its file": ledger.RecordingByHashKey(w.recorded.Recording.SHA256, atlasMSP, atlasPBX, w.recorded.Recording.ID, 1),
		"Atlas's adapter":                 ledger.AdapterKey(atlasMSP, w.atlas.Fingerprint),
	}
	state := w.witnesses[atlas].State()
	for name, key := range keys {
		require.Contains(t, state, key, name)
		t.Run(name, func(t *testing.T) {
			w.unharmed(t, func() {
				for _, step := range []adversary.Step{
					{Act: adversary.Put, Key: key, Value: gatewaytest.JSON(t, &altered)},
					{Act: adversary.Delete, Key: key},
					// A rule of the key's own that Corvus alone would satisfy.
					{Act: adversary.SetPolicy, Key: key, Value: aloneBy(t, corvusMSP)},
				} {
					require.Equal(t, notEndorsed, w.plottedAlone(t, adversary.Plot{Steps: []adversary.Step{step}}), step.Act)
				}
				proposal := w.propose(t, nil, "calls:Anchor", "")
				response := w.response(t, proposal, &kvrwset.KVWrite{Key: key, IsDelete: true})
				require.Equal(t, notEndorsed, w.submitted(t, proposal, response, w.own(t, response)), "signed without any chaincode")
			})
		})
	}
}

// aloneBy is a key-level policy that one member's peer satisfies.
func aloneBy(t *testing.T, mspID string) []byte {
	t.Helper()
	return encode(t, &peer.ApplicationPolicy{Type: &peer.ApplicationPolicy_SignaturePolicy{SignaturePolicy: &common.SignaturePolicyEnvelope{
		Rule: &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{SignedBy: 0}},
		Identities: []*mspproto.MSPPrincipal{{
			PrincipalClassification: mspproto.MSPPrincipal_ROLE,
			Principal:               encode(t, &mspproto.MSPRole{MspIdentifier: mspID, Role: mspproto.MSPRole_PEER}),
		}},
	}}})
}

// response is a response of no chaincode at all, over the chaincode's state.
func (w *world) response(t *testing.T, proposal *adversary.Proposal, writes ...*kvrwset.KVWrite) []byte {
	t.Helper()
	set, err := adversary.PublicSet(w.Consortium().Chaincode, writes...)
	require.NoError(t, err)
	return w.responseOf(t, proposal, set)
}

func (w *world) responseOf(t *testing.T, proposal *adversary.Proposal, set *rwset.TxReadWriteSet) []byte {
	t.Helper()
	response, err := proposal.Response(adversary.Outcome{Results: set})
	require.NoError(t, err)
	return response
}

func testForgeEndorsement(t *testing.T, w *world) {
	key, value := w.forgedCall(t)
	write := &kvrwset.KVWrite{Key: key, Value: value}
	// An honest transaction of Corvus's own, which Atlas endorsed.
	own := func(t *testing.T) (*adversary.Proposal, *peer.ProposalResponse) {
		t.Helper()
		proposal := w.propose(t, anchoring(t, w.adapter.Reborn(t).Segment(t, gatewaytest.Calls(t, 1))), "calls:Anchor", "")
		return proposal, w.endorsed(t, atlas, proposal)
	}
	addForged := func(set *rwset.TxReadWriteSet) error {
		added, err := adversary.PublicSet(w.Consortium().Chaincode, write)
		set.NsRwset = added.GetNsRwset()
		return err
	}
	for name, forge := range map[string]func(t *testing.T) (*adversary.Proposal, []byte, []*peer.Endorsement){
		"Atlas's endorsement over altered writes": func(t *testing.T) (*adversary.Proposal, []byte, []*peer.Endorsement) {
			proposal, theirs := own(t)
			altered, err := adversary.Alter(theirs.GetPayload(), addForged)
			require.NoError(t, err)
			return proposal, altered, []*peer.Endorsement{w.own(t, altered), theirs.GetEndorsement()}
		},
		"Atlas's endorsement of another transaction": func(t *testing.T) (*adversary.Proposal, []byte, []*peer.Endorsement) {
			_, theirs := own(t)
			proposal := w.propose(t, nil, "calls:Anchor", "")
			response := w.response(t, proposal, write)
			return proposal, response, []*peer.Endorsement{w.own(t, response), theirs.GetEndorsement()}
		},
		"its own endorsement twice": func(t *testing.T) (*adversary.Proposal, []byte, []*peer.Endorsement) {
			proposal := w.propose(t, nil, "calls:Anchor", "")
			response := w.response(t, proposal, write)
			return proposal, response, []*peer.Endorsement{w.own(t, response), w.own(t, response)}
		},
		"its own peer's certificate under Atlas's name": func(t *testing.T) (*adversary.Proposal, []byte, []*peer.Endorsement) {
			proposal := w.propose(t, nil, "calls:Anchor", "")
			response := w.response(t, proposal, write)
			return proposal, response, []*peer.Endorsement{w.own(t, response), endorse(t, w.peer.As(atlasMSP), response)}
		},
		"a certificate in Atlas's name of its own authority": func(t *testing.T) (*adversary.Proposal, []byte, []*peer.Endorsement) {
			proposal := w.propose(t, nil, "calls:Anchor", "")
			response := w.response(t, proposal, write)
			posing := w.issue(t, msp.Request{CommonName: "peer.atlas", Unit: msp.UnitPeer}).As(atlasMSP)
			return proposal, response, []*peer.Endorsement{w.own(t, response), endorse(t, posing, response)}
		},
		"Atlas's true certificate without its key": func(t *testing.T) (*adversary.Proposal, []byte, []*peer.Endorsement) {
			proposal, theirs := own(t)
			response := w.response(t, proposal, write)
			mine := w.own(t, response)
			return proposal, response, []*peer.Endorsement{mine, {Endorser: theirs.GetEndorsement().GetEndorser(), Signature: mine.GetSignature()}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.unharmed(t, func() {
				proposal, response, endorsements := forge(t)
				require.Equal(t, notEndorsed, w.submitted(t, proposal, response, endorsements...))
			})
		})
	}
	t.Run("true endorsements of another proposal", func(t *testing.T) {
		w.unharmed(t, func() {
			_, theirs := own(t)
			proposal := w.propose(t, nil, "calls:Anchor", "")
			code := w.submitted(t, proposal, theirs.GetPayload(), w.own(t, theirs.GetPayload()), theirs.GetEndorsement())
			require.Equal(t, "INVALID_ENDORSER_TRANSACTION", code, "a response is bound to its proposal")
		})
	})
	t.Run("a transaction in the name of Atlas's gateway", func(t *testing.T) {
		w.unharmed(t, func() {
			posing := w.gateway.As(atlasMSP)
			proposal := w.proposeAs(t, posing, nil, "calls:Anchor", "")
			for _, name := range honest {
				_, err := adversary.Ask(within(t), w.peers[name], proposal)
				var refusal *adversary.RefusedError
				require.Error(t, err)
				require.NotErrorAs(t, err, &refusal, "it does not even reach the contract")
			}
			response := w.response(t, proposal, write)
			envelope, err := proposal.Envelope(posing, response, w.own(t, response))
			require.NoError(t, err)
			require.ErrorContains(t, adversary.Broadcast(within(t), w.orderers, envelope), "FORBIDDEN")
		})
	})
	t.Run("a true transaction of Atlas's again", func(t *testing.T) {
		w.unharmed(t, func() {
			written := w.witnesses[atlas].Writers(w.call.Key())
			require.Len(t, written, 1)
			_, response, err := w.ask(t, corvus, "qscc", nil, "GetTransactionByID", w.Consortium().Channel, written[0])
			require.NoError(t, err)
			processed := &peer.ProcessedTransaction{}
			require.NoError(t, proto.Unmarshal(response.GetResponse().GetPayload(), processed))
			// Orderers may take it; one after it shows that peers have dealt with it.
			_ = adversary.Broadcast(within(t), w.orderers, processed.GetTransactionEnvelope())
			require.Equal(t, notEndorsed, w.plottedAlone(t, plotOn(key, value)))
			require.Equal(t, written, w.witnesses[atlas].Writers(w.call.Key()))
		})
	})
	t.Run("it would have worked with Atlas's key", func(t *testing.T) {
		// The control: forged by hand as above, but both operators do sign.
		proposal := w.propose(t, nil, "calls:Anchor", "")
		record := gatewaytest.Call(t).Record
		record.Epoch, record.MSP, record.PBX, record.Segment, record.Seq, record.V = 1, corvusMSP, corvusPBX, 1, 1, ledger.SchemaVersion
		response := w.response(t, proposal, &kvrwset.KVWrite{Key: record.Key(), Value: gatewaytest.JSON(t, &record)})
		require.Equal(t, valid, w.submitted(t, proposal, response, w.own(t, response), endorse(t, w.peerKey(t, atlas), response)))
		require.Contains(t, w.witnesses[borealis].State(), record.Key())
	})
}

// testSmuggle hides a write of Atlas's in a transaction that would pass without it,
// or that is about something else.
func testSmuggle(t *testing.T, w *world) {
	chaincode := w.Consortium().Chaincode
	key, value := w.forgedCall(t)
	public := func(t *testing.T, namespace string) *rwset.TxReadWriteSet {
		t.Helper()
		set, err := adversary.PublicSet(namespace, &kvrwset.KVWrite{Key: key, Value: value})
		require.NoError(t, err)
		return set
	}
	own := func(t *testing.T, namespace string) *rwset.TxReadWriteSet {
		t.Helper()
		set, err := adversary.PrivateSet(namespace, "_implicit_org_"+corvusMSP, &kvrwset.KVWriteHash{KeyHash: hashOf(key), ValueHash: hashOf("mine")})
		require.NoError(t, err)
		return set
	}
	send := func(t *testing.T, invoked string, set *rwset.TxReadWriteSet) string {
		t.Helper()
		proposal, err := adversary.Propose(w.gateway, adversary.Invocation{Channel: w.Consortium().Channel, Chaincode: invoked, Args: []string{"calls:Anchor", ""}})
		require.NoError(t, err)
		response := w.responseOf(t, proposal, set)
		w.order(t, proposal, response, w.own(t, response))
		return proposal.ID
	}
	t.Run("alone these pass", func(t *testing.T) {
		require.Equal(t, valid, w.judged(t, send(t, chaincode, own(t, chaincode))).String())
		require.Equal(t, valid, w.judged(t, send(t, "_lifecycle", own(t, "_lifecycle"))).String())
	})
	for name, test := range map[string]struct {
		invoked string
		set     func(*testing.T) *rwset.TxReadWriteSet
		codes   []string
	}{
		"beside a write to its own collection": {chaincode, func(t *testing.T) *rwset.TxReadWriteSet {
			set := own(t, chaincode)
			set.NsRwset[0].Rwset = public(t, chaincode).GetNsRwset()[0].GetRwset()
			return set
		}, []string{notEndorsed}},
		"beside an approval of its own": {"_lifecycle", func(t *testing.T) *rwset.TxReadWriteSet {
			set := own(t, "_lifecycle")
			set.NsRwset = append(set.NsRwset, public(t, chaincode).GetNsRwset()...)
			return set
		}, []string{notEndorsed}},
		"behind the same namespace twice": {chaincode, func(t *testing.T) *rwset.TxReadWriteSet {
			set := own(t, chaincode)
			set.NsRwset = append(set.NsRwset, public(t, chaincode).GetNsRwset()...)
			return set
		}, []string{"ILLEGAL_WRITESET"}},
		"in the name of the governance chaincode":   {ledger.GovernanceChaincode, func(t *testing.T) *rwset.TxReadWriteSet { return public(t, chaincode) }, []string{notEndorsed}},
		"into the governance chaincode's documents": {chaincode, func(t *testing.T) *rwset.TxReadWriteSet { return public(t, ledger.GovernanceChaincode) }, []string{notEndorsed}},
		"into the definitions of chaincodes":        {"_lifecycle", func(t *testing.T) *rwset.TxReadWriteSet { return public(t, "_lifecycle") }, []string{notEndorsed}},
		// What is wrong in two ways is called by either, by each peer as it happens to
		// look: peers agree on what is VALID, not on why something is not.
		"in the name of the peer's own chaincode": {"qscc", func(t *testing.T) *rwset.TxReadWriteSet { return public(t, chaincode) }, []string{"INVALID_CHAINCODE", notEndorsed}},
		"in the name of a chaincode of its own":   {"corvus", func(t *testing.T) *rwset.TxReadWriteSet { return public(t, chaincode) }, []string{"INVALID_CHAINCODE", notEndorsed}},
		"into the old definitions of chaincodes":  {chaincode, func(t *testing.T) *rwset.TxReadWriteSet { return public(t, "lscc") }, []string{"INVALID_CHAINCODE", notEndorsed}},
	} {
		t.Run(name, func(t *testing.T) {
			w.unharmed(t, func() {
				id := send(t, test.invoked, test.set(t))
				for _, name := range honest {
					code, err := w.witnesses[name].Await(within(t), id)
					require.NoError(t, err)
					require.Contains(t, test.codes, code.String(), "at %s", name)
				}
			})
		})
	}
}

// issue makes an identity of Corvus's own authority.
func (w *world) issue(t *testing.T, request msp.Request) *adversary.Party {
	t.Helper()
	pair := w.issuePair(t, request)
	party, err := adversary.NewParty(corvusMSP, pair.CertPEM, pair.KeyPEM)
	require.NoError(t, err)
	return party
}

func (w *world) issuePair(t *testing.T, request msp.Request) msp.Pair {
	t.Helper()
	org := w.Layout().Operator(corvus)
	read := func(file string) []byte {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		return content
	}
	issuer, err := msp.ParseIssuer(msp.Pair{CertPEM: read(org.EnrolmentCAFile()), KeyPEM: read(org.EnrolmentCAKeyFile())})
	require.NoError(t, err)
	pair, err := issuer.Issue(request)
	require.NoError(t, err)
	return pair
}

func testWrongEndorsers(t *testing.T, w *world) {
	key, value := w.forgedCall(t)
	write := &kvrwset.KVWrite{Key: key, Value: value}
	second := w.issue(t, msp.Request{CommonName: "peer2.corvus", Unit: msp.UnitPeer})
	for name, other := range map[string]*adversary.Party{
		"the regulator's peer":             w.peerKey(t, meridian),
		"a second peer of its own":         second,
		"its own admin":                    w.admin,
		"its own gateway":                  w.gateway,
		"a client of its own as a peer":    w.issue(t, msp.Request{CommonName: "peer3.corvus", Unit: msp.UnitClient}),
		"an unknown member":                second.As("NemoMSP"),
		"the regulator, under Atlas's MSP": w.peerKey(t, meridian).As(atlasMSP),
	} {
		t.Run(name, func(t *testing.T) {
			w.unharmed(t, func() {
				proposal := w.propose(t, nil, "calls:Anchor", "")
				response := w.response(t, proposal, write)
				require.Equal(t, notEndorsed, w.submitted(t, proposal, response, w.own(t, response), endorse(t, other, response)))
			})
		})
	}
}

// hashOf is how blocks name private keys and values.
func hashOf(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func sequenceOf(leg ledger.LegID) string { return fmt.Sprint(leg.Sequence) }
