package network

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/callseal/callseal/network/ccbuilder"
)

// The kinds of node, as they appear in node names and in status.
const (
	kindPeer      = "peer"
	kindOrderer   = "orderer"
	kindChaincode = "chaincode"
	kindGateway   = "gateway"
)

// node is one program of the network: where it listens and how it is run.
type node struct {
	name   string
	kind   string
	member Member
	// address is where the node serves, listens all its addresses with the name
	// of what is there.
	address string
	listens []place
	// deployed is what a chaincode node serves.
	deployed deployment
}

// command is a program with its arguments and its own environment.
type command struct {
	program     string
	arguments   []string
	environment []string
}

func nodeName(member Member, kind string) string { return member.ID() + "-" + kind }

// nodes lists the network's programs in the order they are started.
func (n *Network) nodes() []node {
	var all []node
	add := func(member Member, kind, address string) {
		one := node{name: nodeName(member, kind), kind: kind, member: member, address: address}
		if kind == kindPeer {
			one.name = nodeName(member, member.peerKind())
		}
		for _, place := range n.consortium.places() {
			if place.node == one.name {
				one.listens = append(one.listens, place)
			}
		}
		all = append(all, one)
	}
	for _, member := range n.consortium.orderingMembers() {
		add(member, kindOrderer, member.Orderer.Address)
	}
	for _, member := range n.consortium.Members() {
		for _, seat := range member.Peers() {
			add(seat, kindPeer, seat.Peer.Address)
		}
	}
	for _, member := range n.consortium.Operators {
		all = append(all, n.chaincodeNode(member, nodeName(member, kindChaincode), n.deployed.Current))
		if next := n.deployed.Next; next != nil {
			all = append(all, n.chaincodeNode(member, nextName(member), *next))
		}
	}
	if !n.options.WithoutGateways {
		for _, member := range n.consortium.Operators {
			add(member, kindGateway, member.Gateway.Address)
		}
	}
	return all
}

// nextName is the node that serves the next version during an upgrade.
func nextName(member Member) string { return nodeName(member, kindChaincode) + "-next" }

// logName is the node whose log it writes: the next version's is the one that will
// have its name.
func (n node) logName() string {
	if n.kind == kindChaincode {
		return nodeName(n.member, kindChaincode)
	}
	return n.name
}

func (n *Network) chaincodeNode(member Member, name string, d deployment) node {
	calls, governance := d.addresses(member)
	one := node{name: name, kind: kindChaincode, member: member, address: calls, deployed: d}
	for _, place := range n.consortium.places() {
		if *place.address == calls || *place.address == governance {
			one.listens = append(one.listens, place)
		}
	}
	return one
}

func (n *Network) nodesOf(kind string) []node {
	var some []node
	for _, one := range n.nodes() {
		if one.kind == kind {
			some = append(some, one)
		}
	}
	return some
}

func (n *Network) node(name string) (node, error) {
	var names []string
	for _, one := range n.nodes() {
		if strings.EqualFold(one.name, name) {
			return one, nil
		}
		names = append(names, one.name)
	}
	return node{}, fmt.Errorf("no node is called %q: the nodes are %s", name, strings.Join(names, ", "))
}

// nodeLogging keeps nodes to warnings: at that level Fabric writes no
// transaction's content. What readiness probes and stopping neighbours cause on
// idle connections is kept out. The format is plain, for files.
var nodeLogging = []string{
	"FABRIC_LOGGING_SPEC=WARN:core.comm=error:comm.grpc.server=error",
	"FABRIC_LOGGING_FORMAT=%{time:2006-01-02T15:04:05.000Z07:00} %{level} [%{module}] %{message}",
}

// processors shares this machine's processors out among the nodes, twice over:
// Go's schedulers otherwise each spin for the whole machine, and with fourteen of
// them on two cores a lone commit took 34 to 39 ms instead of 28.
func (n *Network) processors() string {
	return fmt.Sprintf("GOMAXPROCS=%d", max(1, 2*runtime.NumCPU()/len(n.nodes())))
}

// commandOf says how a node is run; binaries and packageIDs are only looked at
// for the kinds that need them.
func (n *Network) commandOf(one node, binaries fabricBinaries) (command, error) {
	org := n.layout.Operator(one.member.Name)
	server := org.Server(one.kind)
	switch one.kind {
	case kindPeer:
		return command{
			program:   binaries.peer,
			arguments: []string{"node", "start"},
			environment: append([]string{
				"FABRIC_CFG_PATH=" + org.node(one.member.peerKind()),
				ccbuilder.TLSVariable + "=" + org.chaincodeClient(),
			}, nodeLogging...),
		}, nil
	case kindOrderer:
		return command{
			program: binaries.orderer,
			environment: append([]string{
				"FABRIC_CFG_PATH=" + org.node(kindOrderer),
				// SmartBFT makes a buffer of 1 MiB for each entry of its log: collecting those
				// took a fifth of an orderer's time while a lone record was ordered.
				"GOGC=400",
			}, nodeLogging...),
		}, nil
	case kindChaincode:
		environment := []string{
			"CORE_PEER_LOCALMSPID=" + one.member.MSP,
			"CALLSEAL_TLS_CERT=" + server.CertFile(),
			"CALLSEAL_TLS_KEY=" + server.KeyFile(),
			"CALLSEAL_TLS_CLIENT_CA=" + org.chaincodeClientCA(),
		}
		calls, governance := one.deployed.addresses(one.member)
		for _, which := range n.chaincodes(one.deployed) {
			pack, err := n.pack(one.member, one.deployed, which)
			if err != nil {
				return command{}, err
			}
			if which.policy == governPolicy {
				environment = append(environment, "CALLSEAL_GOVERNANCE_ADDRESS="+governance, "CALLSEAL_GOVERNANCE_ID="+pack.ID)
			} else {
				environment = append(environment, "CHAINCODE_SERVER_ADDRESS="+calls, "CORE_CHAINCODE_ID_NAME="+pack.ID)
			}
		}
		program, err := n.programOf(one, "callseal-chaincode")
		return command{program: program, environment: environment}, err
	default:
		program, err := n.programOf(one, "callseal-gateway")
		return command{program: program, arguments: []string{"--config", org.GatewayConfig()}}, err
	}
}
