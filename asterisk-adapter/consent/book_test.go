package consent

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

func TestBook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "consents.db")
	book := openBook(t, path)
	policy, err := book.Policy()
	require.NoError(t, err)
	require.Zero(t, policy.Version, "the built-in one, until the gateway has said")
	call := &Call{UniqueID: "1.1", LinkedID: "1.0", Caller: ref("1001"), Called: ref("1002"), Jurisdiction: "PT", At: time.Now().UTC().Truncate(time.Millisecond)}
	first, second := said("1.0", "1001", ledger.ConsentGranted, 1), said("1.0", "1002", ledger.ConsentGranted, 1)
	require.NoError(t, book.Conclude(call, first, second))
	require.NoError(t, book.Conclude(nil, said("1.00", "1001", ledger.ConsentDenied, 2)))
	policy.Version = 7
	require.NoError(t, book.SetPolicy(policy))
	require.NoError(t, book.Learn(nil, []byte("here")))
	_, err = OpenBook(path)
	require.ErrorContains(t, err, "consents")
	require.NoError(t, book.Close())

	book = openBook(t, path)
	found, err := book.Call("1.1")
	require.NoError(t, err)
	require.Equal(t, call, found)
	found, err = book.Call("1.0")
	require.NoError(t, err)
	require.Nil(t, found)
	standings, err := book.Standings("1.0")
	require.NoError(t, err)
	require.ElementsMatch(t, []Statement{first, second}, standings)
	cursor, err := book.Cursor()
	require.NoError(t, err)
	require.Equal(t, "here", string(cursor))
	again, err := book.Policy()
	require.NoError(t, err)
	require.Equal(t, policy, again)

	waiting, err := book.Outbox(2)
	require.NoError(t, err)
	require.Equal(t, []Statement{first, second}, []Statement{waiting[0].Statement, waiting[1].Statement})
	require.NoError(t, book.Delivered(&waiting[0]))
	require.NoError(t, book.Refuse(&waiting[1], "why"))
	out, refused, err := book.Depth()
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{out, refused})

	// A later word holds, an earlier one does not, whatever comes first.
	for _, one := range []struct {
		statement Statement
		forbidden bool
	}{
		{said("1.0", "1001", ledger.ConsentRevoked, 9), true}, {said("1.0", "1001", ledger.ConsentGranted, 5), true}, {said("1.0", "1001", ledger.ConsentGranted, 10), false},
	} {
		require.NoError(t, book.Learn(&one.statement, nil))
		forbidden, err := book.Forbids("1.0")
		require.NoError(t, err)
		require.Equal(t, one.forbidden, forbidden)
	}

	require.NoError(t, book.Forget(time.Now()))
	found, err = book.Call("1.1")
	require.NoError(t, err)
	require.NotNil(t, found)
	require.NoError(t, book.Forget(time.Now().Add(2*kept)))
	found, err = book.Call("1.1")
	require.NoError(t, err)
	require.Nil(t, found)
	standings, err = book.Standings("1.0")
	require.NoError(t, err)
	require.Empty(t, standings)
	out, _, err = book.Depth()
	require.NoError(t, err)
	require.Equal(t, 1, out, "what is not delivered is never forgotten")
}

// TestAllowed decides as the contract does.
func TestAllowed(t *testing.T) {
	policy, err := ledger.DefaultPolicy(ledger.PolicyConsent)
	require.NoError(t, err)
	granted, denied := said("1.0", "1001", ledger.ConsentGranted, 0), said("1.0", "1002", ledger.ConsentDenied, 0)
	staff := said("1.0", "1002", ledger.ConsentGranted, 0)
	for _, c := range []struct {
		statements   []Statement
		jurisdiction string
		allowed      bool
	}{
		{nil, "US", false}, {[]Statement{granted}, "", true}, {[]Statement{granted, staff}, "PT", true}, {[]Statement{granted, denied}, "PT", false},
		{[]Statement{granted, denied}, "US-NY", false}, {[]Statement{denied}, "US", false},
	} {
		require.Equal(t, c.allowed, allowed(c.statements, c.jurisdiction, policy, ms(10)), "%v", c)
	}
	policy.Policy.Consent.OnePartyObjection = ledger.ObjectionIgnored
	require.True(t, allowed([]Statement{granted, denied}, "US-NY", policy, ms(10)))
}
