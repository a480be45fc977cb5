// Package anvil runs Foundry's development chain: one process without consensus, a
// network or a disk, which executes the EVM and mines by the clock or at once. It is a
// lower bound for any EVM chain of that block time, and no rollup.
package anvil

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/callseal/callseal/benchmarks/daemon"
)

// startPatience bounds the start.
const startPatience = 30 * time.Second

// Key is the private key of anvil's first account, which has 10,000 ether. It is in
// anvil's documentation and protects nothing.
const Key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"

// socket is the file of the folder by which it is talked to.
const socket = "anvil.ipc"

// Automine mines a block for each transaction, at once.
const Automine time.Duration = 0

// Anvil is a running chain.
type Anvil struct {
	daemon *daemon.Daemon
	url    string
}

// Start runs anvil's program in a folder with a block time, or [Automine], on a port
// of 127.0.0.1, and waits until it answers.
func Start(ctx context.Context, program, folder string, blockTime time.Duration) (*Anvil, error) {
	ports, err := daemon.Ports(ctx, 1)
	if err != nil {
		return nil, err
	}
	return startOn(ctx, program, folder, blockTime, ports[0])
}

func startOn(ctx context.Context, program, folder string, blockTime time.Duration, port int) (*Anvil, error) {
	arguments := []string{"--host", "127.0.0.1", "--port", strconv.Itoa(port), "--ipc", filepath.Join(folder, socket), "--no-cors", "--accounts", "2", "--hardfork", "prague", "--color", "never"}
	if blockTime != Automine {
		arguments = append(arguments, "--block-time", strconv.FormatFloat(blockTime.Seconds(), 'f', -1, 64))
	}
	process, err := daemon.Start(daemon.Command{Name: "anvil", Program: program, Arguments: arguments, Folder: folder})
	if err != nil {
		return nil, err
	}
	a := &Anvil{daemon: process, url: filepath.Join(folder, socket)}
	waiting, cancel := context.WithTimeoutCause(ctx, startPatience, fmt.Errorf("no answer within %s", startPatience))
	defer cancel()
	if err := process.Await(waiting, a.answers); err != nil {
		a.Stop()
		return nil, err
	}
	return a, nil
}

var errEnded = errors.New("it ended")

func (a *Anvil) answers(ctx context.Context) error {
	client, err := ethclient.DialContext(ctx, a.url)
	if err != nil {
		return err
	}
	defer client.Close()
	if _, err := client.ChainID(ctx); err != nil {
		return err
	}
	// Where the port was taken, another chain answers on it.
	select {
	case <-a.daemon.Done():
		return errEnded
	default:
		return nil
	}
}

// URL is where it answers: a Unix socket. Its WebSocket has Nagle's algorithm on, which
// holds what follows soon after something else back until that is acknowledged, for the
// kernel's 40 ms.
func (a *Anvil) URL() string { return a.url }

// Daemons are its processes.
func (a *Anvil) Daemons() []*daemon.Daemon { return []*daemon.Daemon{a.daemon} }

// Stop ends it.
func (a *Anvil) Stop() { a.daemon.Stop() }
