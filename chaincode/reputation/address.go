package reputation

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// Type is what kind of address a subject is.
type Type string

// The types.
const (
	// TypeTel is a telephone number in E.164.
	TypeTel Type = "tel"
	// TypeIP is an IPv4 address, or the /64 network of an IPv6 address.
	TypeIP Type = "ip"
	// TypeAOR is a SIP address of record, user@host.
	TypeAOR Type = "aor"
)

// What [ParseAddress] refuses. The errors quote nothing: the text may be a
// person's.
var (
	// ErrAddress says that the text is no address that reputation knows.
	ErrAddress = errors.New(`the subject is not a well-formed address: write "tel:+351210000000", "ip:198.51.100.7" or "aor:user@host"`)
	// ErrLocal says that an IP address means different machines to different
	// operators, or many people at once, and so is never shared.
	ErrLocal = errors.New("the IP address is private, shared by a carrier's customers or not of a single host on the Internet: such evidence stays with the operator")
	// ErrEmergency says that the number is an emergency number.
	ErrEmergency = errors.New("the subject is an emergency number: those are never scored")
)

// Address is a subject in clear, in the one spelling that pseudonyms are made
// from. It is personal: it goes into no record, event or log.
type Address struct {
	kind Type
	text string // without the type
}

const (
	// minDigits and maxDigits bound an E.164 number; what is shorter is a local
	// or a service number.
	minDigits, maxDigits = 7, 15
	// maxUser and maxHost bound the parts of an address of record, in bytes.
	maxUser, maxHost = 128, 253
)

// ParseAddress reads "tel:…", "ip:…" or "aor:…" into its one spelling, so that
// all operators mean the same subject: a number as + and digits, an IPv4 address
// plainly (also when written within IPv6), an IPv6 address as its /64 network, an
// address of record with its host in lower case. Emergency are numbers that are
// refused, as they are dialled ("112").
//
// Errors: ErrAddress, ErrLocal, ErrEmergency.
func ParseAddress(text string, emergency []string) (Address, error) {
	kind, rest, found := strings.Cut(text, ":")
	if !found {
		return Address{}, ErrAddress
	}
	switch Type(strings.ToLower(kind)) {
	case TypeTel:
		return parseTel(rest, emergency)
	case TypeIP:
		return parseIP(rest)
	case TypeAOR:
		return parseAOR(rest, emergency)
	default:
		return Address{}, ErrAddress
	}
}

// separators are those of RFC 3966, and spaces.
var separators = strings.NewReplacer("-", "", ".", "", "(", "", ")", "", " ", "")

// parseTel reads an E.164 number, with or without separators.
func parseTel(text string, emergency []string) (Address, error) {
	number := separators.Replace(text)
	if slices.Contains(emergency, strings.TrimPrefix(number, "+")) {
		return Address{}, ErrEmergency
	}
	digits, international := strings.CutPrefix(number, "+")
	if !international || len(digits) < minDigits || len(digits) > maxDigits || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return Address{}, ErrAddress
	}
	return Address{TypeTel, number}, nil
}

// reserved are networks whose addresses are not of a single host on the Internet,
// besides those that netip knows by name.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), // Teredo, ORCHID and other special uses
}

var (
	unicast = netip.MustParsePrefix("2000::/3")
	sixToV4 = netip.MustParsePrefix("2002::/16")
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
)

// parseIP reads an address, or the /64 network that an earlier reading made of
// one.
func parseIP(text string) (Address, error) {
	if network, isNetwork := strings.CutSuffix(text, "/64"); isNetwork {
		text = network
		if strings.Contains(text, ".") {
			return Address{}, ErrAddress
		}
	}
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return Address{}, ErrAddress
	}
	address = address.Unmap()
	whole := address.As16()
	switch {
	case nat64.Contains(address): // an IPv4 host behind a translator
		address = netip.AddrFrom4([4]byte(whole[12:]))
	case sixToV4.Contains(address): // an IPv4 host's own tunnel
		address = netip.AddrFrom4([4]byte(whole[2:6]))
	}
	if address.IsPrivate() || !address.IsGlobalUnicast() || address.Is6() && !unicast.Contains(address) ||
		slices.ContainsFunc(reserved, func(network netip.Prefix) bool { return network.Contains(address) }) {
		return Address{}, ErrLocal
	}
	if address.Is4() {
		return Address{TypeIP, address.String()}, nil
	}
	return Address{TypeIP, netip.PrefixFrom(address, 64).Masked().String()}, nil
}

// parseAOR reads user@host, with or without sip: before it.
func parseAOR(text string, emergency []string) (Address, error) {
	if scheme, rest, found := strings.Cut(text, ":"); found && (strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips")) {
		text = rest
	}
	user, host, found := strings.Cut(text, "@")
	host = strings.ToLower(host)
	if !found || user == "" || len(user) > maxUser || host == "" || len(host) > maxHost || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._:[]") != "" {
		return Address{}, ErrAddress
	}
	for _, r := range user {
		if r <= ' ' || r > '~' || strings.ContainsRune(`<>"@:;?/\`, r) {
			return Address{}, ErrAddress
		}
	}
	if slices.Contains(emergency, strings.TrimPrefix(user, "+")) {
		return Address{}, ErrEmergency
	}
	return Address{TypeAOR, user + "@" + host}, nil
}

// EmergencyAddress is the address of an emergency number, which [ParseAddress]
// refuses: consortia list its pseudonym among those that are exempt.
func EmergencyAddress(number string) (Address, error) {
	if number == "" || len(number) > maxDigits || strings.Trim(number, "0123456789") != "" {
		return Address{}, ErrAddress
	}
	return Address{TypeTel, number}, nil
}

// Type is the address's type.
func (a Address) Type() Type { return a.kind }

// Text is the address in clear, with its type: personal.
func (a Address) Text() string { return string(a.kind) + ":" + a.text }

// KeyBytes is the length of a consortium key.
const KeyBytes = 32

// ErrKey says that a consortium key is of the wrong length.
var ErrKey = errors.New("a consortium key has 32 bytes")

// Subject is the address's pseudonym under an epoch's consortium key: the type, a
// colon, and HMAC-SHA-256 of the text in clear, hexadecimal. The type is within
// the HMAC too, so a pseudonym under another type is another subject.
func (a Address) Subject(key []byte) (string, error) {
	if len(key) != KeyBytes {
		return "", ErrKey
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(a.Text()))
	return string(a.kind) + ":" + hex.EncodeToString(mac.Sum(nil)), nil
}

// Commitment is what stands on the ledger for a consortium key: SHA-256, in
// hexadecimal, of a prefix of its own and the key.
func Commitment(key []byte) (string, error) {
	if len(key) != KeyBytes {
		return "", ErrKey
	}
	sum := sha256.Sum256(append([]byte("callseal consortium key\x00"), key...))
	return hex.EncodeToString(sum[:]), nil
}
