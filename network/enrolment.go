package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// enrolAdapters puts the certificates of an operator's PBX adapters on the
// ledger, signed for by the operator's admin. Those already there are left be.
func (n *Network) enrolAdapters(ctx context.Context, operator *access) error {
	contract, closeContract, err := n.contract(operator)
	if err != nil {
		return err
	}
	defer closeContract()
	for _, pbx := range operator.member.PBXs {
		files := n.layout.Operator(operator.member.Name).Identity(pbx)
		remembered := filepath.Join(files.root, "enrolled")
		if _, err := os.Stat(remembered); err == nil {
			continue
		}
		certificate, err := os.ReadFile(files.CertFile())
		if err != nil {
			return fmt.Errorf("certificate of the adapter of %s: %w", pbx, err)
		}
		err = await(ctx, "enrol the adapter of "+pbx, func(ctx context.Context) error {
			return invoke(ctx, contract, "adapters:Enrol", string(certificate))
		})
		if err != nil {
			return err
		}
		if err := writeFile(remembered, nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// contract is the operator's chaincode as its admin calls it.
func (n *Network) contract(operator *access) (*client.Contract, func(), error) {
	channel, disconnect, err := n.channelFor(operator)
	if err != nil {
		return nil, nil, err
	}
	return channel.GetContract(n.consortium.Chaincode), disconnect, nil
}

// invoke submits one transaction. Repeating an enrolment or a revocation is
// harmless: the chaincode answers that it is there.
func invoke(ctx context.Context, contract *client.Contract, function string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, lifecycleStep)
	defer cancel()
	proposal, err := contract.NewProposal(function, client.WithArguments(args...))
	if err != nil {
		return permanent(fmt.Errorf("propose: %w", err))
	}
	transaction, err := proposal.EndorseWithContext(ctx)
	if err != nil {
		reason := explain(err)
		switch {
		case strings.Contains(reason, "ALREADY_EXISTS|"):
			return nil
		case strings.Contains(reason, "|"), strings.Contains(reason, "not found"):
			// A coded answer of the contract, or no such function.
			return permanent(errors.New(reason))
		}
		return errors.New(reason)
	}
	return commitTransaction(ctx, transaction)
}

// explain collects what the endorsing peers answered: the error itself only
// says that some did.
func explain(err error) string {
	answer := status.Convert(err)
	var reasons []string
	for _, detail := range answer.Details() {
		if one, ok := detail.(*gateway.ErrorDetail); ok {
			reasons = append(reasons, fmt.Sprintf("%s: %s", one.GetMspId(), one.GetMessage()))
		}
	}
	if len(reasons) == 0 || answer.Code() == codes.OK {
		return err.Error()
	}
	return strings.Join(reasons, "; ")
}

// awaitBlocks waits until the peers of all members are as high as the highest
// is now, so that whoever asks any of them next sees the same ledger.
func (n *Network) awaitBlocks(ctx context.Context, members []*access) error {
	var highest uint64
	for _, member := range members {
		height, err := member.peerHeight(ctx, n.consortium.Channel)
		if err != nil {
			return err
		}
		highest = max(highest, height)
	}
	for _, member := range members {
		err := await(ctx, "catch up on "+member.member.Name+"'s peer", func(ctx context.Context) error {
			height, err := member.peerHeight(ctx, n.consortium.Channel)
			if err == nil && height < highest {
				err = fmt.Errorf("it has %d of %d blocks", height, highest)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// elapsed formats how long a step took for a progress line.
func elapsed(begun time.Time) string {
	return time.Since(begun).Round(10 * time.Millisecond).String()
}
