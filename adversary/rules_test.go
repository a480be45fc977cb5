package adversary_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer/lifecycle"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/callseal/callseal/adversary"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

func encode(t *testing.T, message proto.Message) []byte {
	t.Helper()
	text, err := proto.Marshal(message)
	require.NoError(t, err)
	return text
}

// testChangeRules has Corvus's admin change what holds for all, alone.
func testChangeRules(t *testing.T, w *world) {
	t.Run("the channel's configuration", w.changeConfiguration)
	t.Run("the chaincode's definition", w.changeDefinition)
	t.Run("a policy document", w.changePolicy)
}

// ask proposes to any chaincode as Corvus's admin and has a peer answer.
func (w *world) ask(t *testing.T, of, chaincode string, transient map[string][]byte, args ...string) (*adversary.Proposal, *peer.ProposalResponse, error) {
	t.Helper()
	proposal, err := adversary.Propose(w.admin, adversary.Invocation{Channel: w.Consortium().Channel, Chaincode: chaincode, Args: args, Transient: transient})
	require.NoError(t, err)
	response, err := adversary.Ask(within(t), w.peers[of], proposal)
	return proposal, response, err
}

// configuration is the channel's, as an honest peer has it.
func (w *world) configuration(t *testing.T) *common.Config {
	t.Helper()
	_, response, err := w.ask(t, atlas, "cscc", nil, "GetConfigBlock", w.Consortium().Channel)
	require.NoError(t, err)
	block, envelope, payload, config := &common.Block{}, &common.Envelope{}, &common.Payload{}, &common.ConfigEnvelope{}
	require.NoError(t, proto.Unmarshal(response.GetResponse().GetPayload(), block))
	require.NoError(t, proto.Unmarshal(block.GetData().GetData()[0], envelope))
	require.NoError(t, proto.Unmarshal(envelope.GetPayload(), payload))
	require.NoError(t, proto.Unmarshal(payload.GetData(), config))
	return config.GetConfig()
}

// configUpdate is an update that these sign for and Corvus's admin sends.
func (w *world) configUpdate(t *testing.T, update *common.ConfigUpdate, signers ...*adversary.Party) *common.Envelope {
	t.Helper()
	content := &common.ConfigUpdateEnvelope{ConfigUpdate: encode(t, update)}
	author := func(who *adversary.Party) []byte {
		creator, err := who.Serialized()
		require.NoError(t, err)
		return encode(t, &common.SignatureHeader{Creator: creator, Nonce: []byte(gatewaytest.Random(t, 12))})
	}
	for _, signer := range signers {
		header := author(signer)
		signature, err := signer.Sign(append(append([]byte{}, header...), content.GetConfigUpdate()...))
		require.NoError(t, err)
		content.Signatures = append(content.Signatures, &common.ConfigSignature{SignatureHeader: header, Signature: signature})
	}
	payload := encode(t, &common.Payload{
		Header: &common.Header{
			ChannelHeader: encode(t, &common.ChannelHeader{
				Type: int32(common.HeaderType_CONFIG_UPDATE), ChannelId: w.Consortium().Channel, Timestamp: timestamppb.Now(),
			}),
			SignatureHeader: author(w.admin),
		},
		Data: encode(t, content),
	})
	signature, err := w.admin.Sign(payload)
	require.NoError(t, err)
	return &common.Envelope{Payload: payload, Signature: signature}
}

// changeConfiguration tries updates that Corvus's admin alone signs for.
func (w *world) changeConfiguration(t *testing.T) {
	config := w.configuration(t)
	root := config.GetChannelGroup()
	application := root.GetGroups()["Application"]
	// within makes a read or a write set down to the application's group.
	inApplication := func(group *common.ConfigGroup) *common.ConfigGroup {
		group.Version = application.GetVersion()
		return &common.ConfigGroup{Version: root.GetVersion(), Groups: map[string]*common.ConfigGroup{"Application": group}}
	}
	rewritten := func(name string, to *common.Policy) *common.ConfigUpdate {
		stands := application.GetPolicies()[name]
		require.NotNil(t, stands, name)
		return &common.ConfigUpdate{
			ChannelId: w.Consortium().Channel, ReadSet: inApplication(&common.ConfigGroup{}),
			WriteSet: inApplication(&common.ConfigGroup{Policies: map[string]*common.ConfigPolicy{name: {
				Version: stands.GetVersion() + 1, ModPolicy: stands.GetModPolicy(), Policy: to,
			}}}),
		}
	}
	policy := func(name string) *common.ConfigUpdate {
		return rewritten(name, &common.Policy{Type: int32(common.Policy_SIGNATURE), Value: alonePolicy(t, corvusMSP)})
	}
	// Atlas's certificates, declared to be Corvus's to withdraw.
	org := application.GetGroups()[atlasMSP]
	stands := org.GetValues()["MSP"]
	theirs := &common.ConfigUpdate{
		ChannelId: w.Consortium().Channel,
		ReadSet:   inApplication(&common.ConfigGroup{Groups: map[string]*common.ConfigGroup{atlasMSP: {Version: org.GetVersion()}}}),
		WriteSet: inApplication(&common.ConfigGroup{Groups: map[string]*common.ConfigGroup{atlasMSP: {
			Version: org.GetVersion(),
			Values: map[string]*common.ConfigValue{"MSP": {
				Version: stands.GetVersion() + 1, ModPolicy: stands.GetModPolicy(),
				Value: application.GetGroups()[corvusMSP].GetValues()["MSP"].GetValue(),
			}},
		}}}),
	}
	for name, update := range map[string]*common.ConfigUpdate{
		"who endorses calls": policy("CallsealWrite"), "who endorses rules": policy("CallsealGovern"),
		"who changes the chaincode": policy("LifecycleEndorsement"), "who administers": policy("Admins"), "who Atlas is": theirs,
	} {
		t.Run(name, func(t *testing.T) {
			for signers, envelope := range map[string]*common.Envelope{
				"its admin":             w.configUpdate(t, update, w.admin),
				"its admin twice":       w.configUpdate(t, update, w.admin, w.admin),
				"posing as Atlas's too": w.configUpdate(t, update, w.admin, w.admin.As(atlasMSP)),
				"with the regulator's":  w.configUpdate(t, update, w.admin, w.party(t, meridian, "admin")),
			} {
				err := adversary.Broadcast(within(t), w.orderers, envelope)
				require.Error(t, err, signers)
				require.ErrorContains(t, err, "policy", "%s: the orderers refuse it for who signed", signers)
			}
			require.True(t, proto.Equal(config, w.configuration(t)), "the configuration changed")
		})
	}
	t.Run("it takes another operator's admin", func(t *testing.T) {
		// The control: an update of the same kind, which leaves the rule what it is.
		const name = "Endorsement"
		envelope := w.configUpdate(t, rewritten(name, application.GetPolicies()[name].GetPolicy()), w.admin, w.party(t, atlas, "admin"))
		require.NoError(t, adversary.Broadcast(within(t), w.orderers, envelope))
		require.Eventually(t, func() bool { return w.configuration(t).GetSequence() > config.GetSequence() }, patience, 10*time.Millisecond)
	})
}

// alonePolicy is a policy of the configuration that one member's peer satisfies.
func alonePolicy(t *testing.T, mspID string) []byte {
	t.Helper()
	application := &peer.ApplicationPolicy{}
	require.NoError(t, proto.Unmarshal(aloneBy(t, mspID), application))
	return encode(t, application.GetSignaturePolicy())
}

// changeDefinition approves a definition by which Corvus's endorsement alone would
// do, and tries to commit it.
func (w *world) changeDefinition(t *testing.T) {
	definition := func() *lifecycle.QueryChaincodeDefinitionResult {
		_, response, err := w.ask(t, atlas, "_lifecycle", nil, "QueryChaincodeDefinition",
			string(encode(t, &lifecycle.QueryChaincodeDefinitionArgs{Name: w.Consortium().Chaincode})))
		require.NoError(t, err)
		stands := &lifecycle.QueryChaincodeDefinitionResult{}
		require.NoError(t, proto.Unmarshal(response.GetResponse().GetPayload(), stands))
		return stands
	}
	before := definition()
	sequence := before.GetSequence() + 1
	approve := string(encode(t, &lifecycle.ApproveChaincodeDefinitionForMyOrgArgs{
		Sequence: sequence, Name: w.Consortium().Chaincode, Version: "corvus", EndorsementPlugin: "escc", ValidationPlugin: "vscc",
		ValidationParameter: aloneBy(t, corvusMSP),
		Source:              &lifecycle.ChaincodeSource{Type: &lifecycle.ChaincodeSource_Unavailable_{Unavailable: &lifecycle.ChaincodeSource_Unavailable{}}},
	}))
	proposal, response, err := w.ask(t, corvus, "_lifecycle", nil, "ApproveChaincodeDefinitionForMyOrg", approve)
	require.NoError(t, err)
	envelope, err := proposal.Envelope(w.admin, response.GetPayload(), response.GetEndorsement())
	require.NoError(t, err)
	w.orderEnvelope(t, envelope)
	require.Equal(t, valid, w.judged(t, proposal.ID).String(), "its own approval is its own business")

	commit := []string{"CommitChaincodeDefinition", string(encode(t, &lifecycle.CommitChaincodeDefinitionArgs{
		Sequence: sequence, Name: w.Consortium().Chaincode, Version: "corvus", EndorsementPlugin: "escc", ValidationPlugin: "vscc",
		ValidationParameter: aloneBy(t, corvusMSP),
	}))}
	for _, name := range honest {
		_, _, err := w.ask(t, name, "_lifecycle", nil, commit...)
		require.ErrorContains(t, err, "not agreed to by this org", "%s's peer endorses it", name)
	}
	proposal, response, err = w.ask(t, corvus, "_lifecycle", nil, commit...)
	require.NoError(t, err, "its own peer has approved")
	envelope, err = proposal.Envelope(w.admin, response.GetPayload(), response.GetEndorsement())
	require.NoError(t, err)
	w.orderEnvelope(t, envelope)
	require.Equal(t, notEndorsed, w.judged(t, proposal.ID).String())
	require.True(t, proto.Equal(before, definition()), "the definition changed")

	t.Run("approving in Atlas's name", func(t *testing.T) {
		_, _, err := w.ask(t, atlas, "_lifecycle", nil, "ApproveChaincodeDefinitionForMyOrg", approve)
		require.Error(t, err, "Atlas's peer takes orders of its own admin only")
		// The approval written straight into Atlas's collection.
		set, err := adversary.PrivateSet("_lifecycle", collection, &kvrwset.KVWriteHash{
			KeyHash: hashOf(fmt.Sprintf("namespaces/fields/%s#%d/EndorsementInfo", w.Consortium().Chaincode, sequence)), ValueHash: hashOf("approved"),
		})
		require.NoError(t, err)
		proposal, err := adversary.Propose(w.admin, adversary.Invocation{Channel: w.Consortium().Channel, Chaincode: "_lifecycle", Args: commit})
		require.NoError(t, err)
		response := w.responseOf(t, proposal, set)
		envelope, err := proposal.Envelope(w.admin, response, w.own(t, response))
		require.NoError(t, err)
		w.orderEnvelope(t, envelope)
		require.Equal(t, notEndorsed, w.judged(t, proposal.ID).String())
	})
}

// changePolicy tries to put a policy document in force with Corvus's vote alone.
func (w *world) changePolicy(t *testing.T) {
	chaincode := ledger.GovernanceChaincode
	current := func(name string) string {
		answer, err := w.channels[name].In(chaincode).Evaluate(within(t), "governance:Current", ledger.PolicyConsent)
		require.NoError(t, err)
		return string(answer)
	}
	before := current(atlas)
	document, err := ledger.DefaultPolicy(ledger.PolicyConsent)
	require.NoError(t, err)
	document.Policy.Consent.StopWithinMS++
	canonical := gatewaytest.JSON(t, &document.Policy)
	digest := ledger.Digest(canonical)

	// To propose is everyone's right.
	proposal, mine, err := w.ask(t, corvus, chaincode, nil, "governance:Propose", string(canonical))
	require.NoError(t, err)
	endorsements := []*peer.Endorsement{mine.GetEndorsement()}
	for _, name := range honest {
		theirs, err := adversary.Ask(within(t), w.peers[name], proposal)
		require.NoError(t, err)
		require.Equal(t, mine.GetPayload(), theirs.GetPayload())
		endorsements = append(endorsements, theirs.GetEndorsement())
	}
	envelope, err := proposal.Envelope(w.admin, mine.GetPayload(), endorsements...)
	require.NoError(t, err)
	w.orderEnvelope(t, envelope)
	require.Equal(t, valid, w.judged(t, proposal.ID).String())

	t.Run("a second vote of its own", func(t *testing.T) {
		for _, name := range honest {
			_, _, err := w.ask(t, name, chaincode, nil, "governance:Vote", ledger.PolicyConsent, "1", digest)
			require.ErrorContains(t, err, string(ledger.CodeExists))
		}
	})
	t.Run("a vote in Atlas's name", func(t *testing.T) {
		proposal, err := adversary.Propose(w.admin.As(atlasMSP), adversary.Invocation{
			Channel: w.Consortium().Channel, Chaincode: chaincode, Args: []string{"governance:Vote", ledger.PolicyConsent, "1", digest},
		})
		require.NoError(t, err)
		for _, name := range honest {
			_, err := adversary.Ask(within(t), w.peers[name], proposal)
			var refusal *adversary.RefusedError
			require.Error(t, err)
			require.NotErrorAs(t, err, &refusal)
		}
	})
	t.Run("a vote of its gateway's", func(t *testing.T) {
		proposal, err := adversary.Propose(w.gateway, adversary.Invocation{
			Channel: w.Consortium().Channel, Chaincode: chaincode, Args: []string{"governance:Vote", ledger.PolicyConsent, "1", digest},
		})
		require.NoError(t, err)
		for _, name := range honest {
			w.refused(t, name, proposal, ledger.CodeDenied)
		}
	})
	t.Run("written by its own chaincode", func(t *testing.T) {
		document.Version = 1
		plot := plotOn(ledger.PolicyKey(ledger.PolicyConsent), gatewaytest.JSON(t, document))
		proposal, response, err := w.ask(t, corvus, chaincode, plotted(t, plot), "governance:Vote", ledger.PolicyConsent, "1", digest)
		require.NoError(t, err)
		envelope, err := proposal.Envelope(w.admin, response.GetPayload(), response.GetEndorsement())
		require.NoError(t, err)
		w.orderEnvelope(t, envelope)
		require.Equal(t, notEndorsed, w.judged(t, proposal.ID).String(), "alone")

		proposal, response, err = w.ask(t, corvus, chaincode, plotted(t, plot), "governance:Vote", ledger.PolicyConsent, "1", digest)
		require.NoError(t, err)
		envelope, err = proposal.Envelope(w.admin, response.GetPayload(), response.GetEndorsement(), endorse(t, w.peerKey(t, borealis), response.GetPayload()))
		require.NoError(t, err)
		w.orderEnvelope(t, envelope)
		require.Equal(t, notEndorsed, w.judged(t, proposal.ID).String(), "rules take more operators than calls do")
	})
	for _, name := range honest {
		require.Equal(t, before, current(name), "the rules changed at %s", name)
	}
}
