// Package gatewaytest plays a gateway's adapter in tests: it makes calls and
// recordings with their details, closes them into segments and signs those, well
// or badly.
package gatewaytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// Numbers that stand in the details of every call, and must not be found
// anywhere else in clear.
const (
	Caller = "+351912345678"
	Callee = "+442079460123"
)

// Entry is a record before it has its place in a segment, with its details.
type Entry struct {
	Record  ledger.Record
	Details ledger.Details
}

// Adapter numbers, closes and signs as the adapter of one PBX.
type Adapter struct {
	MSP, PBX string
	// Fingerprint names the certificate whose key signs.
	Fingerprint string
	Key         *ecdsa.PrivateKey

	epoch, next int64
	before      int64  // the first number of the segment before
	previous    string // its root
}

// New is an adapter with a key of its own that nobody knows.
func New(t testing.TB, msp, pbx string) *Adapter {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return &Adapter{MSP: msp, PBX: pbx, Fingerprint: Random(t, 32), Key: key, epoch: epoch(t), next: 1}
}

// Load is an adapter that signs with the identity of the files, PEM.
func Load(t testing.TB, msp, pbx, certFile, keyFile string) *Adapter {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	require.NoError(t, err)
	key, isECDSA := pair.PrivateKey.(*ecdsa.PrivateKey)
	require.True(t, isECDSA)
	return &Adapter{MSP: msp, PBX: pbx, Fingerprint: ledger.Fingerprint(pair.Leaf.Raw), Key: key, epoch: epoch(t), next: 1}
}

// Reborn is the same adapter with a new journal: a new epoch.
func (a *Adapter) Reborn(t testing.TB) *Adapter {
	t.Helper()
	other := *a
	other.epoch, other.next, other.before, other.previous = epoch(t), 1, 0, ""
	return &other
}

// Twin is a clone of the adapter with its journal, as a restored backup makes.
func (a *Adapter) Twin() *Adapter {
	other := *a
	return &other
}

// Random is n random bytes in hexadecimal.
func Random(t testing.TB, n int) string {
	t.Helper()
	raw := make([]byte, n)
	_, err := rand.Read(raw)
	require.NoError(t, err)
	return hex.EncodeToString(raw)
}

func epoch(t testing.TB) int64 {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(ledger.MaxInteger-1))
	require.NoError(t, err)
	return n.Int64() + 1
}

// Call is a leg nobody has seen before, answered for 28 s.
func Call(t testing.TB) Entry {
	t.Helper()
	start := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	details := ledger.Details{
		Call: &ledger.CallDetails{
			Channel: "PJSIP/" + Caller, CLID: fmt.Sprintf("%q <%s>", "Alice", Caller), DContext: "internal", Dst: Callee,
			DstChannel: "PJSIP/" + Callee, LastApp: "Dial", LastData: "PJSIP/" + Callee, Src: Caller,
		},
		Salt: Random(t, 32), V: ledger.SchemaVersion,
	}
	unique := "pbx-" + Random(t, 12)
	return Entry{
		Record: ledger.Record{Call: &ledger.Call{
			Answer: ledger.TimeOf(start.Add(2 * time.Second)), BillsecMS: 28_000, DetailsDigest: digest(t, &details),
			Disposition: ledger.Answered, DurationMS: 30_000, End: ledger.TimeOf(start.Add(30 * time.Second)), HangupCause: 16,
			Leg: ledger.LegID{LinkedID: unique, UniqueID: unique}, RecordingDue: true, Start: ledger.TimeOf(start), Technology: "PJSIP",
		}},
		Details: details,
	}
}

// Recording is the recording of a leg, with the given audio.
func Recording(t testing.TB, leg ledger.LegID, audio []byte) Entry {
	t.Helper()
	details := ledger.Details{Recording: &ledger.RecordingDetails{File: Caller + ".wav"}, Salt: Random(t, 32), V: ledger.SchemaVersion}
	short, long := sha256.Sum256(audio), sha512.Sum512(audio)
	return Entry{
		Record: ledger.Record{Recording: &ledger.Recording{
			Bytes: int64(len(audio)), ClosedAt: ledger.TimeOf(time.Date(2026, 3, 1, 9, 30, 31, 0, time.UTC)), DetailsDigest: digest(t, &details),
			ID: Random(t, 16), Leg: leg, MediaType: "audio/wav", Method: "mixmonitor", Revision: 1,
			SHA256: hex.EncodeToString(short[:]), SHA512: hex.EncodeToString(long[:]),
		}},
		Details: details,
	}
}

// Opening says that the adapter's epoch is the first of its PBX, closed a moment
// before its calls.
func Opening() Entry {
	at := ledger.TimeOf(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))
	return Entry{Record: ledger.Record{Opening: &ledger.Opening{At: at, Why: ledger.OpeningFirst}}}
}

// Calls are n legs.
func Calls(t testing.TB, n int) []Entry {
	t.Helper()
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = Call(t)
	}
	return entries
}

func digest(t testing.TB, details *ledger.Details) string {
	t.Helper()
	text, err := details.Digest()
	require.NoError(t, err)
	return text
}

// Rebind computes the digest of the entry's details anew, after a change.
func (e *Entry) Rebind(t testing.TB) {
	t.Helper()
	if e.Record.Call != nil {
		call := *e.Record.Call
		call.DetailsDigest = digest(t, &e.Details)
		e.Record.Call = &call
		return
	}
	recording := *e.Record.Recording
	recording.DetailsDigest = digest(t, &e.Details)
	e.Record.Recording = &recording
}

// detailsJSON are the details as they are sent; none for a record that has none.
func (e *Entry) detailsJSON(t testing.TB) []byte {
	t.Helper()
	if e.Record.DetailsDigest() == "" {
		return nil
	}
	return JSON(t, &e.Details)
}

// Segment closes the entries into the next segment and signs it. Changes are
// made before the root is computed and signed.
func (a *Adapter) Segment(t testing.TB, entries []Entry, changes ...func(*ledger.SignedSegment)) *pb.SignedSegment {
	t.Helper()
	signed := &ledger.SignedSegment{Segment: ledger.Segment{
		ClosedAt: ledger.TimeOf(time.Date(2026, 3, 1, 9, 31, 0, 0, time.UTC)), Count: int64(len(entries)), Epoch: a.epoch, FirstSeq: a.next,
		MSP: a.MSP, PBX: a.PBX, PrevFirstSeq: a.before, PrevRoot: a.previous, Signer: a.Fingerprint, V: ledger.SchemaVersion,
	}}
	message := &pb.SignedSegment{}
	if a.next == 1 && (len(entries) == 0 || entries[0].Record.Opening == nil) {
		signed.Segment.V = 1 // an epoch of version 2 begins with an opening
	}
	for i := range entries {
		record := entries[i].Record
		record.Epoch, record.MSP, record.PBX, record.V = a.epoch, a.MSP, a.PBX, ledger.SchemaVersion
		record.Segment, record.Seq = a.next, a.next+int64(i)
		signed.Records = append(signed.Records, record)
		message.DetailsJson = append(message.DetailsJson, entries[i].detailsJSON(t))
	}
	if signed.Segment.V > 1 && len(entries) > 0 {
		last := signed.Records[len(signed.Records)-1].Beat
		signed.Segment.Boots, signed.Segment.Closing = ledger.BootsOf(signed.Records), last != nil && last.Closing
	}
	for _, change := range changes {
		change(signed)
	}
	for i := range signed.Records {
		message.RecordsJson = append(message.RecordsJson, JSON(t, &signed.Records[i]))
	}
	root, err := ledger.Root(message.GetRecordsJson())
	require.NoError(t, err)
	signed.Segment.Root = root
	message.SegmentJson = JSON(t, &signed.Segment)
	message.Signature, err = signed.Segment.Sign(a.Key)
	require.NoError(t, err)
	a.before, a.next, a.previous = a.next, a.next+int64(len(entries)), root
	return message
}

// JSON is the canonical form of v.
func JSON(t testing.TB, v any) []byte {
	t.Helper()
	text, err := ledger.Canonical(v)
	require.NoError(t, err)
	return text
}
