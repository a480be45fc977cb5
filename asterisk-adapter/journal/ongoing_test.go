package journal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
)

// TestOngoing keeps an answered call over reopenings until its CDR comes, or the word
// that none will.
func TestOngoing(t *testing.T) {
	path := newPath(t)
	signer, _ := newSigner(t)
	book := begun(t, path, signer)
	answered := func(id string) *journal.Ongoing {
		return &journal.Ongoing{Channel: "PJSIP/1001-1", Progress: ledger.Progress{At: ledger.TimeOf(time.Now()), LinkedID: id, State: ledger.ProgressAnswered, UniqueID: id}}
	}
	answer := func(id string) bool {
		t.Helper()
		kept, err := book.Answer(answered(id))
		require.NoError(t, err)
		return kept
	}
	ongoing := func() map[string]int64 {
		t.Helper()
		all, err := book.Ongoing()
		require.NoError(t, err)
		found := map[string]int64{}
		for _, one := range all {
			found[one.Progress.UniqueID] = one.Seq
		}
		return found
	}
	require.True(t, answer("1795246515.0"))
	require.False(t, answer("1795246515.0"), "an event that comes twice")
	require.True(t, answer("1795246516.1"))
	first := answered("1795246515.0").Progress
	_, err := book.CloseSegment(signer, []journal.Entry{{Progress: &first}})
	require.NoError(t, err)
	require.NoError(t, book.Close())
	book = open(t, path)
	require.Equal(t, map[string]int64{"1795246515.0": 2, "1795246516.1": 0}, ongoing())

	// The one's CDR comes, before its word was closed and after.
	receive(t, book, "1795246515.0", "1795246516.1")
	require.Empty(t, ongoing())
	require.False(t, answer("1795246516.1"), "its CDR is there already")
	late := answered("1795246516.1").Progress
	_, err = book.CloseSegment(signer, []journal.Entry{{Progress: &late}})
	require.NoError(t, err)
	require.Empty(t, ongoing())

	// The other has none.
	require.True(t, answer("1795246517.2"))
	cut := answered("1795246517.2").Progress
	_, err = book.CloseSegment(signer, []journal.Entry{{Progress: &cut}})
	require.NoError(t, err)
	cut.State = ledger.ProgressCut
	_, err = book.CloseSegment(signer, []journal.Entry{{Progress: &cut}})
	require.NoError(t, err)
	require.Empty(t, ongoing())
}

func TestStrangers(t *testing.T) {
	path := newPath(t)
	book := open(t, path)
	require.NoError(t, book.SetStranger("600@pbx.atlas.example", ledger.VerdictUnregistered))
	require.NoError(t, book.SetStranger("601@pbx.atlas.example", ledger.VerdictRevoked))
	require.NoError(t, book.SetStranger("601@pbx.atlas.example", ""))
	require.NoError(t, book.Close())
	told, err := open(t, path).Strangers()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"600@pbx.atlas.example": ledger.VerdictUnregistered}, told)
}
