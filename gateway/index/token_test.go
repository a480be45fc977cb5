package index

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/fault"
)

func TestTokens(t *testing.T) {
	key, asked := []byte("key"), questionOf("calls")
	for _, at := range []place{{sort: 5, tie: int64(7)}, {sort: -1, tie: "tel:ab"}, {sort: 1<<62 + 1, tie: int64(1) << 61}} {
		token := sealToken(key, asked, at)
		opened, err := openToken(key, asked, token)
		require.NoError(t, err)
		require.Equal(t, &at, opened)

		raw, err := base64.RawURLEncoding.DecodeString(token)
		require.NoError(t, err)
		for i := range raw {
			raw[i] ^= 1
			_, err := openToken(key, asked, base64.RawURLEncoding.EncodeToString(raw))
			require.Equal(t, fault.Invalid, fault.Of(err).Kind, "byte %d", i)
			raw[i] ^= 1
		}
		_, err = openToken(key, questionOf("recordings"), token)
		require.ErrorContains(t, err, "another question")
		_, err = openToken([]byte("other"), asked, token)
		require.ErrorContains(t, err, "none that this gateway gave out")
	}
}

func FuzzToken(f *testing.F) {
	key, asked := []byte("key"), questionOf("calls")
	f.Add(sealToken(key, asked, place{1, int64(2)}))
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		at, err := openToken(key, asked, token)
		switch {
		case err != nil:
			require.Equal(t, fault.Invalid, fault.Of(err).Kind)
		case at != nil:
			require.Equal(t, token, sealToken(key, asked, *at), "what opens is what was sealed")
		}
	})
}
