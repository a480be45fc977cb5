package journal

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/callseal/callseal/gateway/fault"
)

// maxPBXBytes bounds a PBX's name, in bytes: its length is one byte of a key.
const maxPBXBytes = 255

// Name names a segment among those of one operator.
type Name struct {
	PBX      string `json:"pbx"`
	Epoch    int64  `json:"epoch"`
	FirstSeq int64  `json:"first_seq"`
}

// String renders the name for logs: "pbx1/1/42".
func (n Name) String() string { return fmt.Sprintf("%s/%d/%d", n.PBX, n.Epoch, n.FirstSeq) }

func (n Name) check() error {
	if n.PBX == "" || len(n.PBX) > maxPBXBytes || n.Epoch < 0 || n.FirstSeq < 0 {
		return fault.New(fault.Invalid, "a segment is named by a PBX of 1 to %d bytes, an epoch and a first number that are not negative", maxPBXBytes)
	}
	return nil
}

// State is how far an entry has come.
type State string

// The states.
const (
	// Queued: it waits for its public transaction, or the one it is in is under way.
	Queued State = "queued"
	// Committed: its public transaction is VALID, its details are not stored yet.
	Committed State = "committed"
	// Settled: nothing is left to do; the payload is gone.
	Settled State = "settled"
	// Refused: the ledger will not have it as it is. It waits for Replay.
	Refused State = "refused"
)

// Commit is the public transaction that an entry stands in.
type Commit struct {
	TransactionID string `json:"transaction_id"`
	Block         uint64 `json:"block"`
	// CommittedAt is when the peer said VALID, by the gateway's clock: information
	// only. Zero when that was before this journal knew the segment.
	CommittedAt time.Time `json:"committed_at,omitzero"`
	// Endorsers are the MSPs that endorsed it.
	Endorsers []string `json:"endorsers,omitempty"`
}

// Problem is a fault on disk.
type Problem struct {
	Kind          fault.Kind  `json:"kind"`
	Stage         fault.Stage `json:"stage,omitempty"`
	Message       string      `json:"message"`
	TransactionID string      `json:"transaction_id,omitempty"`
}

// ProblemOf takes from an error what may be shown: the fault's sentence, never its
// cause, which may hold anything.
func ProblemOf(err error) *Problem {
	what := fault.Of(err)
	return &Problem{Kind: what.Kind, Stage: what.Stage, Message: what.Message, TransactionID: what.TransactionID}
}

// Fault is the problem as an error.
func (p *Problem) Fault() *fault.Error {
	return &fault.Error{Kind: p.Kind, Stage: p.Stage, Message: p.Message, TransactionID: p.TransactionID}
}

// Entry is a segment in the journal.
type Entry struct {
	// Number is its place in the order of acceptance: rising, from 1, with gaps.
	// Entries of one PBX are numbered in the order in which they were accepted.
	Number int64 `json:"number"`
	// Name names the segment.
	Name Name `json:"name"`
	// Digest is of what was signed, so that other content under the same name is
	// told from a repetition.
	Digest [32]byte `json:"digest"`
	// Records is how many records it has; Bytes is the size of its payload.
	Records int `json:"records"`
	Bytes   int `json:"bytes"`
	// AcceptedAt is by the gateway's clock, which may jump: information only.
	AcceptedAt time.Time `json:"accepted_at"`
	// State is how far it has come.
	State State `json:"state"`
	// Attempts counts how often it was resolved: each is a transaction that ended,
	// or an endorsement that failed.
	Attempts int `json:"attempts,omitzero"`
	// Transaction is the one that it is in now, if any. It is not stored with the
	// entry but known from the transaction.
	Transaction string `json:"-"`
	// Commit is set from Committed on.
	Commit *Commit `json:"commit,omitempty"`
	// Receipt is what the pipeline wants to know later of what became of it, such as
	// the outcome of each record; opaque here, at most MaxReceiptBytes.
	Receipt []byte `json:"receipt,omitempty"`
	// Problem says why it is Refused, or what went wrong last while it is Queued or
	// Committed.
	Problem *Problem `json:"problem,omitempty"`
	// SettledTick is the journal's own age when it was settled, in nanoseconds: see Drop.
	SettledTick int64 `json:"settled_tick,omitzero"`
}

// MaxReceiptBytes bounds an entry's Receipt.
const MaxReceiptBytes = 64 << 10

// Pending says that something is left to do for it without anybody's help.
func (e *Entry) Pending() bool { return e.State == Queued || e.State == Committed }

func encodeEntry(entry *Entry) ([]byte, error) {
	text, err := json.Marshal(entry)
	if err != nil {
		return nil, fmt.Errorf("encode entry %d of the journal: %w", entry.Number, err)
	}
	return text, nil
}

// decodeEntry reads an entry strictly: what is on disk was written by this code or
// is damaged.
func decodeEntry(text []byte) (*Entry, error) {
	entry := &Entry{}
	if err := json.Unmarshal(text, entry, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read an entry of the journal: %w", err)
	}
	return entry, entry.check()
}

func (e *Entry) check() error {
	if err := e.Name.check(); err != nil {
		return err
	}
	switch {
	case e.Number < 1:
		return errors.New("an entry of the journal has no number")
	case e.Records < 0 || e.Bytes < 0 || e.Attempts < 0 || e.SettledTick < 0:
		return fmt.Errorf("entry %d of the journal counts below zero", e.Number)
	case len(e.Receipt) > MaxReceiptBytes:
		return fmt.Errorf("entry %d of the journal has a receipt of %d bytes", e.Number, len(e.Receipt))
	}
	switch e.State {
	case Queued:
		if e.Commit != nil {
			return fmt.Errorf("entry %d of the journal is queued and has a commit", e.Number)
		}
	case Refused:
		if e.Problem == nil {
			return fmt.Errorf("entry %d of the journal is refused without a problem", e.Number)
		}
	case Committed, Settled:
		if e.Commit == nil {
			return fmt.Errorf("entry %d of the journal is %s without a commit", e.Number, e.State)
		}
	default:
		return fmt.Errorf("entry %d of the journal is in no known state", e.Number)
	}
	return nil
}
