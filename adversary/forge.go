package adversary

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Invocation is what a proposal asks for.
type Invocation struct {
	Channel, Chaincode string
	// Args begin with the function.
	Args      []string
	Transient map[string][]byte
	// Time is the transaction's; zero means now.
	Time time.Time
}

// Proposal is a proposal built by hand, so that every part can be wrong.
type Proposal struct {
	// ID is the transaction's id.
	ID string
	// Signed is what endorsers are sent.
	Signed *peer.SignedProposal

	invocation Invocation
	header     *common.Header
	// bare is the payload without transient data, as it goes into the block.
	bare []byte
}

// Propose builds and signs a proposal.
func Propose(by *Party, what Invocation) (*Proposal, error) {
	p := &Proposal{invocation: what}
	if err := p.makeHeader(by); err != nil {
		return nil, err
	}
	args := make([][]byte, len(what.Args))
	for i, arg := range what.Args {
		args[i] = []byte(arg)
	}
	input, err := marshal(&peer.ChaincodeInvocationSpec{ChaincodeSpec: &peer.ChaincodeSpec{
		Type: peer.ChaincodeSpec_GOLANG, ChaincodeId: &peer.ChaincodeID{Name: what.Chaincode}, Input: &peer.ChaincodeInput{Args: args},
	}})
	if err != nil {
		return nil, err
	}
	if p.bare, err = marshal(&peer.ChaincodeProposalPayload{Input: input}); err != nil {
		return nil, err
	}
	payload, err := marshal(&peer.ChaincodeProposalPayload{Input: input, TransientMap: what.Transient})
	if err != nil {
		return nil, err
	}
	header, err := marshal(p.header)
	if err != nil {
		return nil, err
	}
	proposal, err := marshal(&peer.Proposal{Header: header, Payload: payload})
	if err != nil {
		return nil, err
	}
	signature, err := by.Sign(proposal)
	if err != nil {
		return nil, err
	}
	p.Signed = &peer.SignedProposal{ProposalBytes: proposal, Signature: signature}
	return p, nil
}

func (p *Proposal) makeHeader(by *Party) error {
	creator, err := by.Serialized()
	if err != nil {
		return err
	}
	nonce := make([]byte, 24)
	if _, err := rand.Read(nonce); err != nil {
		return fmt.Errorf("make a nonce: %w", err)
	}
	id := sha256.Sum256(append(slices.Clone(nonce), creator...))
	p.ID = hex.EncodeToString(id[:])
	if p.invocation.Time.IsZero() {
		p.invocation.Time = time.Now()
	}
	author, err := marshal(&common.SignatureHeader{Creator: creator, Nonce: nonce})
	if err != nil {
		return err
	}
	channel, err := p.channelHeader(p.invocation.Time)
	if err != nil {
		return err
	}
	p.header = &common.Header{ChannelHeader: channel, SignatureHeader: author}
	return nil
}

func (p *Proposal) channelHeader(at time.Time) ([]byte, error) {
	extension, err := marshal(&peer.ChaincodeHeaderExtension{ChaincodeId: &peer.ChaincodeID{Name: p.invocation.Chaincode}})
	if err != nil {
		return nil, err
	}
	return marshal(&common.ChannelHeader{
		Type: int32(common.HeaderType_ENDORSER_TRANSACTION), TxId: p.ID, ChannelId: p.invocation.Channel,
		Timestamp: timestamppb.New(at), Extension: extension,
	})
}

// Redate is the same proposal with another time in its header, as a client would
// send it to the orderers after the endorsers saw the true one.
func (p *Proposal) Redate(at time.Time) (*Proposal, error) {
	channel, err := p.channelHeader(at)
	if err != nil {
		return nil, err
	}
	other := *p
	other.header = &common.Header{ChannelHeader: channel, SignatureHeader: p.header.GetSignatureHeader()}
	return &other, nil
}

// Outcome is what an endorser signs for: reads and writes, an answer, an event.
type Outcome struct {
	Results *rwset.TxReadWriteSet
	Answer  []byte
	Event   *peer.ChaincodeEvent
}

// Response is the outcome as endorsers sign it, bound to the proposal.
func (p *Proposal) Response(what Outcome) ([]byte, error) {
	results, err := marshal(what.Results)
	if err != nil {
		return nil, err
	}
	action := &peer.ChaincodeAction{
		Results: results, Response: &peer.Response{Status: 200, Payload: what.Answer}, ChaincodeId: &peer.ChaincodeID{Name: p.invocation.Chaincode, Version: "1.0"},
	}
	if what.Event != nil {
		if action.Events, err = marshal(what.Event); err != nil {
			return nil, err
		}
	}
	extension, err := marshal(action)
	if err != nil {
		return nil, err
	}
	return marshal(&peer.ProposalResponsePayload{ProposalHash: p.hash(), Extension: extension})
}

// Alter changes the writes within a response that endorsers have signed. Their
// signatures stay what they were.
func Alter(response []byte, change func(*rwset.TxReadWriteSet) error) ([]byte, error) {
	payload, action, results := &peer.ProposalResponsePayload{}, &peer.ChaincodeAction{}, &rwset.TxReadWriteSet{}
	if err := proto.Unmarshal(response, payload); err != nil {
		return nil, fmt.Errorf("read the response: %w", err)
	}
	if err := proto.Unmarshal(payload.GetExtension(), action); err != nil {
		return nil, fmt.Errorf("read the action: %w", err)
	}
	if err := proto.Unmarshal(action.GetResults(), results); err != nil {
		return nil, fmt.Errorf("read the results: %w", err)
	}
	if err := change(results); err != nil {
		return nil, err
	}
	var err error
	if action.Results, err = marshal(results); err != nil {
		return nil, err
	}
	if payload.Extension, err = marshal(action); err != nil {
		return nil, err
	}
	return marshal(payload)
}

// Endorse signs a response as an endorser does: no chaincode needs to have run.
func Endorse(by *Party, response []byte) (*peer.Endorsement, error) {
	endorser, err := by.Serialized()
	if err != nil {
		return nil, err
	}
	signature, err := by.Sign(append(slices.Clone(response), endorser...))
	if err != nil {
		return nil, err
	}
	return &peer.Endorsement{Endorser: endorser, Signature: signature}, nil
}

// Envelope is the transaction as the orderers take it.
func (p *Proposal) Envelope(by *Party, response []byte, endorsements ...*peer.Endorsement) (*common.Envelope, error) {
	content, err := marshal(&peer.ChaincodeActionPayload{
		ChaincodeProposalPayload: p.bare,
		Action:                   &peer.ChaincodeEndorsedAction{ProposalResponsePayload: response, Endorsements: endorsements},
	})
	if err != nil {
		return nil, err
	}
	data, err := marshal(&peer.Transaction{Actions: []*peer.TransactionAction{{Header: p.header.GetSignatureHeader(), Payload: content}}})
	if err != nil {
		return nil, err
	}
	payload, err := marshal(&common.Payload{Header: p.header, Data: data})
	if err != nil {
		return nil, err
	}
	signature, err := by.Sign(payload)
	if err != nil {
		return nil, err
	}
	return &common.Envelope{Payload: payload, Signature: signature}, nil
}

// PublicSet is a read and write set that blindly writes keys of one namespace; an
// empty value deletes.
func PublicSet(namespace string, writes ...*kvrwset.KVWrite) (*rwset.TxReadWriteSet, error) {
	set, err := marshal(&kvrwset.KVRWSet{Writes: writes})
	if err != nil {
		return nil, err
	}
	return &rwset.TxReadWriteSet{DataModel: rwset.TxReadWriteSet_KV, NsRwset: []*rwset.NsReadWriteSet{{Namespace: namespace, Rwset: set}}}, nil
}

// PrivateSet is a read and write set that writes hashes into a collection, of data
// that nobody has.
func PrivateSet(namespace, collection string, writes ...*kvrwset.KVWriteHash) (*rwset.TxReadWriteSet, error) {
	hashed, err := marshal(&kvrwset.HashedRWSet{HashedWrites: writes})
	if err != nil {
		return nil, err
	}
	public, err := marshal(&kvrwset.KVRWSet{})
	if err != nil {
		return nil, err
	}
	nothing := sha256.Sum256(hashed)
	return &rwset.TxReadWriteSet{DataModel: rwset.TxReadWriteSet_KV, NsRwset: []*rwset.NsReadWriteSet{{
		Namespace: namespace, Rwset: public,
		CollectionHashedRwset: []*rwset.CollectionHashedReadWriteSet{{CollectionName: collection, HashedRwset: hashed, PvtRwsetHash: nothing[:]}},
	}}}, nil
}

// Rebind is a response that endorsers signed for another proposal, made to name
// this one. Their signatures stay what they were.
func (p *Proposal) Rebind(response []byte) ([]byte, error) {
	payload := &peer.ProposalResponsePayload{}
	if err := proto.Unmarshal(response, payload); err != nil {
		return nil, fmt.Errorf("read the response: %w", err)
	}
	payload.ProposalHash = p.hash()
	return marshal(payload)
}

// hash is what binds a response to its proposal.
func (p *Proposal) hash() []byte {
	hash := sha256.New()
	hash.Write(p.header.GetChannelHeader())
	hash.Write(p.header.GetSignatureHeader())
	hash.Write(p.bare)
	return hash.Sum(nil)
}
