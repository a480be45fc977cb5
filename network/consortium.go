package network

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/callseal/callseal/chaincode/ledger"
)

//go:embed consortium.yaml
var developmentConsortium []byte

// Consensus names how the orderers agree on the order of transactions.
type Consensus string

const (
	// BFT is SmartBFT over the orderers of all members, the regulator's included.
	BFT Consensus = "bft"
	// Raft is crash-tolerant ordering over the operators' orderers only.
	Raft Consensus = "raft"
)

// Consortium is the definition of one network: who is in it and where
// everything listens.
type Consortium struct {
	// Name identifies the network to Fabric's gossip and to people.
	Name string `yaml:"name"`
	// Channel is the one channel of the network.
	Channel string `yaml:"channel"`
	// Chaincode is the name under which the chaincode is defined on the channel.
	Chaincode string `yaml:"chaincode"`
	// Consensus is BFT unless the definition says otherwise.
	Consensus Consensus `yaml:"consensus"`
	// Blocks says when a block is cut.
	Blocks Blocks `yaml:"blocks"`
	// Operators endorse, order and run gateways; at least three.
	Operators []Member `yaml:"operators"`
	// Regulator orders and audits and does not endorse; nil when there is none.
	Regulator *Member `yaml:"regulator"`
}

// Blocks says when the orderers cut a block. What is zero is chosen for a low latency
// of lone calls; see [Consortium.Cutting]. It is read when the network is made.
type Blocks struct {
	// Timeout is how long after its first transaction a block is cut that is not full.
	Timeout time.Duration `yaml:"timeout"`
	// Messages are how many transactions fill a block.
	Messages int `yaml:"messages"`
	// PreferredBytes is the size that fills a block; a larger transaction gets one of
	// its own. Raft only: SmartBFT does not look at it.
	PreferredBytes int `yaml:"preferred_bytes"`
}

const (
	// absoluteMaxBytes bounds a block. With its metadata it stays below gRPC's default
	// 4 MB limit, so evidence bundles, which carry whole blocks, travel anywhere.
	absoluteMaxBytes = 3 << 20
	// maxMessages keeps SmartBFT's request pool well over twice a batch, or a burst is
	// refused while one is agreed on.
	maxMessages = 1000
)

// Cutting is the definition's Blocks with the defaults filled in. A block is cut 2 ms
// after its first transaction: Fabric's samples have 2 s, which would be the whole
// latency of a lone call. Calls of a burst share transactions, which the gateway fills,
// rather than blocks. Messages are 200, of up to 1500 records each:
// under load more would add latency without saving fsyncs.
func (c *Consortium) Cutting() Blocks {
	cut := c.Blocks
	if cut.Timeout == 0 {
		// Instead of 10 ms it takes some 8 ms off a lone commit, under SmartBFT and Raft.
		cut.Timeout = 2 * time.Millisecond
	}
	if cut.Messages == 0 {
		cut.Messages = 200
	}
	if cut.PreferredBytes == 0 {
		cut.PreferredBytes = 2 << 20
	}
	return cut
}

func (c *Consortium) checkBlocks() error {
	switch b := c.Blocks; {
	case b.Timeout != 0 && (b.Timeout < time.Millisecond || b.Timeout > time.Minute):
		return fmt.Errorf("the blocks' timeout is %s: it must lie between 1ms and 1m", b.Timeout)
	case b.Messages < 0 || b.Messages > maxMessages:
		return fmt.Errorf("the blocks' messages are %d: a block holds 1 to %d", b.Messages, maxMessages)
	case b.PreferredBytes < 0 || b.PreferredBytes > absoluteMaxBytes:
		return fmt.Errorf("the blocks' preferred_bytes are %d: a block has at most %d", b.PreferredBytes, absoluteMaxBytes)
	case b.PreferredBytes != 0 && c.Consensus == BFT:
		return errors.New("bft does not look at the blocks' preferred_bytes: remove it or set `consensus: raft`")
	}
	return nil
}

// Member is one organisation of the consortium.
type Member struct {
	// Name as people write it, for instance "Atlas".
	Name string `yaml:"name"`
	// MSP is the member's Fabric identity domain, for instance "AtlasMSP".
	MSP string `yaml:"msp"`
	// Peer is the member's peer.
	Peer PeerAddresses `yaml:"peer"`
	// MorePeers are the operator's further peers, which its gateway uses beside the
	// first: each has every block and, by gossip, the operator's private data.
	MorePeers []PeerAddresses `yaml:"more_peers"`
	// Orderer is the member's orderer.
	Orderer OrdererAddresses `yaml:"orderer"`
	// Chaincode is the member's chaincode service; operators only.
	Chaincode *ChaincodeAddresses `yaml:"chaincode"`
	// Gateway is the member's Callseal gateway; operators only.
	Gateway *GatewayAddresses `yaml:"gateway"`
	// PBXs are the ids of the PBXs whose adapters the member runs.
	PBXs []string `yaml:"pbxs"`

	// seat is which of the peers Peer is: 0 in a definition.
	seat int
}

// Peers are the member as each of its peers sees it: Peer is that one's.
func (m Member) Peers() []Member {
	seats := []Member{m}
	for i, addresses := range m.MorePeers {
		seat := m
		seat.Peer, seat.seat = addresses, i+1
		seats = append(seats, seat)
	}
	return seats
}

// peerKind is what the peer's node and folder are called: "peer", "peer2".
func (m Member) peerKind() string {
	if m.seat == 0 {
		return kindPeer
	}
	return fmt.Sprintf("%s%d", kindPeer, m.seat+1)
}

// PeerAddresses says where a peer listens, each as host:port.
type PeerAddresses struct {
	Address    string `yaml:"address"`
	Operations string `yaml:"operations"`
}

// OrdererAddresses says where an orderer listens, each as host:port.
type OrdererAddresses struct {
	Address    string `yaml:"address"`
	Admin      string `yaml:"admin"`
	Operations string `yaml:"operations"`
}

// ChaincodeAddresses says where a member's chaincode service listens, each as
// host:port. A package holds its service's address, so each version of the
// chaincodes has its own: successive versions take turns, and while an upgrade
// runs both are served.
type ChaincodeAddresses struct {
	// Address is where the chaincode of calls is served, Governance where the
	// governance chaincode is.
	Address    string `yaml:"address"`
	Governance string `yaml:"governance"`
	// Standby and StandbyGovernance are those of every other version.
	Standby           string `yaml:"standby"`
	StandbyGovernance string `yaml:"standby_governance"`
}

// GatewayAddresses says where a member's gateway listens, each as host:port.
type GatewayAddresses struct {
	// Address is where gRPC is served, REST where REST is; empty for none.
	Address string `yaml:"address"`
	REST    string `yaml:"rest"`
	// Metrics is where monitoring reads, by plain HTTP; empty for none.
	Metrics string `yaml:"metrics"`
}

// ID is the member's name in lower case, as folders and node names use it.
func (m Member) ID() string { return strings.ToLower(m.Name) }

// Development returns the built-in consortium: operators Atlas, Borealis and
// Corvus and the regulator Meridian, all on 127.0.0.1.
func Development() *Consortium {
	consortium, err := ParseConsortium(developmentConsortium)
	if err != nil {
		// The file is part of the program and a test parses it.
		panic(fmt.Sprintf("built-in consortium definition: %v", err))
	}
	return consortium
}

// ReadConsortium reads and checks the definition in a file. Errors name the
// file, and for a malformed one the line.
func ReadConsortium(file string) (*Consortium, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the consortium definition: %w", err)
	}
	consortium, err := ParseConsortium(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return consortium, nil
}

// ParseConsortium reads a definition and checks it. Unknown fields, duplicate
// ports, an unknown consensus and missing members are refused, each with one
// sentence that says what to change.
func ParseConsortium(text []byte) (*Consortium, error) {
	var consortium Consortium
	decoder := yaml.NewDecoder(strings.NewReader(string(text)), yaml.Strict())
	switch err := decoder.Decode(&consortium); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the definition is empty")
	case err != nil:
		return nil, oneLine(err)
	}
	if consortium.Consensus == "" {
		consortium.Consensus = BFT
	}
	if err := consortium.check(); err != nil {
		return nil, err
	}
	return &consortium, nil
}

// oneLine reduces the YAML library's report, which quotes the source over
// several lines, to its position and message.
func oneLine(err error) error {
	var located yaml.Error
	if errors.As(err, &located) && located.GetToken() != nil && located.GetToken().Position != nil {
		return fmt.Errorf("line %d: %s", located.GetToken().Position.Line, located.GetMessage())
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(first)
}

// Members returns the operators in their order and then the regulator.
func (c *Consortium) Members() []Member {
	members := append([]Member(nil), c.Operators...)
	if c.Regulator != nil {
		members = append(members, *c.Regulator)
	}
	return members
}

// Member finds a member by its name, in any case. The error lists the names
// that exist.
func (c *Consortium) Member(name string) (Member, error) {
	var names []string
	for _, member := range c.Members() {
		if strings.EqualFold(member.Name, name) {
			return member, nil
		}
		names = append(names, member.ID())
	}
	return Member{}, fmt.Errorf("no member is called %q: the members are %s", name, strings.Join(names, ", "))
}

// orderingMembers are those whose orderer takes part: under Raft the
// regulator's does not, since a fourth voter would tolerate no more failures.
func (c *Consortium) orderingMembers() []Member {
	if c.Consensus == Raft {
		return c.Operators
	}
	return c.Members()
}

// clone copies the definition so that shifting ports leaves the original be.
func (c *Consortium) clone() *Consortium {
	copied := *c
	copied.Operators = nil
	for _, member := range c.Operators {
		copied.Operators = append(copied.Operators, member.clone())
	}
	if c.Regulator != nil {
		regulator := c.Regulator.clone()
		copied.Regulator = &regulator
	}
	return &copied
}

func (m Member) clone() Member {
	if m.Chaincode != nil {
		chaincode := *m.Chaincode
		m.Chaincode = &chaincode
	}
	if m.Gateway != nil {
		gateway := *m.Gateway
		m.Gateway = &gateway
	}
	m.PBXs = append([]string(nil), m.PBXs...)
	m.MorePeers = append([]PeerAddresses(nil), m.MorePeers...)
	return m
}

// WithPortOffset returns a copy in which every port is moved by offset. The
// error says when a port would leave the range 1 to 65535.
func (c *Consortium) WithPortOffset(offset int) (*Consortium, error) {
	moved := c.clone()
	for _, place := range moved.places() {
		host, port, err := splitAddress(*place.address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place.owner, err)
		}
		port += offset
		if port < 1 || port > 65535 {
			return nil, fmt.Errorf("the port offset %d moves %s to port %d, which does not exist", offset, place.owner, port)
		}
		*place.address = net.JoinHostPort(host, strconv.Itoa(port))
	}
	return moved, nil
}

// place is one listening address of the definition and who listens there.
type place struct {
	owner   string
	node    string
	address *string
}

// places lists every address of the definition, as pointers into it.
func (c *Consortium) places() []place {
	var all []place
	visit := func(m *Member) {
		add := func(what, kind string, address *string) {
			all = append(all, place{owner: m.Name + "'s " + what, node: m.ID() + "-" + kind, address: address})
		}
		add("peer", kindPeer, &m.Peer.Address)
		add("peer operations endpoint", kindPeer, &m.Peer.Operations)
		for i := range m.MorePeers {
			kind := m.Peers()[i+1].peerKind()
			add(kind, kind, &m.MorePeers[i].Address)
			add(kind+" operations endpoint", kind, &m.MorePeers[i].Operations)
		}
		add("orderer", kindOrderer, &m.Orderer.Address)
		add("orderer admin endpoint", kindOrderer, &m.Orderer.Admin)
		add("orderer operations endpoint", kindOrderer, &m.Orderer.Operations)
		if m.Chaincode != nil {
			add("chaincode service", kindChaincode, &m.Chaincode.Address)
			add("governance chaincode service", kindChaincode, &m.Chaincode.Governance)
			add("standby chaincode service", kindChaincode, &m.Chaincode.Standby)
			add("standby governance chaincode service", kindChaincode, &m.Chaincode.StandbyGovernance)
		}
		if m.Gateway != nil {
			add("gateway", kindGateway, &m.Gateway.Address)
			if m.Gateway.REST != "" {
				add("gateway's REST", kindGateway, &m.Gateway.REST)
			}
			if m.Gateway.Metrics != "" {
				add("gateway's metrics", kindGateway, &m.Gateway.Metrics)
			}
		}
	}
	for i := range c.Operators {
		visit(&c.Operators[i])
	}
	if c.Regulator != nil {
		visit(c.Regulator)
	}
	return all
}

// Addresses lists every address of the definition on which something listens.
func (c *Consortium) Addresses() []string {
	var all []string
	for _, place := range c.places() {
		all = append(all, *place.address)
	}
	return all
}

// PortsFree says whether every address can be listened on now.
func (c *Consortium) PortsFree() bool {
	for _, address := range c.Addresses() {
		listener, err := listen(address)
		if err != nil {
			return false
		}
		_ = listener.Close()
	}
	return true
}

func listen(address string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
}

var (
	memberName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,30}$`)
	mspName     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,60}$`)
	channelName = regexp.MustCompile(`^[a-z][a-z0-9.-]{0,200}$`)
	pbxID       = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)
)

func (c *Consortium) check() error {
	switch {
	case c.Name == "":
		return errors.New("the consortium has no name: add `name:`")
	case !channelName.MatchString(c.Name):
		return fmt.Errorf("the consortium name %q must be lower-case letters, digits, dots and hyphens", c.Name)
	case !channelName.MatchString(c.Channel):
		return fmt.Errorf("the channel name %q must be lower-case letters, digits, dots and hyphens", c.Channel)
	case !channelName.MatchString(c.Chaincode) || strings.Contains(c.Chaincode, "."):
		return fmt.Errorf("the chaincode name %q must be lower-case letters, digits and hyphens", c.Chaincode)
	case c.Chaincode == ledger.GovernanceChaincode:
		return fmt.Errorf("the chaincode name %q is the governance chaincode's: choose another", c.Chaincode)
	case c.Consensus != BFT && c.Consensus != Raft:
		return fmt.Errorf("the consensus %q is unknown: use bft or raft", c.Consensus)
	case len(c.Operators) < 3:
		return fmt.Errorf("a consortium needs at least three operators so that two can outvote one, and this one lists %d", len(c.Operators))
	case c.Consensus == BFT && len(c.Members()) < 4:
		return errors.New("bft needs four orderers to tolerate one that lies: add a regulator or a fourth operator, or set `consensus: raft`")
	}
	if err := c.checkBlocks(); err != nil {
		return err
	}
	if err := c.checkMembers(); err != nil {
		return err
	}
	return c.checkAddresses()
}

func (c *Consortium) checkMembers() error {
	names, msps, pbxs := map[string]bool{}, map[string]bool{}, map[string]string{}
	for _, m := range c.Members() {
		switch {
		case !memberName.MatchString(m.Name):
			return fmt.Errorf("the member name %q must be letters and digits and start with a letter", m.Name)
		case names[m.ID()]:
			return fmt.Errorf("two members are called %s", m.Name)
		case !mspName.MatchString(m.MSP):
			return fmt.Errorf("the MSP %q of %s must be letters and digits and start with a letter", m.MSP, m.Name)
		case msps[m.MSP]:
			return fmt.Errorf("two members use the MSP %s", m.MSP)
		}
		names[m.ID()], msps[m.MSP] = true, true
		for _, pbx := range m.PBXs {
			if !pbxID.MatchString(pbx) {
				return fmt.Errorf("the PBX id %q of %s must be lower-case letters, digits, dots and hyphens", pbx, m.Name)
			}
			if other, taken := pbxs[pbx]; taken {
				return fmt.Errorf("the PBX id %s belongs to both %s and %s", pbx, other, m.Name)
			}
			pbxs[pbx] = m.Name
		}
	}
	if err := c.checkOperators(); err != nil {
		return err
	}
	if r := c.Regulator; r != nil && (r.Chaincode != nil || r.Gateway != nil || len(r.PBXs) > 0 || len(r.MorePeers) > 0) {
		return fmt.Errorf("the regulator %s only orders and audits: remove its chaincode, gateway, pbxs and more_peers", r.Name)
	}
	return nil
}

func (c *Consortium) checkOperators() error {
	for _, m := range c.Operators {
		switch {
		case m.Chaincode == nil:
			return fmt.Errorf("the operator %s has no chaincode service: add `chaincode: { address: …, governance: …, standby: …, standby_governance: … }`", m.Name)
		case m.Gateway == nil:
			return fmt.Errorf("the operator %s has no gateway: add `gateway: { address: … }`", m.Name)
		}
		for _, address := range []string{m.Chaincode.Governance, m.Chaincode.Standby, m.Chaincode.StandbyGovernance} {
			host, _, err := splitAddress(address)
			if own, _, ownErr := splitAddress(m.Chaincode.Address); err == nil && ownErr == nil && host != own {
				return fmt.Errorf("the chaincode services of %s are at %s and at %s: one program serves them, so give them one host", m.Name, own, host)
			}
		}
	}
	return nil
}

func (c *Consortium) checkAddresses() error {
	taken := map[string]string{}
	for _, place := range c.places() {
		if _, _, err := splitAddress(*place.address); err != nil {
			return fmt.Errorf("%s: %w", place.owner, err)
		}
		if other, found := taken[*place.address]; found {
			return fmt.Errorf("%s and %s both use %s: give one of them another port", other, place.owner, *place.address)
		}
		taken[*place.address] = place.owner
	}
	return nil
}

func splitAddress(address string) (host string, port int, err error) {
	if address == "" {
		return "", 0, errors.New("the address is missing: write it as host:port")
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return "", 0, fmt.Errorf("the address %q is not host:port", address)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 1 || port > 65535 {
		return "", 0, fmt.Errorf("the port in %q must be a number from 1 to 65535", address)
	}
	return host, port, nil
}
