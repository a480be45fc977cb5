package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Governance is the contract "governance", the only one of the governance
// chaincode: policy documents, versioned, that the operators vote on.
type Governance struct{ contractapi.Contract }

// GetEvaluateTransactions names the functions that only read.
func (*Governance) GetEvaluateTransactions() []string { return []string{"Current"} }

// Current answers the document in force by that name, a ledger.PolicyVersion.
func (*Governance) Current(_ contractapi.TransactionContextInterface, name string) (string, error) {
	current, err := ledger.DefaultPolicy(name)
	if err != nil {
		return "", err
	}
	return text(current)
}
