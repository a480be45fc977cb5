package adapter

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/msp"
)

// patience is how long a test waits for what takes milliseconds: machines are
// busy.
const patience = 30 * time.Second

// logbook is a log that a test reads.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logbook) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// lines are the entries whose message begins so.
func (l *logbook) lines(message string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(l.String()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) != nil {
			continue
		}
		if text, isText := entry["msg"].(string); isText && strings.HasPrefix(text, message) {
			found = append(found, entry)
		}
	}
	return found
}

// until waits until the log has count entries whose message begins so.
func (l *logbook) until(t *testing.T, message string, count int) []map[string]any {
	t.Helper()
	require.Eventually(t, func() bool { return len(l.lines(message)) >= count }, patience, 5*time.Millisecond, "%d × %q in the log", count, message)
	return l.lines(message)
}

const (
	testMSP = "AtlasMSP"
	testPBX = "pbx1"
)

// newSigner issues an adapter's certificate.
func newSigner(t *testing.T) *journal.Signer {
	t.Helper()
	issuer, err := msp.NewIssuer("ca.atlas", "Atlas")
	require.NoError(t, err)
	pair, err := issuer.Issue(msp.Request{
		CommonName: testPBX, Unit: msp.UnitClient,
		Attributes: map[string]string{msp.AttributeRole: "adapter", msp.AttributePBX: testPBX},
	})
	require.NoError(t, err)
	certificate, err := msp.ParseCertificate(pair.CertPEM)
	require.NoError(t, err)
	block, _ := pem.Decode(pair.KeyPEM)
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	key, isECDSA := parsed.(*ecdsa.PrivateKey)
	require.True(t, isECDSA)
	return &journal.Signer{MSP: testMSP, PBX: testPBX, Fingerprint: ledger.Fingerprint(certificate.Raw), Key: key}
}

// openJournal opens a journal whose epoch has its opening, record 1, on the ledger.
func openJournal(t *testing.T, path string) *journal.Journal {
	t.Helper()
	book := newEpoch(t, path)
	opened, err := book.Opened()
	require.NoError(t, err)
	if !opened {
		opening, err := firstOpening(t.Context())
		require.NoError(t, err)
		_, err = book.CloseSegment(newSigner(t), []journal.Entry{{Opening: opening}})
		require.NoError(t, err)
		require.NoError(t, book.Committed(1))
	}
	return book
}

// newEpoch opens a journal as it is.
func newEpoch(t *testing.T, path string) *journal.Journal {
	t.Helper()
	book, err := journal.Open(path, testMSP, testPBX)
	require.NoError(t, err)
	t.Cleanup(func() { _ = book.Close() })
	return book
}

func newJournal(t *testing.T) *journal.Journal {
	t.Helper()
	return openJournal(t, filepath.Join(t.TempDir(), "journal.db"))
}

// firstOpening is that of a PBX of which the ledger holds nothing.
func firstOpening(context.Context) (*ledger.Opening, error) {
	return &ledger.Opening{At: ledger.TimeOf(time.Unix(1795246500, 0)), Why: ledger.OpeningFirst}, nil
}

// newLeg is a leg that the journal received.
func newLeg(t *testing.T, book *journal.Journal, uniqueID string, sequence int64, change func(*ledger.Call)) *journal.Leg {
	t.Helper()
	details := ledger.Details{Call: &ledger.CallDetails{Src: "1001", Dst: "1002"}, Salt: strings.Repeat("5a", 32), V: ledger.SchemaVersion}
	digest, err := details.Digest()
	require.NoError(t, err)
	start := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	call := ledger.Call{
		Leg: ledger.LegID{LinkedID: uniqueID, UniqueID: uniqueID, Sequence: sequence}, Start: ledger.TimeOf(start), Answer: ledger.TimeOf(start),
		End: ledger.TimeOf(start.Add(time.Second)), DurationMS: 1000, BillsecMS: 1000, Disposition: ledger.Answered,
		DetailsDigest: digest, RecordingDue: true,
	}
	if change != nil {
		change(&call)
	}
	leg, known, err := book.Receive(&journal.Leg{Call: call, Details: details, Source: sourceCSV}, nil)
	require.NoError(t, err)
	require.False(t, known)
	return leg
}

// newRecording is a digested recording of a channel.
func newRecording(t *testing.T, uniqueID string) *finished {
	t.Helper()
	details := ledger.Details{Recording: &ledger.RecordingDetails{File: uniqueID + ".wav"}, Salt: strings.Repeat("a5", 32), V: ledger.SchemaVersion}
	digest, err := details.Digest()
	require.NoError(t, err)
	id := randomHex(16)
	return &finished{
		uniqueID: uniqueID,
		recording: ledger.Recording{
			Bytes: 44, ClosedAt: ledger.TimeOf(time.Unix(1795246515, 0)), DetailsDigest: digest, ID: id, MediaType: "audio/wav",
			Method: "mixmonitor", Revision: 1, SHA256: strings.Repeat("02", 32), SHA512: strings.Repeat("03", 64),
		},
		details: details,
		file:    journal.File{Path: "/monitor/" + uniqueID + ".wav", Size: 44, Modified: 1, RecordingID: id, Revision: 1, SHA256: strings.Repeat("02", 32)},
		done:    func() {},
	}
}

// told describes a segment's records: "call 1.0", "recording 1.0".
func told(t *testing.T, segment *journal.Segment) []string {
	t.Helper()
	var records []string
	for _, canonical := range segment.Records {
		var record ledger.Record
		require.NoError(t, ledger.DecodeStrict(canonical, &record))
		kind := "call"
		if record.Recording != nil {
			kind = "recording"
		}
		records = append(records, fmt.Sprintf("%s %s/%d", kind, record.Leg().UniqueID, record.Leg().Sequence))
	}
	return records
}
