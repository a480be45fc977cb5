package ledger

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Object types: the first part of every composite key.
const (
	TypeCall            = "cdr"
	TypeSegment         = "seg"
	TypeRecording       = "rec"
	TypeRecordingByCall = "rec-by-call"
	TypeRecordingByHash = "rec-by-sha256"
	TypeIncident        = "incident"
	TypeAdapter         = "adapter"
)

const (
	// maxNameLength bounds an identifier within a key, in bytes.
	maxNameLength = 150
	// numberWidth pads numbers within keys so that they sort: 2^53 has 16 digits.
	numberWidth = 16
)

// CompositeKey builds the key Fabric's shim would build for the same parts. The
// parts must have passed CheckName or come from keyNumber.
func CompositeKey(objectType string, parts ...string) string {
	size := len(objectType) + 2
	for _, part := range parts {
		size += len(part) + 1
	}
	var key strings.Builder
	key.Grow(size)
	key.WriteByte(0)
	key.WriteString(objectType)
	key.WriteByte(0)
	for _, part := range parts {
		key.WriteString(part)
		key.WriteByte(0)
	}
	return key.String()
}

// SplitKey takes a composite key apart into its object type and parts, or
// answers CodeInvalid, quoting nothing.
func SplitKey(key string) (objectType string, parts []string, err error) {
	if len(key) < 3 || key[0] != 0 || key[len(key)-1] != 0 {
		return "", nil, Errorf(CodeInvalid, "this is not a composite key")
	}
	all := strings.Split(key[1:len(key)-1], "\x00")
	return all[0], all[1:], nil
}

// CheckName answers CodeInvalid unless s can stand in a key and in a log line:
// one to 150 bytes of printable UTF-8 without spaces.
func CheckName(field, s string) error {
	switch {
	case s == "":
		return Errorf(CodeInvalid, "%s is missing", field)
	case len(s) > maxNameLength:
		return Errorf(CodeInvalid, "%s has %d bytes, at most %d are allowed", field, len(s), maxNameLength)
	case !utf8.ValidString(s):
		return Errorf(CodeInvalid, "%s is not valid UTF-8", field)
	}
	for _, r := range s {
		if r > ' ' && r < '\x7f' {
			continue
		}
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == utf8.MaxRune || r == utf8.RuneError {
			return Errorf(CodeInvalid, "%s holds %U, which a key cannot: use printable characters without spaces", field, r)
		}
	}
	return nil
}

// CheckNumber answers CodeInvalid unless n is within 0..MaxInteger.
func CheckNumber(field string, n int64) error {
	if n < 0 || n > MaxInteger {
		return Errorf(CodeInvalid, "%s is %d, it must lie between 0 and 2^53-1", field, n)
	}
	return nil
}

// keyNumber is n, which is not negative, as keys hold it.
func keyNumber(n int64) string { return string(appendPadded(nil, n, numberWidth)) }

// appendPadded appends n, which is not negative, with zeros before it.
func appendPadded(out []byte, n int64, width int) []byte {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], n, 10)
	for range width - len(text) {
		out = append(out, '0')
	}
	return append(out, text...)
}

// ParseKeyNumber reads a number as keys hold it, or answers CodeInvalid.
func ParseKeyNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > MaxInteger || keyNumber(n) != s {
		return 0, Errorf(CodeInvalid, "a number of a key has %d digits", numberWidth)
	}
	return n, nil
}

// LegID names one CDR leg within one operator's PBX: what Asterisk calls
// linkedid, uniqueid and sequence.
type LegID struct {
	LinkedID string `json:"linkedid"`
	Sequence int64  `json:"sequence"`
	UniqueID string `json:"uniqueid"`
}

// Check answers CodeInvalid unless the identifiers can stand in a key.
func (l LegID) Check() error {
	if err := CheckName("linkedid", l.LinkedID); err != nil {
		return err
	}
	if err := CheckName("uniqueid", l.UniqueID); err != nil {
		return err
	}
	return CheckNumber("sequence", l.Sequence)
}

// CallKey is the key of one CDR leg: cdr ⟨msp, pbx, linkedid, uniqueid, sequence⟩.
func CallKey(msp, pbx string, leg LegID) string {
	return CompositeKey(TypeCall, msp, pbx, leg.LinkedID, leg.UniqueID, keyNumber(leg.Sequence))
}

// SegmentKey is the key of a signed segment: seg ⟨msp, pbx, epoch, first_seq⟩.
func SegmentKey(msp, pbx string, epoch, firstSeq int64) string {
	return CompositeKey(TypeSegment, msp, pbx, keyNumber(epoch), keyNumber(firstSeq))
}

// RecordingKey is the key of one revision of a recording:
// rec ⟨msp, pbx, recording_id, revision⟩.
func RecordingKey(msp, pbx, id string, revision int64) string {
	return CompositeKey(TypeRecording, msp, pbx, id, keyNumber(revision))
}

// RecordingByCallKey lets readers find a leg's recordings:
// rec-by-call ⟨msp, pbx, linkedid, uniqueid, sequence, recording_id, revision⟩. Its
// value is empty of meaning.
func RecordingByCallKey(msp, pbx string, leg LegID, id string, revision int64) string {
	return CompositeKey(TypeRecordingByCall, msp, pbx, leg.LinkedID, leg.UniqueID, keyNumber(leg.Sequence), id, keyNumber(revision))
}

// RecordingByHashKey lets whoever holds a file find the recording it is:
// rec-by-sha256 ⟨sha256, msp, pbx, recording_id, revision⟩.
func RecordingByHashKey(sha256Hex, msp, pbx, id string, revision int64) string {
	return CompositeKey(TypeRecordingByHash, sha256Hex, msp, pbx, id, keyNumber(revision))
}

// IncidentKey is the key of an incident: incident ⟨msp, pbx, digest⟩, the digest
// being that of what was refused, so that the same refusal is recorded once.
func IncidentKey(msp, pbx, digest string) string {
	return CompositeKey(TypeIncident, msp, pbx, digest)
}

// AdapterKey is the key of an adapter's enrolment: adapter ⟨msp, fingerprint⟩.
func AdapterKey(msp, fingerprint string) string {
	return CompositeKey(TypeAdapter, msp, fingerprint)
}
