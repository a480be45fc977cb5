package driver

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network"
)

// networkVersion is that of Caliper's network files.
const networkVersion = "2.0.0"

// Network is Caliper's network file. TLSClient and Adapters are read by the workspace's
// own connector and workloads, the rest by Caliper's.
type Network struct {
	Version       string         `yaml:"version"`
	Caliper       Blockchain     `yaml:"caliper"`
	Channels      []Channel      `yaml:"channels"`
	Organizations []Organization `yaml:"organizations"`
}

// Blockchain says which connector reaches the network.
type Blockchain struct {
	Blockchain string `yaml:"blockchain"`
}

// Channel is the network's channel.
type Channel struct {
	ChannelName string     `yaml:"channelName"`
	Contracts   []Contract `yaml:"contracts"`
}

// Contract is a chaincode: the workloads take the first for Callseal's and the second
// for its governance.
type Contract struct {
	ID string `yaml:"id"`
}

// Organization is an operator, by its first peer: Caliper uses no other.
type Organization struct {
	MSPID      string     `yaml:"mspid"`
	Identities Identities `yaml:"identities"`
	Peers      []Peer     `yaml:"peers"`
	TLSClient  Pair       `yaml:"tlsClient"`
	Adapters   []Adapter  `yaml:"adapters,omitempty"`
}

// Identities are those that workloads act as.
type Identities struct {
	Certificates []Identity `yaml:"certificates"`
}

// Identity is one of them, by its enrolment certificate.
type Identity struct {
	Name             string `yaml:"name"`
	Admin            bool   `yaml:"admin,omitempty"`
	ClientPrivateKey File   `yaml:"clientPrivateKey"`
	ClientSignedCert File   `yaml:"clientSignedCert"`
}

// Peer is where a peer serves, and whom to trust there.
type Peer struct {
	Endpoint   string `yaml:"endpoint"`
	TLSCACerts File   `yaml:"tlsCACerts"`
}

// Adapter is what one worker signs segments as.
type Adapter struct {
	PBX  string `yaml:"pbx"`
	Pair `yaml:",inline"`
}

// Pair are the files of a certificate and its key.
type Pair struct {
	Certificate File `yaml:"certificate"`
	Key         File `yaml:"key"`
}

// File is a PEM file; Caliper takes it from its workspace where the path is relative.
type File struct {
	Path string `yaml:"path"`
}

// NewNetwork is the network file of a consortium whose files are laid out so, with the
// workers' adapters by operator's MSP. It fails where a file is missing.
func NewNetwork(consortium *network.Consortium, layout network.Layout, adapters map[string][]Adapter) (*Network, error) {
	n := &Network{
		Version: networkVersion, Caliper: Blockchain{"./connector.js"},
		Channels: []Channel{{consortium.Channel, []Contract{{consortium.Chaincode}, {ledger.GovernanceChaincode}}}},
	}
	for _, operator := range consortium.Operators {
		org := layout.Operator(operator.Name)
		gateway, admin := org.Identity("gateway"), org.Identity("admin")
		identity := func(name string, isAdmin bool, of network.Identity) Identity {
			return Identity{Name: name, Admin: isAdmin, ClientPrivateKey: File{of.KeyFile()}, ClientSignedCert: File{of.CertFile()}}
		}
		for what, file := range map[string]string{
			"the TLS client certificate of its gateway": gateway.TLSCertFile(), "the key of that certificate": gateway.TLSKeyFile(),
			"the certificate of its gateway": gateway.CertFile(), "the key of its gateway": gateway.KeyFile(),
			"the certificate of its admin": admin.CertFile(), "the key of its admin": admin.KeyFile(),
			"the certificate of its TLS authority": org.TLSCAFile(),
		} {
			if _, err := os.Stat(file); err != nil {
				return nil, fmt.Errorf("the peers of %s let nobody in without its files, and %s is not to be had: %w", operator.Name, what, err)
			}
		}
		n.Organizations = append(n.Organizations, Organization{
			MSPID:      operator.MSP,
			Identities: Identities{[]Identity{identity("gateway", false, gateway), identity("admin", true, admin)}},
			Peers:      []Peer{{operator.Peer.Address, File{org.TLSCAFile()}}},
			TLSClient:  Pair{File{gateway.TLSCertFile()}, File{gateway.TLSKeyFile()}},
			Adapters:   adapters[operator.MSP],
		})
	}
	return n, nil
}

// Write leaves the network file in a workspace.
func (n *Network) Write(folder string) error {
	text, err := yaml.Marshal(n)
	if err != nil {
		return fmt.Errorf("write Caliper's network file: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, networkFile), text, 0o600); err != nil {
		return fmt.Errorf("write Caliper's network file: %w", err)
	}
	return nil
}
