package contract

import (
	"slices"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// PurgeResult is the answer of Purge.
type PurgeResult struct {
	// Already counts the records of which nothing was there any more.
	Already int `json:"already"`
	// Purged counts the records whose details this transaction purges.
	Purged int `json:"purged"`
}

// Purge removes sealed details from the owner's collection for good: transient
// data "keys", a JSON array of one to 500 keys of records. They are never
// arguments, which stand in the block. Each record's public erasure must stand
// and no legal hold. The caller is the owner's gateway or compliance role, on its
// own peer, and the transaction is endorsed by that peer alone.
//
// Errors: INVALID_ARGUMENT, TOO_LARGE, PERMISSION_DENIED, FAILED_PRECONDITION.
func (d *Details) Purge(ctx contractapi.TransactionContextInterface) (string, error) {
	who, err := d.owner(ctx, ledger.RoleGateway, ledger.RoleCompliance)
	if err != nil {
		return "", err
	}
	keys, err := purgedKeys(ctx, who.msp)
	if err != nil {
		return "", err
	}
	erased, err := erasedDetails(ctx, keys)
	if err != nil {
		return "", err
	}
	for i, key := range keys {
		if erased[key] == nil {
			return "", ledger.Errorf(ledger.CodeState, "the erasure of record %d of the list is not on the ledger: state it first with recordings:Erase, calls:Erase or devices:Erase", i+1)
		}
	}
	if err := checkNoneHeld(ctx, keys); err != nil {
		return "", err
	}
	stub, collection := ctx.GetStub(), collectionOf(who.msp)
	result := PurgeResult{}
	for _, key := range keys {
		hash, err := stub.GetPrivateDataHash(collection, key)
		if err != nil {
			return "", ledger.Errorf(ledger.CodeInternal, "read the collection: %v", err)
		}
		if hash == nil {
			result.Already++
			continue
		}
		if err := stub.PurgePrivateData(collection, key); err != nil {
			return "", ledger.Errorf(ledger.CodeInternal, "purge details: %v", err)
		}
		result.Purged++
	}
	return text(result)
}

// purgedKeys reads and checks the transient keys, each named once.
func purgedKeys(ctx contractapi.TransactionContextInterface, msp string) ([]string, error) {
	data, err := secret(ctx, "keys")
	if err != nil {
		return nil, err
	}
	var keys []string
	if err := ledger.DecodeStrict(data, &keys); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, ledger.Errorf(ledger.CodeInvalid, "there are no keys: send an array of one or more")
	}
	if len(keys) > ledger.MaxRecords {
		return nil, ledger.Errorf(ledger.CodeTooLarge, "there are %d keys, at most %d are allowed: send fewer at once", len(keys), ledger.MaxRecords)
	}
	seen := map[string]bool{}
	for _, key := range keys {
		if err := checkDetailsKey(key, msp); err != nil {
			return nil, err
		}
		if seen[key] {
			return nil, ledger.Errorf(ledger.CodeInvalid, "a key is named twice: name each once")
		}
		seen[key] = true
	}
	return keys, nil
}

// erasedDetails finds which of the records' details were erased, by the records'
// keys, in one message to the peer.
func erasedDetails(ctx contractapi.TransactionContextInterface, keys []string) (map[string]*ledger.Destruction, error) {
	erasures := make([]string, len(keys))
	for i, key := range keys {
		var err error
		if erasures[i], err = ledger.ErasureKey(key); err != nil {
			return nil, err
		}
	}
	values, err := getAll(ctx.GetStub(), erasures)
	if err != nil {
		return nil, err
	}
	erased := map[string]*ledger.Destruction{}
	for i, key := range keys {
		if values[i] == nil {
			continue
		}
		var erasure ledger.Erasure
		if err := decodeStored(values[i], &erasure); err != nil {
			return nil, err
		}
		erased[key] = erasure.Details
	}
	return erased, nil
}

// checkNoneHeld answers CodeState while a case holds one of the records, which
// are anchored. Devices are not held: a case is about a conversation.
func checkNoneHeld(ctx contractapi.TransactionContextInterface, keys []string) error {
	at, err := now(ctx)
	if err != nil {
		return err
	}
	keys = slices.DeleteFunc(slices.Clone(keys), isDeviceKey)
	if len(keys) == 0 {
		return nil
	}
	records, err := getAll(ctx.GetStub(), keys)
	if err != nil {
		return err
	}
	var holds []string
	seen := map[string]bool{}
	for _, value := range records {
		var record ledger.Record
		if err := decodeStored(value, &record); err != nil {
			return err
		}
		if key := ledger.HoldKey(record.MSP, record.PBX, record.Leg().LinkedID); !seen[key] {
			seen[key] = true
			holds = append(holds, key)
		}
	}
	values, err := getAll(ctx.GetStub(), holds)
	if err != nil {
		return err
	}
	for _, value := range values {
		if value == nil {
			continue
		}
		hold := &ledger.Hold{}
		if err := decodeStored(value, hold); err != nil {
			return err
		}
		if err := checkNotHeld(hold, at); err != nil {
			return err
		}
	}
	return nil
}

// getAll reads several values in one message to the peer; nil where there is
// none.
func getAll(stub shim.ChaincodeStubInterface, keys []string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	values, err := stub.GetMultipleStates(keys...)
	if err != nil {
		return nil, ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	// A peer whose database fails answers with fewer values and no error.
	if len(values) != len(keys) {
		return nil, ledger.Errorf(ledger.CodeInternal, "read state: the peer answered %d of %d keys", len(values), len(keys))
	}
	return values, nil
}
