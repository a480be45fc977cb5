package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/hash"

	"github.com/callseal/callseal/chaincode/ledger"
)

// majority is how many operators' votes a policy document takes.
func majority(operators int) int64 { return int64(operators/2 + 1) }

// foundConsortium has every operator's admin vote for the document that says who
// votes on policies. Until it is in force nobody can change any. On a channel that
// has one it does nothing.
func (n *Network) foundConsortium(ctx context.Context, operators []*access) error {
	founded, err := n.consortiumFounded(ctx, operators[0])
	if err != nil || founded {
		return err
	}
	policy := ledger.Policy{Consortium: &ledger.ConsortiumPolicy{Votes: majority(len(operators))}, V: ledger.SchemaVersion}
	for _, operator := range operators {
		policy.Consortium.Operators = append(policy.Consortium.Operators, operator.member.MSP)
	}
	slices.Sort(policy.Consortium.Operators)
	document, err := ledger.Canonical(&policy)
	if err != nil {
		return fmt.Errorf("found the consortium: %w", err)
	}
	for i, operator := range operators {
		function, args := "governance:Vote", []string{ledger.PolicyConsortium, "1", ledger.Digest(document)}
		if i == 0 {
			function, args = "governance:Propose", []string{string(document)}
		}
		err := await(ctx, "found the consortium with the vote of "+operator.member.Name, func(ctx context.Context) error {
			return n.castVote(ctx, operator, function, args)
		})
		if err != nil {
			return err
		}
	}
	for _, operator := range operators {
		err := await(ctx, "see the consortium founded on "+operator.member.Name+"'s peer", func(ctx context.Context) error {
			founded, err := n.consortiumFounded(ctx, operator)
			if err == nil && !founded {
				err = errors.New("it is not founded there yet")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// channelFor is the channel as an operator's admin uses it, through its own peer.
func (n *Network) channelFor(operator *access) (*client.Network, func(), error) {
	connection, err := client.Connect(operator.signer,
		client.WithSign(operator.signer.Sign),
		// The signer hashes by itself.
		client.WithHash(hash.NONE),
		client.WithClientConnection(operator.peer))
	if err != nil {
		return nil, nil, fmt.Errorf("gateway of %s's peer: %w", operator.member.Name, err)
	}
	return connection.GetNetwork(n.consortium.Channel), func() { _ = connection.Close() }, nil
}

// askPeer evaluates a function on an operator's own peer.
func (n *Network) askPeer(ctx context.Context, operator *access, chaincode, function string, args ...string) ([]byte, error) {
	channel, disconnect, err := n.channelFor(operator)
	if err != nil {
		return nil, permanent(err)
	}
	defer disconnect()
	ctx, cancel := context.WithTimeout(ctx, lifecycleStep)
	defer cancel()
	answer, err := channel.GetContract(chaincode).EvaluateWithContext(ctx, function,
		client.WithArguments(args...), client.WithEndorsingOrganizations(operator.member.MSP))
	if err != nil {
		return nil, fmt.Errorf("ask %s's peer: %s", operator.member.Name, explain(err))
	}
	return answer, nil
}

func (n *Network) consortiumFounded(ctx context.Context, operator *access) (bool, error) {
	founded := false
	err := await(ctx, "ask whether the consortium is founded", func(ctx context.Context) error {
		_, err := n.askPeer(ctx, operator, ledger.GovernanceChaincode, "governance:Current", ledger.PolicyConsortium)
		founded = err == nil
		if err != nil && strings.Contains(err.Error(), string(ledger.CodeNotFound)+"|") {
			return nil
		}
		return err
	})
	return founded, err
}

// castVote submits one vote. That it is there already, from an earlier try, is as
// good; that a peer does not know the ballot yet, or counts one vote less than
// another, passes.
func (n *Network) castVote(ctx context.Context, operator *access, function string, args []string) error {
	channel, disconnect, err := n.channelFor(operator)
	if err != nil {
		return permanent(err)
	}
	defer disconnect()
	ctx, cancel := context.WithTimeout(ctx, lifecycleStep)
	defer cancel()
	proposal, err := channel.GetContract(ledger.GovernanceChaincode).NewProposal(function, client.WithArguments(args...))
	if err != nil {
		return permanent(fmt.Errorf("propose: %w", err))
	}
	transaction, err := proposal.EndorseWithContext(ctx)
	if err != nil {
		reason := explain(err)
		coded, found := ledger.ParseError(reason)
		switch {
		case found && (coded.Code == ledger.CodeExists || coded.Code == ledger.CodeState):
			return nil
		case found && (coded.Code == ledger.CodeDenied || coded.Code == ledger.CodeInvalid):
			return permanent(errors.New(reason))
		}
		return errors.New(reason)
	}
	return commitTransaction(ctx, transaction)
}

// commitTransaction sends an endorsed transaction and waits until it is valid.
func commitTransaction(ctx context.Context, transaction *client.Transaction) error {
	commit, err := transaction.SubmitWithContext(ctx)
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	outcome, err := commit.StatusWithContext(ctx)
	if err != nil {
		return fmt.Errorf("await commit: %w", err)
	}
	if !outcome.Successful {
		return fmt.Errorf("transaction %s was refused with %s", outcome.TransactionID, outcome.Code)
	}
	return nil
}

// runningVersion is the version of a chaincode that an operator's peer runs. It
// asks the contract's metadata, which every version has.
func (n *Network) runningVersion(ctx context.Context, operator *access, which chaincode) (string, error) {
	answer, err := n.askPeer(ctx, operator, which.name, "org.hyperledger.fabric:GetMetadata")
	if err != nil {
		return "", err
	}
	var metadata struct {
		Contracts map[string]struct {
			Info struct {
				Version string `json:"version"`
			} `json:"info"`
		} `json:"contracts"`
	}
	if err := json.Unmarshal(answer, &metadata); err != nil {
		return "", permanent(fmt.Errorf("the metadata of chaincode %s on %s's peer: %w", which.name, operator.member.Name, err))
	}
	return metadata.Contracts[which.contract].Info.Version, nil
}
