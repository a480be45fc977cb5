package network

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hyperledger/fabric-admin-sdk/pkg/channel"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	mspproto "github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/msp"
)

// groups are the two places of the channel's configuration in which a member that
// orders is defined. Fabric takes no two definitions of one member that differ.
var groups = []string{"Application", "Orderer"}

// mspValue is the name under which a member's definition stands there.
const mspValue = "MSP"

// Revoked is a certificate that was withdrawn.
type Revoked struct {
	// Member is the member's name, Identity the name of its identity.
	Member   string `json:"member"`
	Identity string `json:"identity"`
	// Serial is the certificate's serial number and Fingerprint the SHA-256 of its
	// DER, both hexadecimal.
	Serial      string `json:"serial"`
	Fingerprint string `json:"fingerprint"`
}

// Revoke withdraws the certificate of one of a member's identities ("gateway",
// "auditor", "compliance" or a PBX's id): its authority's next revocation list
// goes into the channel's configuration, signed for by the member's own admin and
// nobody else. From that block on no peer or orderer takes what the certificate
// signed; what was committed before stays. An adapter's certificate is withdrawn
// on the ledger too, where segments' signatures are judged.
//
// It returns once the members' peers that run know of it. Repeating it is
// harmless. The member's own nodes also find the list in their local MSP, which
// they read when they start.
func (n *Network) Revoke(ctx context.Context, member, identity string) (Revoked, error) {
	unlock, err := n.lock(ctx)
	if err != nil {
		return Revoked{}, err
	}
	defer unlock()
	if !n.made() {
		return Revoked{}, fmt.Errorf("there is no network in %s: run `callseal network up` first", n.layout.root)
	}
	m, err := n.consortium.Member(member)
	if err != nil {
		return Revoked{}, err
	}
	if identity == roleAdmin {
		return Revoked{}, fmt.Errorf("%s's admin signs the revocation and cannot withdraw itself: have another admin of its authority issued first", m.Name)
	}
	r, err := n.newRevocation(m, identity)
	if err != nil {
		return Revoked{}, err
	}
	members, closeAll, err := n.openAll()
	if err != nil {
		return Revoked{}, err
	}
	defer closeAll()
	own := members[slices.IndexFunc(members, func(one *access) bool { return one.member.MSP == m.MSP })]
	if slices.Contains(m.PBXs, identity) {
		if err := n.revokeAdapter(ctx, own, r.certificate); err != nil {
			return Revoked{}, err
		}
	}
	// The regulator may not send transactions, so an operator carries its update.
	carrier := own
	if m.Gateway == nil {
		carrier = members[0]
	}
	err = await(ctx, "revoke "+identity+" of "+m.Name, func(ctx context.Context) error { return r.publish(ctx, n.consortium.Channel, own, carrier) })
	if err != nil {
		return Revoked{}, err
	}
	for _, one := range everyPeer(members) {
		if _, running := readProcess(n.layout.pidFile(nodeName(one.member, one.member.peerKind()))); !running {
			continue
		}
		err := await(ctx, "see the revocation on "+one.member.Name+"'s peer", func(ctx context.Context) error { return r.inForce(ctx, one, n.consortium.Channel) })
		if err != nil {
			return Revoked{}, err
		}
	}
	return Revoked{
		Member: m.Name, Identity: identity,
		Serial: r.certificate.SerialNumber.Text(16), Fingerprint: ledger.Fingerprint(r.certificate.Raw),
	}, nil
}

// revocation is the withdrawing of one certificate.
type revocation struct {
	org         Organisation
	msp         string
	issuer      *msp.Issuer
	certificate *x509.Certificate
	// peers are the kinds of the member's peers: "peer", "peer2".
	peers []string
}

func (n *Network) newRevocation(member Member, identity string) (*revocation, error) {
	r := &revocation{org: n.layout.Operator(member.Name), msp: member.MSP}
	for _, seat := range member.Peers() {
		r.peers = append(r.peers, seat.peerKind())
	}
	content, err := os.ReadFile(r.org.Identity(identity).CertFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has no identity %q: name gateway, auditor, compliance or one of its PBXs", member.Name, identity)
	}
	if err != nil {
		return nil, fmt.Errorf("read the certificate to revoke: %w", err)
	}
	if r.certificate, err = msp.ParseCertificate(content); err != nil {
		return nil, err
	}
	authority := msp.Pair{}
	if authority.CertPEM, err = os.ReadFile(r.org.EnrolmentCAFile()); err != nil {
		return nil, fmt.Errorf("read %s's authority: %w", member.Name, err)
	}
	if authority.KeyPEM, err = os.ReadFile(r.org.EnrolmentCAKeyFile()); err != nil {
		return nil, fmt.Errorf("read the key of %s's authority: %w", member.Name, err)
	}
	r.issuer, err = msp.ParseIssuer(authority)
	return r, err
}

// publish puts the list into the channel's configuration unless it is there. Two
// updates at once collide, and then the next try starts from the newer one.
func (r *revocation) publish(ctx context.Context, name string, own, carrier *access) error {
	ctx, cancel := context.WithTimeout(ctx, lifecycleStep/3)
	defer cancel()
	config, err := channelConfig(ctx, own, name)
	if err != nil {
		return err
	}
	definition, before, err := r.current(config, groups[0])
	if err != nil {
		return permanent(err)
	}
	if msp.Revokes(before, r.certificate) {
		return nil
	}
	list, err := r.issuer.Revoke(before, r.certificate)
	if err != nil {
		return permanent(err)
	}
	update, err := r.update(config, name, definition, list)
	if err != nil {
		return permanent(err)
	}
	if err := r.keep(list); err != nil {
		return permanent(err)
	}
	envelope, id, err := configUpdate(name, update, own, carrier)
	if err != nil {
		return permanent(err)
	}
	_, err = gateway.NewGatewayClient(carrier.peer).Submit(ctx, &gateway.SubmitRequest{TransactionId: id, ChannelId: name, PreparedTransaction: envelope})
	if err != nil {
		return fmt.Errorf("send the configuration update: %s", explain(err))
	}
	// Not in force within the step's time means that another update came first, or
	// that this one was lost: the next try finds out.
	for {
		err := r.inForce(ctx, own, name)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the configuration update is sent: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// inForce agrees once a member's peer has the list in its configuration.
func (r *revocation) inForce(ctx context.Context, member *access, name string) error {
	config, err := channelConfig(ctx, member, name)
	if err != nil {
		return err
	}
	_, list, err := r.current(config, groups[0])
	if err == nil && !msp.Revokes(list, r.certificate) {
		err = errors.New("the revocation is not in force there yet")
	}
	return err
}

// keep writes the list into the folders that the member's nodes read at start.
func (r *revocation) keep(list []byte) error {
	folders := []string{r.org.MSPDir(), filepath.Join(r.org.node(kindOrderer), "msp")}
	for _, kind := range r.peers {
		folders = append(folders, filepath.Join(r.org.node(kind), "msp"))
	}
	for _, folder := range folders {
		if err := writeFile(filepath.Join(folder, "crls", "enrolment-ca.pem"), list, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// current is the member's definition in one group, and the list of revocations
// of its authority in it, nil where there is none.
func (r *revocation) current(config *common.Config, group string) (*mspproto.FabricMSPConfig, *x509.RevocationList, error) {
	value := config.GetChannelGroup().GetGroups()[group].GetGroups()[r.msp].GetValues()[mspValue]
	if value == nil {
		return nil, nil, fmt.Errorf("the channel's configuration does not define %s", r.msp)
	}
	wrapped, definition := &mspproto.MSPConfig{}, &mspproto.FabricMSPConfig{}
	if err := proto.Unmarshal(value.GetValue(), wrapped); err != nil {
		return nil, nil, fmt.Errorf("definition of %s: %w", r.msp, err)
	}
	if err := proto.Unmarshal(wrapped.GetConfig(), definition); err != nil {
		return nil, nil, fmt.Errorf("definition of %s: %w", r.msp, err)
	}
	for _, content := range definition.GetRevocationList() {
		if list, err := msp.ParseRevocationList(content); err == nil && r.issuer.Issued(list) {
			return definition, list, nil
		}
	}
	return definition, nil, nil
}

// update is the change from the configuration to one with the list: the same
// member's definition wherever it stands.
func (r *revocation) update(config *common.Config, name string, definition *mspproto.FabricMSPConfig, list []byte) (*common.ConfigUpdate, error) {
	changed := proto.CloneOf(definition)
	changed.RevocationList = slices.DeleteFunc(changed.GetRevocationList(), func(content []byte) bool {
		old, err := msp.ParseRevocationList(content)
		return err == nil && r.issuer.Issued(old)
	})
	changed.RevocationList = append(changed.RevocationList, list)
	encoded, err := proto.Marshal(changed)
	if err != nil {
		return nil, fmt.Errorf("encode the definition: %w", err)
	}
	value, err := proto.Marshal(&mspproto.MSPConfig{Config: encoded})
	if err != nil {
		return nil, fmt.Errorf("encode the definition: %w", err)
	}
	root := config.GetChannelGroup()
	read := &common.ConfigGroup{Version: root.GetVersion(), Groups: map[string]*common.ConfigGroup{}}
	write := &common.ConfigGroup{Version: root.GetVersion(), Groups: map[string]*common.ConfigGroup{}}
	for _, name := range groups {
		group := root.GetGroups()[name]
		org := group.GetGroups()[r.msp]
		if org == nil {
			continue
		}
		stands := org.GetValues()[mspValue]
		read.Groups[name] = &common.ConfigGroup{Version: group.GetVersion(), Groups: map[string]*common.ConfigGroup{r.msp: {Version: org.GetVersion()}}}
		write.Groups[name] = &common.ConfigGroup{Version: group.GetVersion(), Groups: map[string]*common.ConfigGroup{r.msp: {
			Version: org.GetVersion(),
			Values:  map[string]*common.ConfigValue{mspValue: {Version: stands.GetVersion() + 1, ModPolicy: stands.GetModPolicy(), Value: value}},
		}}}
	}
	return &common.ConfigUpdate{ChannelId: name, ReadSet: read, WriteSet: write}, nil
}

// channelConfig is the channel's configuration as a member's peer has it.
func channelConfig(ctx context.Context, member *access, name string) (*common.Config, error) {
	block, err := channel.GetConfigBlock(ctx, member.peer, member.signer, name)
	if err != nil {
		return nil, fmt.Errorf("read the channel's configuration: %w", err)
	}
	return configIn(block)
}

// configUpdate is the update in an envelope, and its transaction id: signed for by
// one admin and sent by another, who may be the same.
func configUpdate(name string, update *common.ConfigUpdate, signer, sender *access) (*common.Envelope, string, error) {
	encoded, err := proto.Marshal(update)
	if err != nil {
		return nil, "", fmt.Errorf("encode the update: %w", err)
	}
	consent, _, err := signatureHeader(signer)
	if err != nil {
		return nil, "", err
	}
	signature, err := signer.signer.Sign(slices.Concat(consent, encoded))
	if err != nil {
		return nil, "", fmt.Errorf("sign the update: %w", err)
	}
	data, err := proto.Marshal(&common.ConfigUpdateEnvelope{
		ConfigUpdate: encoded, Signatures: []*common.ConfigSignature{{SignatureHeader: consent, Signature: signature}},
	})
	if err != nil {
		return nil, "", fmt.Errorf("encode the update: %w", err)
	}
	author, id, err := signatureHeader(sender)
	if err != nil {
		return nil, "", err
	}
	header, err := proto.Marshal(&common.ChannelHeader{Type: int32(common.HeaderType_CONFIG_UPDATE), ChannelId: name, TxId: id, Timestamp: timestamppb.Now()})
	if err != nil {
		return nil, "", fmt.Errorf("encode the update: %w", err)
	}
	payload, err := proto.Marshal(&common.Payload{Header: &common.Header{ChannelHeader: header, SignatureHeader: author}, Data: data})
	if err != nil {
		return nil, "", fmt.Errorf("encode the update: %w", err)
	}
	if signature, err = sender.signer.Sign(payload); err != nil {
		return nil, "", fmt.Errorf("sign the update: %w", err)
	}
	return &common.Envelope{Payload: payload, Signature: signature}, id, nil
}

// signatureHeader names who signs, with a nonce, and the transaction id they make.
func signatureHeader(who *access) (header []byte, id string, err error) {
	creator, err := proto.Marshal(&mspproto.SerializedIdentity{Mspid: who.signer.MspID(), IdBytes: who.signer.Credentials()})
	if err != nil {
		return nil, "", fmt.Errorf("encode the identity: %w", err)
	}
	nonce := make([]byte, 24)
	if _, err := rand.Read(nonce); err != nil {
		return nil, "", fmt.Errorf("make a nonce: %w", err)
	}
	if header, err = proto.Marshal(&common.SignatureHeader{Creator: creator, Nonce: nonce}); err != nil {
		return nil, "", fmt.Errorf("encode the identity: %w", err)
	}
	return header, ledger.Digest(slices.Concat(nonce, creator)), nil
}

// revokeAdapter withdraws an adapter's certificate on the ledger.
func (n *Network) revokeAdapter(ctx context.Context, operator *access, certificate *x509.Certificate) error {
	contract, closeContract, err := n.contract(operator)
	if err != nil {
		return err
	}
	defer closeContract()
	return await(ctx, "revoke the adapter on the ledger", func(ctx context.Context) error {
		return invoke(ctx, contract, "adapters:Revoke", ledger.Fingerprint(certificate.Raw))
	})
}
