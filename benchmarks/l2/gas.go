package l2

import (
	"context"
	"encoding/hex"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/callseal/callseal/benchmarks/l2/contracts"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/chaincode/ledger"
)

// samples is how many records of each registry are put: the calldata's zero bytes, and
// so the gas, differ a little from one to the next.
const samples = 5

// cost is what a transaction took, per CDR in it.
type cost struct {
	// gas is the L2's.
	gas float64
	// l1Gas is what the rollup counts for its bytes on the L1.
	l1Gas float64
	// l1Fee is what they cost at the stated prices, in gwei.
	l1Fee float64
}

// registry is one whose gas is measured.
type registry struct {
	name, title, contract string
	// count is how many records a transaction stands for.
	count int
	// arguments are those of the next transaction.
	arguments func(*calls) ([]any, error)
}

func (r *runner) registries() []registry {
	one := func(c *calls) ([]any, error) {
		call, err := c.next()
		return []any{call.key, call.digest}, err
	}
	all := []registry{
		{"struct", "two-slot struct and event", contracts.Struct, 1, one},
		{"slot", "one slot and event", contracts.Slot, 1, one},
		{"event", "event only", contracts.Event, 1, one},
	}
	for _, count := range r.options.Roots {
		all = append(all, registry{fmt.Sprintf("merkle-%d", count), fmt.Sprintf("Merkle root over %d", count), contracts.Merkle, count, func(c *calls) ([]any, error) {
			root, err := c.root(count)
			return []any{root, big.NewInt(int64(count))}, err
		}})
	}
	return all
}

// gas puts records in every registry and reads what their receipts say.
func (r *runner) gas(ctx context.Context, s *session, group *result.Group, rollup bool) error {
	r.progress("measuring gas of every registry")
	all := r.registries()
	var made []contracts.Contract
	for _, one := range all {
		made = append(made, r.contracts[one.contract])
	}
	deployed, err := s.sender.DeployAll(ctx, s.follower, made)
	if err != nil {
		return err
	}
	var transactions []*types.Transaction
	for i, one := range all {
		for range samples {
			arguments, err := one.arguments(s.calls)
			if err != nil {
				return err
			}
			transaction, err := s.sender.Anchor(deployed[i], arguments...)
			if err != nil {
				return err
			}
			transactions = append(transactions, transaction)
		}
	}
	receipts, err := s.sender.AwaitAll(ctx, s.follower, transactions)
	if err != nil {
		return err
	}
	for i, one := range all {
		var costs []cost
		for _, receipt := range receipts[i*samples : (i+1)*samples] {
			taken, err := r.cost(ctx, s, receipt, one.count, rollup)
			if err != nil {
				return err
			}
			costs = append(costs, taken)
		}
		r.add(group, one.name, one.title, costs, rollup, one.count)
	}
	return nil
}

// root is that of the tree over the next calls.
func (c *calls) root(count int) ([32]byte, error) {
	leaves := make([][]byte, count)
	for i := range leaves {
		call, err := c.next()
		if err != nil {
			return [32]byte{}, err
		}
		leaves[i] = append(call.key[:], call.digest[:]...)
	}
	text, err := ledger.Root(leaves)
	if err != nil {
		return [32]byte{}, err
	}
	root, err := hex.DecodeString(text)
	if err != nil {
		return [32]byte{}, fmt.Errorf("read a root: %w", err)
	}
	return [32]byte(root), nil
}

// cost reads what a transaction took for each of count records.
func (r *runner) cost(ctx context.Context, s *session, receipt *types.Receipt, count int, rollup bool) (cost, error) {
	taken := cost{gas: float64(receipt.GasUsed) / float64(count)}
	if !rollup {
		return taken, nil
	}
	read, err := readRollupReceipt(ctx, s, receipt.TxHash)
	if err != nil {
		return cost{}, err
	}
	taken.l1Gas = float64(read.L1GasUsed.ToInt().Int64()) / float64(count)
	taken.l1Fee = read.feeAt(r.options.Prices) / float64(count)
	return taken, nil
}

// rollupReceipt is what a rollup's receipt says of the fee for its bytes on the L1:
// https://specs.optimism.io/protocol/fjord/exec-engine.html#fees
type rollupReceipt struct {
	L1Fee       *hexutil.Big    `json:"l1Fee"`
	L1GasUsed   *hexutil.Big    `json:"l1GasUsed"`
	L1GasPrice  *hexutil.Big    `json:"l1GasPrice"`
	BlobBaseFee *hexutil.Big    `json:"l1BlobBaseFee"`
	BaseScalar  *hexutil.Uint64 `json:"l1BaseFeeScalar"`
	BlobScalar  *hexutil.Uint64 `json:"l1BlobBaseFeeScalar"`
}

func readRollupReceipt(ctx context.Context, s *session, transaction common.Hash) (*rollupReceipt, error) {
	receipt := &rollupReceipt{}
	if err := s.sender.Client().Client().CallContext(ctx, receipt, "eth_getTransactionReceipt", transaction); err != nil {
		return nil, fmt.Errorf("read a receipt: %w", err)
	}
	if receipt.L1Fee == nil || receipt.L1GasUsed == nil || receipt.L1GasPrice == nil || receipt.BlobBaseFee == nil || receipt.BaseScalar == nil || receipt.BlobScalar == nil {
		return nil, fmt.Errorf("the receipt of %s says nothing of its fee on the L1: is it an OP Stack of Ecotone or later?", transaction)
	}
	return receipt, nil
}

// weight is what a byte of a batch costs at prices: its calldata gas is 16.
func (r *rollupReceipt) weight(baseFee, blobFee float64) float64 {
	return 16*float64(*r.BaseScalar)*baseFee + float64(*r.BlobScalar)*blobFee
}

// feeAt is the fee at stated prices, in gwei: the measured one times the ratio of what
// a byte costs, in which fees are linear.
func (r *rollupReceipt) feeAt(prices Prices) float64 {
	wei := func(n *hexutil.Big) float64 { f, _ := n.ToInt().Float64(); return f }
	measured := r.weight(wei(r.L1GasPrice), wei(r.BlobBaseFee))
	return wei(r.L1Fee) / measured * r.weight(prices.L1, prices.L1Blob)
}

// add adds a registry's figures to the group.
func (r *runner) add(group *result.Group, name, title string, costs []cost, rollup bool, count int) {
	const perEther = 1e9 // gwei
	var gas, fee, l1Gas, l1Fee, all []float64
	for _, one := range costs {
		l2 := one.gas * r.options.Prices.L2 / perEther * r.options.Prices.Ether
		l1 := one.l1Fee / perEther * r.options.Prices.Ether
		gas, fee, l1Gas, l1Fee, all = append(gas, one.gas), append(fee, l2), append(l1Gas, one.l1Gas), append(l1Fee, l1), append(all, l1+l2)
	}
	size := map[string]float64{"records": float64(count)}
	prices := map[string]float64{"records": float64(count), "gas_price_gwei": r.options.Prices.L2, "ether_usd": r.options.Prices.Ether}
	group.Measurements = append(group.Measurements,
		result.Measurement{Name: "gas/" + name, Title: title + ", per CDR", Unit: "gas", Parameters: size, Values: gas},
		result.Measurement{Name: "fee-l2/" + name, Title: title + ", fee for execution per CDR", Unit: "USD", Parameters: prices, Values: fee})
	if !rollup {
		return
	}
	onL1 := map[string]float64{"records": float64(count), "l1_base_fee_gwei": r.options.Prices.L1, "l1_blob_fee_gwei": r.options.Prices.L1Blob, "ether_usd": r.options.Prices.Ether}
	both := map[string]float64{"gas_price_gwei": r.options.Prices.L2}
	for key, value := range onL1 {
		both[key] = value
	}
	group.Measurements = append(group.Measurements,
		result.Measurement{Name: "l1-gas/" + name, Title: title + ", gas that the rollup counts for the L1 per CDR", Unit: "gas", Parameters: size, Values: l1Gas},
		result.Measurement{Name: "fee-l1/" + name, Title: title + ", fee for the L1 per CDR", Unit: "USD", Parameters: onL1, Values: l1Fee},
		result.Measurement{Name: "fee/" + name, Title: title + ", whole fee per CDR", Unit: "USD", Parameters: both, Values: all})
}
