package contracts_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/stretchr/testify/require"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"

	"github.com/callseal/callseal/benchmarks/l2/anvil"
	"github.com/callseal/callseal/benchmarks/l2/contracts"
	"github.com/callseal/callseal/benchmarks/l2/driver"
	"github.com/callseal/callseal/benchmarks/l2/npm"
)

// otherKey is that of anvil's second account.
const otherKey = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"

var compiled = sync.OnceValues(func() (contracts.Contracts, error) {
	tools, err := npm.Install(context.Background(), func(string) {})
	if err != nil {
		return nil, err
	}
	return contracts.Compile(context.Background(), tools)
})

// chain is a running anvil with its first account's connection.
type chain struct {
	*driver.Sender
	url      string
	follower *driver.Follower
}

func start(t *testing.T) *chain {
	t.Helper()
	tools, err := npm.Install(t.Context(), func(line string) { t.Log(line) })
	require.NoError(t, err)
	node, err := anvil.Start(t.Context(), tools.Anvil, t.TempDir(), anvil.Automine)
	require.NoError(t, err)
	t.Cleanup(node.Stop)
	sender, err := driver.NewSender(t.Context(), node.URL(), anvil.Key)
	require.NoError(t, err)
	t.Cleanup(sender.Close)
	follower, err := driver.Follow(t.Context(), node.URL())
	require.NoError(t, err)
	t.Cleanup(follower.Close)
	return &chain{Sender: sender, url: node.URL(), follower: follower}
}

func (c *chain) deploy(t *testing.T, name string) *driver.Registry {
	t.Helper()
	all, err := compiled()
	require.NoError(t, err)
	require.Contains(t, all, name)
	registry, err := c.Deploy(t.Context(), c.follower, all[name])
	require.NoError(t, err)
	return registry
}

func (c *chain) anchor(t *testing.T, registry *driver.Registry, arguments ...any) (*types.Receipt, error) {
	t.Helper()
	transaction, err := c.Anchor(registry, arguments...)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return c.Await(ctx, c.follower, transaction)
}

// refusal is the error of the contract that a call from an address is answered with.
func (c *chain) refusal(t *testing.T, registry *driver.Registry, from common.Address, arguments ...any) *abi.Error {
	t.Helper()
	data, err := registry.ABI.Pack("anchor", arguments...)
	require.NoError(t, err)
	_, err = c.Client().CallContract(t.Context(), ethereum.CallMsg{From: from, To: &registry.Address, Data: data}, nil)
	var answer rpc.DataError
	require.ErrorAs(t, err, &answer)
	text, ok := answer.ErrorData().(string)
	require.True(t, ok)
	var id [4]byte
	copy(id[:], common.FromHex(text))
	found, err := registry.ABI.ErrorByID(id)
	require.NoError(t, err)
	return found
}

func (c *chain) read(t *testing.T, registry *driver.Registry, function string, arguments ...any) []any {
	t.Helper()
	data, err := registry.ABI.Pack(function, arguments...)
	require.NoError(t, err)
	answer, err := c.Client().CallContract(t.Context(), ethereum.CallMsg{To: &registry.Address, Data: data}, nil)
	require.NoError(t, err)
	values, err := registry.ABI.Unpack(function, answer)
	require.NoError(t, err)
	return values
}

func hash(text string) [32]byte { return sha256.Sum256([]byte(text)) }

func TestARecordIsPutOnceByItsOwner(t *testing.T) {
	c := start(t)
	for _, name := range []string{contracts.Struct, contracts.Slot, contracts.Event, contracts.Merkle} {
		t.Run(name, func(t *testing.T) {
			registry := c.deploy(t, name)
			key, value, event := hash("key"), any(hash("digest")), "Anchored"
			if name == contracts.Merkle {
				value, event = big.NewInt(256), "AnchoredRoot"
			}
			require.Equal(t, c.Address(), c.read(t, registry, "owner")[0])

			stranger := common.HexToAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
			require.Equal(t, "NotOwner", c.refusal(t, registry, stranger, key, value).Name)
			receipt, err := c.anchor(t, registry, key, value)
			require.NoError(t, err)

			require.Len(t, receipt.Logs, 1)
			told := receipt.Logs[0]
			require.Equal(t, registry.Address, told.Address)
			require.Equal(t, []common.Hash{registry.ABI.Events[event].ID, key}, told.Topics)
			values, err := registry.ABI.Unpack(event, told.Data)
			require.NoError(t, err)
			require.Equal(t, []any{value}, values)

			if name == contracts.Event {
				return // it keeps nothing that could refuse
			}
			_, err = c.anchor(t, registry, key, value)
			require.ErrorIs(t, err, driver.ErrReverted, "the same again")
			if name != contracts.Merkle {
				_, err = c.anchor(t, registry, key, hash("another"))
				require.ErrorIs(t, err, driver.ErrReverted, "another under the same key")
			}
			require.Equal(t, "AlreadyAnchored", c.refusal(t, registry, c.Address(), key, value).Name)
			switch name {
			case contracts.Struct:
				kept := c.read(t, registry, "records", key)
				require.Equal(t, value, kept[0])
				head, err := c.Client().HeaderByNumber(t.Context(), receipt.BlockNumber)
				require.NoError(t, err)
				require.Equal(t, head.Time, kept[1])
				require.Equal(t, c.Address(), kept[2])
			case contracts.Slot:
				require.Equal(t, value, c.read(t, registry, "digests", key)[0])
			case contracts.Merkle:
				require.Equal(t, value, c.read(t, registry, "counts", key)[0])
			}
		})
	}
}

func TestAStrangersTransactionIsReverted(t *testing.T) {
	c := start(t)
	stranger, err := driver.NewSender(t.Context(), c.url, otherKey)
	require.NoError(t, err)
	t.Cleanup(stranger.Close)
	for _, name := range []string{contracts.Struct, contracts.Slot, contracts.Event} {
		registry := c.deploy(t, name)
		transaction, err := stranger.Anchor(registry, hash("key"), hash("digest"))
		require.NoError(t, err)
		receipt, err := stranger.Await(t.Context(), c.follower, transaction)
		require.ErrorIs(t, err, driver.ErrReverted, name)
		require.Empty(t, receipt.Logs, name)
		require.Equal(t, "NoDigest", c.refusal(t, registry, c.Address(), hash("key"), [32]byte{}).Name, name)
	}
}

func TestAPathShowsThatARecordIsUnderTheRoot(t *testing.T) {
	c := start(t)
	registry := c.deploy(t, contracts.Merkle)
	for _, count := range []int{1, 2, 3, 5, 8, 100} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			tree := testonly.New(rfc6962.DefaultHasher)
			key := func(i int) [32]byte { return hash(fmt.Sprint("key ", count, i)) }
			digest := func(i int) [32]byte { return hash(fmt.Sprint("digest ", count, i)) }
			for i := range count {
				k, d := key(i), digest(i)
				tree.AppendData(append(k[:], d[:]...))
			}
			root := [32]byte(tree.Hash())
			holds := func(root, key, digest [32]byte, index int, path [][32]byte) bool {
				t.Helper()
				answer, ok := c.read(t, registry, "verify", root, key, digest, big.NewInt(int64(index)), path)[0].(bool)
				require.True(t, ok)
				return answer
			}
			pathOf := func(i int) [][32]byte {
				t.Helper()
				proof, err := tree.InclusionProof(uint64(i), uint64(count))
				require.NoError(t, err)
				path := [][32]byte{}
				for _, node := range proof {
					path = append(path, [32]byte(node))
				}
				return path
			}
			require.False(t, holds(root, key(0), digest(0), 0, pathOf(0)), "the root is not anchored")
			_, err := c.anchor(t, registry, root, big.NewInt(int64(count)))
			require.NoError(t, err)
			for i := range count {
				require.True(t, holds(root, key(i), digest(i), i, pathOf(i)), "record %d", i)
			}
			last := count - 1
			path := pathOf(last)
			require.False(t, holds(root, key(last), digest(last+1), last, path), "another digest")
			require.False(t, holds(root, key(last+1), digest(last), last, path), "another key")
			require.False(t, holds(hash("another"), key(last), digest(last), last, path), "another root")
			require.False(t, holds(root, key(last), digest(last), count, path), "a place beyond the tree")
			require.False(t, holds(root, key(last), digest(last), last, append(path, hash("more"))), "a path that goes on")
			if count > 1 {
				require.False(t, holds(root, key(last), digest(last), last-1, path), "another place")
				require.False(t, holds(root, key(last), digest(last), last, path[1:]), "a shorter path")
				path[0][0] ^= 1
				require.False(t, holds(root, key(last), digest(last), last, path), "a path of another node")
			}
		})
	}
}

func TestSourcesThatSolcRefuses(t *testing.T) {
	tools, err := npm.Install(t.Context(), func(string) {})
	require.NoError(t, err)
	_, err = contracts.CompileSources(t.Context(), tools, map[string]string{"Broken.sol": "pragma solidity 0.8.37; contract Broken { uint x = ; }"})
	require.ErrorIs(t, err, contracts.ErrCompile)
	require.ErrorContains(t, err, "Broken.sol")
}

func TestSolcThatIsMissing(t *testing.T) {
	tools, err := npm.Install(t.Context(), func(string) {})
	require.NoError(t, err)
	tools.Solc += ".missing"
	_, err = contracts.Compile(t.Context(), tools)
	require.ErrorContains(t, err, tools.Solc)
}
