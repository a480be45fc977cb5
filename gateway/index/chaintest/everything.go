package chaintest

import (
	"slices"
	"strings"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/reputation"
)

// Everything is transactions with one of each other kind of value, about the traffic
// that came before: corrections, incidents, holds, terms, erasures, consents and
// violations, devices, opinions, pardons, allowances, appeals, adapters, disputes,
// policies and what cannot be read.
func (w *World) Everything() []Transaction {
	p := w.pbxs[0]
	segment := w.segment(p, 6)
	transactions := []Transaction{{Puts: segment}}
	var called, other *ledger.Call
	var recorded *ledger.Recording
	for _, put := range segment {
		var record ledger.Record
		if ledger.DecodeStrict(put.Value, &record) != nil {
			continue
		}
		if record.Call != nil {
			other, called = called, record.Call
		}
	}
	recorded = w.recording(called)
	recording := ledger.Record{Recording: recorded}
	recording.MSP, recording.PBX, recording.Epoch, recording.Segment, recording.Seq, recording.V = p.msp, p.name, p.epoch, p.next, p.next, ledger.SchemaVersion
	transactions = append(transactions, Transaction{Puts: w.close(p, []ledger.Record{recording})})
	transactions = append(transactions, Transaction{Puts: w.close(p, w.version3(p, called))})
	one := func(key string, v any) {
		transactions = append(transactions, Transaction{Puts: []Put{{Key: key, Value: canonical(v)}}})
	}
	w.decisions(p, called, other, recorded, one)
	w.devices(p, one)
	w.opinions(one)
	transactions = append(transactions, w.governance()...)
	return append(transactions, Transaction{Puts: []Put{
		{Key: ledger.CallKey(p.msp, p.name, ledger.LegID{LinkedID: "broken", UniqueID: "broken", Sequence: int64(w.calls)}), Value: []byte("{not json")},
		{Key: "no composite key", Value: []byte{0, 1, 255}},
		{Key: ledger.CompositeKey("of-a-later-version", "x"), Value: []byte(`{"v":9}`)},
	}})
}

// version3 are the records that version 3 of stored values added.
func (w *World) version3(p *pbx, called *ledger.Call) []ledger.Record {
	records := []ledger.Record{
		{Progress: &ledger.Progress{At: called.Start, LinkedID: called.Leg.LinkedID, State: ledger.ProgressAnswered, UniqueID: called.Leg.UniqueID}},
		{Disagreement: &ledger.Disagreement{At: w.Time(), Differences: []ledger.ColumnDifference{{Column: "dst"}}, First: "csv", Leg: called.Leg, Second: "table"}},
	}
	for i := range records {
		record := &records[i]
		record.MSP, record.PBX, record.Epoch, record.Segment, record.Seq, record.V = p.msp, p.name, p.epoch, p.next, p.next+int64(i), ledger.SchemaVersion
	}
	return records
}

// decisions are what people decide about records.
func (w *World) decisions(p *pbx, called, other *ledger.Call, recorded *ledger.Recording, one func(string, any)) {
	at, tx := w.Time(), w.hex(32)
	billsec := called.BillsecMS + 1
	correction := &ledger.AnchoredCorrection{AnchoredAt: at, TxID: tx, V: ledger.SchemaVersion, Correction: ledger.Correction{
		Amends: ledger.Amended{Digest: w.hex(32), Key: "key"}, Changes: &ledger.Changes{BillsecMS: &billsec}, Leg: called.Leg, MSP: p.msp, N: 1, PBX: p.name, Reason: ledger.CorrectClock, V: ledger.SchemaVersion,
	}}
	one(correction.Correction.Key(), correction)
	digest := w.hex(32)
	one(ledger.IncidentKey(p.msp, p.name, digest), &ledger.Incident{At: at, Key: "key", Kind: ledger.IncidentReplay, MSP: p.msp, OfferedDigest: digest, PBX: p.name, Signer: w.hex(32), StoredDigest: w.hex(32), TxID: tx, V: ledger.SchemaVersion})
	hold := &ledger.Hold{LinkedID: recorded.Leg.LinkedID, MSP: p.msp, PBX: p.name, At: at, CaseDigest: w.hex(32), Change: ledger.HoldPlaced, N: 1, TxID: tx, V: ledger.SchemaVersion}
	hold.Cases = []ledger.HeldCase{{CaseDigest: hold.CaseDigest, PlacedAt: at, Reason: ledger.HoldCourtOrder, TxID: tx}}
	one(ledger.HoldKey(p.msp, p.name, hold.LinkedID), hold)
	one(ledger.HoldVersionKey(p.msp, p.name, hold.LinkedID, 1), hold)
	retention := &ledger.Retention{At: at, ID: recorded.ID, MSP: p.msp, N: 1, PBX: p.name, Revision: 1, TxID: tx, Until: ledger.TimeOf(w.clock.AddDate(1, 0, 0)), V: ledger.SchemaVersion}
	one(ledger.RetentionKey(p.msp, p.name, recorded.ID, 1), retention)
	one(ledger.RetentionVersionKey(p.msp, p.name, recorded.ID, 1, 1), retention)
	gone := &ledger.Destruction{At: at, By: ledger.RoleCompliance, Reason: ledger.EraseSubjectRequest, TxID: tx}
	erase := func(record string, erasure *ledger.Erasure) {
		key, err := ledger.ErasureKey(record)
		if err != nil {
			panic(err) // the keys are of records
		}
		erasure.MSP, erasure.V = p.msp, ledger.SchemaVersion
		one(key, erasure)
	}
	erase(ledger.CallKey(p.msp, p.name, other.Leg), &ledger.Erasure{PBX: p.name, Call: &other.Leg, Details: gone})
	erase(ledger.RecordingKey(p.msp, p.name, recorded.ID, 1), &ledger.Erasure{PBX: p.name, Recording: &ledger.RecordingID{ID: recorded.ID, Revision: 1}, Audio: gone})
	consent := &ledger.Consent{At: at, By: ledger.RoleGateway, MSP: p.msp, TxID: tx, V: ledger.SchemaVersion, Statement: ledger.ConsentStatement{
		EvidenceDigest: w.hex(32), GivenAt: called.Start, Jurisdiction: "PT", LinkedID: called.Leg.LinkedID, Method: ledger.MethodDTMF, N: 1, PartyRef: called.CallerRef, PBX: p.name, Purpose: ledger.PurposeRecording, Status: ledger.ConsentDenied,
	}}
	one(consent.Key(), consent)
	violation := &ledger.Violation{
		At: at, By: ledger.RoleGateway, ByMSP: p.msp, ClosedAt: called.End, GivenAt: called.Start, LinkedID: called.Leg.LinkedID, Rule: ledger.RuleAllParty, StatementDigest: w.hex(32), Status: ledger.ConsentDenied, TxID: tx, V: ledger.SchemaVersion,
		Report: ledger.ViolationReport{MSP: p.msp, N: 1, PartyRef: called.CallerRef, PBX: p.name, Recording: ledger.RecordingID{ID: recorded.ID, Revision: 1}},
	}
	one(violation.Report.Key(), violation)
	side := func(msp string, leg ledger.LegID) ledger.Side {
		return ledger.Side{Answered: true, Digest: w.hex(32), Place: ledger.LegPlace{Leg: leg, MSP: msp, PBX: p.name}, Start: called.Start}
	}
	dispute := &ledger.Dispute{A: side(p.msp, called.Leg), B: side(Operators[1], other.Leg), At: at, CallRef: w.hex(16), Differences: []ledger.Difference{{A: "1", B: "2", ByMS: 1, Field: "start"}}, RaisedBy: p.msp, TxID: tx, V: ledger.SchemaVersion}
	one(ledger.DisputeKey(dispute.CallRef, &dispute.A.Place, &dispute.B.Place), dispute)
	fingerprint := w.hex(32)
	one(ledger.AdapterKey(p.msp, fingerprint), &ledger.Enrolment{Certificate: []byte("certificate"), EnrolledAt: at, Fingerprint: fingerprint, MSP: p.msp, PBX: p.name, TxID: tx, V: ledger.SchemaVersion})
}

func (w *World) devices(p *pbx, one func(string, any)) {
	refs := []string{w.hex(32), w.hex(32)}
	slices.Sort(refs)
	device := ledger.NewDevice(&ledger.DeviceRegistration{
		Credentials: ledger.DeviceCredentials{AORRefs: refs, DetailsDigest: w.hex(32), FingerprintRefs: []string{w.hex(32)}, KeyEpoch: 1}, ID: w.hex(16), Kind: ledger.DevicePhone,
	}, p.msp, ledger.RoleAdmin, w.Time(), w.hex(32))
	one(ledger.DeviceKey(p.msp, device.ID), device)
	one(ledger.DeviceVersionKey(p.msp, device.ID, 1), device)
	if w.some(500) {
		return
	}
	next, err := device.Next(ledger.DeviceSuspended, ledger.DeviceReasonLost, 1, ledger.RoleAdmin, w.Time(), w.hex(32))
	if err != nil {
		panic(err) // an active device can be suspended
	}
	one(ledger.DeviceKey(p.msp, device.ID), next)
	one(ledger.DeviceVersionKey(p.msp, device.ID, 2), next)
}

// opinions are several operators' opinions on a few subjects, one chain of which is
// broken.
func (w *World) opinions(one func(string, any)) {
	for _, kind := range []string{"tel:", "ip:", "aor:"} {
		subject := kind + w.hex(32)
		for i, msp := range Operators {
			if w.some(300) {
				continue
			}
			totals := reputation.Totals{}.Plus(reputation.Evidence{Alpha: int64(w.random.IntN(4)) * 1000, Beta: int64(w.random.IntN(9)) * 1000, Failures: 6000, Attempts: 4000}, w.clock.UnixMilli(), 1<<40)
			opinion := &ledger.Opinion{
				At: w.Time(), Epoch: 1, Evidence: []ledger.EvidenceItem{{Attempts: 1, Count: 1, Kind: ledger.EvidenceAuthFailure}}, MSP: msp, Seq: 1, Subject: subject, V: ledger.SchemaVersion, Writer: 1,
				Totals: ledger.Totals{Alpha: totals.Alpha, At: w.Time(), Attempts: totals.Attempts, Beta: totals.Beta, Failures: totals.Failures, NewestNegative: w.Time()},
			}
			key := ledger.OpinionKey(1, subject, msp, 1)
			one(key, opinion)
			next := *opinion
			next.Seq, next.PrevDigest = 2, ledger.Digest(canonical(opinion))
			previous := opinion.Totals
			next.Previous = &previous
			if i == 1 && strings.HasPrefix(subject, "ip:") {
				next.Seq = 4 // broken
			}
			one(key, &next)
		}
		switch kind {
		case "tel:":
			one(ledger.PardonKey(1, subject, Operators[0]), &ledger.Pardon{At: w.Time(), Epoch: 1, MSP: Operators[0], Reason: ledger.ReasonSpoofed, Subject: subject, TxID: w.hex(32), Until: ledger.TimeOf(w.clock.AddDate(0, 1, 0)), V: ledger.SchemaVersion})
			one(ledger.AppealKey(Operators[1], 1, subject, Operators[0]), &ledger.Appeal{Against: Operators[1], At: w.Time(), Epoch: 1, EvidenceDigest: w.hex(32), MSP: Operators[0], Reason: ledger.ReasonSpoofed, State: ledger.AppealOpen, Subject: subject, TxID: w.hex(32), V: ledger.SchemaVersion})
		case "aor:":
			one(ledger.AllowanceKey(1, subject, Operators[0]), &ledger.Allowance{At: w.Time(), Epoch: 1, MSP: Operators[0], Reason: ledger.ReasonPartner, Subject: subject, TxID: w.hex(32), V: ledger.SchemaVersion})
		}
	}
}

// governance puts a reputation policy into force that is the built-in one with
// another threshold.
func (w *World) governance() []Transaction {
	current, err := ledger.DefaultPolicy(ledger.PolicyReputation)
	if err != nil {
		panic(err) // it is built in
	}
	w.policies++
	current.Version = w.policies
	current.Policy.Reputation.Threshold = 5000 - 100*w.policies
	digest, err := current.Policy.Digest()
	if err != nil {
		panic(err)
	}
	vote := ledger.Vote{At: w.Time(), MSP: Operators[0], TxID: w.hex(32)}
	put := func(key string, v any) Transaction {
		return Transaction{Chaincode: ledger.GovernanceChaincode, Puts: []Put{{Key: key, Value: canonical(v)}}}
	}
	name := current.Name
	return []Transaction{
		put(ledger.BallotKey(name, current.Version, digest), &ledger.Ballot{Digest: digest, Name: name, Policy: current.Policy, ProposedAt: w.Time(), Proposer: Operators[0], TxID: vote.TxID, V: ledger.SchemaVersion, Version: current.Version}),
		put(ledger.AgendaKey(name), &ledger.Agenda{Ballots: []ledger.Tally{{Digest: digest, Votes: []ledger.Vote{vote}}}, Name: name, V: ledger.SchemaVersion, Version: current.Version}),
		put(ledger.PolicyVersionKey(name, current.Version), &ledger.Enactment{EnactedAt: w.Time(), Digest: digest, Name: name, Policy: current.Policy, Proposer: Operators[0], TxID: vote.TxID, V: ledger.SchemaVersion, Version: current.Version, Votes: []ledger.Vote{vote}}),
		put(ledger.PolicyKey(name), current),
	}
}
