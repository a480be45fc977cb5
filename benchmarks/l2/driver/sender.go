// Package driver drives a registry on an Ethereum chain as an operator's gateway
// would: it signs transactions with a local key, sends them over one connection and
// follows the chain's heads over another.
package driver

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/callseal/callseal/benchmarks/l2/contracts"
)

const (
	// deployGas is above what any of the registries takes to make.
	deployGas = 2_000_000
	// AnchorGas is the gas limit of a record's transaction, above what any registry
	// takes. It is fixed, as asking the node for an estimate would count as latency.
	AnchorGas = 150_000
)

// The fees of the transactions, in wei a gas; far above what an idle chain asks.
var (
	tip    = big.NewInt(1_000_000_000)
	feeCap = big.NewInt(100_000_000_000)
)

// Sender signs and sends an account's transactions, one after the other. It is not for
// several goroutines.
type Sender struct {
	client *ethclient.Client
	key    *ecdsa.PrivateKey
	signer types.Signer
	chain  *big.Int
	nonce  uint64
}

// NewSender connects to a chain with an account's private key, hexadecimal.
func NewSender(ctx context.Context, url, key string) (*Sender, error) {
	private, err := crypto.HexToECDSA(key)
	if err != nil {
		return nil, fmt.Errorf("read the account's key: %w", err)
	}
	client, err := ethclient.DialContext(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connect to the chain: %w", err)
	}
	s := &Sender{client: client, key: private}
	if s.chain, err = client.ChainID(ctx); err == nil {
		s.nonce, err = client.PendingNonceAt(ctx, s.Address())
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("ask the chain for its id and the account's nonce: %w", err)
	}
	s.signer = types.LatestSignerForChainID(s.chain)
	return s, nil
}

// Close disconnects.
func (s *Sender) Close() { s.client.Close() }

// Client is the connection.
func (s *Sender) Client() *ethclient.Client { return s.client }

// Address is the account's.
func (s *Sender) Address() common.Address { return crypto.PubkeyToAddress(s.key.PublicKey) }

// Sign makes the account's next transaction; to is nil for one that makes a contract.
// It has to be sent before the next is signed.
func (s *Sender) Sign(to *common.Address, data []byte, gas uint64) (*types.Transaction, error) {
	signed, err := types.SignNewTx(s.key, s.signer, &types.DynamicFeeTx{
		ChainID: s.chain, Nonce: s.nonce, GasTipCap: tip, GasFeeCap: feeCap, Gas: gas, To: to, Data: data,
	})
	if err != nil {
		return nil, fmt.Errorf("sign a transaction: %w", err)
	}
	s.nonce++
	return signed, nil
}

// Send hands a signed transaction to the node.
func (s *Sender) Send(ctx context.Context, transaction *types.Transaction) error {
	if err := s.client.SendTransaction(ctx, transaction); err != nil {
		return fmt.Errorf("the chain refuses transaction %d: %w", transaction.Nonce(), err)
	}
	return nil
}

// ErrReverted is a transaction that is in a block and failed.
var ErrReverted = errors.New("the transaction was reverted")

// Registry is a contract that was made on a chain.
type Registry struct {
	// Address is the contract's.
	Address common.Address
	// ABI is its interface.
	ABI abi.ABI
}

// Deploy makes a contract that the account owns and waits until it is there.
func (s *Sender) Deploy(ctx context.Context, follower *Follower, contract contracts.Contract) (*Registry, error) {
	registries, err := s.DeployAll(ctx, follower, []contracts.Contract{contract})
	if err != nil {
		return nil, err
	}
	return registries[0], nil
}

// DeployAll makes several at once.
func (s *Sender) DeployAll(ctx context.Context, follower *Follower, all []contracts.Contract) ([]*Registry, error) {
	var transactions []*types.Transaction
	for _, contract := range all {
		transaction, err := s.Sign(nil, contract.Code, deployGas)
		if err != nil {
			return nil, err
		}
		transactions = append(transactions, transaction)
	}
	receipts, err := s.AwaitAll(ctx, follower, transactions)
	if err != nil {
		return nil, fmt.Errorf("make the contracts: %w", err)
	}
	var registries []*Registry
	for i, contract := range all {
		registries = append(registries, &Registry{Address: receipts[i].ContractAddress, ABI: contract.ABI})
	}
	return registries, nil
}

// Anchor signs a call of the registry's function of that name.
func (s *Sender) Anchor(registry *Registry, arguments ...any) (*types.Transaction, error) {
	data, err := registry.ABI.Pack("anchor", arguments...)
	if err != nil {
		return nil, fmt.Errorf("pack the arguments of anchor: %w", err)
	}
	return s.Sign(&registry.Address, data, AnchorGas)
}

// Await sends a transaction and answers its receipt, with ErrReverted where it failed.
func (s *Sender) Await(ctx context.Context, follower *Follower, transaction *types.Transaction) (*types.Receipt, error) {
	receipts, err := s.AwaitAll(ctx, follower, []*types.Transaction{transaction})
	if len(receipts) == 0 {
		return nil, err
	}
	return receipts[0], err
}

// AwaitAll sends transactions, in the order in which they were signed and without
// waiting for those before, and answers their receipts in that order, with ErrReverted
// where one failed.
func (s *Sender) AwaitAll(ctx context.Context, follower *Follower, transactions []*types.Transaction) ([]*types.Receipt, error) {
	type placed struct {
		Confirmation
		at int
	}
	confirmed := make(chan placed, len(transactions))
	for i, transaction := range transactions {
		follower.Expect(transaction.Hash(), func(c Confirmation) { confirmed <- placed{c, i} })
		if err := s.Send(ctx, transaction); err != nil {
			return nil, err
		}
	}
	receipts := make([]*types.Receipt, len(transactions))
	var reverted error
	for range transactions {
		select {
		case c := <-confirmed:
			receipts[c.at] = c.Receipt
			if c.Receipt.Status != types.ReceiptStatusSuccessful {
				reverted = ErrReverted
			}
		case <-follower.Done():
			return nil, follower.Err()
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for a transaction: %w", context.Cause(ctx))
		case <-time.After(confirmPatience):
			return nil, errUnconfirmed
		}
	}
	return receipts, reverted
}
