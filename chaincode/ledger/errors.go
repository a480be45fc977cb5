package ledger

import (
	"errors"
	"fmt"
	"strings"
)

// Code classifies an error of the ledger's contracts. It travels as the first
// word of the error's text because contract-api turns every error into text.
type Code string

// The codes a contract answers with.
const (
	// CodeInvalid says that the input itself is wrong: retrying will not help.
	CodeInvalid Code = "INVALID_ARGUMENT"
	// CodeNotFound says that no such record is on the ledger.
	CodeNotFound Code = "NOT_FOUND"
	// CodeExists says that the key is taken by other content.
	CodeExists Code = "ALREADY_EXISTS"
	// CodeDenied says that the caller's MSP, role or certificate may not do this.
	CodeDenied Code = "PERMISSION_DENIED"
	// CodeUnauthentic says that a signature or certificate does not hold.
	CodeUnauthentic Code = "SIGNATURE_INVALID"
	// CodeTooLarge says that the input exceeds a stated bound.
	CodeTooLarge Code = "TOO_LARGE"
	// CodeState says that what is on the ledger forbids it: a legal hold, a device
	// that is revoked, a proposal that is not complete.
	CodeState Code = "FAILED_PRECONDITION"
	// CodeNewer says that a value was written by a newer Callseal than this one.
	CodeNewer Code = "NEWER_VERSION"
	// CodeInternal says that the contract itself failed; the text is for operators.
	CodeInternal Code = "INTERNAL"
)

var knownCodes = map[Code]bool{
	CodeInvalid: true, CodeNotFound: true, CodeExists: true, CodeDenied: true,
	CodeUnauthentic: true, CodeTooLarge: true, CodeState: true, CodeNewer: true, CodeInternal: true,
}

// Error is a coded error of the ledger. Message is one sentence for people: what
// was wrong and what to do about it, never personal data.
type Error struct {
	Code    Code
	Message string
}

// Error renders "CODE|message", the form that ParseError reads back.
func (e *Error) Error() string { return string(e.Code) + "|" + e.Message }

// Errorf makes a coded error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// AsError finds the coded error in err's chain; anything else is CodeInternal.
func AsError(err error) *Error {
	var coded *Error
	if errors.As(err, &coded) {
		return coded
	}
	return Errorf(CodeInternal, "%v", err)
}

// ParseError finds a coded error in the text that came back through a peer,
// which wraps it in sentences of its own. It reports false where there is none.
func ParseError(text string) (*Error, bool) {
	for rest := text; ; {
		bar := strings.IndexByte(rest, '|')
		if bar < 0 {
			return nil, false
		}
		start := bar
		for start > 0 && (rest[start-1] == '_' || rest[start-1] >= 'A' && rest[start-1] <= 'Z') {
			start--
		}
		if code := Code(rest[start:bar]); knownCodes[code] {
			return &Error{Code: code, Message: strings.TrimSpace(rest[bar+1:])}, true
		}
		rest = rest[bar+1:]
	}
}
