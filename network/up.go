package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// Up makes the network if the state folder is new and starts whatever of it is
// not running, until every node is ready and operators find each other to
// endorse. Run again on a running network it changes nothing; after [Network.Down]
// it continues on the old ledger. progress is told each step in a line; nil is
// allowed.
//
// It fails with one sentence on a taken port, a missing program or one of the
// wrong version, and a half-made state folder (a [HalfMadeError]). Nodes it had
// started by then stay up; [Network.Down] stops them.
func (n *Network) Up(ctx context.Context, progress func(string)) error {
	progress = oneAtATime(progress)
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if !n.made() {
		if err := n.refuseHalfMade(); err != nil {
			return err
		}
	}
	// Another command may have upgraded it since it was opened.
	if err := n.readDeployments(); err != nil {
		return err
	}
	if next := n.deployed.Next; next != nil {
		return fmt.Errorf("an upgrade of the network in %s to version %s was interrupted: `callseal network upgrade` goes on with it", n.layout.root, next.Version)
	}
	// Everything that can be refused is refused before anything is written.
	binaries, err := findFabric(ctx, n.options.FabricBin, progress)
	if err != nil {
		return err
	}
	if err := n.checkPrograms(); err != nil {
		return err
	}
	if err := n.checkPorts(); err != nil {
		return err
	}
	if n.made() {
		if err := n.checkWhole(); err != nil {
			return err
		}
		if err := n.checkVersion(ctx); err != nil {
			return err
		}
		if err := n.writeBuilder(); err != nil {
			return err
		}
	} else {
		begun := time.Now()
		version, err := n.programVersion(ctx, "")
		if err != nil {
			return err
		}
		if err := n.make(ctx, binaries, version); err != nil {
			return err
		}
		progress(fmt.Sprintf("identities of %d members and the channel's first block made (%s)", len(n.consortium.Members()), elapsed(begun)))
	}
	return n.run(ctx, binaries, progress)
}

// run brings a made network's nodes up and its channel into use.
func (n *Network) run(ctx context.Context, binaries fabricBinaries, progress func(string)) error {
	members, closeAll, err := n.openAll()
	if err != nil {
		return err
	}
	defer closeAll()
	begun := time.Now()
	for _, kind := range []string{kindOrderer, kindPeer, kindChaincode} {
		for _, one := range n.nodesOf(kind) {
			if err := n.start(one, binaries); err != nil {
				return err
			}
		}
	}
	if err := n.joinAll(ctx, members); err != nil {
		return err
	}
	progress(fmt.Sprintf("%d orderers (%s) and %d peers on channel %s (%s)", len(n.nodesOf(kindOrderer)), n.consortium.Consensus, len(everyPeer(members)), n.consortium.Channel, elapsed(begun)))
	begun = time.Now()
	operators := members[:len(n.consortium.Operators)]
	if err := n.checkDefined(ctx, operators[0], n.deployed.Current); err != nil {
		return err
	}
	if err := n.defineAll(ctx, operators, n.deployed.Current); err != nil {
		return err
	}
	if err := n.eachNode(ctx, kindChaincode); err != nil {
		return err
	}
	if err := n.awaitPeers(ctx, everyPeer(operators), n.deployed.Current); err != nil {
		return err
	}
	for _, operator := range operators {
		if err := n.awaitRunning(ctx, operator.further, n.deployed.Current); err != nil {
			return err
		}
	}
	progress(fmt.Sprintf("chaincode %s version %s defined, %d services running (%s)", n.consortium.Chaincode, n.deployed.Current.Version, len(operators), elapsed(begun)))
	begun = time.Now()
	if err := n.useGovernance(ctx, operators); err != nil {
		return err
	}
	for _, operator := range operators {
		if err := n.enrolAdapters(ctx, operator); err != nil {
			return err
		}
	}
	if err := n.awaitBlocks(ctx, everyPeer(members)); err != nil {
		return err
	}
	done := "adapters of every PBX enrolled"
	if n.deployed.Current.Governance {
		done = "consortium founded, " + done
	}
	progress(fmt.Sprintf("%s (%s)", done, elapsed(begun)))
	return n.startGateways(ctx, binaries, progress)
}

func (n *Network) startGateways(ctx context.Context, binaries fabricBinaries, progress func(string)) error {
	gateways := n.nodesOf(kindGateway)
	if len(gateways) == 0 {
		return nil
	}
	begun := time.Now()
	for _, one := range gateways {
		if err := n.start(one, binaries); err != nil {
			return err
		}
	}
	if err := n.eachNode(ctx, kindGateway); err != nil {
		return err
	}
	progress(fmt.Sprintf("%d gateways serving (%s)", len(gateways), elapsed(begun)))
	return nil
}

// joinAll waits for orderers and peers and joins them to the channel.
func (n *Network) joinAll(ctx context.Context, members []*access) error {
	genesis, err := readBlock(n.layout.GenesisBlock())
	if err != nil {
		return err
	}
	channel := n.consortium.Channel
	group, joining := errgroup.WithContext(ctx)
	for _, member := range everyPeer(members) {
		group.Go(func() error {
			if err := n.ready(joining, nodeName(member.member, member.member.peerKind())); err != nil {
				return err
			}
			return await(joining, "join "+member.member.Name+"'s peer to the channel", func(ctx context.Context) error {
				return member.joinPeer(ctx, channel, genesis)
			})
		})
	}
	ordering := members[:len(n.consortium.orderingMembers())]
	for _, member := range ordering {
		group.Go(func() error {
			if err := n.ready(joining, nodeName(member.member, kindOrderer)); err != nil {
				return err
			}
			err := await(joining, "join "+member.member.Name+"'s orderer to the channel", func(ctx context.Context) error {
				return member.joinOrderer(ctx, channel, genesis)
			})
			if err != nil {
				return err
			}
			return await(joining, "bring "+member.member.Name+"'s orderer into ordering", func(ctx context.Context) error {
				return member.ordererReady(ctx, channel)
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return await(ctx, "choose a leading orderer", func(ctx context.Context) error {
		for _, member := range ordering {
			if leads, err := member.leads(ctx, channel); err != nil || leads {
				return err
			}
		}
		return errors.New("none leads yet")
	})
}

// openAll opens the access of every member, operators first.
func (n *Network) openAll() ([]*access, func(), error) {
	var all []*access
	closeAll := func() {
		for _, one := range all {
			one.close()
		}
	}
	for _, member := range n.consortium.Members() {
		one, err := openAccess(n.layout, member)
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		all = append(all, one)
	}
	return all, closeAll, nil
}

// checkPrograms finds the product's own programs before anything is started.
func (n *Network) checkPrograms() error {
	programs := []string{"callseal-chaincode"}
	if !n.options.WithoutGateways {
		programs = append(programs, "callseal-gateway")
	}
	if len(n.options.Builder) == 0 {
		programs = append(programs, "callseal")
	}
	for _, name := range programs {
		if _, err := n.program(name); err != nil {
			return err
		}
	}
	return nil
}

// PortTakenError says that a port a node needs is used by another program.
type PortTakenError struct {
	// Address is the address that is taken, as host:port.
	Address string
	// Owner is who should have it, for instance "Atlas's peer".
	Owner string
	// Err is what the system said.
	Err error
}

// Error says who needs the port and what to do, in one sentence.
func (e *PortTakenError) Error() string {
	_, port, _ := net.SplitHostPort(e.Address)
	if !errors.Is(e.Err, syscall.EADDRINUSE) {
		return fmt.Sprintf("%s cannot listen on %s: %v", e.Owner, e.Address, e.Err)
	}
	return fmt.Sprintf("port %s is taken, and it belongs to %s: stop the program that listens on %s, or move the network with --port-offset", port, e.Owner, e.Address)
}

// Unwrap gives what the system said.
func (e *PortTakenError) Unwrap() error { return e.Err }

// checkPorts finds ports of nodes that are yet to be started and are in use.
func (n *Network) checkPorts() error {
	for _, one := range n.nodes() {
		if _, running := readProcess(n.layout.pidFile(one.name)); running {
			continue
		}
		for _, place := range one.listens {
			listener, err := listen(*place.address)
			if err != nil {
				return &PortTakenError{Address: *place.address, Owner: place.owner, Err: err}
			}
			_ = listener.Close()
		}
	}
	return nil
}

// start runs a node unless it is running.
func (n *Network) start(one node, binaries fabricBinaries) error {
	if _, running := readProcess(n.layout.pidFile(one.name)); running {
		return nil
	}
	command, err := n.commandOf(one, binaries)
	if err != nil {
		return err
	}
	command.environment = append(command.environment, n.processors())
	if _, err := startProcess(command, n.layout.LogFile(one.logName()), n.layout.pidFile(one.name)); err != nil {
		return fmt.Errorf("%s: %w", one.name, err)
	}
	return nil
}

// eachNode waits for all nodes of a kind.
func (n *Network) eachNode(ctx context.Context, kind string) error {
	group, waiting := errgroup.WithContext(ctx)
	for _, one := range n.nodesOf(kind) {
		group.Go(func() error { return n.ready(waiting, one.name) })
	}
	return group.Wait()
}

// ready waits until a node answers for itself, or fails as soon as its process
// has ended, with what its log says.
func (n *Network) ready(ctx context.Context, name string) error {
	one, err := n.node(name)
	if err != nil {
		return err
	}
	return await(ctx, "start "+name, func(ctx context.Context) error {
		err := n.healthy(ctx, one)
		if err == nil {
			return nil
		}
		if _, running := readProcess(n.layout.pidFile(name)); !running {
			log := n.layout.LogFile(one.logName())
			return permanent(fmt.Errorf("it ended by itself, and its last words were %q (%s)", tail(log), log))
		}
		return err
	})
}

// healthy asks a node how it is, over mutual TLS.
func (n *Network) healthy(ctx context.Context, one node) error {
	org := n.layout.Operator(one.member.Name)
	roots, err := readPool(org.TLSCAFile())
	if err != nil {
		return permanent(err)
	}
	switch one.kind {
	case kindPeer, kindOrderer:
		operations := one.member.Peer.Operations
		if one.kind == kindOrderer {
			operations = one.member.Orderer.Operations
		}
		member, err := openAccess(n.layout, one.member)
		if err != nil {
			return permanent(err)
		}
		defer member.close()
		_, err = member.get(ctx, operations, "/healthz")
		return err
	case kindChaincode:
		folder := org.chaincodeClient()
		for _, place := range one.listens {
			if err := n.serves(ctx, one.name, *place.address, filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"), roots, false); err != nil {
				return err
			}
		}
		return nil
	default:
		identity := org.Identity(roleGateway)
		return n.serves(ctx, one.name, one.address, identity.CertFile(), identity.KeyFile(), roots, true)
	}
}
