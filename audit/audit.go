package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/verify"
)

// Question is what to audit. At least one of Recording and CDR is set.
type Question struct {
	// MSP and PBX own the call.
	MSP, PBX string
	// LinkedID names the call. Without it a recording is looked up by its digest.
	LinkedID string
	// Recording is the path of an audio file.
	Recording string
	// CDR is the path of a file of cdr_csv; Zone is that of its times.
	CDR  string
	Zone *time.Location
	// Disclosures are details the owner disclosed, canonical JSON each. They open
	// the digests that bind the personal columns.
	Disclosures [][]byte
}

// Ask audits. An error means that the files could not be read; that the ledger
// could not be asked is a verdict, undecided.
func Ask(ctx context.Context, source Ledger, question Question) (*Verdict, error) {
	verdict := &Verdict{Asked: source.Source()}
	if question.Recording != "" {
		finding, err := recording(ctx, source, &question)
		if err != nil {
			return nil, err
		}
		verdict.Findings = append(verdict.Findings, *finding)
	}
	if question.CDR != "" {
		findings, err := rows(ctx, source, &question)
		if err != nil {
			return nil, err
		}
		verdict.Findings = append(verdict.Findings, findings...)
	}
	verdict.Outcome = conclude(verdict.Findings)
	return verdict, nil
}

// undecided is the finding when the ledger does not answer.
func undecided(subject, file string, err error) *Finding {
	return &Finding{Outcome: Undecided, Subject: subject, File: file, Statement: fmt.Sprintf("the ledger could not be asked: %v", err)}
}

// recording judges an audio file.
func recording(ctx context.Context, source Ledger, question *Question) (*Finding, error) {
	digests, err := digestFile(question.Recording)
	if err != nil {
		return nil, err
	}
	same, err := source.RecordingsBySHA256(ctx, digests.SHA256)
	if err != nil {
		return undecided("recording", question.Recording, err), nil
	}
	if question.LinkedID == "" {
		return byDigest(ctx, source, question, digests, same)
	}
	endorsed, err := source.Recordings(ctx, question.MSP, question.PBX, question.LinkedID)
	if err != nil {
		return undecided("recording", question.Recording, err), nil
	}
	finding := &Finding{Subject: "recording", File: question.Recording}
	if len(endorsed) == 0 {
		finding.Outcome = Undecided
		finding.Statement = fmt.Sprintf("no recording of call %s of PBX %s of %s is on the ledger", question.LinkedID, question.PBX, question.MSP)
		finding.Notes = whose(same)
		return finding, nil
	}
	best, differences := closest(digests, endorsed)
	endorsement, err := source.Endorsement(ctx, best)
	if err != nil {
		return undecided("recording", question.Recording, err), nil
	}
	finding.about(best, endorsement)
	if endorsement.Validation != "VALID" {
		finding.Outcome, finding.Statement = Undecided, "the transaction that carried the recording is not valid"
		return finding, nil
	}
	if len(differences) == 0 {
		finding.Outcome, finding.Statement = Intact, "this is the recording that was made, bit for bit"
		finding.Notes = append(superseded(best, endorsed), made(best.Recording)...)
		return finding, nil
	}
	finding.Outcome, finding.Differences = Altered, differences
	finding.Statement = fmt.Sprintf("this is not the recording that was made of call %s: %s differ from what was endorsed", question.LinkedID, namedFields(differences))
	finding.Notes = whose(same)
	return finding, nil
}

// byDigest judges a file of which nobody said what call it belongs to.
func byDigest(ctx context.Context, source Ledger, question *Question, digests verify.Digests, same []*ledger.Record) (*Finding, error) {
	finding := &Finding{Subject: "recording", File: question.Recording}
	for _, record := range same {
		if len(verify.Recording(digests, record.Recording)) > 0 {
			continue
		}
		endorsement, err := source.Endorsement(ctx, record)
		if err != nil {
			return undecided("recording", question.Recording, err), nil
		}
		if endorsement.Validation != "VALID" {
			continue
		}
		finding.about(record, endorsement)
		finding.Outcome, finding.Statement = Intact, "this is a recording that was made, bit for bit"
		finding.Notes = made(record.Recording)
		return finding, nil
	}
	finding.Outcome = Undecided
	finding.Statement = "no operator has endorsed a recording with this SHA-256: it was altered, or never anchored; name its call with --call to tell which"
	return finding, nil
}

// closest picks the endorsed recording that the file is, or else the last of
// those it differs least from.
func closest(digests verify.Digests, endorsed []*ledger.Record) (*ledger.Record, []verify.Difference) {
	var best *ledger.Record
	var differences []verify.Difference
	for _, record := range endorsed {
		found := verify.Recording(digests, record.Recording)
		if len(found) == 0 {
			return record, nil
		}
		if best == nil || len(found) <= len(differences) {
			best, differences = record, found
		}
	}
	return best, differences
}

// superseded notes that a recording was appended to after the file was anchored.
func superseded(record *ledger.Record, endorsed []*ledger.Record) []string {
	last := record.Recording.Revision
	for _, other := range endorsed {
		if other.Recording.ID == record.Recording.ID {
			last = max(last, other.Recording.Revision)
		}
	}
	if last == record.Recording.Revision {
		return nil
	}
	return []string{fmt.Sprintf("this is revision %d of the recording; it was appended to, revision %d is endorsed as well", record.Recording.Revision, last)}
}

// made says what is unusual about how a recording came to be.
func made(recording *ledger.Recording) []string {
	var notes []string
	switch recording.Recovered {
	case ledger.RecoveredRepaired:
		notes = append(notes, "the PBX crashed while it wrote the file: the adapter wrote the lengths into its header and left the audio as it was; as the crash left it, its SHA-256 was "+recording.FoundSHA256)
	case ledger.RecoveredAsFound:
		notes = append(notes, "the PBX crashed while it wrote the file: it was endorsed as it was found, without lengths in its header")
	}
	if recording.NoCDR {
		notes = append(notes, "the PBX wrote no CDR of this call, so the recording names its channel alone: "+recording.Leg.UniqueID)
	}
	switch recording.Track {
	case ledger.TrackReceived:
		notes = append(notes, "it holds what the recorded party said, and not what it heard")
	case ledger.TrackTransmitted:
		notes = append(notes, "it holds what the recorded party heard, and not what it said")
	}
	return notes
}

// whose names the calls that a file really belongs to.
func whose(same []*ledger.Record) []string {
	var notes []string
	for _, record := range same {
		notes = append(notes, fmt.Sprintf("the file is the recording of another call: %s (uniqueid %s) of PBX %s of %s", record.Recording.Leg.LinkedID, record.Recording.Leg.UniqueID, record.PBX, record.MSP))
	}
	return notes
}

func digestFile(path string) (verify.Digests, error) {
	file, err := os.Open(path)
	if err != nil {
		return verify.Digests{}, fmt.Errorf("open the recording: %w", err)
	}
	defer func() { _ = file.Close() }()
	return verify.Digest(file)
}

// rows judges the rows of a CDR file that belong to the call.
func rows(ctx context.Context, source Ledger, question *Question) ([]Finding, error) {
	if question.LinkedID == "" {
		return nil, errors.New("a CDR file holds many calls: name one with --call")
	}
	entries, err := readCDR(ctx, question)
	if err != nil {
		return nil, err
	}
	legs, err := source.Legs(ctx, question.MSP, question.PBX, question.LinkedID)
	if err != nil {
		return []Finding{*undecided("cdr", question.CDR, err)}, nil
	}
	if len(legs) == 0 {
		return []Finding{{
			Outcome: Undecided, Subject: "cdr", File: question.CDR,
			Statement: fmt.Sprintf("no leg of call %s of PBX %s of %s is on the ledger", question.LinkedID, question.PBX, question.MSP),
		}}, nil
	}
	corrections, err := source.Corrections(ctx, question.MSP, question.PBX, question.LinkedID)
	if err != nil {
		return []Finding{*undecided("cdr", question.CDR, err)}, nil
	}
	var findings []Finding
	for _, leg := range legs {
		endorsement, err := source.Endorsement(ctx, leg)
		if err != nil {
			findings = append(findings, *undecided("cdr", question.CDR, err))
			continue
		}
		finding := judgeLeg(question, leg, entries)
		judgeCorrections(&finding, question, leg, corrections, entries)
		finding.about(leg, endorsement)
		if endorsement.Validation != "VALID" {
			finding.Outcome, finding.Statement = Undecided, "the transaction that carried the leg is not valid"
		}
		findings = append(findings, finding)
	}
	return findings, nil
}

// judgeLeg looks for the row of an endorsed leg: the one with the fewest
// differences, because an altered row may be altered in any column.
func judgeLeg(question *Question, leg *ledger.Record, entries []cdr.Entry) Finding {
	finding := Finding{Subject: "cdr", File: question.CDR}
	details := disclosed(question.Disclosures, leg)
	if details == nil {
		finding.Notes = append(finding.Notes, "the personal columns (numbers, names, channels) were not compared: the owner's disclosure is needed for that (--details)")
	}
	var best *cdr.Row
	var differences []verify.Difference
	var unreadable []string
	for i := range entries {
		if entries[i].Err != nil {
			unreadable = append(unreadable, entries[i].Err.Error())
			continue
		}
		row := &entries[i].Row
		found := verify.CDR(row.Columns(), leg.Call, details)
		if best == nil || len(found) < len(differences) {
			best, differences = row, found
		}
	}
	switch {
	case best != nil && len(differences) == 0:
		finding.Outcome, finding.Statement = Intact, "the row is as Asterisk wrote it"
		return finding
	case best == nil:
		finding.Outcome, finding.Statement = Altered, "the file has no readable row, the endorsed leg is missing from it"
	case identified(best, leg):
		finding.Outcome, finding.Differences = Altered, differences
		finding.Statement = fmt.Sprintf("the row was altered: %s differ from what was endorsed", namedFields(differences))
	default:
		finding.Outcome, finding.Differences = Altered, differences
		finding.Statement = fmt.Sprintf("the row of this leg is missing from the file; the row most like it differs in %s", namedFields(differences))
		finding.Notes = append(finding.Notes, fmt.Sprintf("that row says that it is of call %s (uniqueid %s)", best.LinkedID, best.UniqueID))
	}
	for _, problem := range unreadable {
		finding.Notes = append(finding.Notes, "a line of the file is not one Asterisk wrote: "+problem)
	}
	return finding
}

// judgeCorrections says what the owner corrected of a leg. A row that differs from
// the leg and says what the corrections say was not altered behind anybody's back.
func judgeCorrections(finding *Finding, question *Question, leg *ledger.Record, all []ledger.AnchoredCorrection, entries []cdr.Entry) {
	own := slices.DeleteFunc(slices.Clone(all), func(c ledger.AnchoredCorrection) bool { return c.Correction.Leg != leg.Call.Leg })
	if len(own) == 0 {
		return
	}
	last := &own[len(own)-1]
	finding.Notes = append(finding.Notes, fmt.Sprintf("corrections of this leg by its owner: %d, the last at %s because of %s; `callseal call conversation` shows them", len(own), last.AnchoredAt, last.Correction.Reason))
	after, err := ledger.Corrected(leg.Call, own)
	if err != nil || finding.Outcome != Altered {
		return
	}
	corrected := *leg
	corrected.Call = after
	again := judgeLeg(question, &corrected, entries)
	if again.Outcome == Intact {
		finding.Outcome, finding.Differences = Intact, nil
		finding.Statement = fmt.Sprintf("the row is not as Asterisk wrote it; it says what the owner's correction %d says", last.Correction.N)
	}
}

// identified says whether a row is that of the leg in all but what was altered:
// two of its three identifiers still match.
func identified(row *cdr.Row, leg *ledger.Record) bool {
	matching := 0
	for _, matches := range []bool{
		row.LinkedID == leg.Call.Leg.LinkedID, row.UniqueID == leg.Call.Leg.UniqueID, row.Sequence == leg.Call.Leg.Sequence,
	} {
		if matches {
			matching++
		}
	}
	return matching >= 2
}

// disclosed finds the disclosure that opens the leg's digest.
func disclosed(disclosures [][]byte, leg *ledger.Record) *ledger.CallDetails {
	for _, disclosure := range disclosures {
		if details, err := verify.Details(disclosure, leg); err == nil {
			return details.Call
		}
	}
	return nil
}

// readCDR reads the whole file, rows and what stands in their place.
func readCDR(ctx context.Context, question *Question) ([]cdr.Entry, error) {
	if _, err := os.Stat(question.CDR); err != nil {
		return nil, fmt.Errorf("open the CDR file: %w", err)
	}
	reading, done := context.WithCancel(ctx)
	defer done()
	var entries []cdr.Entry
	tail := &cdr.Tail{Path: question.CDR, Zone: question.Zone}
	err := tail.Run(reading, func(entry cdr.Entry) error {
		entries = append(entries, entry)
		return nil
	}, done)
	if err != nil && !errors.Is(err, context.Canceled) {
		return nil, fmt.Errorf("read the CDR file: %w", err)
	}
	return entries, ctx.Err()
}
