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
const Version = "1.0"

// defaultContract is the contract of functions that name none.
const defaultContract = "calls"

// Chaincode is all contracts behind one Invoke that survives a panic.
type Chaincode struct {
	contracts *contractapi.ContractChaincode
	functions functions
}

// New assembles the contracts for a peer of the given MSP: the functions that
// touch an operator's private collection answer only on that operator's peer.
func New(peerMSP string) (*Chaincode, error) {
	if err := ledger.CheckName("the peer's MSP (CORE_PEER_LOCALMSPID)", peerMSP); err != nil {
		return nil, err
	}
	calls, recordings, adapters, details := &Calls{}, &Recordings{}, &Adapters{}, &Details{peerMSP: peerMSP}
	callable := functions{contractapi.SystemContractName + ":GetMetadata": 0}
	for _, named := range []struct {
		contract *contractapi.Contract
		whole    any
		name     string
		about    string
	}{
		{&calls.Contract, calls, defaultContract, "CDR legs and the signed segments they arrive in"},
		{&recordings.Contract, recordings, "recordings", "digests of call recordings"},
		{&adapters.Contract, adapters, "adapters", "certificates that may sign segments"},
		{&details.Contract, details, "details", "sealed personal details in the owner's private collection"},
	} {
		named.contract.Name = named.name
		named.contract.Info.Title = "Callseal " + named.name
		named.contract.Info.Description = named.about
		named.contract.Info.Version = Version
		callable.add(named.name, named.whole)
	}
	contracts, err := contractapi.NewChaincode(calls, recordings, adapters, details)
	if err != nil {
		return nil, fmt.Errorf("assemble the contracts: %w", err)
	}
	contracts.DefaultContract = defaultContract
	contracts.TransactionSerializer = arguments{}
	return &Chaincode{contracts: contracts, functions: callable}, nil
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
