package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// About is the contract "about", which both chaincodes have: which version of them
// a peer runs. During an upgrade peers differ.
type About struct {
	contractapi.Contract
	governance string
}

// GetEvaluateTransactions names the functions that only read.
func (*About) GetEvaluateTransactions() []string { return []string{"Version"} }

// Version answers a ledger.About: the version of the chaincode that this peer runs,
// the newest version of stored values that it reads, and the name of the governance
// chaincode, whose own answer leaves that out.
func (a *About) Version(contractapi.TransactionContextInterface) (string, error) {
	return text(&ledger.About{Chaincode: Version, Governance: a.governance, Schema: ledger.SchemaVersion, V: ledger.SchemaVersion})
}
