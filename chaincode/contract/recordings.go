package contract

import (
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Recordings is the contract "recordings". Recordings are anchored by
// calls:Anchor, in the same sequence as the legs they belong to.
type Recordings struct{ contractapi.Contract }

// GetEvaluateTransactions names the functions that only read.
func (*Recordings) GetEvaluateTransactions() []string {
	return []string{"Get", "ByLinkedID", "BySHA256", "Holds", "Retentions", "State"}
}

// Get answers one revision of a recording, a ledger.Record, or NOT_FOUND.
func (*Recordings) Get(ctx contractapi.TransactionContextInterface, msp, pbx, id string, revision int64) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "id", id); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("revision", revision); err != nil {
		return "", err
	}
	value, err := get(ctx.GetStub(), ledger.RecordingKey(msp, pbx, id, revision), "no operator has anchored this recording")
	return string(value), err
}

// ByLinkedID answers the recordings of the legs of one linkedid as a JSON array
// of ledger.Record, empty where there are none.
func (*Recordings) ByLinkedID(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "linkedid", linkedID); err != nil {
		return "", err
	}
	return recordingsUnder(ctx.GetStub(), ledger.TypeRecordingByCall, []string{msp, pbx, linkedID}, func(parts []string) (string, string, string, string) {
		return parts[0], parts[1], parts[5], parts[6]
	})
}

// BySHA256 answers every recording with this SHA-256 (64 hexadecimal digits,
// lower case) as a JSON array of ledger.Record, empty where there are none: whoever
// holds a file finds out which call it belongs to.
func (*Recordings) BySHA256(ctx contractapi.TransactionContextInterface, sha256 string) (string, error) {
	if err := ledger.CheckHex("sha256", sha256, 32); err != nil {
		return "", err
	}
	return recordingsUnder(ctx.GetStub(), ledger.TypeRecordingByHash, []string{sha256}, func(parts []string) (string, string, string, string) {
		return parts[1], parts[2], parts[3], parts[4]
	})
}

// recordingsUnder reads the recordings that an index names. The function picks
// msp, pbx, id and revision out of an index key's parts.
func recordingsUnder(stub shim.ChaincodeStubInterface, objectType string, prefix []string, pick func(parts []string) (msp, pbx, id, revision string)) (string, error) {
	var found [][]byte
	err := scan(stub, objectType, prefix, func(key string, _ []byte) error {
		_, parts, err := ledger.SplitKey(key)
		if err != nil {
			return ledger.Errorf(ledger.CodeInternal, "%v", err)
		}
		msp, pbx, id, number := pick(parts)
		revision, err := ledger.ParseKeyNumber(number)
		if err != nil {
			return ledger.Errorf(ledger.CodeInternal, "%v", err)
		}
		value, err := get(stub, ledger.RecordingKey(msp, pbx, id, revision), "the index names a recording that is not there")
		if err != nil {
			return err
		}
		found = append(found, value)
		return nil
	})
	return listText(found), err
}
