package device

import (
	"errors"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/seal"
)

// Seal seals the details that a version of a device brings and answers the transient
// data of details:Put. The key is kept before anything travels.
func Seal(keyring *seal.Keyring, msp, id string, version int64, details []byte) ([]byte, error) {
	sealed, err := keyring.Seal([]seal.Item{{Key: ledger.DeviceVersionKey(msp, id, version), Details: details}})
	if err != nil {
		return nil, err
	}
	return ledger.Canonical(sealed)
}

// Put is the proposal that stores sealed details with their owner.
func Put(msp string, sealed []byte) fabric.Proposal {
	return fabric.Proposal{Function: "details:Put", Transient: map[string][]byte{"details": sealed}, EndorsedBy: []string{msp}}
}

// Purge is the proposal that removes them.
func Purge(msp, id string, version int64) (fabric.Proposal, error) {
	keys, err := ledger.Canonical([]string{ledger.DeviceVersionKey(msp, id, version)})
	return fabric.Proposal{Function: "details:Purge", Transient: map[string][]byte{"keys": keys}, EndorsedBy: []string{msp}}, err
}

// Erasure fills in the key whose destruction erases, where the keyring has it.
func Erasure(keyring *seal.Keyring, msp, id string, version int64, request *ledger.ErasureRequest) error {
	commitment, err := keyring.Commitment(ledger.DeviceVersionKey(msp, id, version))
	if err != nil && !errors.Is(err, seal.ErrNoKey) {
		return err
	}
	request.Details = &ledger.DestroyedKey{KeyCommitment: commitment}
	return nil
}

// Open opens a device's sealed details and checks them against the ledger's digest.
func Open(keyring *seal.Keyring, device *ledger.Device, sealed *ledger.Sealed) (*ledger.Details, error) {
	text, err := keyring.Unseal(ledger.DeviceVersionKey(device.MSP, device.ID, device.DetailsN), sealed)
	if err != nil {
		return nil, &fault.Error{
			Kind: fault.NotFound, Stage: fault.StageRequest, Err: err,
			Message: "the device's details cannot be opened with this keyring: their key was destroyed, or they were sealed with another",
		}
	}
	if ledger.Digest(text) != device.Credentials.DetailsDigest {
		return nil, fault.New(fault.Internal, "the details do not hash to the digest on the ledger: they belong to another device or were altered")
	}
	var opened ledger.Details
	if err := ledger.DecodeStrict(text, &opened); err != nil {
		return nil, err
	}
	if opened.Device == nil {
		return nil, fault.New(fault.Internal, "the details are not those of a device")
	}
	return &opened, nil
}
