package contract

import (
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Retain changes until when one revision of a recording is kept (RFC 3339 UTC
// with milliseconds). The caller is the owner's compliance role. A term may be
// lengthened up to the maximum of the policy "retention" and shortened down to
// its minimum, both counted from the closing of the file. The answer is the new
// ledger.Retention; asking for the term that stands changes nothing.
//
// Errors: INVALID_ARGUMENT, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION
// outside the policy's bounds or where the audio is erased.
func (*Recordings) Retain(ctx contractapi.TransactionContextInterface, msp, pbx, id string, revision int64, until string) (string, error) {
	what, err := recordingSubject(msp, pbx, id, revision)
	if err != nil {
		return "", err
	}
	var wanted ledger.Time
	if err := wanted.UnmarshalText([]byte(until)); err != nil {
		return "", ledger.Errorf(ledger.CodeInvalid, "until: %v", err)
	}
	if err := mustActFor(ctx, msp, ledger.RoleCompliance); err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	if err := what.read(stub); err != nil {
		return "", err
	}
	if what.erasure != nil && what.erasure.Audio != nil {
		return "", ledger.Errorf(ledger.CodeState, "the audio of this recording was erased at %s: there is nothing left to keep", what.erasure.Audio.At)
	}
	policy, err := retentionPolicy(stub)
	if err != nil {
		return "", err
	}
	first, last := policy.Recordings.Bounds(what.record.Recording.ClosedAt)
	if wanted.Before(first) || last.Before(wanted) {
		return "", ledger.Errorf(ledger.CodeState, "the operators' policy keeps this recording until %s at least and %s at most: choose a time between", first, last)
	}
	if what.retention != nil && what.retention.Until == wanted {
		return text(what.retention)
	}
	next := &ledger.Retention{
		At: at, ID: id, MSP: msp, N: 1, PBX: pbx, Revision: revision, TxID: stub.GetTxID(), Until: wanted, V: ledger.SchemaVersion,
	}
	if what.retention != nil {
		next.N = what.retention.N + 1
	}
	return storeVersion(ctx, next, ledger.RetentionKey(msp, pbx, id, revision), ledger.RetentionVersionKey(msp, pbx, id, revision, next.N))
}

// Retentions answers every change of a recording's term, the first first, as a
// JSON array of ledger.Retention; empty where it was never changed.
func (*Recordings) Retentions(ctx contractapi.TransactionContextInterface, msp, pbx, id string, revision int64) (string, error) {
	what, err := recordingSubject(msp, pbx, id, revision)
	if err != nil {
		return "", err
	}
	_, parts, err := ledger.SplitKey(what.key)
	if err != nil {
		return "", err
	}
	return versions(ctx, ledger.TypeRetentionVersion, parts...)
}

// State answers what stands now about one revision of a recording, a
// ledger.Custody: anchored or erased, until when it is kept, the legal hold in
// force, its pauses. Errors: INVALID_ARGUMENT, NOT_FOUND.
func (*Recordings) State(ctx contractapi.TransactionContextInterface, msp, pbx, id string, revision int64) (string, error) {
	what, err := recordingSubject(msp, pbx, id, revision)
	if err != nil {
		return "", err
	}
	return what.custody(ctx)
}

// State answers what stands now about one CDR leg, a ledger.Custody: anchored or
// erased, until when it is kept, the legal hold in force. Errors:
// INVALID_ARGUMENT, NOT_FOUND.
func (*Calls) State(ctx contractapi.TransactionContextInterface, msp, pbx, linkedID, uniqueID string, sequence int64) (string, error) {
	what, err := callSubject(msp, pbx, ledger.LegID{LinkedID: linkedID, UniqueID: uniqueID, Sequence: sequence})
	if err != nil {
		return "", err
	}
	return what.custody(ctx)
}

// subject is a record and what was decided about it since it was anchored.
type subject struct {
	key, msp, pbx string
	call          *ledger.LegID
	recording     *ledger.RecordingID

	record    ledger.Record
	erasure   *ledger.Erasure
	hold      *ledger.Hold
	retention *ledger.Retention // for a recording
}

func recordingSubject(msp, pbx, id string, revision int64) (*subject, error) {
	if err := checkNames("msp", msp, "pbx", pbx); err != nil {
		return nil, err
	}
	name := &ledger.RecordingID{ID: id, Revision: revision}
	return &subject{key: ledger.RecordingKey(msp, pbx, id, max(0, revision)), msp: msp, pbx: pbx, recording: name}, name.Check()
}

func callSubject(msp, pbx string, leg ledger.LegID) (*subject, error) {
	if err := checkNames("msp", msp, "pbx", pbx); err != nil {
		return nil, err
	}
	if err := leg.Check(); err != nil {
		return nil, err
	}
	return &subject{key: ledger.CallKey(msp, pbx, leg), msp: msp, pbx: pbx, call: &leg}, nil
}

// read fetches the record and all decisions, or answers CodeNotFound.
func (s *subject) read(stub shim.ChaincodeStubInterface) error {
	stored, err := get(stub, s.key, "no operator has anchored this record")
	if err != nil {
		return err
	}
	if err := decodeStored(stored, &s.record); err != nil {
		return err
	}
	if s.hold, err = holdOf(stub, s.msp, s.pbx, s.record.Leg().LinkedID); err != nil {
		return err
	}
	key, err := ledger.ErasureKey(s.key)
	if err != nil {
		return err
	}
	var erasure ledger.Erasure
	if found, err := load(stub, key, &erasure); err != nil {
		return err
	} else if found {
		s.erasure = &erasure
	}
	if s.recording == nil {
		return nil
	}
	var retention ledger.Retention
	found, err := load(stub, ledger.RetentionKey(s.msp, s.pbx, s.recording.ID, s.recording.Revision), &retention)
	if found {
		s.retention = &retention
	}
	return err
}

// keptUntil is until when the record is kept under a policy: as its owner
// decided last, else as the record says, else for the default.
func (s *subject) keptUntil(policy *ledger.RetentionPolicy) ledger.Time {
	recording := s.record.Recording
	if recording == nil {
		return policy.Calls.Until(s.record.Call.End, ledger.Time{})
	}
	asked := recording.RetentionUntil
	if s.retention != nil {
		asked = s.retention.Until
	}
	return policy.Recordings.Until(recording.ClosedAt, asked)
}

func (s *subject) custody(ctx contractapi.TransactionContextInterface) (string, error) {
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	if err := s.read(stub); err != nil {
		return "", err
	}
	policy, err := retentionPolicy(stub)
	if err != nil {
		return "", err
	}
	custody := &ledger.Custody{Erasure: s.erasure, Hold: s.hold.InForce(at), RetentionUntil: s.keptUntil(policy), State: ledger.StateAnchored, V: ledger.SchemaVersion}
	if s.erasure != nil {
		custody.State = ledger.StateErased
	}
	if s.record.Recording != nil {
		custody.Pauses = s.record.Recording.Pauses
	}
	return text(custody)
}

// retentionPolicy is the policy "retention" in force.
func retentionPolicy(stub shim.ChaincodeStubInterface) (*ledger.RetentionPolicy, error) {
	current, err := policyOf(stub, ledger.PolicyRetention)
	if err != nil {
		return nil, err
	}
	if current.Policy.Retention == nil {
		return nil, ledger.Errorf(ledger.CodeInternal, "the governance chaincode answered another policy than the one on retention")
	}
	return current.Policy.Retention, nil
}

// holdOf is the last version of a conversation's hold, nil where there is none.
func holdOf(stub shim.ChaincodeStubInterface, msp, pbx, linkedID string) (*ledger.Hold, error) {
	hold := &ledger.Hold{}
	found, err := load(stub, ledger.HoldKey(msp, pbx, linkedID), hold)
	if !found {
		hold = nil
	}
	return hold, err
}

// load reads a value into v and says whether there is one.
func load(stub shim.ChaincodeStubInterface, key string, v any) (bool, error) {
	stored, err := stub.GetState(key)
	if err != nil {
		return false, ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	if stored == nil {
		return false, nil
	}
	return true, decodeStored(stored, v)
}

// mustActFor answers CodeDenied unless the caller belongs to the MSP and has one
// of the roles.
func mustActFor(ctx contractapi.TransactionContextInterface, msp string, roles ...ledger.Role) error {
	who, err := callerOf(ctx)
	if err != nil {
		return err
	}
	return who.mayActFor(msp, roles...)
}

// storeVersion writes a value as the one that stands and under the key of its
// version, where it stays, and answers it.
func storeVersion(ctx contractapi.TransactionContextInterface, v any, standing, version string) (string, error) {
	value, err := encode(v)
	if err != nil {
		return "", err
	}
	return string(value), put(ctx.GetStub(), []write{{key: standing, value: value}, {key: version, value: value}})
}

// versions answers all values under a prefix as a JSON array.
func versions(ctx contractapi.TransactionContextInterface, objectType string, prefix ...string) (string, error) {
	var all [][]byte
	err := scan(ctx.GetStub(), objectType, prefix, func(_ string, value []byte) error {
		all = append(all, value)
		return nil
	})
	return listText(all), err
}
