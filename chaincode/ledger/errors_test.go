package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

var codes = []ledger.Code{
	ledger.CodeInvalid, ledger.CodeNotFound, ledger.CodeExists, ledger.CodeDenied, ledger.CodeUnauthentic, ledger.CodeTooLarge, ledger.CodeInternal,
}

func TestErrorsComeBackThroughAPeer(t *testing.T) {
	for _, code := range codes {
		want := ledger.Errorf(code, "segment %d has a gap | a bar: and NOT_FOUND| within", 7)
		for _, wrapping := range []string{
			"%s",
			"chaincode response 500, %s",
			"failed to endorse transaction, see attached details for more info: chaincode response 500, %s",
			"rpc error: code = Unknown desc = evaluate call to endorser returned error: chaincode response 500, %s",
			"rpc error: code = Aborted desc = failed to endorse | chaincode response 500, %s\n",
			"error in simulation: transaction returned with failure: %s",
			"A_B|INTERNALS|X%s", // not codes
		} {
			if strings.HasSuffix(wrapping, "X%s") {
				got, found := ledger.ParseError(fmt.Sprintf(wrapping, want.Error()))
				require.True(t, found)
				require.Equal(t, ledger.CodeNotFound, got.Code, "the first code that stands alone")
				continue
			}
			got, found := ledger.ParseError(fmt.Sprintf(wrapping, want.Error()))
			require.True(t, found, wrapping)
			require.Equal(t, want, got, wrapping)
		}
	}
	for _, text := range []string{"", "|", "||||", "chaincode response 500, panic", "NOT_FOUND", "not_found|x", "NOT FOUND|x", "FOUND|x"} {
		_, found := ledger.ParseError(text)
		require.False(t, found, text)
	}
}

func TestAsErrorFindsTheCode(t *testing.T) {
	coded := ledger.Errorf(ledger.CodeDenied, "no")
	require.Same(t, coded, ledger.AsError(fmt.Errorf("wrapped: %w", coded)))
	require.Equal(t, ledger.CodeInternal, ledger.AsError(errors.New("disk full")).Code)
	require.Equal(t, "INTERNAL|disk full", ledger.AsError(errors.New("disk full")).Error())
}

func FuzzParseError(f *testing.F) {
	f.Add("chaincode response 500, NOT_FOUND|no operator has anchored this CDR leg")
	f.Add("INTERNAL|INVALID_ARGUMENT|")
	f.Add("X_INTERNAL|x")
	f.Fuzz(func(t *testing.T, text string) {
		got, found := ledger.ParseError(text)
		if !found {
			for _, code := range codes {
				require.False(t, strings.HasPrefix(text, string(code)+"|"), "a code at the beginning is always found")
			}
			return
		}
		require.Contains(t, codes, got.Code)
		require.Contains(t, text, string(got.Code)+"|")
		require.Contains(t, text, got.Message)
		again, found := ledger.ParseError(got.Error())
		require.True(t, found)
		require.Equal(t, got, again, "parsing is idempotent")
		wrapped, found := ledger.ParseError("chaincode response 500, " + got.Error())
		require.True(t, found)
		require.Equal(t, got, wrapped)
	})
}
