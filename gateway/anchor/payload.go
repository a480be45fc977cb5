package anchor

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/callseal/callseal/chaincode/ledger"
)

// payloadVersion is that of the text which the journal holds of a segment.
const payloadVersion = 1

// payload is what is needed of a segment until it is settled: the segment as it
// was signed, and its details, sealed. Nothing in it is personal and in clear.
type payload struct {
	// wire is the segment as an element of the array that calls:Anchor takes.
	wire []byte
	// sealed are the details in the order of their records.
	sealed []sealedDetails
	// trace is the W3C trace context of its acceptance.
	trace map[string]string
}

// sealedDetails are a record's, as an element of the array that details:Put takes.
type sealedDetails struct {
	key  string
	wire []byte
}

// size is about what the payload takes in memory.
func (p *payload) size() int {
	size := len(p.wire)
	for i := range p.sealed {
		size += len(p.sealed[i].wire) + len(p.sealed[i].key)
	}
	return size
}

// newPayload encodes the sealed details.
func newPayload(wire []byte, sealed []ledger.SealedRecord, trace map[string]string) (*payload, error) {
	made := &payload{wire: wire, sealed: make([]sealedDetails, len(sealed)), trace: trace}
	for i := range sealed {
		text, err := ledger.Canonical(&sealed[i])
		if err != nil {
			return nil, fmt.Errorf("encode the sealed details: %w", err)
		}
		made.sealed[i] = sealedDetails{key: sealed[i].Key, wire: text}
	}
	return made, nil
}

// encode is the payload as the journal holds it: JSON around the texts as they
// are, which are JSON already.
func (p *payload) encode() ([]byte, error) {
	trace := []byte("{}")
	if len(p.trace) > 0 {
		var err error
		if trace, err = json.Marshal(p.trace, json.Deterministic(true)); err != nil {
			return nil, fmt.Errorf("encode a segment for the journal: %w", err)
		}
	}
	text := append(make([]byte, 0, p.size()+len(p.sealed)+len(trace)+64), `{"sealed":[`...)
	for i := range p.sealed {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, p.sealed[i].wire...)
	}
	text = append(append(text, `],"segment":`...), p.wire...)
	text = append(append(text, `,"trace":`...), trace...)
	return fmt.Appendf(text, `,"v":%d}`, payloadVersion), nil
}

// decodePayload reads what encode wrote.
func decodePayload(text []byte) (*payload, error) {
	var stored struct {
		Sealed  []jsontext.Value  `json:"sealed"`
		Segment jsontext.Value    `json:"segment"`
		Trace   map[string]string `json:"trace"`
		V       int               `json:"v"`
	}
	if err := json.Unmarshal(text, &stored, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read a segment of the journal: %w", err)
	}
	if stored.V != payloadVersion || len(stored.Segment) == 0 {
		return nil, fmt.Errorf("a segment of the journal is of version %d, this gateway reads %d: run the version that wrote it until the journal is empty", stored.V, payloadVersion)
	}
	read := &payload{wire: stored.Segment, trace: stored.Trace, sealed: make([]sealedDetails, len(stored.Sealed))}
	for i, one := range stored.Sealed {
		var named struct {
			Key string `json:"key"`
		}
		if err := json.Unmarshal(one, &named); err != nil {
			return nil, fmt.Errorf("read sealed details of the journal: %w", err)
		}
		read.sealed[i] = sealedDetails{key: named.Key, wire: one}
	}
	return read, nil
}

// segment decodes what was signed.
func (p *payload) segment() (*ledger.SignedSegment, error) {
	segments, _, err := ledger.DecodeSegments(array([][]byte{p.wire}))
	if err != nil {
		return nil, err
	}
	if len(segments) != 1 {
		return nil, fmt.Errorf("the journal holds %d segments where one belongs", len(segments))
	}
	return &segments[0], nil
}

// HeaderOf is the header that the adapter signed, of a payload of the journal.
func HeaderOf(text []byte) (*ledger.Segment, error) {
	read, err := decodePayload(text)
	if err != nil {
		return nil, err
	}
	signed, err := read.segment()
	if err != nil {
		return nil, err
	}
	return &signed.Segment, nil
}

// array is the JSON array of texts.
func array(texts [][]byte) []byte {
	size := len(texts) + 1
	for _, text := range texts {
		size += len(text)
	}
	joined := append(make([]byte, 0, size), '[')
	for i, text := range texts {
		if i > 0 {
			joined = append(joined, ',')
		}
		joined = append(joined, text...)
	}
	return append(joined, ']')
}
