package contract

import (
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// marker is the value of keys that say all they say by being there. Fabric takes
// an empty value for a deletion.
var marker = []byte("{}")

// anchoring is one run of calls:Anchor: decode, read all at once, decide, write.
type anchoring struct {
	late bool // by an admin, after the signer's certificate ended
	stub shim.ChaincodeStubInterface
	at   ledger.Time
	txID string

	segments []ledger.SignedSegment
	leaves   [][][]byte // canonical records, by segment
	keys     [][]string // of the records, by segment

	state  map[string][]byte // what is stored, or written by this transaction
	writes []write
}

// anchor runs calls:Anchor or calls:AnchorLate.
func anchor(ctx contractapi.TransactionContextInterface, segments string, late bool) (string, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	data, err := input(ctx, "segments", segments)
	if err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	a := &anchoring{late: late, stub: ctx.GetStub(), at: at, txID: ctx.GetStub().GetTxID()}
	if err := a.decode(data, who); err != nil {
		return "", err
	}
	if err := a.read(); err != nil {
		return "", err
	}
	result, err := a.decide()
	if err != nil {
		return "", err
	}
	if err := put(a.stub, a.writes); err != nil {
		return "", err
	}
	return text(result)
}

// role is whose business it is.
func (a *anchoring) role() ledger.Role {
	if a.late {
		return ledger.RoleAdmin
	}
	return ledger.RoleGateway
}

// decode checks everything that needs no state.
func (a *anchoring) decode(data []byte, who caller) error {
	var err error
	if a.segments, a.leaves, err = ledger.DecodeSegments(data); err != nil {
		return err
	}
	if len(a.segments) == 0 {
		return ledger.Errorf(ledger.CodeInvalid, "there is no segment: send an array of one or more")
	}
	total := 0
	for i := range a.segments {
		signed := &a.segments[i]
		if total += len(signed.Records); total > ledger.MaxTransactionRecords {
			return ledger.Errorf(ledger.CodeTooLarge, "the transaction carries more than %d records: send fewer segments at once", ledger.MaxTransactionRecords)
		}
		if err := ledger.CheckName("msp", signed.Segment.MSP); err != nil {
			return err
		}
		if err := who.mayActFor(signed.Segment.MSP, a.role()); err != nil {
			return err
		}
		if err := signed.CheckDecoded(a.leaves[i]); err != nil {
			return err
		}
	}
	return nil
}

// read fetches every key the decision needs in one message to the peer.
func (a *anchoring) read() error {
	var keys []string
	a.state = map[string][]byte{}
	a.keys = make([][]string, len(a.segments))
	want := func(key string) {
		if _, found := a.state[key]; !found {
			a.state[key] = nil
			keys = append(keys, key)
		}
	}
	for i := range a.segments {
		segment := &a.segments[i].Segment
		want(ledger.AdapterKey(segment.MSP, segment.Signer))
		want(segment.Key())
		a.keys[i] = make([]string, len(a.segments[i].Records))
		for j := range a.segments[i].Records {
			a.keys[i][j] = a.segments[i].Records[j].Key()
			want(a.keys[i][j])
			if disagreement := a.segments[i].Records[j].Disagreement; disagreement != nil {
				want(ledger.CallKey(segment.MSP, segment.PBX, disagreement.Leg))
			}
		}
	}
	values, err := a.stub.GetMultipleStates(keys...)
	if err != nil {
		return ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	// A peer whose database fails answers with fewer values and no error.
	if len(values) != len(keys) {
		return ledger.Errorf(ledger.CodeInternal, "read state: the peer answered %d of %d keys", len(values), len(keys))
	}
	for i, key := range keys {
		a.state[key] = values[i]
	}
	return nil
}

// decide judges every segment and collects the writes.
func (a *anchoring) decide() (*ledger.AnchorResult, error) {
	result := &ledger.AnchorResult{TxID: a.txID, V: ledger.SchemaVersion}
	for i := range a.segments {
		if err := a.authenticate(&a.segments[i]); err != nil {
			return nil, err
		}
		outcome, err := a.decideSegment(&a.segments[i], a.leaves[i], a.keys[i])
		if err != nil {
			return nil, err
		}
		result.Segments = append(result.Segments, *outcome)
	}
	return result, nil
}

// authenticate checks the adapter's enrolment and signature.
func (a *anchoring) authenticate(signed *ledger.SignedSegment) error {
	stored := a.state[ledger.AdapterKey(signed.Segment.MSP, signed.Segment.Signer)]
	if stored == nil {
		return ledger.Errorf(ledger.CodeDenied, "no adapter with certificate %s… is enrolled by %s: an admin enrols it with adapters:Enrol", signed.Segment.Signer[:12], signed.Segment.MSP)
	}
	var enrolment ledger.Enrolment
	if err := decodeStored(stored, &enrolment); err != nil {
		return err
	}
	if a.late {
		return enrolment.VerifyLate(&signed.Segment, signed.Signature, a.at)
	}
	return enrolment.Verify(&signed.Segment, signed.Signature, a.at)
}

func (a *anchoring) decideSegment(signed *ledger.SignedSegment, leaves [][]byte, keys []string) (*ledger.SegmentOutcome, error) {
	segment := &signed.Segment
	outcome := &ledger.SegmentOutcome{Epoch: segment.Epoch, FirstSeq: segment.FirstSeq, Outcome: ledger.OutcomeAnchored}
	stored := a.state[segment.Key()]
	if stored != nil {
		var anchored ledger.AnchoredSegment
		if err := decodeStored(stored, &anchored); err != nil {
			return nil, err
		}
		outcome.Outcome = ledger.OutcomeAlready
		if anchored.Segment.Root != segment.Root {
			return a.refuseFork(signed, outcome, anchored.Segment.Root)
		}
	}
	var absent []ledger.AbsentLeaf
	for i := range signed.Records {
		record := &signed.Records[i]
		what, err := a.decideRecord(record, keys[i], leaves[i], segment.Signer)
		if err != nil {
			return nil, err
		}
		if what != outcome.Outcome {
			outcome.Exceptions = append(outcome.Exceptions, ledger.RecordOutcome{Outcome: what, Seq: record.Seq})
		}
		if what != ledger.OutcomeAnchored {
			absent = append(absent, ledger.AbsentLeaf{LeafHash: ledger.LeafHash(leaves[i]), Outcome: what, Seq: record.Seq})
		}
	}
	if stored == nil {
		return outcome, a.putSegment(signed, absent)
	}
	return outcome, nil
}

// refuseFork records that a second segment claims a place in the epoch. None of
// its records is written: which history is true is for people to find out.
func (a *anchoring) refuseFork(signed *ledger.SignedSegment, outcome *ledger.SegmentOutcome, storedRoot string) (*ledger.SegmentOutcome, error) {
	segment := &signed.Segment
	outcome.Outcome = ledger.OutcomeConflict
	return outcome, a.putIncident(&ledger.Incident{
		Kind: ledger.IncidentFork, Key: segment.Key(), MSP: segment.MSP, PBX: segment.PBX,
		OfferedDigest: segment.Root, StoredDigest: storedRoot, Signer: segment.Signer,
	})
}

func (a *anchoring) decideRecord(record *ledger.Record, key string, leaf []byte, signer string) (ledger.Outcome, error) {
	stored := a.state[key]
	if stored == nil {
		a.put(key, leaf)
		for _, index := range record.Indexes() {
			a.put(index, marker)
		}
		if record.Disagreement != nil {
			return ledger.OutcomeAnchored, a.reportDisagreement(record, key, signer)
		}
		return ledger.OutcomeAnchored, nil
	}
	var before ledger.Record
	if err := decodeStored(stored, &before); err != nil {
		return "", err
	}
	storedDigest, err := before.ContentDigest()
	if err != nil {
		return "", err
	}
	offeredDigest, err := record.ContentDigest()
	if err != nil {
		return "", err
	}
	if storedDigest == offeredDigest {
		return ledger.OutcomeAlready, nil
	}
	return ledger.OutcomeConflict, a.putIncident(&ledger.Incident{
		Kind: ledger.IncidentReplay, Key: key, MSP: record.MSP, PBX: record.PBX,
		OfferedDigest: offeredDigest, StoredDigest: storedDigest, Signer: signer,
	})
}

// reportDisagreement records an incident that names the two sources: a record alone
// would be one among millions.
func (a *anchoring) reportDisagreement(record *ledger.Record, key, signer string) error {
	told := record.Disagreement
	offered, err := record.ContentDigest()
	if err != nil {
		return err
	}
	incident := &ledger.Incident{
		Kind: ledger.IncidentDisagreement, Key: key, MSP: record.MSP, PBX: record.PBX, OfferedDigest: offered, Signer: signer,
		Sources: []string{told.First, told.Second},
	}
	// The leg was closed before, and is missing only where the ledger refused it.
	if stored := a.state[ledger.CallKey(record.MSP, record.PBX, told.Leg)]; stored != nil {
		var leg ledger.Record
		if err := decodeStored(stored, &leg); err != nil {
			return err
		}
		if incident.StoredDigest, err = leg.ContentDigest(); err != nil {
			return err
		}
	}
	return a.putIncident(incident)
}

// putSegment stores the segment's header: what was signed, when it arrived, how
// late, and what of it is not stored.
func (a *anchoring) putSegment(signed *ledger.SignedSegment, absent []ledger.AbsentLeaf) error {
	var latest ledger.Time
	for i := range signed.Records {
		moment := signed.Records[i].Moment()
		if latest.IsZero() || latest.Before(moment) {
			latest = moment
		}
	}
	anchored := &ledger.AnchoredSegment{
		Absent: absent, AnchoredAt: a.at, LateByAdmin: a.late, LateMS: max(0, a.at.Sub(latest)), Segment: signed.Segment,
		Signature: signed.Signature, TxID: a.txID, V: ledger.SchemaVersion,
	}
	value, err := encode(anchored)
	if err != nil {
		return err
	}
	a.put(signed.Segment.Key(), value)
	return nil
}

// putIncident stores an incident unless the same refusal is recorded already.
func (a *anchoring) putIncident(incident *ledger.Incident) error {
	key := ledger.IncidentKey(incident.MSP, incident.PBX, incident.OfferedDigest)
	stored, known := a.state[key]
	if !known {
		var err error
		if stored, err = a.stub.GetState(key); err != nil {
			return ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
		}
	}
	if stored != nil {
		return nil
	}
	incident.At, incident.TxID, incident.V = a.at, a.txID, ledger.SchemaVersion
	value, err := encode(incident)
	if err != nil {
		return err
	}
	a.put(key, value)
	return nil
}

// put collects a write and remembers it: state offers no read-your-writes.
func (a *anchoring) put(key string, value []byte) {
	a.state[key] = value
	a.writes = append(a.writes, write{key: key, value: value})
}
