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
	wire    []byte // the segment as an element of the JSON array that calls:Anchor takes
}

// NewSubmission decodes and checks what an adapter sent: header and records in
// canonical JSON, and each record's details, which must hash to the digest in the
// record; nothing for a record of a kind that has none.
func NewSubmission(header, signature []byte, records, details [][]byte) (*Submission, error) {
	s := &Submission{details: make([][]byte, len(details))}
	if len(records) > ledger.MaxRecords {
		return nil, fault.New(fault.TooLarge, "the segment has %d records, at most %d are allowed: close segments sooner", len(records), ledger.MaxRecords)
	}
	if len(records) != len(details) {
		return nil, fault.New(fault.Invalid, "the segment has %d records and %d details: send the details of each record", len(records), len(details))
	}
	for i := range records {
		if len(records[i]) > ledger.MaxRecordBytes {
			return nil, fault.New(fault.TooLarge, "record %d of the segment has %d bytes, at most %d are allowed", i+1, len(records[i]), ledger.MaxRecordBytes)
		}
	}
	if len(header) > ledger.MaxRecordBytes || len(signature) > ledger.MaxRecordBytes {
		return nil, fault.New(fault.TooLarge, "the segment's header has %d bytes and its signature %d, at most %d are allowed", len(header), len(signature), ledger.MaxRecordBytes)
	}
	// All at once, as the contract will: each record is decoded and encoded once.
	segments, leaves, err := ledger.DecodeSegments(wireOf(header, signature, records))
	if err != nil {
		return nil, fault.Of(err)
	}
	if len(segments) != 1 || len(segments[0].Records) != len(records) {
		return nil, fault.New(fault.Invalid, "a record of the segment is not one well-formed JSON value")
	}
	s.Signed = segments[0]
	if err := s.Signed.CheckDecoded(leaves[0]); err != nil {
		return nil, fault.Of(err)
	}
	sealed := 0
	for i := range details {
		if err := s.takeDetails(i, details[i]); err != nil {
			return nil, err
		}
		sealed += base64.StdEncoding.EncodedLen(len(s.details[i])) + sealingBytes
	}
	canonical, err := ledger.Canonical(&s.Signed.Segment)
	if err != nil {
		return nil, fmt.Errorf("encode the segment: %w", err)
	}
	wire := wireOf(canonical, signature, leaves[0])
	s.wire = wire[1 : len(wire)-1]
	if largest := max(len(wire), sealed); largest > maxWireBytes {
		return nil, fault.New(fault.TooLarge, "the segment takes %d bytes on its way to the ledger, at most %d are allowed: close segments sooner", largest, maxWireBytes)
	}
	return s, nil
}

// wireOf is the JSON array with one ledger.SignedSegment, of texts as they are.
func wireOf(header, signature []byte, records [][]byte) []byte {
	size := len(header) + base64.StdEncoding.EncodedLen(len(signature)) + 64
	for _, record := range records {
		size += len(record) + 1
	}
	text := append(make([]byte, 0, size), `[{"records":[`...)
	for i, record := range records {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, record...)
	}
	text = append(append(text, `],"segment":`...), header...)
	text = append(text, `,"signature":"`...)
	return append(base64.StdEncoding.AppendEncode(text, signature), `"}]`...)
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

// size is about what the submission takes in memory, bytes.
func (s *Submission) size() int64 {
	size := 2 * len(s.wire)
	for i := range s.details {
		size += 3 * len(s.details[i])
	}
	return int64(size)
}
