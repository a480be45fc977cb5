package network

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hyperledger/fabric-admin-sdk/pkg/chaincode"
	"github.com/hyperledger/fabric-admin-sdk/pkg/channel"
	"github.com/hyperledger/fabric-admin-sdk/pkg/discovery"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"golang.org/x/sync/errgroup"
)

// lifecycleStep bounds one call of the chaincode lifecycle. When one is lost on
// the way, asking what came of it is quicker than waiting on.
const lifecycleStep = 15 * time.Second

// definition is what the operators agree the chaincode is; packageID differs
// from operator to operator and is only part of an approval.
func (n *Network) definition(packageID string) *chaincode.Definition {
	return &chaincode.Definition{
		ChannelName: n.consortium.Channel,
		PackageID:   packageID,
		Name:        n.consortium.Chaincode,
		Version:     chaincodeVersion,
		Sequence:    chaincodeSequence,
		// Built by hand: the SDK's own constructor cannot make a reference.
		ApplicationPolicy: &peer.ApplicationPolicy{Type: &peer.ApplicationPolicy_ChannelConfigPolicyReference{
			ChannelConfigPolicyReference: "/Channel/Application/" + writePolicy,
		}},
	}
}

// deployChaincode installs, approves and commits the chaincode definition,
// leaving out what was done before.
func (n *Network) deployChaincode(ctx context.Context, operators []*access) error {
	if committed, err := n.committed(ctx, operators[0]); err != nil || committed {
		return err
	}
	if err := n.checkWritePolicy(ctx, operators[0]); err != nil {
		return err
	}
	group, working := errgroup.WithContext(ctx)
	for _, operator := range operators {
		group.Go(func() error { return n.installAndApprove(working, operator) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	gateway := chaincode.NewGateway(operators[0].peer, operators[0].signer)
	err := await(ctx, "commit the chaincode definition", func(ctx context.Context) error {
		// Asked first: a submission that reported failure may have been ordered.
		if committed, err := n.committed(ctx, operators[0]); err != nil || committed {
			return err
		}
		step, cancel := context.WithTimeout(ctx, lifecycleStep)
		defer cancel()
		return gateway.Commit(step, n.definition(""))
	})
	if err != nil {
		return err
	}
	// The others hear of it with the block.
	for _, operator := range operators[1:] {
		err := await(ctx, "see the chaincode definition on "+operator.member.Name+"'s peer", func(ctx context.Context) error {
			committed, err := n.committed(ctx, operator)
			if err == nil && !committed {
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

// checkWritePolicy makes sure the policy the definition refers to is there.
// Fabric commits a definition that refers to nothing, and then no transaction
// is ever valid.
func (n *Network) checkWritePolicy(ctx context.Context, operator *access) error {
	block, err := channel.GetConfigBlock(ctx, operator.peer, operator.signer, n.consortium.Channel)
	if err != nil {
		return fmt.Errorf("read the channel's configuration: %w", err)
	}
	policies, err := channelPolicies(block)
	if err != nil {
		return err
	}
	if policies[writePolicy] == nil {
		return fmt.Errorf("the channel %s has no policy %s, so no endorsement could ever satisfy it: make the channel anew", n.consortium.Channel, writePolicy)
	}
	return nil
}

func (n *Network) committed(ctx context.Context, operator *access) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lifecycleStep)
	defer cancel()
	gateway := chaincode.NewGateway(operator.peer, operator.signer)
	result, err := gateway.QueryCommitted(ctx, n.consortium.Channel)
	if err != nil {
		return false, fmt.Errorf("chaincode definitions on %s's peer: %w", operator.member.Name, err)
	}
	for _, definition := range result.GetChaincodeDefinitions() {
		if definition.GetName() == n.consortium.Chaincode {
			return true, nil
		}
	}
	return false, nil
}

func (n *Network) installAndApprove(ctx context.Context, operator *access) error {
	pack, err := n.chaincodePackage(operator.member)
	if err != nil {
		return err
	}
	if err := install(ctx, operator, pack.ID, pack.Content); err != nil {
		return err
	}
	gateway := chaincode.NewGateway(operator.peer, operator.signer)
	return await(ctx, "approve the chaincode for "+operator.member.Name, func(ctx context.Context) error {
		step, cancel := context.WithTimeout(ctx, lifecycleStep)
		defer cancel()
		if approved, err := gateway.QueryApproved(step, n.consortium.Channel, n.consortium.Chaincode, chaincodeSequence); err == nil {
			if approved.GetSource().GetLocalPackage().GetPackageId() == pack.ID {
				return nil
			}
		}
		return gateway.Approve(step, n.definition(pack.ID))
	})
}

func install(ctx context.Context, operator *access, packageID string, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 2*lifecycleStep)
	defer cancel()
	target := chaincode.NewPeer(operator.peer, operator.signer)
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

// peersMet agrees once a member's peer knows the peers of all operators to run
// the chaincode: until then it finds nobody to endorse with.
func (n *Network) peersMet(ctx context.Context, member *access) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	directory := discovery.NewPeer(member.peer, member.signer, discovery.WithTLSClientCertificateHash(member.certificateHash()))
	interest := &peer.ChaincodeInterest{Chaincodes: []*peer.ChaincodeCall{{Name: n.consortium.Chaincode}}}
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
