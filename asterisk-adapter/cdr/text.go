package cdr

import (
	"strings"
	"unicode/utf8"
)

// A caller may send any bytes as a name, and Asterisk writes them down as they came. A
// call that Asterisk wrote is to be on the ledger, whose text is UTF-8; so a byte that is
// none, from 0x80 to 0xFF, stands there as the private character escapeBase + byte
// (U+10FE80 to U+10FEFF). Such a character that was there in the first place has its own
// four bytes written so. Text that is UTF-8 otherwise stays as it is, and no two values
// become the same: Bytes is the way back.
const escapeBase = 0x10FE00

// escapeLeads are the first bytes, as UTF-8, of all characters from escapeBase + 0x80 to
// escapeBase + 0xFF.
var escapeLeads = [...]string{"\xf4\x8f\xba", "\xf4\x8f\xbb"}

// Text is a value as Asterisk wrote it in the form that records have.
func Text(raw string) string {
	if utf8.ValidString(raw) && !strings.Contains(raw, escapeLeads[0]) && !strings.Contains(raw, escapeLeads[1]) {
		return raw
	}
	var out strings.Builder
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRuneInString(raw[i:])
		if r == utf8.RuneError && size == 1 || escaped(r) {
			for _, b := range []byte(raw[i : i+size]) {
				out.WriteRune(escapeBase + rune(b))
			}
		} else {
			out.WriteString(raw[i : i+size])
		}
		i += size
	}
	return out.String()
}

// Bytes is what Asterisk wrote for a value of a record.
func Bytes(text string) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		if escaped(r) {
			out = append(out, byte(r-escapeBase)) //nolint:gosec // 0x80 to 0xFF
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// escaped says whether a character stands for a byte.
func escaped(r rune) bool { return r >= escapeBase+0x80 && r <= escapeBase+0xFF }
