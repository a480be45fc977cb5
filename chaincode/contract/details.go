package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Details is the contract "details": the sealed personal details of an
// operator's own records, in its implicit private collection. Every function
// demands that caller, collection and peer are of one operator: without that any
// member's client could ask the owner's peer.
type Details struct {
	contractapi.Contract
	peerMSP string
}

// GetEvaluateTransactions names the functions that only read.
func (*Details) GetEvaluateTransactions() []string {
	return []string{"GetCall", "GetDevice", "GetRecording"}
}

// PutResult is the answer of Put.
type PutResult struct {
	// Already counts the records whose details were there before.
	Already int `json:"already"`
	// Erased counts the records whose details were erased: they stay away.
	Erased int `json:"erased"`
	// Stored counts the records whose details this transaction stores.
	Stored int `json:"stored"`
}

// Put stores sealed details: transient data "details", a JSON array of one to 1500
// ledger.SealedRecord. The caller is the owner's gateway or, where all details are
// those of devices, its admin, and the transaction is endorsed by the owner's peer
// alone, so that neither proposal nor gossip carries it to others. Details that
// are there are left as they are, and those that were erased do not come back.
func (d *Details) Put(ctx contractapi.TransactionContextInterface) (string, error) {
	who, err := d.owner(ctx, ledger.RoleGateway, ledger.RoleAdmin)
	if err != nil {
		return "", err
	}
	data, err := secret(ctx, "details")
	if err != nil {
		return "", err
	}
	var records []ledger.SealedRecord
	if err := ledger.DecodeStrict(data, &records); err != nil {
		return "", err
	}
	if len(records) == 0 {
		return "", ledger.Errorf(ledger.CodeInvalid, "there are no details: send an array of one or more")
	}
	if len(records) > ledger.MaxTransactionRecords {
		return "", ledger.Errorf(ledger.CodeTooLarge, "there are %d details, at most %d are allowed: send fewer at once", len(records), ledger.MaxTransactionRecords)
	}
	collection := collectionOf(who.msp)
	result := PutResult{}
	seen := map[string]bool{}
	keys := make([]string, len(records))
	for i := range records {
		keys[i] = records[i].Key
		if err := checkDetailsKey(keys[i], who.msp); err != nil {
			return "", err
		}
		if who.role == ledger.RoleAdmin && !isDeviceKey(keys[i]) {
			return "", ledger.Errorf(ledger.CodeDenied, "an admin stores the details of devices only: those of calls and recordings are the gateway's")
		}
		if err := records[i].Sealed.Check(); err != nil {
			return "", err
		}
	}
	erased, err := erasedDetails(ctx, keys)
	if err != nil {
		return "", err
	}
	// One message instead of 1500; on the owner's own peer the values are there.
	stored, err := ctx.GetStub().GetMultiplePrivateData(collection, keys...)
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "read the collection: %v", err)
	}
	if len(stored) != len(keys) {
		return "", ledger.Errorf(ledger.CodeInternal, "read the collection: the peer answered %d of %d keys", len(stored), len(keys))
	}
	var writes []write
	for i := range records {
		record := &records[i]
		if erased[record.Key] != nil {
			result.Erased++
			continue
		}
		if stored[i] != nil || seen[record.Key] {
			result.Already++
			continue
		}
		seen[record.Key] = true
		value, err := encode(&record.Sealed)
		if err != nil {
			return "", err
		}
		writes = append(writes, write{collection: collection, key: record.Key, value: value})
		result.Stored++
	}
	if err := put(ctx.GetStub(), writes); err != nil {
		return "", err
	}
	return text(result)
}

// GetCall answers the sealed details of one CDR leg, a ledger.Sealed, to the
// owner's gateway or compliance role; NOT_FOUND where there are none.
func (d *Details) GetCall(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID, uniqueID string, sequence int64) (string, error) {
	leg := ledger.LegID{LinkedID: linkedID, UniqueID: uniqueID, Sequence: sequence}
	if err := checkNames("msp", msp, "pbx", pbx); err != nil {
		return "", err
	}
	if err := leg.Check(); err != nil {
		return "", err
	}
	return d.get(ctx, msp, ledger.CallKey(msp, pbx, leg))
}

// GetRecording answers the sealed details of one recording, as GetCall.
func (d *Details) GetRecording(ctx contractapi.TransactionContextInterface, msp, pbx, id string, revision int64) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx, "id", id); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("revision", revision); err != nil {
		return "", err
	}
	return d.get(ctx, msp, ledger.RecordingKey(msp, pbx, id, revision))
}

// GetDevice answers the sealed details that version n of a device brought
// (ledger.Device's details_n), as GetCall; admins may ask too.
func (d *Details) GetDevice(ctx contractapi.TransactionContextInterface, msp, id string, n int64) (string, error) {
	if err := checkDevice(msp, id); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("n", n); err != nil {
		return "", err
	}
	return d.get(ctx, msp, ledger.DeviceVersionKey(msp, id, n), ledger.RoleAdmin)
}

// get answers sealed details to the owner's gateway and compliance, and to the
// further roles given.
func (d *Details) get(ctx contractapi.TransactionContextInterface, msp, key string, further ...ledger.Role) (string, error) {
	who, err := d.owner(ctx, append(further, ledger.RoleGateway, ledger.RoleCompliance)...)
	if err != nil {
		return "", err
	}
	if msp != who.msp {
		return "", ledger.Errorf(ledger.CodeDenied, "%s may not read the details of %s: ask that operator to disclose them", who.msp, msp)
	}
	value, err := ctx.GetStub().GetPrivateData(collectionOf(who.msp), key)
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "read the collection: %v", err)
	}
	if value == nil {
		erased, err := erasedDetails(ctx, []string{key})
		if err != nil {
			return "", err
		}
		if destroyed := erased[key]; destroyed != nil {
			return "", ledger.Errorf(ledger.CodeNotFound, "the details of this record were erased at %s (%s)", destroyed.At, destroyed.Reason)
		}
		return "", ledger.Errorf(ledger.CodeNotFound, "no details are stored for this record")
	}
	return string(value), nil
}

// owner identifies the caller and answers CodeDenied unless it acts on its own
// operator's peer in one of the roles.
func (d *Details) owner(ctx contractapi.TransactionContextInterface, roles ...ledger.Role) (caller, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return caller{}, err
	}
	if who.msp != d.peerMSP {
		return caller{}, ledger.Errorf(ledger.CodeDenied, "%s may not touch details on a peer of %s", who.msp, d.peerMSP)
	}
	return who, who.mayActFor(d.peerMSP, roles...)
}

// collectionOf is Fabric's name of an operator's implicit collection.
func collectionOf(msp string) string { return "_implicit_org_" + msp }

// keyParts is the number of parts of a key that details are stored under, the
// last of which is a number.
var keyParts = map[string]int{ledger.TypeCall: 5, ledger.TypeRecording: 4, ledger.TypeDeviceVersion: 3}

// isDeviceKey says whether a key is that of a version of a device.
func isDeviceKey(key string) bool {
	objectType, _, err := ledger.SplitKey(key)
	return err == nil && objectType == ledger.TypeDeviceVersion
}

// checkDetailsKey answers CodeInvalid unless the key is that of a call, a
// recording or a version of a device, and CodeDenied unless it is one of the MSP.
func checkDetailsKey(key, msp string) error {
	objectType, parts, err := ledger.SplitKey(key)
	if err != nil || len(parts) == 0 || len(parts) != keyParts[objectType] {
		return ledger.Errorf(ledger.CodeInvalid, "details are stored under the key of a call, of a recording or of a version of a device")
	}
	for _, part := range parts {
		if err := ledger.CheckName("a part of the details' key", part); err != nil {
			return err
		}
	}
	if _, err := ledger.ParseKeyNumber(parts[len(parts)-1]); err != nil {
		return err
	}
	if parts[0] != msp {
		return ledger.Errorf(ledger.CodeDenied, "%s may not store details of %s", msp, parts[0])
	}
	return nil
}
