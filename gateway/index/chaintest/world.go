package chaintest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// World makes realistic traffic of three operators with several PBXs each. The same
// seed makes the same traffic.
type World struct {
	random   *rand.Rand
	clock    time.Time
	pbxs     []*pbx
	calls    int
	policies int64
}

// pbx is a PBX and where its adapter's history stands.
type pbx struct {
	msp, name      string
	epoch, next    int64
	before         int64
	previous       string
	share          int // of the traffic
	parties        []string
	boot, sequence int64
}

// Operators are those of the traffic.
var Operators = []string{"AtlasMSP", "BorealisMSP", "CorvusMSP"}

// NewWorld begins on the first of January 2026.
func NewWorld(seed uint64) *World {
	w := &World{random: rand.New(rand.NewPCG(seed, seed)), clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for i, msp := range Operators {
		for n := range 6 + i {
			one := &pbx{msp: msp, name: fmt.Sprintf("pbx%d", n+1), epoch: w.clock.UnixMilli() + int64(i*100+n), next: 1, share: 1 + w.random.IntN(20), boot: w.clock.UnixMilli()}
			for range 2000 {
				one.parties = append(one.parties, w.hex(16))
			}
			w.pbxs = append(w.pbxs, one)
		}
	}
	return w
}

// hex is n random bytes in hexadecimal.
func (w *World) hex(n int) string {
	raw := make([]byte, n)
	for i := range raw {
		raw[i] = byte(w.random.UintN(256)) //nolint:gosec // a byte
	}
	return hex.EncodeToString(raw)
}

// pick is one of the values, by weight.
func pick[T any](w *World, weights []int, values []T) T {
	sum := 0
	for _, weight := range weights {
		sum += weight
	}
	n := w.random.IntN(sum)
	for i, weight := range weights {
		if n -= weight; n < 0 {
			return values[i]
		}
	}
	return values[len(values)-1]
}

// some is whether something of so many in a thousand happens.
func (w *World) some(perMille int) bool { return w.random.IntN(1000) < perMille }

// Time is the world's clock.
func (w *World) Time() ledger.Time { return ledger.TimeOf(w.clock) }

// Traffic is transactions with about so many calls, each with its segment, some with
// recordings, links and omissions, as calls:Anchor writes them.
func (w *World) Traffic(calls int) []Transaction {
	var transactions []Transaction
	for left := calls; left > 0; {
		n := min(left, 1+w.random.IntN(60))
		transactions = append(transactions, Transaction{Puts: w.segment(w.somePBX(), n)})
		left -= n
	}
	return transactions
}

func (w *World) somePBX() *pbx {
	weights := make([]int, len(w.pbxs))
	for i, one := range w.pbxs {
		weights[i] = one.share
	}
	return pick(w, weights, w.pbxs)
}

// segment is a segment with so many calls.
func (w *World) segment(p *pbx, calls int) []Put {
	var records []ledger.Record
	add := func(record ledger.Record) {
		record.MSP, record.PBX, record.Epoch, record.Segment, record.Seq, record.V = p.msp, p.name, p.epoch, p.next, p.next+int64(len(records)), ledger.SchemaVersion
		records = append(records, record)
	}
	if p.next == 1 {
		add(ledger.Record{Opening: &ledger.Opening{At: w.Time(), Why: ledger.OpeningFirst}})
	}
	var last ledger.LegID
	for range calls {
		w.calls++
		w.clock = w.clock.Add(time.Duration(w.random.IntN(2000)) * time.Millisecond)
		call := w.call(p, last)
		add(ledger.Record{Call: call})
		if call.RecordingDue && w.some(980) {
			add(ledger.Record{Recording: w.recording(call)})
		} else if call.RecordingDue {
			add(ledger.Record{Omission: &ledger.Omission{At: call.End, Leg: call.Leg, Reason: pick(w, []int{5, 2, 1}, []string{ledger.OmissionMissing, ledger.OmissionEmpty, ledger.OmissionNoSpace})}})
		}
		if last.LinkedID != "" && last.LinkedID != call.Leg.LinkedID && w.some(20) {
			add(ledger.Record{Link: &ledger.Link{At: call.Start, From: last.LinkedID, To: call.Leg.LinkedID, Kind: ledger.LinkBlindTransfer}})
		}
		last = call.Leg
	}
	if w.some(50) {
		add(ledger.Record{Beat: &ledger.Beat{At: w.Time()}})
	}
	return w.close(p, records)
}

func (w *World) call(p *pbx, last ledger.LegID) *ledger.Call {
	start := w.clock.Truncate(time.Second)
	disposition := pick(w, []int{700, 180, 60, 30, 8, 22}, []string{ledger.Answered, "NO ANSWER", "BUSY", "FAILED", "CONGESTION", "CANCEL"})
	duration := time.Duration(1+w.random.IntN(600)) * time.Second
	p.sequence++
	unique := fmt.Sprintf("%d.%d", start.Unix(), w.calls)
	leg := ledger.LegID{LinkedID: unique, UniqueID: unique, Sequence: p.sequence}
	if last.LinkedID != "" && w.some(300) { // another leg of the conversation before
		leg.LinkedID = last.LinkedID
	}
	call := &ledger.Call{
		Boot: p.boot, CalleeRef: p.parties[w.random.IntN(len(p.parties))], CallerRef: p.parties[w.random.IntN(len(p.parties))], DetailsDigest: w.hex(32),
		Direction: pick(w, []int{45, 35, 20}, []string{"inbound", "outbound", "internal"}), Disposition: disposition, DurationMS: duration.Milliseconds(),
		End: ledger.TimeOf(start.Add(duration)), HangupCause: pick(w, []int{80, 15, 5}, []int64{16, 17, 34}), Leg: leg, RecordingDue: disposition == ledger.Answered && w.some(400),
		Software: "Asterisk 22.5.1", Start: ledger.TimeOf(start), Technology: pick(w, []int{95, 5}, []string{"PJSIP", "DAHDI"}),
	}
	if disposition == ledger.Answered {
		answered := start.Add(time.Duration(w.random.IntN(int(duration/time.Second))) * time.Second)
		call.Answer, call.BillsecMS = ledger.TimeOf(answered), start.Add(duration).Sub(answered).Milliseconds()
	}
	if w.some(200) {
		call.CallRef = w.hex(16)
	}
	return call
}

func (w *World) recording(call *ledger.Call) *ledger.Recording {
	recording := &ledger.Recording{
		Bytes: 44 + call.BillsecMS*16, ClosedAt: call.End, DetailsDigest: w.hex(32), ID: w.hex(16), Leg: call.Leg, MediaType: "audio/wav", Method: "mixmonitor", Revision: 1,
		SHA256: w.hex(32), SHA512: w.hex(64),
	}
	if w.some(30) {
		recording.Pauses = []ledger.Pause{{FromMS: 1000, Reason: ledger.PauseCard, ToMS: 9000}}
	}
	return recording
}

// close makes the segment of the records, as the contract writes it.
func (w *World) close(p *pbx, records []ledger.Record) []Put {
	var puts []Put
	var leaves [][]byte
	for i := range records {
		leaf := canonical(&records[i])
		leaves = append(leaves, leaf)
		puts = append(puts, Put{Key: records[i].Key(), Value: leaf})
		for _, pointer := range records[i].Indexes() {
			puts = append(puts, Put{Key: pointer, Value: []byte{1}})
		}
	}
	root, err := ledger.Root(leaves)
	if err != nil {
		panic(err) // leaves always have a root
	}
	at := ledger.TimeOf(w.clock.Add(time.Second))
	signer := sha256.Sum256([]byte(p.msp + p.name))
	segment := &ledger.AnchoredSegment{
		AnchoredAt: at, LateMS: 1000, Signature: []byte("signature"), TxID: w.hex(32), V: ledger.SchemaVersion,
		Segment: ledger.Segment{
			Boots: ledger.BootsOf(records), ClosedAt: w.Time(), Count: int64(len(records)), Epoch: p.epoch, FirstSeq: p.next, MSP: p.msp, PBX: p.name,
			PrevFirstSeq: p.before, PrevRoot: p.previous, Root: root, Signer: hex.EncodeToString(signer[:]), V: ledger.SchemaVersion,
		},
	}
	puts = append(puts, Put{Key: segment.Segment.Key(), Value: canonical(segment)})
	p.before, p.next, p.previous = p.next, p.next+int64(len(records)), root
	return puts
}

// canonical encodes what can be encoded.
func canonical(v any) []byte {
	text, err := ledger.Canonical(v)
	if err != nil {
		panic(err)
	}
	return text
}
