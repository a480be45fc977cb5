// Package opstack runs a real OP Stack on 127.0.0.1: geth as the L1, with a block
// every 12 s as Ethereum has, op-geth and op-node as the one sequencer, with a block
// every 2 s, and op-batcher, which puts the L2's blocks on the L1. The programs are
// those that chains such as OP Mainnet run, built from source.
//
// There are no contracts on the L1 and nothing is proposed or proven there: neither
// takes part in how a transaction comes into a block, or in how the block becomes
// safe.
package opstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/callseal/callseal/benchmarks/daemon"
)

// Development keys, published with the programs or made up here; they protect nothing.
const (
	// Key is the private key of an account with ether on the L2.
	Key         = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
	userAddress = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
	// batcherKey is that of the account which geth --dev gives all ether of the L1.
	batcherKey     = "b71c71a67e1177ad4e901695e1b4b9ee17ae16c6668d313eac2f96dbcda3f291"
	batcherAddress = "0x71562b71999873DB5b286dF957af199Ec94617F7"
)

// startPatience bounds the start of each program.
const startPatience = 60 * time.Second

// BlockTime is that of the L2.
const BlockTime = blockTime * time.Second

// Options are what can be told to a stack.
type Options struct {
	// Recommit is how often op-geth fills the block anew that it is making; 0 leaves
	// it at its default, 2 s, where a transaction misses the block that is being made
	// when it comes and is in the next.
	Recommit time.Duration
	// ChannelBlocks is op-batcher's --max-channel-duration: after how many L1 blocks it
	// puts what it has on the L1. 0 waits until a channel is full.
	ChannelBlocks int
}

// Stack is a running OP Stack.
type Stack struct {
	url     string
	daemons []*daemon.Daemon
}

// Start runs a stack in a folder, and waits until it makes blocks.
func Start(ctx context.Context, binaries Binaries, folder string, options Options) (*Stack, error) {
	s := &Stack{}
	if err := s.start(ctx, binaries, folder, options); err != nil {
		s.Stop()
		return nil, fmt.Errorf("start the OP Stack: %w", err)
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, binaries Binaries, folder string, options Options) error {
	ports, err := daemon.Ports(ctx, 6)
	if err != nil {
		return err
	}
	l1Port, port, authPort, nodePort, batcherPort, httpPort := ports[0], ports[1], ports[2], ports[3], ports[4], ports[5]
	l1URL := fmt.Sprintf("ws://127.0.0.1:%d", l1Port)
	s.url = fmt.Sprintf("ws://127.0.0.1:%d", port)
	anchor, err := s.startL1(ctx, binaries, folder, l1URL, l1Port)
	if err != nil {
		return err
	}
	optimism, err := writeGenesis(ctx, binaries, folder, anchor)
	if err != nil {
		return err
	}
	data := filepath.Join(folder, "op-geth")
	if _, err := run(ctx, folder, binaries.opGeth, "init", "--datadir", data, "--state.scheme", "path", filepath.Join(folder, genesisFile)); err != nil {
		return fmt.Errorf("initialise the L2: %w", err)
	}
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	if err := writeSecret(folder, secret); err != nil {
		return fmt.Errorf("write the secret of op-geth: %w", err)
	}
	// It would listen for peers on a port of every interface.
	if err := os.WriteFile(filepath.Join(folder, configFile), []byte("[Node.P2P]\nListenAddr = \"\"\n"), 0o600); err != nil {
		return fmt.Errorf("write the configuration of op-geth: %w", err)
	}
	arguments := []string{
		"--config", configFile, "--datadir", data, "--networkid", strconv.Itoa(chainID), "--syncmode", "full", "--state.scheme", "path",
		"--nodiscover", "--maxpeers", "0", "--ipcdisable", "--rollup.disabletxpoolgossip", "--rollup.superchain-upgrades=false",
		"--ws", "--ws.addr", "127.0.0.1", "--ws.port", strconv.Itoa(port), "--ws.api", "eth,net,web3",
		"--http", "--http.addr", "127.0.0.1", "--http.port", strconv.Itoa(httpPort), "--http.api", "eth,net,web3,miner,txpool,debug",
		"--authrpc.addr", "127.0.0.1", "--authrpc.port", strconv.Itoa(authPort), "--authrpc.jwtsecret", jwtFile,
	}
	if options.Recommit != 0 {
		arguments = append(arguments, "--miner.recommit", options.Recommit.String())
	}
	genesis, err := s.run(ctx, daemon.Command{Name: "op-geth", Program: binaries.opGeth, Arguments: arguments, Folder: folder}, s.url, 0)
	if err != nil {
		return err
	}
	if err := writeRollup(folder, anchor, genesis, optimism); err != nil {
		return err
	}
	if _, err := s.run(ctx, daemon.Command{Name: "op-node", Program: binaries.opNode, Folder: folder, Arguments: []string{
		"--l1", l1URL, "--l1.rpckind", "standard", "--l1.trustrpc", "--l1.beacon", fmt.Sprintf("http://127.0.0.1:%d", l1Port), "--l1.beacon.ignore",
		"--l2", fmt.Sprintf("http://127.0.0.1:%d", authPort), "--l2.jwt-secret", jwtFile,
		"--rollup.config", rollupFile, "--rollup.l1-chain-config", l1GenesisFile,
		// By default the sequencer stands on an L1 block that is four behind, from which
		// op-batcher counts; on a new chain there are none.
		"--sequencer.enabled", "--sequencer.l1-confs", "0", "--p2p.disable", "--rpc.addr", "127.0.0.1", "--rpc.port", strconv.Itoa(nodePort),
	}}, s.url, 1); err != nil {
		return err
	}
	_, err = s.run(ctx, daemon.Command{Name: "op-batcher", Program: binaries.opBatcher, Folder: folder, Arguments: []string{
		"--l1-eth-rpc", l1URL, "--l2-eth-rpc", fmt.Sprintf("http://127.0.0.1:%d", httpPort), "--rollup-rpc", fmt.Sprintf("http://127.0.0.1:%d", nodePort),
		"--private-key", batcherKey, "--data-availability-type", "calldata", "--max-channel-duration", strconv.Itoa(options.ChannelBlocks), "--sub-safety-margin", "4", "--poll-interval", "1s", "--max-pending-tx", "10", "--num-confirmations", "1",
		"--rpc.addr", "127.0.0.1", "--rpc.port", strconv.Itoa(batcherPort),
	}}, s.url, 2)
	return err
}

// startL1 runs the L1 and answers the block that the L2 begins on.
func (s *Stack) startL1(ctx context.Context, binaries Binaries, folder, url string, port int) (*types.Header, error) {
	genesis, err := run(ctx, folder, binaries.geth, "--dev", "dumpgenesis")
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, l1GenesisFile), genesis, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("write the genesis of the L1: %w", err)
	}
	return s.run(ctx, daemon.Command{Name: "l1-geth", Program: binaries.geth, Folder: folder, Arguments: []string{
		"--dev", "--dev.period", "12", "--dev.gaslimit", "60000000", "--ipcdisable",
		"--ws", "--ws.addr", "127.0.0.1", "--ws.port", strconv.Itoa(port), "--ws.api", "eth,net,web3,debug",
		"--authrpc.addr", "127.0.0.1", "--authrpc.port", "0",
	}}, url, 1)
}

var errNoBlock = errors.New("its chain is not that long")

// run starts a program and waits until the chain behind url has a block of that
// number, which it answers.
func (s *Stack) run(ctx context.Context, command daemon.Command, url string, height int64) (*types.Header, error) {
	process, err := daemon.Start(command)
	if err != nil {
		return nil, err
	}
	s.daemons = append(s.daemons, process)
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("no block %d within %s", height, startPatience))
	defer cancel()
	var header *types.Header
	err = process.Await(ctx, func(ctx context.Context) error {
		client, err := ethclient.DialContext(ctx, url)
		if err != nil {
			return err
		}
		defer client.Close()
		at, err := client.BlockNumber(ctx)
		if err != nil {
			return err
		}
		if at < uint64(height) { //nolint:gosec // not negative
			return errNoBlock
		}
		header, err = client.HeaderByNumber(ctx, big.NewInt(height))
		return err
	})
	return header, err
}

// URL is where op-geth answers, by WebSocket.
func (s *Stack) URL() string { return s.url }

// Daemons are the processes: l1-geth, op-geth, op-node and op-batcher.
func (s *Stack) Daemons() []*daemon.Daemon { return s.daemons }

// Stop ends them, those first that need the others.
func (s *Stack) Stop() {
	for _, process := range slices.Backward(s.daemons) {
		process.Stop()
	}
}
