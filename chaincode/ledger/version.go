package ledger

// SchemaVersion is what this code writes into the member "v" of stored types.
//
// Version 1 held calls, recordings, segments, adapters, incidents and sealed
// details. Version 2 adds kinds of record, and members to the old ones; every
// value of version 1 is a value of version 2 that leaves them out. So a newer
// reader takes older values as they are, byte for byte, and an older reader
// refuses newer ones with CodeNewer instead of misreading them: chaincodes are
// upgraded first, then gateways, then adapters.
//
// Version 3 adds, in the same way, calls in progress, disagreements between a PBX's
// sources, what a recording went through, and a leg's journey, features, cost,
// location and network among its details.
const SchemaVersion = 3

// oldestWritten is the oldest version that opinions and policies may still be
// written in: gateways and admins' tools are upgraded after the chaincodes.
const oldestWritten = 2

// CheckWritten answers CodeInvalid unless a value that has not changed since
// version 2 may be written as version v.
func CheckWritten(what string, v int) error {
	if v < oldestWritten || v > SchemaVersion {
		return Errorf(CodeInvalid, "%s is of version %d: write it as v %d, or as v %d at least", what, v, SchemaVersion, oldestWritten)
	}
	return nil
}

// CheckVersion answers unless this code can read a value of version v: CodeNewer
// for one that a later Callseal wrote, CodeInvalid for none at all.
func CheckVersion(what string, v int) error {
	switch {
	case v < 1:
		return Errorf(CodeInvalid, "%s: version %d is none, the first is 1", what, v)
	case v > SchemaVersion:
		return Errorf(CodeNewer, "%s: version %d is newer than this Callseal, which reads up to %d: upgrade it", what, v, SchemaVersion)
	}
	return nil
}

// About is what a chaincode says of itself.
type About struct {
	// Chaincode is its version, as the operators approved it.
	Chaincode string `json:"chaincode"`
	// Governance is the name of the chaincode that holds the policy documents.
	Governance string `json:"governance,omitzero"`
	// Schema is the newest version of stored values that it reads.
	Schema int64 `json:"schema"`
	// V is SchemaVersion.
	V int `json:"v"`
}
