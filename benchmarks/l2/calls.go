package l2

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// entry is what a registry keeps of a call.
type entry struct {
	// key is the digest of the key of the leg's record on Callseal's ledger.
	key [32]byte
	// digest is that of the record's content.
	digest [32]byte
}

// calls makes the records of calls, as an adapter would.
type calls struct {
	random *rand.Rand
	at     time.Time
	count  int64
}

func newCalls(seed uint64) *calls {
	return &calls{random: rand.New(rand.NewPCG(seed, 1)), at: time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)}
}

// next makes the next call's entry; no two have the same key.
func (c *calls) next() (entry, error) {
	c.count++
	c.at = c.at.Add(time.Duration(1+c.random.IntN(1000)) * time.Millisecond)
	name := fmt.Sprintf("pbx1-%d.%d", c.at.Unix(), c.count)
	ring := time.Duration(c.random.IntN(20_000)) * time.Millisecond
	talk := time.Duration(c.random.IntN(600_000)) * time.Millisecond
	record := ledger.Record{
		Call: &ledger.Call{
			Answer: ledger.TimeOf(c.at.Add(ring)), BillsecMS: talk.Milliseconds(), CalleeRef: c.hex(16), CallerRef: c.hex(16),
			DetailsDigest: c.hex(32), Direction: "inbound", Disposition: ledger.Answered, DurationMS: (ring + talk).Milliseconds(),
			End: ledger.TimeOf(c.at.Add(ring + talk)), HangupCause: 16, Leg: ledger.LegID{LinkedID: name, UniqueID: name, Sequence: c.count},
			RecordingDue: true, Software: "Asterisk 22.10.1", Start: ledger.TimeOf(c.at), Technology: "PJSIP",
		},
		Epoch: c.at.UnixMilli(), MSP: "AtlasMSP", PBX: "pbx1", Segment: 1, Seq: c.count, V: ledger.SchemaVersion,
	}
	if err := record.Check(); err != nil {
		return entry{}, fmt.Errorf("make a call: %w", err)
	}
	text, err := record.ContentDigest()
	if err != nil {
		return entry{}, fmt.Errorf("make a call: %w", err)
	}
	digest, err := hex.DecodeString(text)
	if err != nil || len(digest) != sha256.Size {
		return entry{}, fmt.Errorf("make a call: %q is no digest", text)
	}
	return entry{key: sha256.Sum256([]byte(record.Key())), digest: [32]byte(digest)}, nil
}

func (c *calls) hex(bytes int) string {
	out := make([]byte, bytes)
	for i := range out {
		out[i] = byte(c.random.Uint32()) //nolint:gosec // the low byte
	}
	return hex.EncodeToString(out)
}
