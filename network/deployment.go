package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/ccbuilder"
)

// deployment is one version of the chaincodes, as this machine serves it.
type deployment struct {
	// Version is what the operators approved, for instance "2.0".
	Version string `json:"version"`
	// Standby says on which of the two pairs of addresses it is served.
	Standby bool `json:"standby"`
	// Governance says that the governance chaincode is part of it.
	Governance bool `json:"governance"`
	// Bin is the folder of its program; empty means the network's.
	Bin string `json:"bin,omitempty"`
}

// deployments is chaincode.json.
type deployments struct {
	Current deployment `json:"current"`
	// Next is there while an upgrade is under way.
	Next *deployment `json:"next,omitempty"`
}

// addresses are where a member serves the deployment.
func (d deployment) addresses(member Member) (calls, governance string) {
	if d.Standby {
		calls, governance = member.Chaincode.Standby, member.Chaincode.StandbyGovernance
	} else {
		calls, governance = member.Chaincode.Address, member.Chaincode.Governance
	}
	if !d.Governance {
		governance = ""
	}
	return calls, governance
}

// chaincode is one of the chaincodes on the channel.
type chaincode struct {
	// name is that of its definition, contract the one that is asked who it is.
	name, contract string
	// policy is the channel policy that its definition refers to.
	policy string
}

// chaincodes are those of a deployment in the order they are defined: calls cannot
// be served without the governance they read.
func (n *Network) chaincodes(d deployment) []chaincode {
	calls := chaincode{name: n.consortium.Chaincode, contract: "calls", policy: writePolicy}
	if !d.Governance {
		return []chaincode{calls}
	}
	return []chaincode{{name: ledger.GovernanceChaincode, contract: "governance", policy: governPolicy}, calls}
}

// pack makes the package of a member's service: a label with the version, and an
// address.
func (n *Network) pack(member Member, d deployment, which chaincode) (ccbuilder.Package, error) {
	calls, governance := d.addresses(member)
	address := calls
	if which.policy == governPolicy {
		address = governance
	}
	return ccbuilder.Pack(which.name+"_"+d.Version, address)
}

// readDeployments reads what is deployed; on a network that is yet to be made it
// answers what would be, but for the version.
func (n *Network) readDeployments() error {
	content, err := os.ReadFile(n.layout.deployments())
	if errors.Is(err, os.ErrNotExist) {
		n.deployed = deployments{Current: deployment{Governance: !n.options.WithoutGovernance}}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read which chaincode is deployed: %w", err)
	}
	var read deployments
	if err := json.Unmarshal(content, &read); err != nil || !chaincodeVersion.MatchString(read.Current.Version) {
		return n.broken("its chaincode.json is not readable")
	}
	n.deployed = read
	return nil
}

// deploy remembers what is deployed.
func (n *Network) deploy(d deployments) error {
	content, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write which chaincode is deployed: %w", err)
	}
	if err := renameio.WriteFile(n.layout.deployments(), content, 0o600); err != nil {
		return fmt.Errorf("write which chaincode is deployed: %w", err)
	}
	n.deployed = d
	return nil
}

var chaincodeVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+(\.[0-9]+)?$`)

// programVersion is the version of the chaincode program in a folder (empty: the
// network's): what the options say, else what it says of itself.
func (n *Network) programVersion(ctx context.Context, bin string) (string, error) {
	if given := n.options.ChaincodeVersion; given != "" {
		if !chaincodeVersion.MatchString(given) {
			return "", fmt.Errorf("the chaincode version %q is none: write it as 2.0 or 2.0.1", given)
		}
		return given, nil
	}
	program, err := n.programIn(bin, "callseal-chaincode")
	if err != nil {
		return "", err
	}
	asking, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	answer, err := exec.CommandContext(asking, program, "--version").Output()
	version := strings.TrimSpace(string(answer))
	if err != nil || !chaincodeVersion.MatchString(version) {
		return "", fmt.Errorf("%s does not say which version it is: name it with --version", program)
	}
	return version, nil
}

// checkVersion refuses to run a program as a version that it is not.
func (n *Network) checkVersion(ctx context.Context) error {
	version, err := n.programVersion(ctx, n.deployed.Current.Bin)
	if err != nil {
		return err
	}
	if current := n.deployed.Current.Version; version != current {
		return fmt.Errorf("the chaincodes of the network in %s are version %s and the program callseal-chaincode is %s: `callseal network upgrade` changes the network over to it", n.layout.root, current, version)
	}
	return nil
}
