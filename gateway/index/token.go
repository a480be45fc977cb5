package index

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/callseal/callseal/gateway/fault"
)

const (
	tokenVersion = 1
	questionSize = 8  // bytes of the digest of the question
	macSize      = 16 // bytes of the HMAC (RFC 2104 §5)
	maxTokenSize = 512
)

// place is where a page ended: the last row's sort column and what tells rows apart
// that have the same.
type place struct {
	sort int64
	tie  any // int64 or string
}

// question names a list, its filter and order: a token is good for that alone.
type question [questionSize]byte

func questionOf(text string) question {
	sum := sha256.Sum256([]byte(text))
	return question(sum[:questionSize])
}

// sealToken makes a page token of a place. It holds no row's content but these, and
// stays good whatever is inserted meanwhile.
func sealToken(key []byte, asked question, at place) string {
	text := append([]byte{tokenVersion}, asked[:]...)
	text = binary.BigEndian.AppendUint64(text, uint64(at.sort)) //nolint:gosec // bits
	switch tie := at.tie.(type) {
	case int64:
		text = binary.BigEndian.AppendUint64(append(text, 'n'), uint64(tie)) //nolint:gosec // bits
	case string:
		text = append(append(text, 's'), tie...)
	}
	return base64.RawURLEncoding.EncodeToString(append(text, tokenMAC(key, text)...))
}

func tokenMAC(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("callseal page token\x00"))
	mac.Write(text)
	return mac.Sum(nil)[:macSize]
}

// openToken reads a page token; nil for none.
func openToken(key []byte, asked question, token string) (*place, error) {
	if token == "" {
		return nil, nil //nolint:nilnil // the first page
	}
	forged := fault.New(fault.Invalid, "the page token is none that this gateway gave out: take the one of the page before, or leave it out for the first page")
	if len(token) > maxTokenSize {
		return nil, forged
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(token)
	head := 1 + questionSize + 8 + 1
	if err != nil || len(sealed) < head+macSize {
		return nil, forged
	}
	text, mac := sealed[:len(sealed)-macSize], sealed[len(sealed)-macSize:]
	if !hmac.Equal(mac, tokenMAC(key, text)) || text[0] != tokenVersion {
		return nil, forged
	}
	if question(text[1:1+questionSize]) != asked {
		return nil, fault.New(fault.Invalid, "the page token belongs to another question: filters and order stay the same from page to page")
	}
	at := &place{sort: int64(binary.BigEndian.Uint64(text[1+questionSize:]))} //nolint:gosec // bits
	tie := text[head:]
	switch {
	case text[head-1] == 'n' && len(tie) == 8:
		at.tie = int64(binary.BigEndian.Uint64(tie)) //nolint:gosec // bits
	case text[head-1] == 's':
		at.tie = string(tie)
	default:
		return nil, forged
	}
	return at, nil
}
