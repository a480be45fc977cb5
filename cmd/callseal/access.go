package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/callseal/callseal/api/connect"
	"github.com/callseal/callseal/audit"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/network"
)

// access says whom to ask and as whom. On a development network the state folder
// knows all of it; elsewhere the flags, or their environment variables, say it.
type access struct {
	state    string
	operator string
	peer     string
	role     string

	gateway, ca, cert, key string
}

func (a *access) flags(command *cobra.Command, role ledger.Role) {
	set := command.Flags()
	set.StringVar(&a.operator, "operator", os.Getenv("CALLSEAL_OPERATOR"), "whose gateway to ask (default: the first operator; $CALLSEAL_OPERATOR)")
	set.StringVar(&a.peer, "peer", "", "ask this operator's peer itself, without any gateway")
	set.StringVar(&a.role, "role", string(role), "identity to ask with: auditor, compliance, admin")
	set.StringVar(&a.state, "state", "", "state folder of the network (as for `callseal network`)")
	set.StringVar(&a.gateway, "gateway", "", "address of a gateway elsewhere; needs --ca, --cert and --key")
	set.StringVar(&a.ca, "ca", "", "TLS CA of that gateway's operator, PEM")
	set.StringVar(&a.cert, "cert", "", "your certificate, PEM")
	set.StringVar(&a.key, "key", "", "your key, PEM")
}

// owner is the operator whose records are meant, where it is known.
type owner struct{ msp, pbx string }

// defaultOwner is the operator asked, and its PBX if it has just one.
func (a *access) defaultOwner() (owner, error) {
	if a.gateway != "" {
		return owner{}, nil
	}
	_, member, err := a.member(a.operator)
	if err != nil {
		return owner{}, err
	}
	who := owner{msp: member.MSP}
	if len(member.PBXs) == 1 {
		who.pbx = member.PBXs[0]
	}
	return who, nil
}

// member finds an operator of the development network by name.
func (a *access) member(name string) (*network.Network, network.Member, error) {
	opened, err := network.Open(network.Options{State: a.state})
	if err != nil {
		return nil, network.Member{}, fmt.Errorf("find the network: %w", err)
	}
	if _, err := os.Stat(opened.Layout().GenesisBlock()); err != nil {
		return nil, network.Member{}, fmt.Errorf("there is no network in %s: raise one with `callseal network up`, or name its folder with --state", opened.Layout().Root())
	}
	if name == "" {
		return opened, opened.Consortium().Operators[0], nil
	}
	member, err := opened.Consortium().Member(strings.ToLower(name))
	if err != nil {
		return nil, network.Member{}, err
	}
	return opened, member, nil
}

// connection reaches the gateway.
func (a *access) connection() (*grpc.ClientConn, string, error) {
	if a.gateway != "" {
		if a.ca == "" || a.cert == "" || a.key == "" {
			return nil, "", errors.New("--gateway needs --ca, --cert and --key")
		}
		connection, err := connect.Dial(connect.Config{Address: a.gateway, CAFile: a.ca, CertFile: a.cert, KeyFile: a.key})
		return connection, "the gateway at " + a.gateway, err
	}
	opened, member, err := a.member(a.operator)
	if err != nil {
		return nil, "", err
	}
	if member.Gateway == nil {
		return nil, "", fmt.Errorf("%s runs no gateway: ask its peer with --peer %s", member.Name, member.ID())
	}
	org := opened.Layout().Operator(member.Name)
	identity := org.Identity(a.role)
	connection, err := connect.Dial(connect.Config{
		Address: member.Gateway.Address, CAFile: org.TLSCAFile(), CertFile: identity.CertFile(), KeyFile: identity.KeyFile(),
	})
	return connection, "the gateway of " + member.Name, err
}

// ledger is where an audit reads: a gateway or, with --peer, a peer.
func (a *access) ledger() (audit.Ledger, func() error, error) {
	if a.peer == "" {
		connection, name, err := a.connection()
		if err != nil {
			return nil, nil, err
		}
		return audit.ViaGateway(connection, name), connection.Close, nil
	}
	opened, member, err := a.member(a.peer)
	if err != nil {
		return nil, nil, err
	}
	if member.Chaincode == nil {
		return nil, nil, fmt.Errorf("the peer of %s runs no contracts and cannot answer: ask another operator's", member.Name)
	}
	channel, err := openPeer(opened, member, a.role)
	if err != nil {
		return nil, nil, err
	}
	return audit.ViaPeer(channel, "the peer of "+member.Name), channel.Close, nil
}

// openPeer reaches an operator's peer with an identity of that operator.
func openPeer(opened *network.Network, member network.Member, role string) (*fabric.Channel, error) {
	org := opened.Layout().Operator(member.Name)
	identity := org.Identity(role)
	return fabric.Open(fabric.Config{
		MSP: member.MSP, Channel: opened.Consortium().Channel, Chaincode: opened.Consortium().Chaincode,
		Peers:       []fabric.PeerConfig{{Address: member.Peer.Address, CAFile: org.TLSCAFile()}},
		TLSCertFile: identity.TLSCertFile(), TLSKeyFile: identity.TLSKeyFile(),
		CertFile: identity.CertFile(), KeyFile: identity.KeyFile(),
	})
}

// asked is a gateway's error in words: what was wrong, at which stage and in which
// transaction, and when to try again.
func asked(err error) error { return fmt.Errorf("ask the gateway: %w", connect.Sentence(err)) }
