// Chaincode is the chaincode service of an operator that cheats. It runs the real
// contracts, so that nobody notices, until a proposal brings a plot; then it has
// its peer endorse whatever the plot says. It is configured as callseal-chaincode
// is, and takes its place.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"github.com/callseal/callseal/adversary"
	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/service"
)

func main() {
	if err := run(service.FromEnvironment()); err != nil {
		fmt.Fprintln(os.Stderr, "dishonest chaincode:", err)
		os.Exit(1)
	}
}

// run serves both chaincodes until one of them cannot be served.
func run(config service.Config) error {
	calls, err := contract.New(config.PeerMSP)
	if err != nil {
		return err
	}
	governance, err := contract.NewGovernance()
	if err != nil {
		return err
	}
	var transport shim.TLSProperties
	for file, content := range map[string]*[]byte{config.CertFile: &transport.Cert, config.KeyFile: &transport.Key, config.ClientCAFile: &transport.ClientCACerts} {
		if *content, err = os.ReadFile(file); err != nil {
			return fmt.Errorf("read TLS material: %w", err)
		}
	}
	ended := make(chan error)
	for _, server := range []*shim.ChaincodeServer{
		{CCID: config.PackageID, Address: config.Address, CC: &dishonest{honest: calls}, TLSProps: transport},
		{CCID: config.GovernancePackageID, Address: config.GovernanceAddress, CC: &dishonest{honest: governance}, TLSProps: transport},
	} {
		go func() { ended <- server.Start() }()
	}
	return <-ended
}

// dishonest behaves like the contracts until a plot comes.
type dishonest struct{ honest shim.Chaincode }

// Init implements [shim.Chaincode].
func (d *dishonest) Init(stub shim.ChaincodeStubInterface) *peer.Response { return d.honest.Init(stub) }

// Invoke implements [shim.Chaincode].
func (d *dishonest) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	transient, err := stub.GetTransient()
	if err != nil {
		return shim.Error(err.Error())
	}
	text, found := transient[adversary.PlotName]
	if !found {
		return d.honest.Invoke(stub)
	}
	var plot adversary.Plot
	if err := json.Unmarshal(text, &plot); err != nil {
		return shim.Error(err.Error())
	}
	answer := []byte(plot.Answer)
	for _, step := range plot.Steps {
		read, err := perform(stub, step)
		if err != nil {
			return shim.Error(err.Error())
		}
		if plot.Answer == "" {
			answer = read
		}
	}
	if plot.Event != "" {
		if err := stub.SetEvent(plot.Event, []byte(plot.EventPayload)); err != nil {
			return shim.Error(err.Error())
		}
	}
	return shim.Success(answer)
}

// perform does one step and answers what it read.
func perform(stub shim.ChaincodeStubInterface, step adversary.Step) ([]byte, error) {
	switch step.Act {
	case adversary.Put:
		return nil, stub.PutState(step.Key, step.Value)
	case adversary.Delete:
		return nil, stub.DelState(step.Key)
	case adversary.SetPolicy:
		return nil, stub.SetStateValidationParameter(step.Key, step.Value)
	case adversary.PutPrivate:
		return nil, stub.PutPrivateData(step.Collection, step.Key, step.Value)
	case adversary.PurgePrivate:
		return nil, stub.PurgePrivateData(step.Collection, step.Key)
	case adversary.GetPrivate:
		return stub.GetPrivateData(step.Collection, step.Key)
	default:
		return nil, fmt.Errorf("no such act: %s", step.Act)
	}
}
