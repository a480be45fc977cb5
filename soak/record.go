package soak

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

// Kind is what an adapter's records are.
type Kind int

const (
	// Calls are answered CDR legs with their details, as the adapter writes them with
	// all it learns from CDR and ARI: about 750 bytes and 350 of details.
	Calls Kind = iota
	// Omissions are records of a kind that has no details.
	Omissions
)

// pbx closes the records of one PBX into signed segments.
type pbx struct {
	tb      testing.TB
	adapter *gatewaytest.Adapter
	kind    Kind
	boot    int64
	records int64 // closed so far
	opened  bool
}

// Record is what the fleet remembers of a record it sent.
type Record struct {
	// Key is its key on the ledger, Content the SHA-256 of its canonical form.
	Key     string
	Content [sha256.Size]byte
	// Details is the digest of its details, empty where it has none.
	Details string
	// Leg names the call.
	Leg ledger.LegID
	// Born is when it was due to be sent: latencies count from here, whenever it
	// was sent.
	Born time.Time
}

// close makes the next segment, of one record for each moment; the first of an
// epoch begins with an opening.
func (p *pbx) close(born []time.Time) *Story {
	entries := make([]gatewaytest.Entry, 0, len(born)+1)
	if !p.opened {
		p.opened = true
		opening := gatewaytest.Opening()
		opening.Record.Opening.At = ledger.TimeOf(born[0])
		entries = append(entries, opening)
		born = append([]time.Time{born[0]}, born...)
	}
	for i := len(entries); i < len(born); i++ {
		entries = append(entries, p.entry(born[i]))
	}
	story := &Story{PBX: p.adapter.PBX, Records: make([]Record, len(entries))}
	story.message = p.adapter.Segment(p.tb, entries, func(signed *ledger.SignedSegment) {
		signed.Segment.ClosedAt = ledger.TimeOf(time.Now())
		story.Epoch, story.FirstSeq = signed.Segment.Epoch, signed.Segment.FirstSeq
		for i := range signed.Records {
			record := &signed.Records[i]
			story.Records[i] = Record{Key: record.Key(), Details: record.DetailsDigest(), Leg: record.Leg(), Born: born[i]}
		}
	})
	for i, text := range story.message.GetRecordsJson() {
		story.Records[i].Content = sha256.Sum256(text)
	}
	story.Key = ledger.SegmentKey(p.adapter.MSP, p.adapter.PBX, story.Epoch, story.FirstSeq)
	return story
}

// entry is one record, under Asterisk's own kind of id, which sorts by time.
func (p *pbx) entry(born time.Time) gatewaytest.Entry {
	p.records++
	id := fmt.Sprintf("%d.%d", p.boot+p.records, p.records*2)
	leg := ledger.LegID{LinkedID: id, UniqueID: id, Sequence: p.records * 2}
	if p.kind == Omissions {
		return gatewaytest.Entry{Record: ledger.Record{Omission: &ledger.Omission{At: ledger.TimeOf(born), Leg: leg, Reason: ledger.OmissionMissing}}}
	}
	entry := gatewaytest.Call(p.tb)
	call := *entry.Record.Call
	start := born.Add(-30 * time.Second)
	at := func(d time.Duration) ledger.Time { return ledger.TimeOf(start.Add(d)) }
	call.Leg, call.Start, call.Answer, call.End = leg, at(0), at(2*time.Second), at(30*time.Second)
	call.CallerRef, call.CalleeRef = gatewaytest.Random(p.tb, 16), gatewaytest.Random(p.tb, 16)
	call.Direction, call.Software = "internal", "Asterisk 22.10.1"
	call.Observed = &ledger.Observed{Start: at(7 * time.Millisecond), Answer: at(2_013 * time.Millisecond), End: at(30_009 * time.Millisecond)}
	entry.Record.Call = &call
	return entry
}

// Records are n calls in canonical form, as the adapter of a PBX that nobody has heard
// of anchors them: what other systems are given to keep when they are measured beside
// Callseal.
func Records(tb testing.TB, msp, pbxID string, n int) [][]byte {
	tb.Helper()
	p := &pbx{tb: tb, adapter: gatewaytest.New(tb, msp, pbxID), kind: Calls, boot: time.Now().Unix()}
	records := make([][]byte, 0, n)
	for len(records) < n {
		born := make([]time.Time, min(n-len(records), ledger.MaxRecords-1))
		for i := range born {
			born[i] = time.Now()
		}
		texts := p.close(born).message.GetRecordsJson()
		records = append(records, texts[len(texts)-len(born):]...) // without the opening
	}
	return records
}
