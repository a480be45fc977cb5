package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sync/errgroup"
)

// Upgrade changes a network over to the chaincodes of another program: that of bin,
// or of the network's own folder where that is empty. The version is what the
// program says of itself, or [Options.ChaincodeVersion].
//
// The new services start beside the old ones, on the standby addresses; each
// operator's admin installs and approves the new definitions, whose sequence follows
// the one on the channel; once they are committed and every operator's peer runs
// them, the old services stop, and running gateways start again from the new folder.
// The ledger stays as it is. Going back to an older version is the same, and it
// reads what it wrote itself; what a newer one wrote it refuses to read.
//
// Interrupted, it goes on where it was when called again, and changes nothing when
// the channel is at that version.
func (n *Network) Upgrade(ctx context.Context, bin string, progress func(string)) error {
	progress = oneAtATime(progress)
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if !n.made() {
		return fmt.Errorf("there is no network in %s: run `callseal network up` first", n.layout.root)
	}
	if err := n.readDeployments(); err != nil {
		return err
	}
	if bin != "" {
		if bin, err = filepath.Abs(bin); err != nil {
			return fmt.Errorf("folder of the new programs: %w", err)
		}
	}
	next, wanted, err := n.nextDeployment(ctx, bin)
	if err != nil {
		return err
	}
	if !wanted {
		progress(fmt.Sprintf("the chaincodes are version %s already", n.deployed.Current.Version))
		return nil
	}
	binaries, err := findFabric(ctx, n.options.FabricBin, progress)
	if err != nil {
		return err
	}
	members, closeAll, err := n.openAll()
	if err != nil {
		return err
	}
	defer closeAll()
	return n.changeOver(ctx, next, members, binaries, progress)
}

// nextDeployment is what is to be deployed, unless it is.
func (n *Network) nextDeployment(ctx context.Context, bin string) (next deployment, wanted bool, err error) {
	version, err := n.programVersion(ctx, bin)
	if err != nil {
		return next, false, err
	}
	current, pending := n.deployed.Current, n.deployed.Next
	next = deployment{Version: version, Standby: !current.Standby, Governance: !n.options.WithoutGovernance, Bin: bin}
	if pending != nil && pending.Version != version {
		return next, false, fmt.Errorf("an upgrade to version %s is under way and has to end first: call it again, and go on to %s then", pending.Version, version)
	}
	return next, pending != nil || version != current.Version, nil
}

// changeOver does the work of Upgrade.
func (n *Network) changeOver(ctx context.Context, next deployment, members []*access, binaries fabricBinaries, progress func(string)) error {
	from := n.deployed.Current.Version
	if err := n.deploy(deployments{Current: n.deployed.Current, Next: &next}); err != nil {
		return err
	}
	if err := n.checkPorts(); err != nil {
		return err
	}
	begun := time.Now()
	operators := members[:len(n.consortium.Operators)]
	for _, one := range n.nodes() {
		// The old services need not run: on a network that was stopped they do not.
		starting := one.kind == kindOrderer || one.kind == kindPeer || one.kind == kindChaincode && one.deployed == next
		if !starting {
			continue
		}
		if err := n.start(one, binaries); err != nil {
			return err
		}
	}
	if err := n.joinAll(ctx, members); err != nil {
		return err
	}
	for _, operator := range operators {
		if err := n.ready(ctx, nextName(operator.member)); err != nil {
			return err
		}
	}
	progress(fmt.Sprintf("version %s served beside version %s (%s)", next.Version, from, elapsed(begun)))
	begun = time.Now()
	if err := n.defineAll(ctx, operators, next); err != nil {
		return err
	}
	if err := n.awaitRunning(ctx, everyPeer(operators), next); err != nil {
		return err
	}
	if err := n.awaitPeers(ctx, everyPeer(operators), next); err != nil {
		return err
	}
	progress(fmt.Sprintf("version %s defined and run by the peers of %d operators (%s)", next.Version, len(operators), elapsed(begun)))
	if err := n.retire(ctx, next); err != nil {
		return err
	}
	progress("the services of version " + from + " stopped")
	if err := n.useGovernance(ctx, operators); err != nil {
		return err
	}
	if err := n.awaitBlocks(ctx, everyPeer(members)); err != nil {
		return err
	}
	return n.renewGateways(ctx, next.Bin, binaries, progress)
}

// useGovernance founds the consortium where the deployment has governance.
func (n *Network) useGovernance(ctx context.Context, operators []*access) error {
	if !n.deployed.Current.Governance {
		return nil
	}
	return n.foundConsortium(ctx, operators)
}

// awaitRunning waits until every operator's peer answers with a deployment's
// chaincodes.
func (n *Network) awaitRunning(ctx context.Context, operators []*access, d deployment) error {
	group, waiting := errgroup.WithContext(ctx)
	for _, operator := range operators {
		for _, which := range n.chaincodes(d) {
			group.Go(func() error {
				return await(waiting, "run version "+d.Version+" of chaincode "+which.name+" on "+operator.member.Name+"'s peer", func(ctx context.Context) error {
					version, err := n.runningVersion(ctx, operator, which)
					if err == nil && version != d.Version {
						err = fmt.Errorf("it runs version %q", version)
					}
					return err
				})
			})
		}
	}
	return group.Wait()
}

// retire stops the old services and lets the new ones take their names.
func (n *Network) retire(ctx context.Context, next deployment) error {
	for _, operator := range n.consortium.Operators {
		if err := n.stop(ctx, nodeName(operator, kindChaincode), true); err != nil {
			return err
		}
	}
	for _, operator := range n.consortium.Operators {
		old, current := n.layout.pidFile(nextName(operator)), n.layout.pidFile(nodeName(operator, kindChaincode))
		if err := os.Rename(old, current); err != nil {
			return fmt.Errorf("retire the old chaincode service of %s: %w", operator.Name, err)
		}
	}
	return n.deploy(deployments{Current: next})
}

// renewGateways starts the running gateways again from a folder that has them, one
// by one, and keeps to that folder.
func (n *Network) renewGateways(ctx context.Context, bin string, binaries fabricBinaries, progress func(string)) error {
	if bin != "" {
		if _, err := os.Stat(filepath.Join(bin, "callseal-gateway")); errors.Is(err, os.ErrNotExist) {
			progress("gateways stay at the version they are: " + bin + " holds none")
			return nil
		}
		if err := n.keepBin(bin); err != nil {
			return err
		}
	}
	renewed := 0
	for _, one := range n.nodesOf(kindGateway) {
		if _, running := readProcess(n.layout.pidFile(one.name)); !running {
			continue
		}
		if err := n.stop(ctx, one.name, true); err != nil {
			return err
		}
		if err := n.start(one, binaries); err != nil {
			return err
		}
		if err := n.ready(ctx, one.name); err != nil {
			return err
		}
		renewed++
	}
	if renewed > 0 {
		progress(fmt.Sprintf("%d gateways started again", renewed))
	}
	return nil
}

// keepBin notes the folder of the product's programs.
func (n *Network) keepBin(bin string) error {
	content, err := os.ReadFile(n.layout.marker())
	if err != nil {
		return fmt.Errorf("read the marker: %w", err)
	}
	var made marker
	if err := json.Unmarshal(content, &made); err != nil {
		return n.broken("its network.json is not readable")
	}
	made.Bin, n.options.Bin = bin, bin
	if content, err = json.Marshal(made); err != nil {
		return fmt.Errorf("write the marker: %w", err)
	}
	if err := renameio.WriteFile(n.layout.marker(), content, 0o600); err != nil {
		return fmt.Errorf("write the marker: %w", err)
	}
	return nil
}
