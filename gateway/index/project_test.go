package index_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/index/chaintest"
)

// FuzzValue has any value under any key of a VALID transaction: it is in the feed as
// it is, and the projection goes on.
func FuzzValue(f *testing.F) {
	world := chaintest.NewWorld(3)
	for _, transaction := range append(world.Traffic(10), world.Everything()...) {
		for _, put := range transaction.Puts {
			f.Add(put.Key, put.Value, transaction.Chaincode == ledger.GovernanceChaincode)
		}
	}
	f.Add("\x00cdr\x00a\x00b\x00", []byte(nil), false)
	f.Add(ledger.PolicyKey("reputation"), []byte(`{"name":"reputation","policy":{"v":2},"v":2,"version":1}`), true)
	x := openFile(f, filepath.Join(f.TempDir(), "index.db"))
	chain := chaintest.New("one")
	run(f, x, chain)
	height := uint64(1)
	f.Fuzz(func(t *testing.T, key string, value []byte, governance bool) {
		transaction := chaintest.Transaction{Puts: []chaintest.Put{{Key: key, Value: value}}}
		if governance {
			transaction.Chaincode = ledger.GovernanceChaincode
		}
		chain.Add(transaction)
		height++
		await(t, x, height)
		changes, _, err := x.Changes(t.Context(), index.EndOf(height-1), 10, index.Filter{})
		require.NoError(t, err)
		if len(changes) == 0 {
			return // a pointer of ours, or a key that protobuf cannot carry
		}
		require.Len(t, changes, 1)
		require.Equal(t, key, changes[0].Key)
		require.Equal(t, string(value), string(changes[0].Value))
	})
}

func TestUnreadableValuesAreKept(t *testing.T) {
	x, chain, world := openSQLite(t), chaintest.New("one"), chaintest.NewWorld(2)
	leg := ledger.LegID{LinkedID: "1", UniqueID: "1"}
	puts := []chaintest.Put{
		{Key: ledger.CallKey("AtlasMSP", "pbx1", leg), Value: []byte(`{"v":99}`)},
		{Key: ledger.CallKey("AtlasMSP", "pbx2", leg), Value: []byte{0xff, 0}},
		{Key: ledger.CallKey("AtlasMSP", "pbx3", leg), Deleted: true},
		{Key: "\x00later\x00", Value: []byte("x")},
	}
	traffic := world.Traffic(1)
	var moved chaintest.Put
	for _, put := range traffic[0].Puts { // a good value under another key
		if objectType, _, _ := ledger.SplitKey(put.Key); objectType == ledger.TypeCall {
			moved = chaintest.Put{Key: ledger.CallKey("AtlasMSP", "pbx4", leg), Value: put.Value}
		}
	}
	chain.Add(chaintest.Transaction{Puts: append(puts, moved)})
	chain.Add(traffic...)
	projected(t, x, chain)
	changes, _, err := x.Changes(t.Context(), index.Cursor{}, 5, index.Filter{})
	require.NoError(t, err)
	says := []string{}
	for _, change := range changes {
		says = append(says, change.Unreadable)
	}
	require.Contains(t, says[0], "second reading")
	require.Contains(t, says[1], "UTF-8")
	require.Empty(t, says[2])
	require.True(t, changes[2].Deleted)
	require.Contains(t, says[3], "no such kind")
	require.Contains(t, says[4], "another key")
	found, err := x.Calls(t.Context(), index.CallFilter{}, index.Page{})
	require.NoError(t, err)
	require.Len(t, found.Rows, 1)
}
