package anchor

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

func TestPayloadReadsBackAsItWas(t *testing.T) {
	for name, made := range map[string]*payload{
		"nothing sealed": {wire: []byte(`{"records":[],"segment":{},"signature":""}`)},
		"sealed and traced": {
			wire:   []byte(`{"a":1}`),
			sealed: []sealedDetails{{key: "k1", wire: []byte(`{"key":"k1","sealed":{"v":1}}`)}, {key: "k\u00002", wire: []byte(`{"key":"k\u00002","sealed":{}}`)}},
			trace:  map[string]string{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := made.encode()
			require.NoError(t, err)
			read, err := decodePayload(text)
			require.NoError(t, err)
			require.Equal(t, string(made.wire), string(read.wire))
			require.Len(t, read.sealed, len(made.sealed))
			for i := range made.sealed {
				require.Equal(t, made.sealed[i], read.sealed[i])
			}
			require.Len(t, read.trace, len(made.trace))
			again, err := read.encode()
			require.NoError(t, err)
			require.Equal(t, string(text), string(again))
		})
	}
}

func TestNewPayloadSealsUnderTheRecordsKeys(t *testing.T) {
	made, err := newPayload([]byte(`{}`), []ledger.SealedRecord{{Key: "one"}, {Key: "two"}}, nil)
	require.NoError(t, err)
	require.Equal(t, "one", made.sealed[0].key)
	require.Contains(t, string(made.sealed[1].wire), `"key":"two"`)
	require.Positive(t, made.size())
}

func FuzzDecodePayload(f *testing.F) {
	made := &payload{wire: []byte(`{"a":1}`), sealed: []sealedDetails{{key: "k", wire: []byte(`{"key":"k"}`)}}}
	text, err := made.encode()
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(`{"sealed":[],"segment":{},"trace":{},"v":3}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := decodePayload(text)
		if err != nil {
			return
		}
		written, err := read.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodePayload(written)
		if err != nil {
			t.Fatalf("what was read cannot be written and read: %v", err)
		}
		if string(again.wire) != string(read.wire) || len(again.sealed) != len(read.sealed) {
			t.Fatal("what was read is not what was written")
		}
	})
}

// BenchmarkPayload writes a full segment with its sealed details as the journal holds
// it, and reads it back.
func BenchmarkPayload(b *testing.B) {
	for _, n := range []int{1, 500} {
		message := gatewaytest.New(b, "AtlasMSP", "pbx1").Segment(b, gatewaytest.Calls(b, n))
		submission, err := NewSubmission(message.GetSegmentJson(), message.GetSignature(), message.GetRecordsJson(), message.GetDetailsJson())
		require.NoError(b, err)
		sealed := make([]ledger.SealedRecord, n)
		for i := range sealed {
			record := &submission.Signed.Records[i]
			sealed[i] = ledger.SealedRecord{Key: record.Key(), Sealed: ledger.Sealed{
				Algorithm: ledger.SealAlgorithm, Ciphertext: make([]byte, 16+len(message.GetDetailsJson()[i])), KeyCommitment: gatewaytest.Random(b, 32), Nonce: make([]byte, 12), V: ledger.SchemaVersion,
			}}
		}
		made, err := newPayload(submission.wire, sealed, nil)
		require.NoError(b, err)
		text, err := made.encode()
		require.NoError(b, err)
		b.Run(fmt.Sprintf("%d/write", n), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				made, err := newPayload(submission.wire, sealed, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := made.encode(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("%d/read", n), func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				read, err := decodePayload(text)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := read.segment(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
