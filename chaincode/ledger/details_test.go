package ledger_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

func TestDetailsAreOfOneThing(t *testing.T) {
	call := &ledger.CallDetails{Src: "+351912345678", Dst: "600"}
	recording := &ledger.RecordingDetails{File: "600.wav"}
	for name, c := range map[string]struct {
		details ledger.Details
		ok      bool
	}{
		"a call":                {ledger.Details{Call: call, Salt: hexOf(32), V: 1}, true},
		"a call without fields": {ledger.Details{Call: &ledger.CallDetails{}, Salt: hexOf(32), V: 1}, true},
		"a recording":           {ledger.Details{Recording: recording, Salt: hexOf(32), V: 1}, true},
		"both":                  {ledger.Details{Call: call, Recording: recording, Salt: hexOf(32), V: 1}, false},
		"neither":               {ledger.Details{Salt: hexOf(32), V: 1}, false},
		"another version":       {ledger.Details{Call: call, Salt: hexOf(32), V: -1}, false},
		"no salt":               {ledger.Details{Call: call, V: 1}, false},
		"a short salt":          {ledger.Details{Call: call, Salt: hexOf(16), V: 1}, false},
	} {
		err := c.details.Check()
		if c.ok {
			require.NoError(t, err, name)
		} else {
			require.Error(t, err, name)
			requireCode(t, ledger.CodeInvalid, err)
		}
	}
	details := ledger.Details{Call: call, Salt: hexOf(32), V: 1}
	digest, err := details.Digest()
	require.NoError(t, err)
	require.Equal(t, ledger.Digest([]byte(`{"call":{"dst":"600","src":"+351912345678"},"salt":"`+hexOf(32)+`","v":1}`)), digest)
	details.Salt = strings.Repeat("00", 32)
	other, err := details.Digest()
	require.NoError(t, err)
	require.NotEqual(t, digest, other, "the salt hides the number")
	_, err = (&ledger.Details{Call: &ledger.CallDetails{Src: "\xff"}}).Digest()
	require.Error(t, err)
}

func TestSealedDetailsHaveTheShapeOfAESGCM(t *testing.T) {
	good := ledger.Sealed{Algorithm: ledger.SealAlgorithm, Ciphertext: make([]byte, 16), Nonce: make([]byte, 12), V: 1}
	require.NoError(t, good.Check())
	largest := good
	largest.Ciphertext = make([]byte, ledger.MaxDetailsBytes+16)
	require.NoError(t, largest.Check())
	for name, c := range map[string]struct {
		code   ledger.Code
		change func(*ledger.Sealed)
	}{
		"another version":   {ledger.CodeNewer, func(s *ledger.Sealed) { s.V = 4 }},
		"another algorithm": {ledger.CodeInvalid, func(s *ledger.Sealed) { s.Algorithm = "none" }},
		"a short nonce":     {ledger.CodeInvalid, func(s *ledger.Sealed) { s.Nonce = s.Nonce[1:] }},
		"no tag":            {ledger.CodeInvalid, func(s *ledger.Sealed) { s.Ciphertext = s.Ciphertext[1:] }},
		"too large":         {ledger.CodeTooLarge, func(s *ledger.Sealed) { s.Ciphertext = make([]byte, ledger.MaxDetailsBytes+17) }},
	} {
		bad := good
		c.change(&bad)
		requireCode(t, c.code, bad.Check())
		require.NotEqual(t, good, bad, name)
	}
}

func TestPartyRefIsAKeyedPseudonym(t *testing.T) {
	// HMAC-SHA-256 of RFC 4231, test case 2, cut to 128 bits.
	require.Equal(t, "5bdcc146bf60754e6a042426089575c7", ledger.PartyRef([]byte("Jefe"), "what do ya want for nothing?"))
	ref := ledger.PartyRef([]byte("operator A"), "tel:+351912345678")
	require.Len(t, ref, 32)
	require.NotEqual(t, ref, ledger.PartyRef([]byte("operator B"), "tel:+351912345678"))
	require.NotEqual(t, ref, ledger.PartyRef([]byte("operator A"), "tel:+351912345679"))
}

// BenchmarkDetailsDigest is what stands on the ledger of a leg's details.
func BenchmarkDetailsDigest(b *testing.B) {
	details := callDetails()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := details.Digest(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPartyRef makes the pseudonyms of a leg's caller and callee.
func BenchmarkPartyRef(b *testing.B) {
	key := bytes.Repeat([]byte{7}, 32)
	b.ReportAllocs()
	for b.Loop() {
		if ledger.PartyRef(key, "tel:+351912345678") == ledger.PartyRef(key, "ext:600@pbx1") {
			b.Fatal("two parties have one pseudonym")
		}
	}
}
