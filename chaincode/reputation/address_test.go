package reputation_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/reputation"
)

var (
	emergency = []string{"000", "110", "112", "115", "911", "999"}
	testKey   = bytes.Repeat([]byte{7}, reputation.KeyBytes)
)

func TestAnAddressHasOneSpelling(t *testing.T) {
	for text, want := range map[string]string{
		"tel:+351210000000":                   "tel:+351210000000",
		"TEL:+351 21-000.0000":                "tel:+351210000000",
		"tel:+1 (212) 555-0100":               "tel:+12125550100",
		"ip:198.51.100.7":                     "ip:198.51.100.7",
		"ip:::ffff:198.51.100.7":              "ip:198.51.100.7",
		"ip:64:ff9b::198.51.100.7":            "ip:198.51.100.7",
		"ip:2002:c633:6407::1":                "ip:198.51.100.7",
		"ip:2001:db8:1:2:3:4:5:6":             "ip:2001:db8:1:2::/64",
		"ip:2001:DB8:0001:2::":                "ip:2001:db8:1:2::/64",
		"ip:2001:db8:1:2::/64":                "ip:2001:db8:1:2::/64",
		"aor:221@PBX2.example.net":            "aor:221@pbx2.example.net",
		"aor:sip:Alice@pbx2.example.net:5061": "aor:Alice@pbx2.example.net:5061",
		"aor:sips:alice@[2001:db8::1]":        "aor:alice@[2001:db8::1]",
	} {
		address, err := reputation.ParseAddress(text, emergency)
		require.NoError(t, err, text)
		require.Equal(t, want, address.Text(), text)
		require.Equal(t, string(address.Type()), strings.SplitN(want, ":", 2)[0])
		again, err := reputation.ParseAddress(address.Text(), emergency)
		require.NoError(t, err, "the spelling is an address itself: %s", want)
		require.Equal(t, address, again)
	}
}

func TestWhatIsNoSubject(t *testing.T) {
	for text, want := range map[string]error{
		"":                       reputation.ErrAddress,
		"351210000000":           reputation.ErrAddress,
		"mail:a@b":               reputation.ErrAddress,
		"tel:":                   reputation.ErrAddress,
		"tel:+":                  reputation.ErrAddress,
		"tel:210000000":          reputation.ErrAddress,
		"tel:+0351210000000":     reputation.ErrAddress,
		"tel:+35121000000000000": reputation.ErrAddress,
		"tel:+35121x":            reputation.ErrAddress,
		"tel:+٣٥١٢١٠٠٠٠٠٠٠":      reputation.ErrAddress,
		"tel:+351112":            reputation.ErrAddress,
		"tel:112":                reputation.ErrEmergency,
		"tel:+9-1-1":             reputation.ErrEmergency,
		"aor:112@pbx1":           reputation.ErrEmergency,
		"aor:pbx1":               reputation.ErrAddress,
		"aor:@pbx1":              reputation.ErrAddress,
		"aor:alice@":             reputation.ErrAddress,
		"aor:a b@pbx1":           reputation.ErrAddress,
		"aor:a@b@c":              reputation.ErrAddress,
		"aor:a\x00@b":            reputation.ErrAddress,
		"aor:a@b\n":              reputation.ErrAddress,
		"ip:":                    reputation.ErrAddress,
		"ip:300.1.1.1":           reputation.ErrAddress,
		"ip:010.1.1.1":           reputation.ErrAddress,
		"ip:198.51.100.0/24":     reputation.ErrAddress,
		"ip:198.51.100.0/64":     reputation.ErrAddress,
		"ip:2001:db8::/48":       reputation.ErrAddress,
		"ip:2001:db8::1%eth0":    reputation.ErrAddress,
		"ip:10.1.2.3":            reputation.ErrLocal,
		"ip:172.16.0.1":          reputation.ErrLocal,
		"ip:192.168.178.20":      reputation.ErrLocal,
		"ip:::ffff:192.168.0.1":  reputation.ErrLocal,
		"ip:64:ff9b::10.0.0.1":   reputation.ErrLocal,
		"ip:2002:0a00:0001::1":   reputation.ErrLocal,
		"ip:100.64.0.1":          reputation.ErrLocal,
		"ip:100.127.255.254":     reputation.ErrLocal,
		"ip:127.0.0.1":           reputation.ErrLocal,
		"ip:169.254.1.1":         reputation.ErrLocal,
		"ip:0.0.0.0":             reputation.ErrLocal,
		"ip:224.0.0.1":           reputation.ErrLocal,
		"ip:255.255.255.255":     reputation.ErrLocal,
		"ip:198.18.0.1":          reputation.ErrLocal,
		"ip:::1":                 reputation.ErrLocal,
		"ip:fe80::1":             reputation.ErrLocal,
		"ip:fd00::1":             reputation.ErrLocal,
		"ip:ff02::1":             reputation.ErrLocal,
		"ip:2001:0:1::1":         reputation.ErrLocal,
	} {
		address, err := reputation.ParseAddress(text, emergency)
		require.ErrorIs(t, err, want, "%q", text)
		require.Zero(t, address)
	}
}

func TestASubjectIsAnHMACOfTypeAndAddress(t *testing.T) {
	address, err := reputation.ParseAddress("tel:+351 210000000", nil)
	require.NoError(t, err)
	mac := hmac.New(sha256.New, testKey)
	mac.Write([]byte("tel:+351210000000"))
	subject, err := address.Subject(testKey)
	require.NoError(t, err)
	require.Equal(t, "tel:"+hex.EncodeToString(mac.Sum(nil)), subject)
	other, err := address.Subject(bytes.Repeat([]byte{8}, reputation.KeyBytes))
	require.NoError(t, err)
	require.NotEqual(t, subject, other, "another epoch, another pseudonym")
	for _, key := range [][]byte{nil, testKey[:31], append(testKey, 7)} {
		_, err := address.Subject(key)
		require.ErrorIs(t, err, reputation.ErrKey)
		_, err = reputation.Commitment(key)
		require.ErrorIs(t, err, reputation.ErrKey)
	}
	commitment, err := reputation.Commitment(testKey)
	require.NoError(t, err)
	sum := sha256.Sum256(append([]byte("callseal consortium key\x00"), testKey...))
	require.Equal(t, hex.EncodeToString(sum[:]), commitment)
}

func TestAnEmergencyNumbersAddress(t *testing.T) {
	address, err := reputation.EmergencyAddress("112")
	require.NoError(t, err)
	require.Equal(t, "tel:112", address.Text())
	for _, bad := range []string{"", "+112", "11x", strings.Repeat("1", 16)} {
		_, err := reputation.EmergencyAddress(bad)
		require.ErrorIs(t, err, reputation.ErrAddress)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, seed := range []string{"tel:+351210000000", "tel:112", "ip:198.51.100.7", "ip:2001:db8::1", "ip:2001:db8::/64", "ip:64:ff9b::1.2.3.4", "aor:sip:a@b", "aor:a@[::1]:5060", ":", "ip:%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		address, err := reputation.ParseAddress(text, emergency)
		if err != nil {
			require.Contains(t, []error{reputation.ErrAddress, reputation.ErrLocal, reputation.ErrEmergency}, err, "a sentence of ours, which quotes nothing")
			return
		}
		again, err := reputation.ParseAddress(address.Text(), emergency)
		require.NoError(t, err, address.Text())
		require.Equal(t, address, again)
		subject, err := address.Subject(testKey)
		require.NoError(t, err)
		require.Len(t, subject, len(address.Type())+1+64)
		require.NotContains(t, address.Text(), "\x00")
	})
}

// BenchmarkSubject makes the pseudonym of an address, from its text on, as the gateway
// does for each piece of evidence.
func BenchmarkSubject(b *testing.B) {
	for name, text := range map[string]string{"tel": "tel:+351 21-000.0000", "ip": "ip:2001:db8:1:2:3:4:5:6", "aor": "aor:sip:Alice@PBX2.example.net:5061"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				address, err := reputation.ParseAddress(text, emergency)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := address.Subject(testKey); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
