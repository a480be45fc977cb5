package trail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Event says what an entry tells of.
type Event string

// The events.
const (
	// Begun is a privileged call that is about to be carried out.
	Begun Event = "begun"
	// Ended is what became of it.
	Ended Event = "ended"
	// Denied is a call that was not let in or not permitted.
	Denied Event = "denied"
	// Repeated counts denials like earlier ones, which have no entries of their own.
	Repeated Event = "repeated"
	// Opened is the gateway's start.
	Opened Event = "opened"
)

// Caller is who called: the holder of a certificate, or a person by token.
type Caller struct {
	// Subject is the certificate's common name or the token's subject.
	Subject string `json:"subject,omitempty"`
	// Fingerprint is that of the certificate; of a person by token it is the name
	// that the ledger knows them by.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Issuer is who issued the token.
	Issuer string `json:"issuer,omitempty"`
	Role   string `json:"role,omitempty"`
}

// Object is what a call was about, as far as it is no personal data.
type Object struct {
	MSP       string `json:"msp,omitempty"`
	PBX       string `json:"pbx,omitempty"`
	LinkedID  string `json:"linkedid,omitempty"`
	Recording string `json:"recording,omitempty"`
	// Details says that personal details were asked for.
	Details bool `json:"details,omitempty"`
	// Withheld says that the caller named something that may not be repeated,
	// because only what is on the ledger is known to be no personal data.
	Withheld bool `json:"withheld,omitempty"`
}

// Entry is one line of the trail.
type Entry struct {
	// Seq numbers the entries without gaps, Prev is the SHA-256 of the line before.
	Seq  uint64 `json:"seq"`
	Prev string `json:"prev"`
	// At is the gateway's time.
	At      time.Time `json:"at"`
	Event   Event     `json:"event"`
	Request string    `json:"request,omitempty"`
	Method  string    `json:"method,omitempty"`
	Caller  Caller    `json:"caller,omitzero"`
	Object  Object    `json:"object,omitzero"`
	// Outcome is the gRPC code's name; of what has only begun there is none.
	Outcome     string `json:"outcome,omitempty"`
	Transaction string `json:"transaction,omitempty"`
	// Messages counts those of a stream, and of what is repeated its calls.
	Messages int64 `json:"messages,omitempty"`
	// Torn is how many bytes of an unfinished line were dropped at a start after a
	// crash: nobody had been answered on their strength.
	Torn int64 `json:"torn,omitempty"`
}

func (e *Entry) line() ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode an audit entry: %w", err)
	}
	return append(text, '\n'), nil
}

func parse(line []byte) (*Entry, error) {
	entry := &Entry{}
	if err := json.Unmarshal(line, entry, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("the line is no entry: %w", err)
	}
	return entry, nil
}

// digest is what the next line names this one by: its bytes without the line's end.
func digest(line []byte) string {
	sum := sha256.Sum256(bytes.TrimSuffix(line, []byte{'\n'}))
	return hex.EncodeToString(sum[:])
}
