package contract

import (
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"github.com/callseal/callseal/chaincode/ledger"
)

// policyOf reads the document in force from the governance chaincode. The read
// becomes part of the transaction: one that was endorsed under a policy that has
// been replaced since is not valid.
func policyOf(stub shim.ChaincodeStubInterface, name string) (*ledger.PolicyVersion, error) {
	response := stub.InvokeChaincode(ledger.GovernanceChaincode, [][]byte{[]byte("governance:Current"), []byte(name)}, "")
	if response.GetStatus() >= shim.ERRORTHRESHOLD {
		if coded, found := ledger.ParseError(response.GetMessage()); found {
			return nil, coded
		}
		return nil, ledger.Errorf(ledger.CodeInternal, "the governance chaincode does not answer: %s", response.GetMessage())
	}
	var current ledger.PolicyVersion
	if err := decodeStored(response.GetPayload(), &current); err != nil {
		return nil, err
	}
	return &current, nil
}
