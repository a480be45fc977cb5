package network

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	lifecycle "github.com/hyperledger/fabric-admin-sdk/pkg/chaincode"
	"github.com/hyperledger/fabric-admin-sdk/pkg/channel"
	"github.com/hyperledger/fabric-admin-sdk/pkg/discovery"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"golang.org/x/sync/errgroup"
)

// lifecycleStep bounds one call of the chaincode lifecycle. When one is lost on
// the way, asking what came of it is quicker than waiting on.
const lifecycleStep = 15 * time.Second

// Definition is what the channel says of one chaincode.
type Definition struct {
	// Name is the chaincode's.
	Name string `json:"name"`
	// Version is what the operators approved.
	Version string `json:"version"`
	// Sequence counts the definitions, from 1.
	Sequence int64 `json:"sequence"`
}

// definition is what the operators agree a chaincode is; packageID differs from
// operator to operator and is only part of an approval.
func (n *Network) definition(which chaincode, wanted Definition, packageID string) *lifecycle.Definition {
	return &lifecycle.Definition{
		ChannelName: n.consortium.Channel,
		PackageID:   packageID,
		Name:        wanted.Name,
		Version:     wanted.Version,
		Sequence:    wanted.Sequence,
		// Built by hand: the SDK's own constructor cannot make a reference.
		ApplicationPolicy: &peer.ApplicationPolicy{Type: &peer.ApplicationPolicy_ChannelConfigPolicyReference{
			ChannelConfigPolicyReference: "/Channel/Application/" + which.policy,
		}},
	}
}

// defineAll has the channel define the chaincodes of a deployment, leaving out
// what was done before.
func (n *Network) defineAll(ctx context.Context, operators []*access, d deployment) error {
	var missing []chaincode
	wanted := map[string]Definition{}
	for _, which := range n.chaincodes(d) {
		committed, err := n.committed(ctx, operators[0], which.name)
		if err != nil {
			return err
		}
		if committed.Version != d.Version {
			missing = append(missing, which)
			wanted[which.name] = Definition{Name: which.name, Version: d.Version, Sequence: committed.Sequence + 1}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := n.checkPolicies(ctx, operators[0], missing); err != nil {
		return err
	}
	group, working := errgroup.WithContext(ctx)
	for _, operator := range operators {
		for _, which := range missing {
			group.Go(func() error { return n.installAndApprove(working, operator, d, which, wanted[which.name]) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, which := range missing {
		if err := n.commit(ctx, operators, which, wanted[which.name]); err != nil {
			return err
		}
	}
	return nil
}

// checkDefined refuses to go on where the channel defines another version than the
// one this machine serves: operators changed it by other means.
func (n *Network) checkDefined(ctx context.Context, operator *access, d deployment) error {
	for _, which := range n.chaincodes(d) {
		committed, err := n.committed(ctx, operator, which.name)
		if err != nil {
			return err
		}
		if committed.Sequence > 0 && committed.Version != d.Version {
			return fmt.Errorf("the channel defines chaincode %s as version %s, sequence %d, and this machine serves version %s: serve that version, or have the operators define this one", which.name, committed.Version, committed.Sequence, d.Version)
		}
	}
	return nil
}

// commit commits a definition that the operators approved, and waits until all of
// their peers know it.
func (n *Network) commit(ctx context.Context, operators []*access, which chaincode, wanted Definition) error {
	gateway := lifecycle.NewGateway(operators[0].peer, operators[0].signer)
	err := await(ctx, "commit the definition of chaincode "+which.name, func(ctx context.Context) error {
		// Asked first: a submission that reported failure may have been ordered.
		if committed, err := n.committed(ctx, operators[0], which.name); err != nil || committed == wanted {
			return err
		}
		step, cancel := context.WithTimeout(ctx, lifecycleStep)
		defer cancel()
		return gateway.Commit(step, n.definition(which, wanted, ""))
	})
	if err != nil {
		return err
	}
	// The others hear of it with the block.
	for _, operator := range everyPeer(operators) {
		err := await(ctx, "see the definition of chaincode "+which.name+" on "+operator.member.Name+"'s peer", func(ctx context.Context) error {
			committed, err := n.committed(ctx, operator, which.name)
			if err == nil && committed != wanted {
				err = fmt.Errorf("it is not committed there yet")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkPolicies makes sure the policies that definitions refer to are there.
// Fabric commits a definition that refers to nothing, and then no transaction is
// ever valid.
func (n *Network) checkPolicies(ctx context.Context, operator *access, all []chaincode) error {
	block, err := channel.GetConfigBlock(ctx, operator.peer, operator.signer, n.consortium.Channel)
	if err != nil {
		return fmt.Errorf("read the channel's configuration: %w", err)
	}
	policies, err := channelPolicies(block)
	if err != nil {
		return err
	}
	for _, which := range all {
		if policies[which.policy] == nil {
			return fmt.Errorf("the channel %s has no policy %s, so no endorsement could ever satisfy it: add it by a configuration update, or make the channel anew", n.consortium.Channel, which.policy)
		}
	}
	return nil
}

// definitions are all chaincodes that the channel defines, as a member's peer sees
// it.
func (n *Network) definitions(ctx context.Context, member *access) ([]Definition, error) {
	ctx, cancel := context.WithTimeout(ctx, lifecycleStep)
	defer cancel()
	result, err := lifecycle.NewGateway(member.peer, member.signer).QueryCommitted(ctx, n.consortium.Channel)
	if err != nil {
		return nil, fmt.Errorf("chaincode definitions on %s's peer: %w", member.member.Name, err)
	}
	var all []Definition
	for _, one := range result.GetChaincodeDefinitions() {
		all = append(all, Definition{Name: one.GetName(), Version: one.GetVersion(), Sequence: one.GetSequence()})
	}
	return all, nil
}

// committed is the definition of one chaincode; sequence 0 where there is none.
func (n *Network) committed(ctx context.Context, operator *access, name string) (Definition, error) {
	all, err := n.definitions(ctx, operator)
	if err != nil {
		return Definition{}, err
	}
	for _, one := range all {
		if one.Name == name {
			return one, nil
		}
	}
	return Definition{Name: name}, nil
}

func (n *Network) installAndApprove(ctx context.Context, operator *access, d deployment, which chaincode, wanted Definition) error {
	pack, err := n.pack(operator.member, d, which)
	if err != nil {
		return err
	}
	for _, each := range everyPeer([]*access{operator}) {
		if err := install(ctx, each, pack.ID, pack.Content); err != nil {
			return err
		}
	}
	gateway := lifecycle.NewGateway(operator.peer, operator.signer)
	return await(ctx, "approve chaincode "+which.name+" for "+operator.member.Name, func(ctx context.Context) error {
		step, cancel := context.WithTimeout(ctx, lifecycleStep)
		defer cancel()
		if approved, err := gateway.QueryApproved(step, n.consortium.Channel, which.name, wanted.Sequence); err == nil {
			if approved.GetSource().GetLocalPackage().GetPackageId() == pack.ID && approved.GetVersion() == wanted.Version {
				return nil
			}
		}
		return gateway.Approve(step, n.definition(which, wanted, pack.ID))
	})
}

func install(ctx context.Context, operator *access, packageID string, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 2*lifecycleStep)
	defer cancel()
	target := lifecycle.NewPeer(operator.peer, operator.signer)
	installed, err := target.QueryInstalled(ctx)
	if err != nil {
		return fmt.Errorf("packages on %s's peer: %w", operator.member.Name, err)
	}
	for _, one := range installed.GetInstalledChaincodes() {
		if one.GetPackageId() == packageID {
			return nil
		}
	}
	result, err := target.Install(ctx, bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("install the chaincode on %s's peer: %w", operator.member.Name, err)
	}
	if result.GetPackageId() != packageID {
		return fmt.Errorf("%s's peer calls the chaincode package %s and not %s", operator.member.Name, result.GetPackageId(), packageID)
	}
	return nil
}

// peersMet agrees once a member's peer knows the peers of all operators to run a
// chaincode: until then it finds nobody to endorse with.
func (n *Network) peersMet(ctx context.Context, member *access, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	directory := discovery.NewPeer(member.peer, member.signer, discovery.WithTLSClientCertificateHash(member.certificateHash()))
	interest := &peer.ChaincodeInterest{Chaincodes: []*peer.ChaincodeCall{{Name: name}}}
	found, err := directory.PeerMembershipQuery(ctx, n.consortium.Channel, interest)
	if err != nil {
		return fmt.Errorf("peers known to %s's: %w", member.member.Name, err)
	}
	var known []string
	for msp, peers := range found.GetPeersByOrg() {
		if len(peers.GetPeers()) > 0 {
			known = append(known, msp)
		}
	}
	for _, operator := range n.consortium.Operators {
		if !slices.Contains(known, operator.MSP) {
			return fmt.Errorf("%s's peer has not met %s's yet", member.member.Name, operator.Name)
		}
	}
	return nil
}

// awaitPeers waits until every operator's peer has met the others, for every
// chaincode of a deployment.
func (n *Network) awaitPeers(ctx context.Context, operators []*access, d deployment) error {
	group, waiting := errgroup.WithContext(ctx)
	for _, member := range operators {
		for _, which := range n.chaincodes(d) {
			group.Go(func() error {
				return await(waiting, "let the peers meet", func(ctx context.Context) error { return n.peersMet(ctx, member, which.name) })
			})
		}
	}
	return group.Wait()
}
