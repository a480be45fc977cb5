// Package contract holds Callseal's contracts, one file each. They decide what
// may enter the ledger; what the stored values look like is package ledger's.
//
// Every function is deterministic: it reads nothing but its arguments, its
// transient data, its caller's certificate, the transaction's time and the
// state. Large inputs may come as an argument (for scripts) or as transient
// data under the same name (for volume: arguments are stored in the block a
// second time, transient data is not).
package contract

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Version is the chaincode's version, as contract metadata reports it.
const Version = "2.0"

// defaultContract is the contract of functions that name none.
const defaultContract = "calls"

// Chaincode is all contracts behind one Invoke that survives a panic.
type Chaincode struct {
	contracts *contractapi.ContractChaincode
	functions functions
}

// one is a contract with what its metadata says.
type one struct {
	contract contractapi.ContractInterface
	base     *contractapi.Contract
	name     string
	about    string
}

// New assembles the contracts for a peer of the given MSP: the functions that
// touch an operator's private collection answer only on that operator's peer.
func New(peerMSP string) (*Chaincode, error) {
	if err := ledger.CheckName("the peer's MSP (CORE_PEER_LOCALMSPID)", peerMSP); err != nil {
		return nil, err
	}
	calls, recordings, adapters, details := &Calls{}, &Recordings{}, &Adapters{}, &Details{peerMSP: peerMSP}
	devices, consents := &Devices{}, &Consents{}
	about := &About{governance: ledger.GovernanceChaincode}
	standing := &Reputation{}
	return assemble(defaultContract,
		one{about, &about.Contract, "about", "which version of the chaincode a peer runs"},
		one{calls, &calls.Contract, defaultContract, "CDR legs and the signed segments they arrive in"},
		one{recordings, &recordings.Contract, "recordings", "digests of call recordings"},
		one{adapters, &adapters.Contract, "adapters", "certificates that may sign segments"},
		one{details, &details.Contract, "details", "sealed personal details in the owner's private collection"},
		one{devices, &devices.Contract, "devices", "which devices may call"},
		one{consents, &consents.Contract, "consents", "what the parties of a call agreed to"},
		one{standing, &standing.Contract, "reputation", "what operators hold on numbers, addresses and accounts"},
	)
}

// NewGovernance assembles the governance chaincode.
func NewGovernance() (*Chaincode, error) {
	governance, about := &Governance{}, &About{}
	return assemble("governance",
		one{about, &about.Contract, "about", "which version of the chaincode a peer runs"},
		one{governance, &governance.Contract, "governance", "policy documents that the operators vote on"},
	)
}

// assemble puts contracts behind one Invoke; the first named is the default.
func assemble(standard string, all ...one) (*Chaincode, error) {
	callable := functions{counts: map[string]int{contractapi.SystemContractName + ":GetMetadata": 0}, standard: standard}
	contracts := make([]contractapi.ContractInterface, 0, len(all))
	for _, each := range all {
		each.base.Name = each.name
		each.base.Info.Title = "Callseal " + each.name
		each.base.Info.Description = each.about
		each.base.Info.Version = Version
		callable.add(each.name, each.contract)
		contracts = append(contracts, each.contract)
	}
	chaincode, err := contractapi.NewChaincode(contracts...)
	if err != nil {
		return nil, fmt.Errorf("assemble the contracts: %w", err)
	}
	chaincode.DefaultContract = standard
	chaincode.TransactionSerializer = arguments{}
	return &Chaincode{contracts: chaincode, functions: callable}, nil
}

// Init does nothing: Callseal's ledger starts empty.
func (c *Chaincode) Init(shim.ChaincodeStubInterface) *peer.Response { return shim.Success(nil) }

// Invoke runs one transaction. A panic becomes a coded error: contract-api has
// no recover, and a chaincode service that dies takes its operator's
// endorsements with it.
func (c *Chaincode) Invoke(stub shim.ChaincodeStubInterface) (response *peer.Response) {
	defer func() {
		if reason := recover(); reason != nil {
			// Only the runtime's own errors are free of what was sent to us.
			if _, ok := reason.(runtime.Error); !ok {
				reason = "not shown, it may be personal"
			}
			slog.Error("a contract panicked", "tx", stub.GetTxID(), "reason", reason, "stack", string(debug.Stack()))
			response = shim.Error(ledger.Errorf(ledger.CodeInternal, "the contract failed; its operator finds the reason in the chaincode's log under transaction %s", stub.GetTxID()).Error())
		}
	}()
	function, parameters := stub.GetFunctionAndParameters()
	if err := c.functions.check(function, len(parameters)); err != nil {
		return shim.Error(err.Error())
	}
	response = c.contracts.Invoke(stub)
	if response.GetStatus() < shim.ERRORTHRESHOLD {
		return response
	}
	// contract-api puts words of its own before an error's code.
	coded, found := ledger.ParseError(response.GetMessage())
	if !found {
		coded = ledger.Errorf(ledger.CodeInternal, "the contract could not run %s", function)
	}
	return shim.Error(coded.Error())
}
