package soak

import (
	"fmt"
	"time"

	pb "github.com/callseal/callseal/api/callseal/v1"
)

// Story is one segment and what its adapter heard of it, when. Zero times are
// what it never heard.
type Story struct {
	// PBX, Epoch and FirstSeq name the segment, Key is its key on the ledger.
	PBX             string
	Epoch, FirstSeq int64
	Key             string
	// Records are its records, in order.
	Records []Record

	// FirstSent and LastSent are when it was sent, Sends how often.
	FirstSent, LastSent time.Time
	Sends               int
	// Rejections is how often the gateway did not take it for now.
	Rejections int
	// Accepted, Committed and Settled are when the adapter first heard so, Taken is
	// when it had sent what was accepted.
	Taken, Accepted, Committed, Settled time.Time
	// Heard is the place of the first ACCEPTED among those of its PBX, from 1; 0 for
	// one that was sent by a unary call.
	Heard int64
	// Receipt is what COMMITTED said.
	Receipt *pb.SegmentReceipt
	// Refused is why the gateway gave it up, nil if it did not.
	Refused *pb.Problem
	// Broken are promises that were not kept: said twice and differently, taken back.
	Broken []string

	message *pb.SignedSegment
	session int64 // in which it was sent and not rejected since; 0 for none
}

// ended says whether nothing is left to hear.
func (s *Story) ended() bool { return !s.Settled.IsZero() || s.Refused != nil }

func (s *Story) breaks(format string, args ...any) {
	s.Broken = append(s.Broken, fmt.Sprintf("segment %d of %s: ", s.FirstSeq, s.PBX)+fmt.Sprintf(format, args...))
}

// commit notes what COMMITTED or SETTLED said of the transaction.
func (s *Story) commit(receipt *pb.SegmentReceipt) {
	if receipt == nil {
		return
	}
	if s.Receipt == nil {
		s.Receipt = receipt
		if len(receipt.GetRecords()) != len(s.Records) {
			s.breaks("%d records were sent and the receipt names %d", len(s.Records), len(receipt.GetRecords()))
		}
		return
	}
	before, now := s.Receipt.GetCommit(), receipt.GetCommit()
	if before.GetTransactionId() != now.GetTransactionId() || before.GetBlock() != now.GetBlock() {
		s.breaks("it was said to stand in transaction %s of block %d, then in %s of block %d",
			before.GetTransactionId(), before.GetBlock(), now.GetTransactionId(), now.GetBlock())
	}
}
