package soak

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

// Writer closes the calls of one PBX into segments for who hands them to the chaincode
// itself, without a gateway.
type Writer struct{ pbx *pbx }

// Writers enrols as many adapters, each of a PBX of its own.
func (l *Lab) Writers(n int) []*Writer {
	l.tb.Helper()
	identities, names := l.enrol(n)
	writers := make([]*Writer, n)
	for i, access := range identities {
		adapter := gatewaytest.Load(l.tb, l.Member(Operator).MSP, names[i], access.CertFile, access.KeyFile)
		writers[i] = &Writer{pbx: &pbx{tb: l.tb, adapter: adapter, kind: Calls, boot: time.Now().Unix()}}
	}
	return writers
}

// Next is the argument of the chaincode's calls:Anchor for one call, in a signed segment
// of its own; the first opens the PBX's books too. It is not for several goroutines.
func (w *Writer) Next() []byte {
	text, _ := w.Segments(1)
	return text
}

// Segments is the same for several calls, up to [ledger.MaxTransactionRecords] - 1, in
// segments of [ledger.MaxRecords] - 1 and what is left, with the leg of the last of them.
func (w *Writer) Segments(calls int) (text []byte, last ledger.LegID) {
	tb := w.pbx.tb
	tb.Helper()
	var all []ledger.SignedSegment
	for left := calls; left > 0; {
		born := make([]time.Time, min(left, ledger.MaxRecords-1)) // the first has an opening too
		for i := range born {
			born[i] = time.Now()
		}
		left -= len(born)
		story := w.pbx.close(born)
		message := story.message
		signed := ledger.SignedSegment{Signature: message.GetSignature(), Records: make([]ledger.Record, len(message.GetRecordsJson()))}
		require.NoError(tb, ledger.DecodeStrict(message.GetSegmentJson(), &signed.Segment))
		for i, record := range message.GetRecordsJson() {
			require.NoError(tb, ledger.DecodeStrict(record, &signed.Records[i]))
		}
		all, last = append(all, signed), story.Records[len(story.Records)-1].Leg
	}
	text, err := ledger.Canonical(all)
	require.NoError(tb, err)
	return text, last
}

// PBX is whose calls they are.
func (w *Writer) PBX() string { return w.pbx.adapter.PBX }
