package anchor

import (
	"encoding/base64"
	"fmt"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/seal"
)

// maxWireBytes bounds what one transaction carries to a contract, and
// sealingBytes is about what sealing adds to the details of one record.
const (
	maxWireBytes = 2 << 20
	sealingBytes = 700
)

// Submission is a segment that was checked as far as it can be without the
// ledger: whatever is refused there is better refused before it costs the
// consortium an endorsement.
type Submission struct {
	Signed  ledger.SignedSegment
	details [][]byte
	wire    []byte // the JSON array that calls:Anchor takes
}

// NewSubmission decodes and checks what an adapter sent: header and records in
// canonical JSON, and each record's details, which must hash to the digest in the
// record; nothing for a record of a kind that has none.
func NewSubmission(header, signature []byte, records, details [][]byte) (*Submission, error) {
	s := &Submission{details: make([][]byte, len(details))}
	s.Signed.Signature = signature
	if len(records) > ledger.MaxRecords {
		return nil, fault.New(fault.TooLarge, "the segment has %d records, at most %d are allowed: close segments sooner", len(records), ledger.MaxRecords)
	}
	if len(records) != len(details) {
		return nil, fault.New(fault.Invalid, "the segment has %d records and %d details: send the details of each record", len(records), len(details))
	}
	if err := ledger.DecodeStrict(header, &s.Signed.Segment); err != nil {
		return nil, fault.Of(err)
	}
	s.Signed.Records = make([]ledger.Record, len(records))
	for i := range records {
		if len(records[i]) > ledger.MaxRecordBytes {
			return nil, fault.New(fault.TooLarge, "record %d of the segment has %d bytes, at most %d are allowed", i+1, len(records[i]), ledger.MaxRecordBytes)
		}
		if err := ledger.DecodeStrict(records[i], &s.Signed.Records[i]); err != nil {
			return nil, fault.Of(err)
		}
	}
	if _, err := s.Signed.Check(); err != nil {
		return nil, fault.Of(err)
	}
	sealed := 0
	for i := range details {
		if err := s.takeDetails(i, details[i]); err != nil {
			return nil, err
		}
		sealed += base64.StdEncoding.EncodedLen(len(s.details[i])) + sealingBytes
	}
	wire, err := ledger.Canonical([]ledger.SignedSegment{s.Signed})
	if err != nil {
		return nil, fmt.Errorf("encode the segment: %w", err)
	}
	if largest := max(len(wire), sealed); largest > maxWireBytes {
		return nil, fault.New(fault.TooLarge, "the segment takes %d bytes on its way to the ledger, at most %d are allowed: close segments sooner", largest, maxWireBytes)
	}
	s.wire = wire
	return s, nil
}

// takeDetails checks the details of a record and keeps their canonical form:
// that is what the digest binds, and what a disclosure must hash to.
func (s *Submission) takeDetails(i int, text []byte) error {
	record := &s.Signed.Records[i]
	if record.DetailsDigest() == "" {
		if len(text) > 0 {
			return fault.New(fault.Invalid, "record %d is of a kind that has no details, and came with some", record.Seq)
		}
		return nil
	}
	if len(text) > ledger.MaxDetailsBytes {
		return fault.New(fault.TooLarge, "the details of record %d have %d bytes, at most %d are allowed", record.Seq, len(text), ledger.MaxDetailsBytes)
	}
	var details ledger.Details
	if err := ledger.DecodeStrict(text, &details); err != nil {
		return fault.Of(err)
	}
	if err := details.Check(); err != nil {
		return fault.Of(err)
	}
	canonical, err := ledger.Canonical(&details)
	if err != nil {
		return fault.Of(err)
	}
	if ledger.Digest(canonical) != record.DetailsDigest() {
		return fault.New(fault.Invalid, "the details of record %d do not hash to its details_digest: they belong to another record or were altered", record.Seq)
	}
	s.details[i] = canonical
	return nil
}

// items are the details to seal, under the keys of their records.
func (s *Submission) items() []seal.Item {
	items := make([]seal.Item, 0, len(s.details))
	for i := range s.details {
		if s.details[i] != nil {
			items = append(items, seal.Item{Key: s.Signed.Records[i].Key(), Details: s.details[i]})
		}
	}
	return items
}
