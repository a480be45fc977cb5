package ledger

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

const (
	// MaxRecords is the largest number of records of one segment.
	MaxRecords = 500
	// MaxTransactionRecords is the largest number of records of all the segments of one
	// transaction, and of details in one: three full segments. A transaction costs every
	// peer and orderer some milliseconds of processor time whatever is in it, which they
	// share.
	MaxTransactionRecords = 3 * MaxRecords
)

// signaturePrefix keeps a segment's signature from being taken for anything else
// that the adapter's key may sign.
const signaturePrefix = "callseal segment v1\x00"

// Segment is a run of an adapter's records, closed and signed by the adapter: the
// gateway that carries it can change nothing unseen.
type Segment struct {
	// Boots are the ranges of CDR sequences its legs have, by Asterisk's starts; the
	// contract checks them against the legs (version 2).
	Boots []BootRange `json:"boots,omitzero"`
	// ClosedAt is when the adapter closed the segment, by the PBX's clock.
	ClosedAt Time `json:"closed_at"`
	// Closing says that the adapter was told to stop: its last record is a closing
	// beat (version 2).
	Closing bool `json:"closing,omitzero"`
	// Count is the number of records, 1 to MaxRecords.
	Count int64 `json:"count"`
	// Epoch is the epoch of all its records.
	Epoch int64 `json:"epoch"`
	// FirstSeq is the Seq of its first record.
	FirstSeq int64 `json:"first_seq"`
	// MSP and PBX own all its records.
	MSP string `json:"msp"`
	// NextBy is until when the adapter promises another segment, be it one with a
	// beat alone; absent where it promises none (version 2).
	NextBy Time   `json:"next_by,omitzero"`
	PBX    string `json:"pbx"`
	// PrevFirstSeq is the FirstSeq of the segment before it in the same epoch, which
	// therefore holds FirstSeq − PrevFirstSeq records: whoever reads one segment can
	// find the one before by its key. Absent in the first.
	PrevFirstSeq int64 `json:"prev_first_seq,omitzero"`
	// PrevRoot is the root of the segment before it in the same epoch; absent in
	// the first.
	PrevRoot string `json:"prev_root,omitzero"`
	// Root is the root of the RFC 9162 SHA-256 tree over the canonical records.
	Root string `json:"root"`
	// Signer is the SHA-256 of the adapter's certificate in DER.
	Signer string `json:"signer"`
	// V is SchemaVersion.
	V int `json:"v"`
}

// SignedSegment is a segment on its way to the ledger.
type SignedSegment struct {
	// Records are the leaves, in order of Seq.
	Records []Record `json:"records"`
	// Segment is what was signed.
	Segment Segment `json:"segment"`
	// Signature is ECDSA with SHA-256 in ASN.1 over Segment.SignedBytes, base64.
	Signature []byte `json:"signature"`
}

// AbsentLeaf stands for a record of a segment that the ledger does not store as
// it was signed: a replay, which stands there from an earlier segment, or one that
// was refused. With it the segment's root can still be computed from the ledger.
type AbsentLeaf struct {
	// LeafHash is the hash of the canonical record as a leaf of RFC 9162's tree.
	LeafHash string `json:"leaf_hash"`
	// Outcome is OutcomeAlready or OutcomeConflict.
	Outcome Outcome `json:"outcome"`
	Seq     int64   `json:"seq"`
}

// AnchoredSegment is a segment as the ledger stores it.
type AnchoredSegment struct {
	// Absent are the records that are not stored as they were signed, in order of
	// Seq.
	Absent []AbsentLeaf `json:"absent,omitzero"`
	// AnchoredAt is the transaction's time: the gateway's word, bounded by the
	// peers' time window.
	AnchoredAt Time `json:"anchored_at"`
	// LateByAdmin says that an admin anchored it after its signer's certificate had
	// ended: that it was closed before is the signer's word alone.
	LateByAdmin bool `json:"late_by_admin,omitzero"`
	// LateMS is AnchoredAt less the latest end of a call or closing of a
	// recording in it; 0 where the PBX's clock runs ahead.
	LateMS    int64   `json:"late_ms"`
	Segment   Segment `json:"segment"`
	Signature []byte  `json:"signature"`
	// TxID is the transaction that anchored it.
	TxID string `json:"tx_id"`
	V    int    `json:"v"`
}

// Key is the key the segment is stored under.
func (s *Segment) Key() string { return SegmentKey(s.MSP, s.PBX, s.Epoch, s.FirstSeq) }

// SignedBytes are the bytes an adapter signs.
func (s *Segment) SignedBytes() ([]byte, error) {
	canonical, err := Canonical(s)
	if err != nil {
		return nil, err
	}
	return append([]byte(signaturePrefix), canonical...), nil
}

// Sign signs the segment with an adapter's ECDSA key.
func (s *Segment) Sign(key *ecdsa.PrivateKey) ([]byte, error) {
	message, err := s.SignedBytes()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(message)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign segment: %w", err)
	}
	return signature, nil
}

// VerifySignature answers CodeUnauthentic unless the holder of the certificate
// signed the segment. It does not judge the certificate; see Enrolment.
func (s *Segment) VerifySignature(certificate *x509.Certificate, signature []byte) error {
	public, err := SigningKey(certificate)
	if err != nil {
		return err
	}
	message, err := s.SignedBytes()
	if err != nil {
		return err
	}
	digest := sha256.Sum256(message)
	if !ecdsa.VerifyASN1(public, digest[:], signature) {
		return Errorf(CodeUnauthentic, "the signature of segment %d is not that of the enrolled adapter: it was altered on its way or signed with another key", s.FirstSeq)
	}
	return nil
}

// LeafHash is the hash of a leaf of the RFC 9162 SHA-256 tree, hexadecimal.
func LeafHash(leaf []byte) string {
	return hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf(leaf))
}

// Root is the root of the RFC 9162 SHA-256 tree over leaves, hexadecimal.
func Root(leaves [][]byte) (string, error) {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	tree := factory.NewEmptyRange(0)
	for _, leaf := range leaves {
		if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
			return "", fmt.Errorf("append leaf: %w", err)
		}
	}
	if len(leaves) == 0 {
		return hex.EncodeToString(rfc6962.DefaultHasher.EmptyRoot()), nil
	}
	root, err := tree.GetRootHash(nil)
	if err != nil {
		return "", fmt.Errorf("root: %w", err)
	}
	return hex.EncodeToString(root), nil
}

// Check answers CodeInvalid or CodeTooLarge unless the segment is whole: its
// records are well formed, belong to it, follow each other without a gap, and
// hash to its root. It does not judge the signature. It returns the records'
// canonical forms, which are what the ledger stores.
func (s *SignedSegment) Check() ([][]byte, error) {
	if err := s.checkRecords(); err != nil {
		return nil, err
	}
	leaves := make([][]byte, len(s.Records))
	for i := range s.Records {
		leaf, err := Canonical(&s.Records[i])
		if err != nil {
			return nil, Errorf(CodeInvalid, "record %d: %v", s.Records[i].Seq, err)
		}
		leaves[i] = leaf
	}
	return leaves, s.checkRoot(leaves)
}

// CheckDecoded is Check for a segment that DecodeSegments gave with its records'
// canonical forms, and that was not changed since.
func (s *SignedSegment) CheckDecoded(leaves [][]byte) error {
	if err := s.checkRecords(); err != nil {
		return err
	}
	return s.checkRoot(leaves)
}

// checkRecords judges the header and every record, but not the root.
func (s *SignedSegment) checkRecords() error {
	if err := s.Segment.check(); err != nil {
		return err
	}
	if int64(len(s.Records)) != s.Segment.Count {
		return Errorf(CodeInvalid, "segment %d announces %d records and carries %d", s.Segment.FirstSeq, s.Segment.Count, len(s.Records))
	}
	for i := range s.Records {
		record := &s.Records[i]
		if err := s.Segment.checkPlace(record, int64(i)); err != nil {
			return err
		}
		if err := record.Check(); err != nil {
			coded := AsError(err)
			return Errorf(coded.Code, "record %d: %s", record.Seq, coded.Message)
		}
	}
	return s.checkTold()
}

// checkTold answers CodeInvalid unless what version 2's header tells of the
// records is true.
func (s *SignedSegment) checkTold() error {
	header := &s.Segment
	if header.V < 2 {
		return nil
	}
	if header.FirstSeq == 1 && s.Records[0].Opening == nil {
		return Errorf(CodeInvalid, "record 1 is not an opening: an epoch begins with one")
	}
	if !slices.Equal(header.Boots, BootsOf(s.Records)) {
		return Errorf(CodeInvalid, "segment %d tells of other CDR sequences in boots than its legs have", header.FirstSeq)
	}
	last := s.Records[len(s.Records)-1].Beat
	if header.Closing != (last != nil && last.Closing) {
		return Errorf(CodeInvalid, "segment %d is closing if and only if its last record is a closing beat", header.FirstSeq)
	}
	return nil
}

// checkRoot judges the sizes of the records and their root.
func (s *SignedSegment) checkRoot(leaves [][]byte) error {
	for i, leaf := range leaves {
		if len(leaf) > MaxRecordBytes {
			return Errorf(CodeTooLarge, "record %d has %d bytes, at most %d are allowed", s.Records[i].Seq, len(leaf), MaxRecordBytes)
		}
	}
	root, err := Root(leaves)
	if err != nil {
		return err
	}
	if root != s.Segment.Root {
		return Errorf(CodeUnauthentic, "the records of segment %d do not hash to its root: a record was altered after the adapter closed the segment", s.Segment.FirstSeq)
	}
	return nil
}

// checkPlace answers unless the record is the i-th of the segment.
func (s *Segment) checkPlace(record *Record, i int64) error {
	switch {
	case record.MSP != s.MSP || record.PBX != s.PBX:
		return Errorf(CodeInvalid, "record %d belongs to another PBX than its segment: a segment holds the records of one PBX", record.Seq)
	case record.Epoch != s.Epoch || record.Segment != s.FirstSeq:
		return Errorf(CodeInvalid, "record %d names another segment or epoch than the one it came in", record.Seq)
	case record.Seq != s.FirstSeq+i:
		return Errorf(CodeInvalid, "segment %d has a gap: record %d stands where record %d belongs", s.FirstSeq, record.Seq, s.FirstSeq+i)
	}
	return nil
}

// checkPast answers CodeInvalid unless the segment names the one before it, or is
// the first of its epoch.
func (s *Segment) checkPast() error {
	if s.FirstSeq == 1 {
		if s.PrevRoot != "" || s.PrevFirstSeq != 0 {
			return Errorf(CodeInvalid, "the first segment of an epoch has neither prev_root nor prev_first_seq")
		}
		return nil
	}
	if before := s.FirstSeq - s.PrevFirstSeq; s.PrevFirstSeq < 1 || before < 1 || before > MaxRecords {
		return Errorf(CodeInvalid, "segment %d names the segment of record %d as the one before it: that must begin 1 to %d records earlier", s.FirstSeq, s.PrevFirstSeq, MaxRecords)
	}
	return CheckHex("prev_root", s.PrevRoot, 32)
}

// checkAdded answers CodeInvalid unless the members that version 2 added are well
// formed, and absent in a segment of version 1.
func (s *Segment) checkAdded() error {
	if s.Boots == nil && !s.Closing && s.NextBy.IsZero() {
		return nil
	}
	if s.V < 2 {
		return Errorf(CodeInvalid, "boots, closing and next_by are members of version 2: write the segment with v 2")
	}
	if s.Boots != nil && len(s.Boots) == 0 {
		return Errorf(CodeInvalid, "boots holds none: leave it out")
	}
	if len(s.Boots) > maxBoots {
		return Errorf(CodeInvalid, "segment %d has legs of %d starts of Asterisk, at most %d are allowed: close segments sooner", s.FirstSeq, len(s.Boots), maxBoots)
	}
	if s.Closing && !s.NextBy.IsZero() {
		return Errorf(CodeInvalid, "segment %d is closing and promises another", s.FirstSeq)
	}
	if !s.NextBy.IsZero() && s.NextBy.Before(s.ClosedAt) {
		return Errorf(CodeInvalid, "segment %d promises the next one before it is closed itself", s.FirstSeq)
	}
	return nil
}

func (s *Segment) check() error {
	if err := CheckVersion("the segment", s.V); err != nil {
		return err
	}
	if err := CheckName("msp", s.MSP); err != nil {
		return err
	}
	if err := CheckName("pbx", s.PBX); err != nil {
		return err
	}
	if s.Epoch <= 0 || s.Epoch > MaxInteger || s.FirstSeq <= 0 || s.FirstSeq > MaxInteger-MaxRecords {
		return Errorf(CodeInvalid, "epoch and first_seq must lie between 1 and 2^53-1")
	}
	if s.Count < 1 {
		return Errorf(CodeInvalid, "segment %d announces %d records: a segment has at least one", s.FirstSeq, s.Count)
	}
	if s.Count > MaxRecords {
		return Errorf(CodeTooLarge, "segment %d announces %d records, at most %d are allowed: close segments sooner", s.FirstSeq, s.Count, MaxRecords)
	}
	if s.ClosedAt.IsZero() {
		return Errorf(CodeInvalid, "closed_at must be set")
	}
	if err := s.checkPast(); err != nil {
		return err
	}
	if err := s.checkAdded(); err != nil {
		return err
	}
	if err := CheckHex("root", s.Root, 32); err != nil {
		return err
	}
	return CheckHex("signer", s.Signer, 32)
}
