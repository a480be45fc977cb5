// Package fault is the gateway's one domain error: what went wrong, at which
// stage of which transaction, and whether trying again may help. It becomes a
// gRPC status in one place, package server.
package fault

import (
	"errors"
	"fmt"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Kind classifies a fault by what its receiver should do.
type Kind string

// The kinds.
const (
	// Invalid: the request is wrong; do not repeat it.
	Invalid Kind = "INVALID_ARGUMENT"
	// TooLarge: the request exceeds a bound; split it.
	TooLarge Kind = "TOO_LARGE"
	// NotFound: there is no such record.
	NotFound Kind = "NOT_FOUND"
	// Exists: other content stands there.
	Exists Kind = "ALREADY_EXISTS"
	// Unauthenticated: the caller did not prove who it is.
	Unauthenticated Kind = "UNAUTHENTICATED"
	// Denied: the caller may not do this.
	Denied Kind = "PERMISSION_DENIED"
	// Busy: too much at once; try again after RetryAfter.
	Busy Kind = "RESOURCE_EXHAUSTED"
	// Unavailable: the network could not do it now; trying again is safe.
	Unavailable Kind = "UNAVAILABLE"
	// Unknown: the transaction may or may not come onto the ledger; trying
	// again is safe because keys are put only if absent.
	Unknown Kind = "OUTCOME_UNKNOWN"
	// Contended: another transaction came first; try again.
	Contended Kind = "ABORTED"
	// State: what is on the ledger forbids it now.
	State Kind = "FAILED_PRECONDITION"
	// Internal: the gateway or a contract failed.
	Internal Kind = "INTERNAL"
)

// Stage is where in a transaction's way a fault happened.
type Stage string

// The stages.
const (
	StageRequest  Stage = "request"
	StageAccept   Stage = "accept"
	StageEvaluate Stage = "evaluate"
	StageEndorse  Stage = "endorse"
	StageSubmit   Stage = "submit"
	StageCommit   Stage = "commit"
)

// Error is a fault.
type Error struct {
	Kind Kind
	// Message is a sentence for people: what was wrong, what to do. Never
	// personal data.
	Message string
	Stage   Stage
	// TransactionID is Fabric's, where one was made.
	TransactionID string
	// RetryAfter is how long to wait at least, where that is known.
	RetryAfter time.Duration
	// Fields are what is wrong with the request, field by field, where that is known.
	Fields []Field
	// Contract says that a contract answered it, not the network on the way there.
	Contract bool
	// Mendable says that the same may succeed once somebody has mended what the
	// message names.
	Mendable bool
	// Err is the cause, for logs.
	Err error
}

// Field says what is wrong with one field of a request, never quoting it.
type Field struct {
	// Path is the field's, such as "leg.linkedid" or "parties[2]".
	Path string
	// Description is what it must be.
	Description string
}

// Error renders the message and the cause.
func (e *Error) Error() string {
	text := e.Message
	if e.Stage != "" && e.Stage != StageRequest {
		text = fmt.Sprintf("%s (%s", text, e.Stage)
		if e.TransactionID != "" {
			text += " of transaction " + e.TransactionID
		}
		text += ")"
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retryable says whether the same request may succeed later.
func (e *Error) Retryable() bool {
	switch e.Kind {
	case Busy, Unavailable, Unknown, Contended:
		return true
	default:
		return false
	}
}

// New makes a fault of the request.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Stage: StageRequest, Message: fmt.Sprintf(format, args...)}
}

// Of finds the fault in err's chain. An error of the ledger's contracts becomes
// the fault it stands for; anything else is Internal.
func Of(err error) *Error {
	var fault *Error
	if errors.As(err, &fault) {
		return fault
	}
	var coded *ledger.Error
	if errors.As(err, &coded) {
		return FromLedger(coded)
	}
	return &Error{Kind: Internal, Stage: StageRequest, Message: "the gateway failed", Err: err}
}

// FromLedger translates an error of the contracts.
func FromLedger(coded *ledger.Error) *Error {
	kind := Internal
	switch coded.Code {
	case ledger.CodeInvalid, ledger.CodeUnauthentic:
		kind = Invalid
	case ledger.CodeTooLarge:
		kind = TooLarge
	case ledger.CodeNotFound:
		kind = NotFound
	case ledger.CodeExists:
		kind = Exists
	case ledger.CodeDenied:
		kind = Denied
	case ledger.CodeState, ledger.CodeNewer:
		kind = State
	case ledger.CodeInternal:
		kind = Internal
	}
	return &Error{Kind: kind, Stage: StageRequest, Message: coded.Message}
}
