package journal_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/asterisk-adapter/recording"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/msp"
)

const (
	operator = "AtlasMSP"
	pbx      = "pbx1"
)

// newSigner issues an adapter's certificate.
func newSigner(t *testing.T) (*journal.Signer, *x509.Certificate) {
	t.Helper()
	issuer, err := msp.NewIssuer("ca.atlas", "Atlas")
	require.NoError(t, err)
	pair, err := issuer.Issue(msp.Request{
		CommonName: pbx, Unit: msp.UnitClient,
		Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: pbx},
	})
	require.NoError(t, err)
	certificate, err := msp.ParseCertificate(pair.CertPEM)
	require.NoError(t, err)
	block, _ := pem.Decode(pair.KeyPEM)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	key, isECDSA := parsed.(*ecdsa.PrivateKey)
	require.True(t, isECDSA)
	return &journal.Signer{MSP: operator, PBX: pbx, Fingerprint: ledger.Fingerprint(certificate.Raw), Key: key}, certificate
}

func open(t *testing.T, path string) *journal.Journal {
	t.Helper()
	book, err := journal.Open(path, operator, pbx)
	require.NoError(t, err)
	t.Cleanup(func() { _ = book.Close() })
	return book
}

// begun opens a journal whose epoch has its opening, record 1, on the ledger.
func begun(t *testing.T, path string, signer *journal.Signer) *journal.Journal {
	t.Helper()
	book := open(t, path)
	_, err := book.CloseSegment(signer, []journal.Entry{{Opening: &ledger.Opening{At: ledger.TimeOf(time.Now()), Why: ledger.OpeningFirst}}})
	require.NoError(t, err)
	require.NoError(t, book.Committed(1))
	return book
}

func newPath(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "state", "journal.db")
}

// newLeg is the n-th leg of a channel.
func newLeg(t *testing.T, uniqueID string, n int64) *journal.Leg {
	t.Helper()
	details := ledger.Details{
		Call: &ledger.CallDetails{Src: "+351910000001", CLID: "\"Zé \u2028 <b>&\t\x01\" <1001>"},
		Salt: strings.Repeat("5a", 32), V: ledger.SchemaVersion,
	}
	digest, err := details.Digest()
	require.NoError(t, err)
	start := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	return &journal.Leg{
		Call: ledger.Call{
			Leg: ledger.LegID{LinkedID: uniqueID, UniqueID: uniqueID, Sequence: n}, Start: ledger.TimeOf(start), End: ledger.TimeOf(start.Add(time.Second)),
			DurationMS: 1000, Disposition: "NO ANSWER", DetailsDigest: digest,
		},
		Details: details, Source: "csv",
	}
}

func entryOf(leg *journal.Leg) journal.Entry {
	return journal.Entry{Call: &leg.Call, Details: leg.Details}
}

// receive makes legs and keeps them.
func receive(t *testing.T, book *journal.Journal, uniqueIDs ...string) []journal.Entry {
	t.Helper()
	var entries []journal.Entry
	for _, id := range uniqueIDs {
		leg, known, err := book.Receive(newLeg(t, id, 1), nil)
		require.NoError(t, err)
		require.False(t, known)
		entries = append(entries, entryOf(leg))
	}
	return entries
}

// signed is a segment as the gateway takes it apart.
func signed(t *testing.T, segment *journal.Segment) *ledger.SignedSegment {
	t.Helper()
	taken := &ledger.SignedSegment{Segment: segment.Header, Signature: segment.Signature}
	for i, canonical := range segment.Records {
		var record ledger.Record
		require.NoError(t, ledger.DecodeStrict(canonical, &record))
		taken.Records = append(taken.Records, record)
		if record.DetailsDigest() == "" {
			require.Nil(t, segment.DetailsOf(i))
			continue
		}
		var details ledger.Details
		require.NoError(t, ledger.DecodeStrict(segment.DetailsOf(i), &details))
		digest, err := details.Digest()
		require.NoError(t, err)
		require.Equal(t, record.DetailsDigest(), digest)
	}
	return taken
}

// TestSequenceHasNoGap closes segments over reopenings and failed closings: the
// numbers go on, and each root names the one before.
func TestSequenceHasNoGap(t *testing.T) {
	path := newPath(t)
	signer, certificate := newSigner(t)
	book := open(t, path)
	require.True(t, book.Fresh())
	opened, err := book.Opened()
	require.NoError(t, err)
	require.False(t, opened)
	_, err = book.CloseSegment(signer, receive(t, book, "1795246499.0"))
	require.ErrorContains(t, err, "an epoch begins with its opening")
	epoch := book.Epoch()
	opening, err := book.CloseSegment(signer, []journal.Entry{{Opening: &ledger.Opening{At: ledger.TimeOf(time.Now()), Why: ledger.OpeningFirst}}})
	require.NoError(t, err)
	require.Nil(t, opening.DetailsOf(0), "an opening has no details")
	_, err = signed(t, opening).Check()
	require.NoError(t, err)
	opened, err = book.Opened()
	require.NoError(t, err)
	require.True(t, opened)
	next, previous := int64(2), opening.Header.Root
	for round := range 4 {
		var ids []string
		for n := range round + 1 {
			ids = append(ids, fmt.Sprintf("17952465%02d.%d", round, n))
		}
		entries := receive(t, book, ids...)
		// One bad record refuses the whole closing, and no number is lost by it.
		bad := newLeg(t, "1795246500.99", int64(round))
		bad.Call.Disposition = "UNHEARD OF"
		_, err := book.CloseSegment(signer, append(entries[:len(entries):len(entries)], entryOf(bad)))
		require.ErrorContains(t, err, "disposition")
		// So does a leg that the journal does not hold.
		_, err = book.CloseSegment(signer, append(entries[:len(entries):len(entries)], entryOf(newLeg(t, "1795246500.98", 0))))
		require.ErrorContains(t, err, "does not hold the leg")

		segment, err := book.CloseSegment(signer, entries)
		require.NoError(t, err)
		require.Equal(t, next, segment.Header.FirstSeq)
		require.Equal(t, int64(len(ids)), segment.Header.Count)
		require.Equal(t, previous, segment.Header.PrevRoot)
		require.Equal(t, epoch, segment.Header.Epoch)
		taken := signed(t, segment)
		_, err = taken.Check()
		require.NoError(t, err)
		require.NoError(t, taken.Segment.VerifySignature(certificate, taken.Signature))
		next, previous = next+segment.Header.Count, segment.Header.Root

		require.NoError(t, book.Close())
		book = open(t, path)
		require.False(t, book.Fresh())
		require.Equal(t, epoch, book.Epoch())
	}
	// What was signed is what is sent after a restart, byte for byte.
	waiting, refused, err := book.Outbox()
	require.NoError(t, err)
	require.Empty(t, refused)
	require.Len(t, waiting, 5)
	first := int64(1)
	for _, segment := range waiting {
		require.Equal(t, first, segment.Header.FirstSeq)
		first += segment.Header.Count
		taken := signed(t, segment)
		leaves, err := taken.Check()
		require.NoError(t, err)
		require.NoError(t, taken.Segment.VerifySignature(certificate, taken.Signature))
		for i := range leaves {
			require.Equal(t, string(leaves[i]), string(segment.Records[i]))
		}
	}
}

func TestSegmentBounds(t *testing.T) {
	signer, _ := newSigner(t)
	book := begun(t, newPath(t), signer)
	_, err := book.CloseSegment(signer, nil)
	require.ErrorContains(t, err, "1 to 500 records")
	_, err = book.CloseSegment(signer, make([]journal.Entry, ledger.MaxRecords+1))
	require.ErrorContains(t, err, "1 to 500 records, not 501")
	var ids []string
	for n := range ledger.MaxRecords {
		ids = append(ids, fmt.Sprintf("1795246515.%d", n))
	}
	segment, err := book.CloseSegment(signer, receive(t, book, ids...))
	require.NoError(t, err)
	require.Equal(t, int64(ledger.MaxRecords), segment.Header.Count)
	_, err = signed(t, segment).Check()
	require.NoError(t, err)
}

// TestReceive keeps a leg once, and the source's checkpoint in the same write.
func TestReceive(t *testing.T) {
	path := newPath(t)
	book := open(t, path)
	first := newLeg(t, "1795246515.0", 3)
	kept, known, err := book.Receive(first, &journal.Checkpoint{Source: "csv", State: []byte(`{"offset":100}`)})
	require.NoError(t, err)
	require.False(t, known)
	require.Equal(t, first, kept)

	again := newLeg(t, "1795246515.0", 3)
	again.Source, again.Call.Disposition = "ami", "BUSY"
	kept, known, err = book.Receive(again, &journal.Checkpoint{Source: "csv", State: []byte(`{"offset":200}`)})
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, "csv", kept.Source)
	require.Equal(t, "NO ANSWER", kept.Call.Disposition, "the first stays")
	require.Equal(t, first.Details, kept.Details)

	// A leg that cannot be kept moves no checkpoint.
	broken := newLeg(t, "1795246515.1", 3)
	broken.Details.Call.Src = "\xff"
	_, _, err = book.Receive(broken, &journal.Checkpoint{Source: "csv", State: []byte(`{"offset":300}`)})
	require.ErrorContains(t, err, "keep the leg")

	require.NoError(t, book.SetCheckpoint(&journal.Checkpoint{Source: "other", State: []byte("x")}))
	require.NoError(t, book.Close())
	book = open(t, path)
	state, err := book.Checkpoint("csv")
	require.NoError(t, err)
	require.JSONEq(t, `{"offset":200}`, string(state))
	state, err = book.Checkpoint("ami")
	require.NoError(t, err)
	require.Empty(t, state)
	unsettled, err := book.Unsettled()
	require.NoError(t, err)
	require.Len(t, unsettled, 1)
	require.Equal(t, first.Call, unsettled[0].Call)
	require.Equal(t, first.Details, unsettled[0].Details)
}

// TestUnsettled lists what was received and neither closed nor found elsewhere.
func TestUnsettled(t *testing.T) {
	path := newPath(t)
	signer, _ := newSigner(t)
	book := begun(t, path, signer)
	entries := receive(t, book, "1795246515.0", "1795246516.1", "1795246517.2")
	observed := *entries[0].Call
	observed.HangupCause = 16
	entries[0].Call = &observed
	_, err := book.CloseSegment(signer, entries[:1])
	require.NoError(t, err)
	require.NoError(t, book.MarkElsewhere(entries[1].Call.Leg))
	require.ErrorContains(t, book.MarkElsewhere(ledger.LegID{UniqueID: "1.1"}), "does not hold the leg")
	require.NoError(t, book.Close())

	book = open(t, path)
	unsettled, err := book.Unsettled()
	require.NoError(t, err)
	require.Len(t, unsettled, 1)
	require.Equal(t, "1795246517.2", unsettled[0].Call.Leg.UniqueID)
	closed, err := book.ByUniqueID("1795246515.0")
	require.NoError(t, err)
	require.Len(t, closed, 1)
	require.Equal(t, int64(2), closed[0].Seq)
	require.Equal(t, int64(16), closed[0].Call.HangupCause, "the leg is kept as it was closed")
	require.True(t, closed[0].Settled())
	elsewhere, err := book.ByUniqueID("1795246516.1")
	require.NoError(t, err)
	require.True(t, elsewhere[0].Elsewhere && elsewhere[0].Settled())
}

// TestByUniqueID answers one channel's legs by sequence, and no other's.
func TestByUniqueID(t *testing.T) {
	book := open(t, newPath(t))
	for _, leg := range []*journal.Leg{
		newLeg(t, "1795246515.1", 10), newLeg(t, "1795246515.1", 9), newLeg(t, "1795246515.10", 2), newLeg(t, "1795246515", 1),
	} {
		_, known, err := book.Receive(leg, nil)
		require.NoError(t, err)
		require.False(t, known)
	}
	legs, err := book.ByUniqueID("1795246515.1")
	require.NoError(t, err)
	require.Len(t, legs, 2)
	require.Equal(t, int64(9), legs[0].Call.Leg.Sequence)
	require.Equal(t, int64(10), legs[1].Call.Leg.Sequence)
	none, err := book.ByUniqueID("1795246515.2")
	require.NoError(t, err)
	require.Empty(t, none)
}

// TestOutbox keeps what waits in order, sets refused segments aside and lets the
// committed go.
func TestOutbox(t *testing.T) {
	path := newPath(t)
	signer, _ := newSigner(t)
	book := begun(t, path, signer)
	for n := range 12 {
		_, err := book.CloseSegment(signer, receive(t, book, fmt.Sprintf("1795246515.%d", n)))
		require.NoError(t, err)
	}
	require.NoError(t, book.Committed(2))
	require.NoError(t, book.Committed(2), "twice is fine")
	require.NoError(t, book.Refuse(5, "the segment is wrong"))
	require.ErrorContains(t, book.Refuse(1, "late"), "does not hold segment 1")
	require.NoError(t, book.Close())

	waiting, refused, err := open(t, path).Outbox()
	require.NoError(t, err)
	var order []int64
	for _, segment := range waiting {
		order = append(order, segment.Header.FirstSeq)
	}
	require.Equal(t, []int64{3, 4, 6, 7, 8, 9, 10, 11, 12, 13}, order)
	require.Len(t, refused, 1)
	require.Equal(t, int64(5), refused[0].Header.FirstSeq)
	require.Equal(t, "the segment is wrong", refused[0].Refused)
}

// TestFiles remembers a recording's file with the segment it was closed into.
func TestFiles(t *testing.T) {
	path := newPath(t)
	signer, _ := newSigner(t)
	book := begun(t, path, signer)
	details := ledger.Details{Recording: &ledger.RecordingDetails{File: "1795246515.0.wav"}, Salt: strings.Repeat("a5", 32), V: ledger.SchemaVersion}
	digest, err := details.Digest()
	require.NoError(t, err)
	file := journal.File{Path: "/monitor/1795246515.0.wav", Size: 44, Modified: 1795246515_000000001, RecordingID: strings.Repeat("01", 16), Revision: 1, SHA256: strings.Repeat("02", 32)}
	entry := journal.Entry{
		Recording: &ledger.Recording{
			Bytes: 44, ClosedAt: ledger.TimeOf(time.Unix(1795246515, 0)), DetailsDigest: digest, ID: file.RecordingID, MediaType: "audio/wav",
			Leg: ledger.LegID{LinkedID: "1795246515.0", UniqueID: "1795246515.0"}, Revision: 1, SHA256: file.SHA256, SHA512: strings.Repeat("03", 64),
		},
		Details: details, File: file,
	}
	_, known, err := book.FileKnown(file.Path)
	require.NoError(t, err)
	require.False(t, known)
	binding, remains := journal.Binding{UniqueID: "1795246515.0", Method: "ari-bridge"}, &recording.Remains{Bytes: 44, SHA256: file.SHA256}
	has := func(want bool) {
		t.Helper()
		has, err := book.HasRecording("1795246515.0")
		require.NoError(t, err)
		require.Equal(t, want, has)
	}
	has(false)
	require.NoError(t, book.Bind(file.Path, journal.Binding{Method: "ari-bridge"}))
	require.NoError(t, book.Bind(file.Path, binding))
	require.NoError(t, book.Bind("/monitor/another.wav", binding))
	require.NoError(t, book.KeepRemains(file.Path, remains))
	require.NoError(t, book.Close())
	book = open(t, path)
	bound, known, err := book.Binding(file.Path)
	require.NoError(t, err)
	require.True(t, known)
	require.Equal(t, binding, bound)
	left, err := book.Remains(file.Path)
	require.NoError(t, err)
	require.Equal(t, remains, left)
	has(true)
	segment, err := book.CloseSegment(signer, []journal.Entry{entry})
	require.NoError(t, err)
	_, err = signed(t, segment).Check()
	require.NoError(t, err)
	require.NoError(t, book.SetFile(&journal.File{Path: "/monitor/old.wav", Size: 1}))
	require.NoError(t, book.Close())
	book = open(t, path)
	kept, known, err := book.FileKnown(file.Path)
	require.NoError(t, err)
	require.True(t, known)
	file.Leg = entry.Recording.Leg
	require.Equal(t, file, *kept)
	_, known, err = book.Binding(file.Path)
	require.NoError(t, err)
	require.False(t, known, "it is told of again when it is recorded into again")
	left, err = book.Remains(file.Path)
	require.NoError(t, err)
	require.Nil(t, left)
	has(true)
	for but, want := range map[string]bool{file.Path: false, "/monitor/old.wav": true} {
		accounted, err := book.Accounted(file.RecordingID, but)
		require.NoError(t, err)
		require.Equal(t, want, accounted)
	}
	_, known, err = book.FileKnown("/monitor/old.wav")
	require.NoError(t, err)
	require.True(t, known)
}

// TestOpenRefusals checks that a journal serves one adapter of one PBX.
func TestOpenRefusals(t *testing.T) {
	path := newPath(t)
	book := open(t, path)
	_, err := journal.Open(path, operator, pbx)
	require.ErrorContains(t, err, "in use by another adapter: stop that one first")
	require.NoError(t, book.Close())
	_, err = journal.Open(path, operator, "pbx2")
	require.ErrorContains(t, err, "belongs to the PBX AtlasMSP/pbx1, not to AtlasMSP/pbx2: give each PBX a state folder of its own")
	_, err = journal.Open(path, "BorealisMSP", pbx)
	require.ErrorContains(t, err, "not to BorealisMSP/pbx1")
	open(t, path)

	noise := filepath.Join(t.TempDir(), "journal.db")
	require.NoError(t, os.WriteFile(noise, []byte(strings.Repeat("no journal ", 4096)), 0o600))
	_, err = journal.Open(noise, operator, pbx)
	require.ErrorContains(t, err, "open the journal "+noise)
}

// TestConcurrentUse receives and closes from many goroutines: every number is
// given once.
func TestConcurrentUse(t *testing.T) {
	path := newPath(t)
	signer, _ := newSigner(t)
	book := begun(t, path, signer)
	const workers, each = 8, 6
	var mu sync.Mutex
	seen := map[int64]bool{}
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for n := range each {
				leg := newLeg(t, fmt.Sprintf("179524651%d.%d", worker, n), 1)
				kept, known, err := book.Receive(leg, &journal.Checkpoint{Source: "csv", State: []byte("{}")})
				if err != nil || known {
					t.Errorf("receive: %v, known %v", err, known)
					return
				}
				segment, err := book.CloseSegment(signer, []journal.Entry{entryOf(kept)})
				if err != nil {
					t.Errorf("close: %v", err)
					return
				}
				mu.Lock()
				if seen[segment.Header.FirstSeq] {
					t.Errorf("number %d was given twice", segment.Header.FirstSeq)
				}
				seen[segment.Header.FirstSeq] = true
				mu.Unlock()
				if _, _, err := book.Outbox(); err != nil {
					t.Errorf("outbox: %v", err)
				}
			}
		})
	}
	group.Wait()
	require.Len(t, seen, workers*each)
	waiting, _, err := book.Outbox()
	require.NoError(t, err)
	previous := waiting[0].Header.PrevRoot // of the opening
	for i, segment := range waiting {
		require.Equal(t, int64(i+2), segment.Header.FirstSeq)
		require.Equal(t, previous, segment.Header.PrevRoot)
		previous = segment.Header.Root
	}
}

// TestWhatAHeaderTells checks what a segment says beside its records: Asterisk's
// numbers, the promise of the next, and that it closes the history.
func TestWhatAHeaderTells(t *testing.T) {
	path := newPath(t)
	signer, _ := newSigner(t)
	book := begun(t, path, signer)
	book.Promise(2 * time.Hour)
	tell := func(entries ...journal.Entry) *ledger.Segment {
		segment, err := book.CloseSegment(signer, entries)
		require.NoError(t, err)
		_, err = signed(t, segment).Check()
		require.NoError(t, err)
		return &segment.Header
	}
	var entries []journal.Entry
	for n, boot := range []int64{7, 5, 5, 0} {
		leg := newLeg(t, fmt.Sprintf("1795246515.%d", n), int64(10*n))
		leg.Call.Boot = boot
		kept, _, err := book.Receive(leg, nil)
		require.NoError(t, err)
		entries = append(entries, entryOf(kept))
	}
	start := entries[0].Call.Start
	header := tell(entries...)
	require.Equal(t, []ledger.BootRange{{Boot: 5, Count: 2, Highest: 20, Latest: start, Lowest: 10}, {Boot: 7, Count: 1, Highest: 0, Latest: start, Lowest: 0}}, header.Boots)
	require.Equal(t, (2 * time.Hour).Milliseconds(), header.NextBy.Sub(header.ClosedAt))
	waters, err := book.HighWater()
	require.NoError(t, err)
	require.Equal(t, []ledger.HighWater{{Boot: 5, Sequence: 20}, {Boot: 7, Sequence: 0}}, waters)

	header = tell(journal.Entry{Beat: &ledger.Beat{At: ledger.TimeOf(time.Now()), HighWater: waters}})
	require.False(t, header.NextBy.IsZero())
	header = tell(journal.Entry{Beat: &ledger.Beat{At: ledger.TimeOf(time.Now()), Closing: true}})
	require.True(t, header.Closing)
	require.True(t, header.NextBy.IsZero(), "nothing is promised after the end")

	lower := newLeg(t, "1795246516.1", 3)
	lower.Call.Boot = 5
	kept, _, err := book.Receive(lower, nil)
	require.NoError(t, err)
	tell(entryOf(kept))
	require.NoError(t, book.Close())
	waters, err = open(t, path).HighWater()
	require.NoError(t, err)
	require.EqualValues(t, 20, waters[0].Sequence, "the water never falls")
}

// TestFollow checks that a new epoch comes after the one before, whatever the clock
// says, and that one which began stays.
func TestFollow(t *testing.T) {
	path := newPath(t)
	signer, _ := newSigner(t)
	book := open(t, path)
	own := book.Epoch()
	require.NoError(t, book.Follow(own-1))
	require.Equal(t, own, book.Epoch())
	require.NoError(t, book.Follow(own+1000))
	require.Equal(t, own+1001, book.Epoch())
	require.NoError(t, book.Close())
	book = open(t, path)
	require.Equal(t, own+1001, book.Epoch())
	segment, err := book.CloseSegment(signer, []journal.Entry{{Opening: &ledger.Opening{At: ledger.TimeOf(time.Now()), Why: ledger.OpeningFirst}}})
	require.NoError(t, err)
	require.Equal(t, own+1001, segment.Header.Epoch)
	require.ErrorContains(t, book.Follow(own+2000), "has its opening already")
}
