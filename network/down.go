package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sync/errgroup"
)

// Down stops every node, gateways first and orderers last, and returns when all
// have ended. The ledger stays. On a network that is not running it does
// nothing.
func (n *Network) Down(ctx context.Context) error {
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return n.stopAll(ctx)
}

func (n *Network) stopAll(ctx context.Context) error {
	// Nodes an earlier start ran and these options leave out are stopped too.
	all := *n
	all.options.WithoutGateways = false
	var failures []error
	for _, kind := range []string{kindGateway, kindChaincode, kindPeer, kindOrderer} {
		var group errgroup.Group
		for _, one := range all.nodesOf(kind) {
			group.Go(func() error { return n.stop(ctx, one.name, true) })
		}
		if kind == kindChaincode {
			// An upgrade that was interrupted may have left these.
			for _, operator := range n.consortium.Operators {
				group.Go(func() error { return n.stop(ctx, nextName(operator), true) })
			}
		}
		failures = append(failures, group.Wait())
	}
	return errors.Join(failures...)
}

// stop ends one node and forgets its process; gently means SIGTERM first.
func (n *Network) stop(ctx context.Context, name string, gently bool) error {
	file := n.layout.pidFile(name)
	if p, running := readProcess(file); running {
		patience := stopPatience
		if !gently {
			patience = 0
		}
		if err := p.stop(ctx, patience); err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	return nil
}

// Clean stops the network and removes its state folder, ledger and keys
// included. It also removes a half-made folder, and refuses one that callseal
// did not make.
func Clean(ctx context.Context, state string) error {
	if state == "" {
		var err error
		if state, err = DefaultState(); err != nil {
			return fmt.Errorf("find the state folder: %w", err)
		}
	}
	n, err := Open(Options{State: state})
	var half *HalfMadeError
	var format *FormatError
	switch {
	case errors.As(err, &half), errors.As(err, &format):
		// Its definition may be gone: the standard names find what may run.
		n = &Network{layout: LayoutAt(state), consortium: Development()}
	case err != nil:
		return err
	}
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := n.stopAll(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(n.layout.root); err != nil {
		return fmt.Errorf("remove the state folder: %w", err)
	}
	// The lock file stays: removing it would let two commands hold two locks.
	return nil
}

// Stop ends one node, for instance "atlas-peer", gracefully.
func (n *Network) Stop(ctx context.Context, name string) error { return n.end(ctx, name, true) }

// Kill ends one node at once, as a crash would.
func (n *Network) Kill(ctx context.Context, name string) error { return n.end(ctx, name, false) }

// Freeze stops a node in its tracks, as a machine does that hangs: its ports stay
// open and nothing answers, until Thaw.
func (n *Network) Freeze(name string) error { return n.signal(name, syscall.SIGSTOP) }

// Thaw lets a frozen node go on.
func (n *Network) Thaw(name string) error { return n.signal(name, syscall.SIGCONT) }

func (n *Network) signal(name string, signal syscall.Signal) error {
	one, err := n.node(name)
	if err != nil {
		return err
	}
	p, running := readProcess(n.layout.pidFile(one.name))
	if !running {
		return fmt.Errorf("%s does not run", one.name)
	}
	return p.signal(signal)
}

func (n *Network) end(ctx context.Context, name string, gently bool) error {
	one, err := n.node(name)
	if err != nil {
		return err
	}
	return n.stop(ctx, one.name, gently)
}

// Start runs one node again and waits until it answers. The network must have
// been made by [Network.Up].
func (n *Network) Start(ctx context.Context, name string) error {
	one, err := n.node(name)
	if err != nil {
		return err
	}
	if !n.made() {
		return fmt.Errorf("there is no network in %s: run `callseal network up` first", n.layout.root)
	}
	var binaries fabricBinaries
	if one.kind == kindPeer || one.kind == kindOrderer {
		if binaries, err = findFabric(ctx, n.options.FabricBin, func(string) {}); err != nil {
			return err
		}
	}
	if err := n.start(one, binaries); err != nil {
		return err
	}
	return n.ready(ctx, one.name)
}
