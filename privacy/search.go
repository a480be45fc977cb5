package privacy

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf16"
)

const (
	// minNeedle and maxNeedle bound a needle, in bytes.
	minNeedle = 6
	maxNeedle = 64 << 10
	// prefix is how much of a pattern leads to it.
	prefix = 4
)

// pattern is a needle written in one way.
type pattern struct {
	needle, form string
	text         []byte
}

// search finds many patterns at once: a table of their first two bytes tells
// nearly everywhere that there is nothing.
type search struct {
	begins  [1 << 16]bool
	byStart map[[prefix]byte][]*pattern
	longest int
}

func newSearch(needles []Needle) (*search, error) {
	s := &search{byStart: map[[prefix]byte][]*pattern{}, longest: prefix}
	known := map[string]bool{}
	for _, needle := range needles {
		if len(needle.Value) < minNeedle || len(needle.Value) > maxNeedle {
			return nil, fmt.Errorf("%s has %d bytes: search for %d to %d", needle.Name, len(needle.Value), minNeedle, maxNeedle)
		}
		for _, p := range patterns(needle) {
			if known[p.needle+"\x00"+string(p.text)] {
				continue
			}
			known[p.needle+"\x00"+string(p.text)] = true
			s.begins[uint16(p.text[0])<<8|uint16(p.text[1])] = true
			start := [prefix]byte(p.text)
			s.byStart[start] = append(s.byStart[start], p)
			s.longest = max(s.longest, len(p.text))
		}
	}
	return s, nil
}

// patterns are the ways in which a needle may be written.
func patterns(needle Needle) []*pattern {
	lower := hex.EncodeToString(needle.Value)
	all := []*pattern{
		{form: "plain", text: needle.Value},
		{form: "hexadecimal", text: []byte(lower)},
		{form: "upper-case hexadecimal", text: []byte(strings.ToUpper(lower))},
		{form: "UTF-16 (little end first)", text: wide(needle.Value, binary.LittleEndian)},
		{form: "UTF-16 (big end first)", text: wide(needle.Value, binary.BigEndian)},
	}
	for shift := range 3 {
		all = append(all,
			&pattern{form: "base64", text: within(base64.StdEncoding, needle.Value, shift)},
			&pattern{form: "base64 for URLs", text: within(base64.URLEncoding, needle.Value, shift)},
		)
	}
	for _, p := range all {
		p.needle = needle.Name
	}
	return all
}

// within is what base64 makes of a value that begins shift bytes after a
// multiple of three, without the characters that its neighbours decide with it.
func within(encoding *base64.Encoding, value []byte, shift int) []byte {
	const bits, perCharacter = 8, 6
	text := encoding.EncodeToString(append(make([]byte, shift), value...))
	first := (shift*bits + perCharacter - 1) / perCharacter
	last := (shift + len(value)) * bits / perCharacter
	return []byte(text[first:last])
}

// wide is text as UTF-16.
func wide(value []byte, order binary.AppendByteOrder) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(string(value))) {
		out = order.AppendUint16(out, unit)
	}
	return out
}

// in calls found for every pattern within content.
func (s *search) in(content []byte, found func(offset int, p *pattern)) {
	for i := 0; i+prefix <= len(content); i++ {
		if !s.begins[uint16(content[i])<<8|uint16(content[i+1])] {
			continue
		}
		for _, p := range s.byStart[[prefix]byte(content[i:])] {
			if bytes.HasPrefix(content[i:], p.text) {
				found(i, p)
			}
		}
	}
}
