package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxInteger is the largest magnitude of an integer in a stored value: beyond it
// RFC 8785 readers in other languages lose digits.
const MaxInteger = 1<<53 - 1

// Canonical encodes v as RFC 8785 canonical JSON. It fails where v holds what a
// stored value cannot: a float, an integer beyond MaxInteger, a null.
func Canonical(v any) ([]byte, error) {
	out, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	if err := checkScalars(out); err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	if ordered(reflect.TypeOf(v)) {
		return out, nil
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
// any white space, so that people and scripts can write them. The error quotes
// nothing of the text, which may be personal.
func DecodeStrict(data []byte, v any) error {
	return decode(data, v, func() ([]byte, error) { return Canonical(v) })
}

// DecodeSegments is DecodeStrict for segments. It also returns the canonical form
// of every record, by segment: large inputs are encoded once.
func DecodeSegments(data []byte) (segments []SignedSegment, leaves [][][]byte, err error) {
	err = decode(data, &segments, func() (out []byte, err error) {
		out, leaves, err = encodeSegments(segments, len(data))
		return out, err
	})
	if err != nil {
		return nil, nil, err
	}
	return segments, leaves, nil
}

// encodeSegments is Canonical for segments, and says where in it the records are.
// Size is a guess at the text's length.
func encodeSegments(segments []SignedSegment, size int) (out []byte, leaves [][][]byte, err error) {
	var text bytes.Buffer
	text.Grow(size + bytes.MinRead)
	bounds := make([][]int, len(segments))
	write := func(v any) {
		if err == nil {
			err = json.MarshalWrite(&text, v, json.Deterministic(true))
		}
	}
	separate := func(i int) {
		if i > 0 {
			text.WriteByte(',')
		}
	}
	text.WriteByte('[')
	for i := range segments {
		signed := &segments[i]
		separate(i)
		text.WriteString(`{"records":[`)
		for j := range signed.Records {
			separate(j)
			start := text.Len()
			write(&signed.Records[j])
			bounds[i] = append(bounds[i], start, text.Len())
		}
		text.WriteString(`],"segment":`)
		write(&signed.Segment)
		text.WriteString(`,"signature":`)
		write(signed.Signature)
		text.WriteByte('}')
	}
	text.WriteByte(']')
	if err != nil {
		return nil, nil, fmt.Errorf("encode segments: %w", err)
	}
	out = text.Bytes()
	if err := checkScalars(out); err != nil {
		return nil, nil, fmt.Errorf("encode segments: %w", err)
	}
	leaves = make([][][]byte, len(segments))
	for i := range segments {
		leaves[i] = make([][]byte, 0, len(bounds[i])/2)
		for pair := range slices.Chunk(bounds[i], 2) {
			leaves[i] = append(leaves[i], out[pair[0]:pair[1]:pair[1]])
		}
	}
	return out, leaves, nil
}

// decode is DecodeStrict with the encoding of v given.
func decode(data []byte, v any, encode func() ([]byte, error)) error {
	if !utf8.Valid(data) {
		return Errorf(CodeInvalid, "the JSON is not valid UTF-8: send UTF-8 text")
	}
	if err := json.Unmarshal(data, v, json.RejectUnknownMembers(true)); err != nil {
		return misfit(v, err)
	}
	own, err := encode()
	if err == nil && bytes.Equal(own, data) {
		return nil // canonical already, as programs send it
	}
	if scalars := checkScalars(data); scalars != nil {
		return Errorf(CodeInvalid, "the JSON does not fit %s: %v", typeName(v), scalars)
	}
	if err != nil {
		return misfit(v, err)
	}
	given := jsontext.Value(bytes.Clone(data))
	if err := given.Canonicalize(); err != nil {
		return misfit(v, err)
	}
	if !bytes.Equal(own, given) {
		return Errorf(CodeInvalid, "the JSON has a second reading at byte %d of its canonical form (an empty member that is left out, a member left out that is always there, or base64 written differently): write it as this version would", firstDifference(own, given))
	}
	return nil
}

// Digest is the SHA-256 of data in lower-case hexadecimal.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// checkScalars answers unless every number of a JSON text is an integer, plainly
// written, within ±MaxInteger, and there is no null.
func checkScalars(text []byte) error {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			i = endOfString(text, i)
		case c == 'n':
			return fmt.Errorf("there is a null at byte %d: leave the member out", i)
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(text) && strings.IndexByte("0123456789.eE+-", text[end]) >= 0 {
				end++
			}
			if !plainInteger(text[i:end]) {
				return fmt.Errorf("the number at byte %d is not an integer within 2^53-1, plainly written", i)
			}
			i = end - 1
		}
	}
	return nil
}

// endOfString is the index of the quote that ends the string beginning at start.
func endOfString(text []byte, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(text)
}

// plainInteger reports whether a JSON number is an integer within ±MaxInteger
// without sign of zero, fraction and exponent.
func plainInteger(number []byte) bool {
	digits := bytes.TrimPrefix(number, []byte("-"))
	if len(digits) == 0 || digits[0] == '0' && len(number) > 1 {
		return false
	}
	var n int64
	for _, digit := range digits {
		if digit < '0' || digit > '9' {
			return false
		}
		if n = n*10 + int64(digit-'0'); n > MaxInteger {
			return false
		}
	}
	return true
}

// What takes a type's encoding out of the hands of reflection.
var (
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	marshalers    = []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.MarshalerTo]()}
)

// maxTypeDepth is deeper than any stored type; a type within itself never ends.
const maxTypeDepth = 20

var orderedTypes sync.Map // reflect.Type → bool

// ordered reports whether a type's plain encoding is canonical as it is: its
// structs declare their members in the order of their names and nothing in it
// sorts differently. It spares the stored types a second pass.
func ordered(t reflect.Type) bool {
	if known, found := orderedTypes.Load(t); found {
		is, _ := known.(bool)
		return is
	}
	is := t != nil && inOrder(t, 0)
	orderedTypes.Store(t, is)
	return is
}

func inOrder(t reflect.Type, depth int) bool {
	if depth > maxTypeDepth {
		return false
	}
	for _, marshaler := range marshalers {
		if reflect.PointerTo(t).Implements(marshaler) {
			return false
		}
	}
	if reflect.PointerTo(t).Implements(textMarshaler) {
		return true // a string
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return inOrder(t.Elem(), depth+1)
	case reflect.Struct:
		last := ""
		for field := range t.Fields() {
			name, plain := memberName(field)
			if !plain || name <= last || !inOrder(field.Type, depth+1) {
				return false
			}
			last = name
		}
		return true
	default:
		return false
	}
}

// memberName is the name of a struct's member, and whether the member is encoded
// without further options.
func memberName(field reflect.StructField) (name string, plain bool) {
	name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
	for _, r := range name {
		if r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return name, false
		}
	}
	return name, name != "" && !field.Anonymous && (options == "" || options == "omitzero")
}

// misfit says why text does not fit v, without quoting any of it.
func misfit(v any, err error) *Error {
	name := typeName(v)
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &semantic) && errors.Is(err, json.ErrUnknownName):
		return Errorf(CodeInvalid, "the JSON does not fit %s: %s has an unknown member (names are spelled exactly as documented)", name, place(v, semantic.JSONPointer))
	case errors.As(err, &semantic):
		expected := ""
		if semantic.GoType != nil {
			expected = fmt.Sprintf(", %s was expected", kindName(semantic.GoType))
		}
		return Errorf(CodeInvalid, "the JSON does not fit %s: %s does not fit%s", name, place(v, semantic.JSONPointer), expected)
	case errors.As(err, &syntactic) && errors.Is(err, jsontext.ErrDuplicateName):
		return Errorf(CodeInvalid, "the JSON does not fit %s: there is a duplicate member within %s", name, place(v, syntactic.JSONPointer.Parent()))
	case errors.As(err, &syntactic):
		return Errorf(CodeInvalid, "the JSON does not fit %s: it is not one well-formed JSON value, see byte %d", name, syntactic.ByteOffset)
	default:
		return Errorf(CodeInvalid, "the JSON does not fit %s", name)
	}
}

// kindName says in a JSON writer's words what a Go type takes.
func kindName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Time]():
		return "a time such as 2026-03-01T09:30:00.000Z"
	case t == reflect.TypeFor[[]byte]():
		return "a base64 string"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "an integer"
	case reflect.Slice:
		return "an array"
	default:
		return "an object"
	}
}

// place is the part of a JSON pointer that consists of v's own members and of
// indexes: what comes after is the sender's text.
func place(v any, pointer jsontext.Pointer) string {
	known := ""
	t := reflect.TypeOf(v)
	for token := range pointer.Tokens() {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		next := elementAt(t, token)
		if next == nil {
			break
		}
		known += "/" + token
		t = next
	}
	if known == "" {
		return "the value"
	}
	return known
}

func elementAt(t reflect.Type, token string) reflect.Type {
	switch t.Kind() {
	case reflect.Slice:
		if _, err := strconv.ParseUint(token, 10, 32); err == nil {
			return t.Elem()
		}
	case reflect.Struct:
		for field := range t.Fields() {
			if name, _ := memberName(field); name == token {
				return field.Type
			}
		}
	}
	return nil
}

// typeName names the Go type behind v without its package, for error sentences.
func typeName(v any) string {
	name := fmt.Sprintf("%T", v)
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		return name[dot+1:]
	}
	return name
}

// firstDifference is where two texts differ first.
func firstDifference(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
