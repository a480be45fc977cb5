package contract

import (
	"slices"
	"strings"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Devices is the contract "devices": which devices may call (P1 phase 1). A
// device is known by pseudonyms, made outside under the consortium's key; its
// addresses and networks in clear are details that its owner alone sees.
//
// The caller of every function that changes a device is an admin or the gateway
// of the device's own operator, and names the version it changes: who acts on an
// old one is told so, with FAILED_PRECONDITION. No version is ever removed.
type Devices struct{ contractapi.Contract }

// GetEvaluateTransactions names the functions that only read.
func (*Devices) GetEvaluateTransactions() []string {
	return []string{"Get", "Version", "History", "ByAOR", "ByFingerprint", "List", "Check"}
}

// Register puts a device of the caller's operator on the ledger.
//
// Registration is a ledger.DeviceRegistration in JSON: a random id, a kind, and
// pseudonyms of what the device is known by. The answer is its first
// ledger.Device.
//
// Errors: INVALID_ARGUMENT, TOO_LARGE, PERMISSION_DENIED, ALREADY_EXISTS for an
// id that is taken, also by a device that was revoked.
func (*Devices) Register(ctx contractapi.TransactionContextInterface, registration string) (string, error) {
	who, at, err := deviceWriter(ctx)
	if err != nil {
		return "", err
	}
	asked, err := checkedInput[ledger.DeviceRegistration](ctx, "registration", registration)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	stored, err := stub.GetState(ledger.DeviceKey(who.msp, asked.ID))
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	if stored != nil {
		return "", ledger.Errorf(ledger.CodeExists, "a device with this id is registered already: take a new random id, or change the device that has it")
	}
	device := ledger.NewDevice(&asked, who.msp, who.role, at, stub.GetTxID())
	return storeDevice(stub, device, nil)
}

// Suspend takes a device out of service until it is reinstated. After is the
// version this follows. Reasons: fraud, lost, maintenance, owner_request,
// payment, stolen, suspicion. The answer is the new ledger.Device.
//
// Errors: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION
// when another version came first, or the device is suspended or revoked already.
func (*Devices) Suspend(ctx contractapi.TransactionContextInterface, id string, after int64, reason string) (string, error) {
	return changeDevice(ctx, id, after, ledger.DeviceSuspended, reason)
}

// Reinstate puts a suspended device back into service. Reasons: cleared,
// maintenance, mistake, owner_request, payment, recovered. Otherwise as Suspend.
func (*Devices) Reinstate(ctx contractapi.TransactionContextInterface, id string, after int64, reason string) (string, error) {
	return changeDevice(ctx, id, after, ledger.DeviceReinstated, reason)
}

// Revoke takes a device out of service for ever. Reasons: compromised,
// decommissioned, fraud, lost, mistake, owner_request, replaced, stolen.
// Otherwise as Suspend.
func (*Devices) Revoke(ctx contractapi.TransactionContextInterface, id string, after int64, reason string) (string, error) {
	return changeDevice(ctx, id, after, ledger.DeviceRevoked, reason)
}

// Rotate gives a device other credentials, addresses, fingerprints or validity,
// and keeps its id and status. Rotation is a ledger.DeviceRotation in JSON: the
// credentials as they shall be, whole; the version it follows; a reason of
// compromised, key_epoch, mistake, owner_request, scheduled. The answer is the
// new ledger.Device. Errors as Suspend.
func (*Devices) Rotate(ctx contractapi.TransactionContextInterface, id, rotation string) (string, error) {
	who, at, err := deviceWriter(ctx)
	if err != nil {
		return "", err
	}
	asked, err := checkedInput[ledger.DeviceRotation](ctx, "rotation", rotation)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	before, err := deviceOf(stub, who.msp, id)
	if err != nil {
		return "", err
	}
	next, err := before.Rotate(&asked, who.role, at, stub.GetTxID())
	if err != nil {
		return "", err
	}
	return storeDevice(stub, next, before)
}

// Erase states on the ledger that the owner erases the sealed details which
// version n of a device brought. Only then may details:Purge remove them. They
// must be out of use: the device is revoked, or another version brought new ones.
// The caller is the owner's compliance or admin role, or its gateway.
//
// Request is a ledger.ErasureRequest in JSON, without audio; the answer is the
// ledger.Erasure, the one that stands where they were erased before.
//
// Errors: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION
// while the details are in use.
func (*Devices) Erase(ctx contractapi.TransactionContextInterface, msp, id string, n int64, request string) (string, error) {
	asked, err := checkedInput[ledger.ErasureRequest](ctx, "request", request)
	if err != nil {
		return "", err
	}
	if asked.Audio != nil {
		return "", ledger.Errorf(ledger.CodeInvalid, "a device has no audio")
	}
	if err := ledger.CheckNumber("n", n); err != nil {
		return "", err
	}
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	if err := who.mayActFor(msp, ledger.RoleCompliance, ledger.RoleAdmin, ledger.RoleGateway); err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	device, err := deviceOf(stub, msp, id)
	if err != nil {
		return "", err
	}
	versionKey := ledger.DeviceVersionKey(msp, id, n)
	if _, err := get(stub, versionKey, "the device has no such version"); err != nil {
		return "", err
	}
	key, err := ledger.ErasureKey(versionKey)
	if err != nil {
		return "", err
	}
	var erasure ledger.Erasure
	found, err := load(stub, key, &erasure)
	if err != nil {
		return "", err
	}
	if found {
		return text(&erasure)
	}
	if device.Status != ledger.DeviceRevoked && device.DetailsN == n {
		return "", ledger.Errorf(ledger.CodeState, "the details of version %d are in use: revoke the device or rotate it to new ones first", n)
	}
	details := &ledger.Destruction{
		At: at, By: who.role, EvidenceDigest: asked.EvidenceDigest, KeyCommitment: asked.Details.KeyCommitment, Reason: asked.Reason,
		RequestedBy: asked.RequestedBy, TxID: stub.GetTxID(),
	}
	if details.SealedDigest, err = privateDigest(ctx, collectionOf(msp), versionKey); err != nil {
		return "", err
	}
	return store(ctx, key, &ledger.Erasure{Details: details, Device: &ledger.DeviceVersionID{ID: id, N: n}, MSP: msp, V: ledger.SchemaVersion})
}

// Get answers a device as it stands, a ledger.Device, or NOT_FOUND.
func (*Devices) Get(ctx contractapi.TransactionContextInterface, msp, id string) (string, error) {
	if err := checkDevice(msp, id); err != nil {
		return "", err
	}
	value, err := get(ctx.GetStub(), ledger.DeviceKey(msp, id), noDevice)
	return string(value), err
}

// Version answers one version of a device, a ledger.Device, or NOT_FOUND.
func (*Devices) Version(ctx contractapi.TransactionContextInterface, msp, id string, n int64) (string, error) {
	if err := checkDevice(msp, id); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("n", n); err != nil {
		return "", err
	}
	value, err := get(ctx.GetStub(), ledger.DeviceVersionKey(msp, id, n), "the device has no such version, or is not registered")
	return string(value), err
}

// History answers every version of a device, the first first, as a JSON array of
// ledger.Device; empty where there is no such device.
func (*Devices) History(ctx contractapi.TransactionContextInterface, msp, id string) (string, error) {
	if err := checkDevice(msp, id); err != nil {
		return "", err
	}
	return versions(ctx, ledger.TypeDeviceVersion, msp, id)
}

// ByAOR answers the devices of all operators that now have the address of record
// with this pseudonym (ledger.AORRef), as a JSON array of ledger.Device; empty
// where there are none.
func (*Devices) ByAOR(ctx contractapi.TransactionContextInterface, aorRef string) (string, error) {
	return devicesBy(ctx, ledger.TypeDeviceByAOR, "aor_ref", aorRef, func(c *ledger.DeviceCredentials) []string { return c.AORRefs })
}

// ByFingerprint answers the devices of all operators that now have the
// certificate with this pseudonym (ledger.FingerprintRef), as ByAOR.
func (*Devices) ByFingerprint(ctx contractapi.TransactionContextInterface, fingerprintRef string) (string, error) {
	return devicesBy(ctx, ledger.TypeDeviceByFingerprint, "fingerprint_ref", fingerprintRef, func(c *ledger.DeviceCredentials) []string { return c.FingerprintRefs })
}

// DevicePage is the answer of List.
type DevicePage struct {
	// Bookmark is where the next page begins; empty after the last.
	Bookmark string          `json:"bookmark"`
	Devices  []ledger.Device `json:"devices"`
}

// List answers a page of an operator's devices in order of id, revoked ones too,
// a DevicePage. PageSize is 1 to 1000.
func (*Devices) List(ctx contractapi.TransactionContextInterface, msp string, pageSize int32, bookmark string) (string, error) {
	if err := checkNames("msp", msp); err != nil {
		return "", err
	}
	if pageSize < 1 || pageSize > maxListed {
		return "", ledger.Errorf(ledger.CodeInvalid, "the page size is %d, it must lie between 1 and %d", pageSize, maxListed)
	}
	// The peer begins wherever the bookmark says, be it outside what was asked for.
	if bookmark != "" && !strings.HasPrefix(bookmark, ledger.CompositeKey(ledger.TypeDevice, msp)) {
		return "", ledger.Errorf(ledger.CodeInvalid, "the bookmark is not one of an earlier page of this operator's devices")
	}
	iterator, metadata, err := ctx.GetStub().GetStateByPartialCompositeKeyWithPagination(ledger.TypeDevice, []string{msp}, pageSize, bookmark)
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "scan state: %v", err)
	}
	defer func() { _ = iterator.Close() }()
	page := DevicePage{Bookmark: metadata.GetBookmark(), Devices: []ledger.Device{}}
	for iterator.HasNext() {
		entry, err := iterator.Next()
		if err != nil {
			return "", ledger.Errorf(ledger.CodeInternal, "scan state: %v", err)
		}
		var device ledger.Device
		if err := decodeStored(entry.GetValue(), &device); err != nil {
			return "", err
		}
		page.Devices = append(page.Devices, device)
	}
	return text(page)
}

// Check answers what a PBX asks before a call: may a device with this address of
// record (ledger.AORRef) call at a time? The answer is a ledger.DeviceVerdict:
// registered, suspended, revoked, expired or unregistered, and what follows by
// the policy "devices": allow, flag or reject (P1 phase 1).
//
// Msp is the operator that must have registered the device; empty asks about all
// of them. A PBX asks about its own operator for its own accounts: otherwise
// another one could register the address and so let it pass. At is RFC 3339 UTC
// with milliseconds; empty is the transaction's time.
func (*Devices) Check(ctx contractapi.TransactionContextInterface, msp, aorRef, at string) (string, error) {
	if msp != "" {
		if err := checkNames("msp", msp); err != nil {
			return "", err
		}
	}
	if err := ledger.CheckDeviceRef("aor_ref", aorRef); err != nil {
		return "", err
	}
	moment, err := momentOf(ctx, at)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	current, err := policyOf(stub, ledger.PolicyDevices)
	if err != nil {
		return "", err
	}
	if current.Policy.Devices == nil {
		return "", ledger.Errorf(ledger.CodeInternal, "the governance chaincode answered another policy than the one on devices")
	}
	var standing []ledger.DeviceStanding
	err = devicesOnceBy(stub, ledger.TypeDeviceByAOR, aorRef, func(device *ledger.Device) error {
		if msp != "" && device.MSP != msp {
			return nil
		}
		device, err := deviceAt(stub, device, moment)
		if err != nil || device == nil || !slices.Contains(device.Credentials.AORRefs, aorRef) {
			return err
		}
		standing = append(standing, ledger.DeviceStanding{ID: device.ID, Kind: device.Kind, MSP: device.MSP, N: device.N, Verdict: device.Verdict(moment)})
		return nil
	})
	if err != nil {
		return "", err
	}
	return text(ledger.Judge(standing, moment, current.Policy.Devices, current.Version))
}

const noDevice = "no such device is registered by this operator"

// deviceWriter identifies who may change a device of its own operator.
func deviceWriter(ctx contractapi.TransactionContextInterface) (caller, ledger.Time, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return caller{}, ledger.Time{}, err
	}
	if err := who.mayActFor(who.msp, ledger.RoleAdmin, ledger.RoleGateway); err != nil {
		return caller{}, ledger.Time{}, err
	}
	at, err := now(ctx)
	return who, at, err
}

func checkDevice(msp, id string) error {
	if err := ledger.CheckName("msp", msp); err != nil {
		return err
	}
	return ledger.CheckDeviceID(id)
}

// deviceOf reads a device as it stands, or answers CodeNotFound.
func deviceOf(stub shim.ChaincodeStubInterface, msp, id string) (*ledger.Device, error) {
	if err := checkDevice(msp, id); err != nil {
		return nil, err
	}
	stored, err := get(stub, ledger.DeviceKey(msp, id), noDevice)
	if err != nil {
		return nil, err
	}
	device := &ledger.Device{}
	return device, decodeStored(stored, device)
}

// deviceAt is the version of a device in force at a time, nil before the first.
// It scans the versions only where the last one is too new.
func deviceAt(stub shim.ChaincodeStubInterface, last *ledger.Device, at ledger.Time) (*ledger.Device, error) {
	if !at.Before(last.At) {
		return last, nil
	}
	var found *ledger.Device
	err := scan(stub, ledger.TypeDeviceVersion, []string{last.MSP, last.ID}, func(_ string, value []byte) error {
		version := &ledger.Device{}
		if err := decodeStored(value, version); err != nil {
			return err
		}
		if !at.Before(version.At) {
			found = version
		}
		return nil
	})
	return found, err
}

// changeDevice writes the next version of a device of the caller's operator.
func changeDevice(ctx contractapi.TransactionContextInterface, id string, after int64, change, reason string) (string, error) {
	who, at, err := deviceWriter(ctx)
	if err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("after", after); err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	before, err := deviceOf(stub, who.msp, id)
	if err != nil {
		return "", err
	}
	next, err := before.Next(change, reason, after, who.role, at, stub.GetTxID())
	if err != nil {
		return "", err
	}
	return storeDevice(stub, next, before)
}

// storeDevice writes a version, and index entries for what it is newly known by.
func storeDevice(stub shim.ChaincodeStubInterface, device, before *ledger.Device) (string, error) {
	value, err := encode(device)
	if err != nil {
		return "", err
	}
	writes := []write{
		{key: ledger.DeviceKey(device.MSP, device.ID), value: value},
		{key: ledger.DeviceVersionKey(device.MSP, device.ID, device.N), value: value},
	}
	known := ledger.DeviceCredentials{}
	if before != nil {
		known = before.Credentials
	}
	for _, ref := range device.Credentials.AORRefs {
		if !slices.Contains(known.AORRefs, ref) {
			writes = append(writes, write{key: ledger.DeviceByAORKey(ref, device.MSP, device.ID), value: marker})
		}
	}
	for _, ref := range device.Credentials.FingerprintRefs {
		if !slices.Contains(known.FingerprintRefs, ref) {
			writes = append(writes, write{key: ledger.DeviceByFingerprintKey(ref, device.MSP, device.ID), value: marker})
		}
	}
	return string(value), put(stub, writes)
}

// devicesBy answers the devices that an index names and that still have the ref
// among those that refs picks.
func devicesBy(ctx contractapi.TransactionContextInterface, objectType, field, ref string, refs func(*ledger.DeviceCredentials) []string) (string, error) {
	if err := ledger.CheckDeviceRef(field, ref); err != nil {
		return "", err
	}
	devices := []*ledger.Device{}
	err := devicesOnceBy(ctx.GetStub(), objectType, ref, func(device *ledger.Device) error {
		if slices.Contains(refs(&device.Credentials), ref) {
			devices = append(devices, device)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return text(devices)
}

// devicesOnceBy visits every device that has or had a ref, as it stands.
func devicesOnceBy(stub shim.ChaincodeStubInterface, objectType, ref string, visit func(*ledger.Device) error) error {
	return scan(stub, objectType, []string{ref}, func(key string, _ []byte) error {
		_, parts, err := ledger.SplitKey(key)
		if err != nil || len(parts) != 3 {
			return ledger.Errorf(ledger.CodeInternal, "a key of the index of devices has %d parts instead of 3", len(parts))
		}
		device := &ledger.Device{}
		found, err := load(stub, ledger.DeviceKey(parts[1], parts[2]), device)
		if err != nil {
			return err
		}
		if !found {
			return ledger.Errorf(ledger.CodeInternal, "the index names a device that is not there")
		}
		return visit(device)
	})
}

// momentOf reads a time from an argument; empty is the transaction's time.
func momentOf(ctx contractapi.TransactionContextInterface, argument string) (ledger.Time, error) {
	if argument == "" {
		return now(ctx)
	}
	var at ledger.Time
	if err := at.UnmarshalText([]byte(argument)); err != nil {
		return ledger.Time{}, ledger.Errorf(ledger.CodeInvalid, "%v", err)
	}
	return at, nil
}
