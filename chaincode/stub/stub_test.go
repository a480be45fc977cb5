package stub_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/pkg/cid"
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/stub"
)

const (
	valid    = peer.TxValidationCode_VALID
	conflict = peer.TxValidationCode_MVCC_READ_CONFLICT
	phantom  = peer.TxValidationCode_PHANTOM_READ_CONFLICT
)

// put commits one value.
func put(t require.TestingT, world *stub.World, key, value string) {
	tx := world.Begin(stub.Call{})
	require.NoError(t, tx.PutState(key, []byte(value)))
	require.Equal(t, valid, world.Commit(tx)[0])
}

// drain reads an iterator to its end.
func drain(t require.TestingT, iterator shim.StateQueryIteratorInterface, err error) []string {
	require.NoError(t, err)
	keys := []string{}
	for iterator.HasNext() {
		entry, err := iterator.Next()
		require.NoError(t, err)
		keys = append(keys, entry.GetKey())
	}
	require.NoError(t, iterator.Close())
	return keys
}

func TestATransactionDoesNotSeeItsOwnWrites(t *testing.T) {
	world := stub.NewWorld("AtlasMSP")
	tx := world.Begin(stub.Call{})
	require.NoError(t, tx.PutState("a", []byte("1")))
	require.NoError(t, tx.PutPrivateData("_implicit_org_AtlasMSP", "a", []byte("1")))
	value, err := tx.GetState("a")
	require.NoError(t, err)
	require.Nil(t, value)
	value, err = tx.GetPrivateData("_implicit_org_AtlasMSP", "a")
	require.NoError(t, err)
	require.Nil(t, value)
	require.Nil(t, world.Get("a"))
	require.Equal(t, valid, world.Commit(tx)[0])
	require.Equal(t, []byte("1"), world.Get("a"))
}

func TestCommitChecksTheVersionsThatWereRead(t *testing.T) {
	for _, sameBlock := range []bool{true, false} {
		world := stub.NewWorld()
		first, second := world.Begin(stub.Call{}), world.Begin(stub.Call{})
		for i, tx := range []*stub.Tx{first, second} {
			values, err := tx.GetMultipleStates("a", "b")
			require.NoError(t, err)
			require.Equal(t, [][]byte{nil, nil}, values)
			require.NoError(t, tx.PutState("a", fmt.Append(nil, i)))
		}
		var codes []peer.TxValidationCode
		if sameBlock {
			codes = world.Commit(first, second)
		} else {
			codes = append(world.Commit(first), world.Commit(second)...)
		}
		require.Equal(t, []peer.TxValidationCode{valid, conflict}, codes)
		require.Equal(t, []byte("0"), world.Get("a"))
	}
}

func TestBlindWritesNeverConflict(t *testing.T) {
	world := stub.NewWorld()
	first, second := world.Begin(stub.Call{}), world.Begin(stub.Call{})
	require.NoError(t, first.PutState("a", []byte("1")))
	require.NoError(t, second.PutState("a", []byte("2")))
	require.Equal(t, []peer.TxValidationCode{valid, valid}, world.Commit(first, second))
	require.Equal(t, []byte("2"), world.Get("a"))
}

func TestCommitRunsRangeQueriesAgain(t *testing.T) {
	key := func(parts ...string) string {
		key, err := shim.CreateCompositeKey("k", parts)
		require.NoError(t, err)
		return key
	}
	for name, c := range map[string]struct {
		readAll bool
		change  func(*stub.Tx) error
		want    peer.TxValidationCode
	}{
		"a new key in the range":        {true, func(tx *stub.Tx) error { return tx.PutState(key("p", "c"), []byte("x")) }, phantom},
		"a changed key in the range":    {true, func(tx *stub.Tx) error { return tx.PutState(key("p", "a"), []byte("x")) }, phantom},
		"a deleted key in the range":    {true, func(tx *stub.Tx) error { return tx.DelState(key("p", "b")) }, phantom},
		"a key elsewhere":               {true, func(tx *stub.Tx) error { return tx.PutState(key("q", "a"), []byte("x")) }, valid},
		"a key behind what was seen":    {false, func(tx *stub.Tx) error { return tx.PutState(key("p", "c"), []byte("x")) }, valid},
		"a key before what was seen":    {false, func(tx *stub.Tx) error { return tx.PutState(key("p", "0"), []byte("x")) }, phantom},
		"a change of what was not seen": {false, func(tx *stub.Tx) error { return tx.PutState(key("p", "b"), []byte("x")) }, valid},
	} {
		t.Run(name, func(t *testing.T) {
			world := stub.NewWorld()
			put(t, world, key("p", "a"), "1")
			put(t, world, key("p", "b"), "1")
			reader, writer := world.Begin(stub.Call{}), world.Begin(stub.Call{})
			iterator, err := reader.GetStateByPartialCompositeKey("k", []string{"p"})
			if c.readAll {
				require.Equal(t, []string{key("p", "a"), key("p", "b")}, drain(t, iterator, err))
			} else {
				require.NoError(t, err)
				require.True(t, iterator.HasNext())
				_, err = iterator.Next()
				require.NoError(t, err)
			}
			require.NoError(t, c.change(writer))
			require.Equal(t, []peer.TxValidationCode{valid, c.want}, world.Commit(writer, reader))
		})
	}
}

func TestATransactionIDCommitsOnce(t *testing.T) {
	world := stub.NewWorld()
	require.Equal(t, valid, world.Commit(world.Begin(stub.Call{TxID: "x"}))[0])
	require.Equal(t, peer.TxValidationCode_DUPLICATE_TXID, world.Commit(world.Begin(stub.Call{TxID: "x"}))[0])
}

func TestAnEmptyValueDeletes(t *testing.T) {
	world := stub.NewWorld()
	put(t, world, "a", "1")
	put(t, world, "a", "")
	require.Nil(t, world.Get("a"))
	require.Empty(t, world.Keys())
	put(t, world, "a", "2")
	require.Equal(t, []string{"a"}, world.Keys())

	history, err := world.Begin(stub.Call{}).GetHistoryForKey("a")
	require.NoError(t, err)
	var values []string
	for history.HasNext() {
		entry, err := history.Next()
		require.NoError(t, err)
		require.Equal(t, len(entry.GetValue()) == 0, entry.GetIsDelete())
		values = append(values, string(entry.GetValue()))
	}
	require.Equal(t, []string{"2", "", "1"}, values, "the newest first")
	require.NoError(t, history.Close())
	_, err = history.Next()
	require.Error(t, err)
}

func TestPagesCoverARangeOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		world := stub.NewWorld()
		n := rapid.IntRange(0, 12).Draw(t, "keys")
		var want []string
		tx := world.Begin(stub.Call{})
		for i := range n {
			key, err := shim.CreateCompositeKey("k", []string{"p", fmt.Sprintf("%02d", i)})
			require.NoError(t, err)
			want = append(want, key)
			require.NoError(t, tx.PutState(key, []byte("1")))
			require.NoError(t, tx.PutState(fmt.Sprintf("simple %02d", i), []byte("1")))
		}
		world.Commit(tx)
		size := rapid.Int32Range(1, 5).Draw(t, "size")
		var got []string
		for bookmark := ""; ; {
			reader := world.Begin(stub.Call{})
			iterator, metadata, err := reader.GetStateByPartialCompositeKeyWithPagination("k", []string{"p"}, size, bookmark)
			page := drain(t, iterator, err)
			require.Len(t, page, int(metadata.GetFetchedRecordsCount()))
			require.LessOrEqual(t, len(page), int(size))
			got = append(got, page...)
			require.Error(t, reader.PutState("a", []byte("1")), "paged queries forbid writes")
			if bookmark = metadata.GetBookmark(); bookmark == "" {
				break
			}
		}
		require.Equal(t, want, got)
	})
}

func TestQueriesKeepSimpleAndCompositeKeysApart(t *testing.T) {
	world := stub.NewWorld("AtlasMSP")
	put(t, world, "a", "1")
	put(t, world, "b", "1")
	composite, err := shim.CreateCompositeKey("k", []string{"p"})
	require.NoError(t, err)
	put(t, world, composite, "1")
	tx := world.Begin(stub.Call{})
	iterator, err := tx.GetStateByRange("", "")
	require.Equal(t, []string{"a", "b"}, drain(t, iterator, err))
	iterator, err = tx.GetStateByRange("a", "b")
	require.Equal(t, []string{"a"}, drain(t, iterator, err))
	_, err = tx.GetStateByRange(composite, "")
	require.Error(t, err)
	_, err = tx.GetStateByPartialCompositeKey("k", []string{"\x00"})
	require.Error(t, err)
	iterator, metadata, err := tx.GetAllStatesCompositeKeyWithPagination(10, "")
	require.Equal(t, []string{composite}, drain(t, iterator, err))
	require.Empty(t, metadata.GetBookmark())
	iterator, metadata, err = tx.GetStateByRangeWithPagination("", "", 1, "")
	require.Equal(t, []string{"a"}, drain(t, iterator, err))
	require.Equal(t, "b", metadata.GetBookmark())
	objectType, parts, err := tx.SplitCompositeKey(composite)
	require.NoError(t, err)
	require.Equal(t, "k", objectType)
	require.Equal(t, []string{"p"}, parts)

	world.QueryLimit = 1
	iterator, err = world.Begin(stub.Call{}).GetStateByRange("", "")
	require.Equal(t, []string{"a"}, drain(t, iterator, err), "the peer's limit cuts silently")
	for _, ask := range []func() error{
		func() error { _, err := tx.GetQueryResult("{}"); return err },
		func() error { _, _, err := tx.GetQueryResultWithPagination("{}", 1, ""); return err },
		func() error { _, err := tx.GetPrivateDataQueryResult("_implicit_org_AtlasMSP", "{}"); return err },
	} {
		require.Error(t, ask(), "LevelDB has no rich queries")
	}
}

func TestPrivateValuesAreOnMembersPeersAndHashesEverywhere(t *testing.T) {
	const collection = "_implicit_org_AtlasMSP"
	world := stub.NewWorld("AtlasMSP", "BorealisMSP")
	tx := world.Begin(stub.Call{})
	require.NoError(t, tx.PutPrivateData(collection, "a", []byte("secret")))
	require.Equal(t, valid, world.Commit(tx)[0])
	hash := sha256.Sum256([]byte("secret"))

	owner, other := world.Begin(stub.Call{PeerMSP: "AtlasMSP"}), world.Begin(stub.Call{PeerMSP: "BorealisMSP"})
	value, err := owner.GetPrivateData(collection, "a")
	require.NoError(t, err)
	require.Equal(t, "secret", string(value))
	_, err = other.GetPrivateData(collection, "a")
	require.Error(t, err)
	values, err := other.GetMultiplePrivateData(collection, "a", "b")
	require.NoError(t, err)
	require.Equal(t, [][]byte{nil, nil}, values)
	for _, peer := range []*stub.Tx{owner, other} {
		got, err := peer.GetPrivateDataHash(collection, "a")
		require.NoError(t, err)
		require.Equal(t, hash[:], got)
	}
	iterator, err := owner.GetPrivateDataByRange(collection, "", "")
	require.Equal(t, []string{"a"}, drain(t, iterator, err))
	require.Error(t, owner.PutState("a", []byte("1")), "queries on private data forbid writes")
	iterator, err = other.GetPrivateDataByPartialCompositeKey(collection, "k", nil)
	require.Empty(t, drain(t, iterator, err))

	writer := world.Begin(stub.Call{PeerMSP: "AtlasMSP"})
	_, err = writer.GetPrivateDataHash(collection, "a")
	require.NoError(t, err)
	purge := world.Begin(stub.Call{PeerMSP: "AtlasMSP"})
	require.NoError(t, purge.PurgePrivateData(collection, "a"))
	require.Equal(t, []peer.TxValidationCode{valid, conflict}, world.Commit(purge, writer), "hashes are versioned too")
	got, err := world.Begin(stub.Call{}).GetPrivateDataHash(collection, "a")
	require.NoError(t, err)
	require.Nil(t, got)

	for _, name := range []string{"", "elsewhere"} {
		tx := world.Begin(stub.Call{})
		_, err := tx.GetPrivateData(name, "a")
		require.Error(t, err)
		require.Error(t, tx.PutPrivateData(name, "a", []byte("1")))
		_, err = tx.GetPrivateDataHash(name, "a")
		require.Error(t, err)
	}
}

func TestABatchIsSentWhenItIsFinished(t *testing.T) {
	world := stub.NewWorld()
	fault := errors.New("disk full")
	tx := world.Begin(stub.Call{Fault: func(method, key string) error {
		if method == "FinishWriteBatch" && key == "b" {
			return fault
		}
		return nil
	}})
	tx.StartWriteBatch()
	require.NoError(t, tx.PutState("a", []byte("1")))
	require.Error(t, tx.PutState("", []byte("1")))
	require.Empty(t, tx.Writes())
	require.NoError(t, tx.FinishWriteBatch())
	require.Len(t, tx.Writes(), 1)
	tx.StartWriteBatch()
	require.NoError(t, tx.PutState("b", []byte("1")), "errors show late")
	require.ErrorIs(t, tx.FinishWriteBatch(), fault)
	require.NoError(t, tx.FinishWriteBatch(), "nothing is left")
}

func TestKeysThatAreNotUTF8Panic(t *testing.T) {
	tx := stub.NewWorld("AtlasMSP").Begin(stub.Call{})
	require.Panics(t, func() { _, _ = tx.GetState("\xff") })
	require.Panics(t, func() { _ = tx.PutState("\xff", nil) })
}

func TestPublishedIsAllThatEntersTheBlock(t *testing.T) {
	world := stub.NewWorld("AtlasMSP")
	put(t, world, "scanned", "1")
	tx := world.Begin(stub.Call{Args: []string{"f", "argument"}, Creator: []byte("creator"), Transient: map[string][]byte{"t": []byte("hidden transient")}})
	require.NoError(t, tx.PutState("key", []byte("value")))
	require.NoError(t, tx.PutPrivateData("_implicit_org_AtlasMSP", "hidden key", []byte("hidden value")))
	require.NoError(t, tx.SetEvent("event", []byte("payload")))
	require.Error(t, tx.SetEvent("", nil))
	require.Equal(t, "event", tx.Event().GetEventName())
	_, err := tx.GetState("read")
	require.NoError(t, err)
	iterator, err := tx.GetStateByRange("", "")
	drain(t, iterator, err)
	require.True(t, tx.Scanned())
	require.Equal(t, []string{"read"}, tx.Reads())
	published := map[string]bool{}
	for _, piece := range tx.Published(shim.Success([]byte("response"))) {
		require.NotContains(t, string(piece), "hidden")
		published[string(piece)] = true
	}
	for _, piece := range []string{"f", "argument", "creator", "key", "value", "event", "payload", "read", "scanned", "response", "_implicit_org_AtlasMSP"} {
		require.True(t, published[piece], piece)
	}
}

func TestTheProposalIsReadable(t *testing.T) {
	authority, err := stub.NewAuthority("AtlasMSP")
	require.NoError(t, err)
	identity, err := authority.Issue(stub.Request{Attributes: map[string]string{"callseal.role": "gateway"}})
	require.NoError(t, err)
	require.NoError(t, identity.Certificate.CheckSignatureFrom(authority.Certificate))
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	tx := stub.NewWorld().Begin(stub.Call{Args: []string{"f", "a", "b"}, Creator: identity.Creator(), Time: at, TxID: "id"})

	client, err := cid.New(tx)
	require.NoError(t, err)
	msp, err := client.GetMSPID()
	require.NoError(t, err)
	require.Equal(t, "AtlasMSP", msp)
	require.NoError(t, client.AssertAttributeValue("callseal.role", "gateway"))

	function, parameters := tx.GetFunctionAndParameters()
	require.Equal(t, "f", function)
	require.Equal(t, []string{"a", "b"}, parameters)
	require.Equal(t, [][]byte{[]byte("f"), []byte("a"), []byte("b")}, tx.GetArgs())
	joined, err := tx.GetArgsSlice()
	require.NoError(t, err)
	require.Equal(t, "fab", string(joined))
	require.Equal(t, "id", tx.GetTxID())
	require.Equal(t, "calls", tx.GetChannelID())
	stamp, err := tx.GetTxTimestamp()
	require.NoError(t, err)
	require.True(t, stamp.AsTime().Equal(at))
	binding, err := tx.GetBinding()
	require.NoError(t, err)
	require.Len(t, binding, 32)
	require.Nil(t, tx.GetDecorations())
	require.EqualValues(t, shim.ERROR, tx.InvokeChaincode("other", nil, "").GetStatus())
}

func TestValidationParametersAreKept(t *testing.T) {
	const collection = "_implicit_org_AtlasMSP"
	world := stub.NewWorld("AtlasMSP")
	tx := world.Begin(stub.Call{})
	require.NoError(t, tx.SetStateValidationParameter("a", []byte("p")))
	require.NoError(t, tx.SetPrivateDataValidationParameter(collection, "a", []byte("q")))
	require.Equal(t, valid, world.Commit(tx)[0])
	reader := world.Begin(stub.Call{})
	policy, err := reader.GetStateValidationParameter("a")
	require.NoError(t, err)
	require.Equal(t, "p", string(policy))
	policy, err = reader.GetPrivateDataValidationParameter(collection, "a")
	require.NoError(t, err)
	require.Equal(t, "q", string(policy))
}

func BenchmarkTransaction(b *testing.B) {
	world := stub.NewWorld("AtlasMSP")
	n := 0
	for b.Loop() {
		n++
		tx := world.Begin(stub.Call{})
		key := fmt.Sprintf("%08d", n)
		if _, err := tx.GetState(key); err != nil {
			b.Fatal(err)
		}
		if err := tx.PutState(key, []byte("value")); err != nil {
			b.Fatal(err)
		}
		if world.Commit(tx)[0] != valid {
			b.Fatal("not valid")
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tx/s")
}
