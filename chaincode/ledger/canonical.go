package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxInteger is the largest magnitude of an integer in a stored value: beyond it
// RFC 8785 readers in other languages lose digits.
const MaxInteger = 1<<53 - 1

// Canonical encodes v as RFC 8785 canonical JSON.
func Canonical(v any) ([]byte, error) {
	out, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	value := jsontext.Value(out)
	if err := value.Canonicalize(); err != nil {
		return nil, fmt.Errorf("canonicalize %T: %w", v, err)
	}
	return value, nil
}

// DecodeStrict decodes JSON into v, a pointer, and answers CodeInvalid unless
// the text has one reading only: valid UTF-8, no duplicate, unknown or differently
// spelled member, no null, no float, no empty member that the canonical form
// leaves out, nothing after the value. Members may come in any order and with
// any white space, so that people and scripts can write them.
func DecodeStrict(data []byte, v any) error {
	if !utf8.Valid(data) {
		return Errorf(CodeInvalid, "the JSON is not valid UTF-8: send UTF-8 text")
	}
	if err := json.Unmarshal(data, v, json.RejectUnknownMembers(true)); err != nil {
		return Errorf(CodeInvalid, "the JSON does not fit %s: %v", typeName(v), err)
	}
	own, err := Canonical(v)
	if err != nil {
		return Errorf(CodeInvalid, "the JSON does not fit %s: %v", typeName(v), err)
	}
	given := jsontext.Value(bytes.Clone(data))
	if err := given.Canonicalize(); err != nil {
		return Errorf(CodeInvalid, "the JSON cannot be put in canonical form: %v", err)
	}
	if !bytes.Equal(own, given) {
		return Errorf(CodeInvalid, "the JSON has a second reading (a null, an empty member, a float or an integer beyond 2^53-1, %s): leave empty members out and write integers plainly", firstDifference(own, given))
	}
	return nil
}

// Digest is the SHA-256 of data in lower-case hexadecimal.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// typeName names the Go type behind v without its package, for error sentences.
func typeName(v any) string {
	name := fmt.Sprintf("%T", v)
	if dot := bytes.LastIndexByte([]byte(name), '.'); dot >= 0 {
		return name[dot+1:]
	}
	return name
}

// firstDifference says at which byte of its canonical form the given text leaves
// the canonical form of what was understood. It quotes nothing: the text may be
// personal.
func firstDifference(own, given []byte) string {
	n := 0
	for n < len(own) && n < len(given) && own[n] == given[n] {
		n++
	}
	return fmt.Sprintf("at byte %d of its canonical form", n)
}
