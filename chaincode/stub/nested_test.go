package stub_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/stub"
)

// script is a chaincode that does what a test says.
type script func(shim.ChaincodeStubInterface) *peer.Response

func (s script) Init(shim.ChaincodeStubInterface) *peer.Response      { return shim.Success(nil) }
func (s script) Invoke(on shim.ChaincodeStubInterface) *peer.Response { return s(on) }

// register answers the value of a key and, where it is given one, puts it.
var register = script(func(on shim.ChaincodeStubInterface) *peer.Response {
	function, args := on.GetFunctionAndParameters()
	value, err := on.GetState(args[0])
	if err == nil && function == "put" {
		err = on.PutState(args[0], []byte(args[1]))
	}
	if err != nil {
		return shim.Error(err.Error())
	}
	return shim.Success(value)
})

// call is a chaincode that calls another with its own arguments.
func call(name string) script {
	return func(on shim.ChaincodeStubInterface) *peer.Response { return on.InvokeChaincode(name, on.GetArgs(), "") }
}

func TestWhatACalledChaincodeReadsIsValidated(t *testing.T) {
	world := stub.NewWorld()
	rules := world.Deploy("rules", register)
	put(t, rules, "a", "1")

	response, first := world.Invoke(call("rules"), stub.Call{Args: []string{"get", "a"}})
	require.Equal(t, "1", string(response.GetPayload()))
	require.Empty(t, first.Reads(), "the caller read nothing itself")
	require.Equal(t, []string{"a"}, first.In("rules").Reads())
	require.Nil(t, first.In("others"))
	_, second := world.Invoke(call("rules"), stub.Call{Args: []string{"get", "a"}})
	require.Equal(t, valid, world.Commit(first)[0])
	put(t, rules, "a", "2")
	require.Equal(t, conflict, world.Commit(second)[0], "it was endorsed under rules that are replaced")
	require.Nil(t, world.Get("a"), "the states are apart")

	// A key of the same name elsewhere has nothing to do with it.
	_, third := world.Invoke(call("rules"), stub.Call{Args: []string{"get", "a"}})
	put(t, world, "a", "of the caller")
	require.Equal(t, valid, world.Commit(third)[0])
}

func TestWhatACalledChaincodeScansIsValidated(t *testing.T) {
	world := stub.NewWorld()
	rules := world.Deploy("rules", script(func(on shim.ChaincodeStubInterface) *peer.Response {
		iterator, err := on.GetStateByRange("", "")
		return shim.Success([]byte(drain(t, iterator, err)[0]))
	}))
	put(t, rules, "a", "1")
	_, tx := world.Invoke(call("rules"), stub.Call{})
	require.True(t, tx.Scanned())
	put(t, rules, "b", "1")
	require.Equal(t, phantom, world.Commit(tx)[0])
}

func TestWhatACalledChaincodeWritesIsAppliedWithItsCallers(t *testing.T) {
	world := stub.NewWorld("AtlasMSP")
	rules := world.Deploy("rules", register)
	both := script(func(on shim.ChaincodeStubInterface) *peer.Response {
		if _, err := on.GetState("mine"); err != nil {
			return shim.Error(err.Error())
		}
		if err := on.PutState("mine", []byte("1")); err != nil {
			return shim.Error(err.Error())
		}
		return on.InvokeChaincode("rules", [][]byte{[]byte("put"), []byte("theirs"), []byte("2")}, "")
	})
	response, tx := world.Invoke(both, stub.Call{})
	require.EqualValues(t, shim.OK, response.GetStatus(), response.GetMessage())
	require.Equal(t, []stub.Write{{Key: "mine", Value: []byte("1")}, {Chaincode: "rules", Key: "theirs", Value: []byte("2")}}, tx.Writes())
	require.Nil(t, rules.Get("theirs"), "nothing before the commit")
	_, late := world.Invoke(both, stub.Call{})

	require.Equal(t, []peer.TxValidationCode{valid, conflict}, world.Commit(tx, late))
	require.Equal(t, "1", string(world.Get("mine")))
	require.Equal(t, "2", string(rules.Get("theirs")))
	require.Equal(t, world.Height(), rules.Height(), "they share the channel's blocks")

	// Refused in one, it writes in neither.
	_, refused := world.Invoke(both, stub.Call{})
	put(t, rules, "theirs", "3")
	require.Equal(t, conflict, world.Commit(refused)[0])
	require.Equal(t, "3", string(rules.Get("theirs")))

	// A transaction id counts for the channel, not for a chaincode.
	again := rules.Begin(stub.Call{TxID: tx.GetTxID()})
	require.Equal(t, peer.TxValidationCode_DUPLICATE_TXID, rules.Commit(again)[0])
	// Implicit collections are each chaincode's own.
	require.NoError(t, again.PutPrivateData("_implicit_org_AtlasMSP", "k", []byte("v")))
}

func TestACalledChaincodeDoesNotSeeWhatTheTransactionWrote(t *testing.T) {
	world := stub.NewWorld()
	world.Deploy("rules", register)
	twice := script(func(on shim.ChaincodeStubInterface) *peer.Response {
		on.InvokeChaincode("rules", [][]byte{[]byte("put"), []byte("a"), []byte("1")}, "")
		return on.InvokeChaincode("rules", [][]byte{[]byte("get"), []byte("a")}, "")
	})
	response, tx := world.Invoke(twice, stub.Call{})
	require.Empty(t, response.GetPayload())
	require.Len(t, tx.Writes(), 1)
	require.Equal(t, valid, world.Commit(tx)[0])
}

func TestAChaincodeCannotCallItself(t *testing.T) {
	world := stub.NewWorld()
	world.Deploy("rules", call("callseal"))
	for name, caller := range map[string]script{"directly": call("callseal"), "through another": call("rules")} {
		response, tx := world.Invoke(caller, stub.Call{TxID: "the-transaction", Args: []string{"get", "a"}})
		require.EqualValues(t, shim.ERROR, response.GetStatus(), name)
		require.Contains(t, response.GetMessage(), "txid: the-transaction(calls) exists", name)
		require.Empty(t, tx.Writes())
	}
	response, _ := world.Invoke(call("nobody"), stub.Call{})
	require.Contains(t, response.GetMessage(), "could not get chaincode nobody")
	response, _ = world.Invoke(script(func(on shim.ChaincodeStubInterface) *peer.Response {
		return on.InvokeChaincode("rules", nil, "elsewhere")
	}), stub.Call{})
	require.Contains(t, response.GetMessage(), "not modelled")
}

func TestACalledChaincodeHasTheSameCallerAndItsOwnArguments(t *testing.T) {
	world := stub.NewWorld()
	var seen shim.ChaincodeStubInterface
	world.Deploy("rules", script(func(on shim.ChaincodeStubInterface) *peer.Response {
		seen = on
		require.NoError(t, on.SetEvent("lost", nil))
		return shim.Success(nil)
	}))
	_, tx := world.Invoke(script(func(on shim.ChaincodeStubInterface) *peer.Response {
		return on.InvokeChaincode("rules", [][]byte{[]byte("f"), []byte("x")}, "calls")
	}), stub.Call{Creator: []byte("someone"), Args: []string{"outer"}, Transient: map[string][]byte{"t": []byte("secret")}})
	creator, err := seen.GetCreator()
	require.NoError(t, err)
	require.Equal(t, "someone", string(creator))
	require.Equal(t, tx.GetTxID(), seen.GetTxID())
	require.Equal(t, []string{"f", "x"}, seen.GetStringArgs())
	require.Equal(t, []string{"outer"}, tx.GetStringArgs())
	transient, err := seen.GetTransient()
	require.NoError(t, err)
	require.Equal(t, "secret", string(transient["t"]))
	require.Nil(t, tx.Event(), "only the outermost chaincode's event is in the block")
}

func TestRulesOnQueriesHoldForTheWholeTransaction(t *testing.T) {
	world := stub.NewWorld()
	world.Deploy("rules", register)
	response, tx := world.Invoke(script(func(on shim.ChaincodeStubInterface) *peer.Response {
		_, _, err := on.GetStateByRangeWithPagination("", "", 10, "")
		require.NoError(t, err)
		return on.InvokeChaincode("rules", [][]byte{[]byte("put"), []byte("a"), []byte("1")}, "")
	}), stub.Call{})
	require.Contains(t, response.GetMessage(), "writes are not allowed")
	require.Empty(t, tx.Writes())
}

func TestPublishedHoldsWhatACalledChaincodeReadAndWrote(t *testing.T) {
	world := stub.NewWorld()
	world.Deploy("rules", register)
	response, tx := world.Invoke(script(func(on shim.ChaincodeStubInterface) *peer.Response {
		on.InvokeChaincode("rules", [][]byte{[]byte("put"), []byte("the-key"), []byte("the-value")}, "")
		on.InvokeChaincode("rules", [][]byte{[]byte("get"), []byte("another-key"), []byte("the-argument")}, "")
		return shim.Success(nil)
	}), stub.Call{})
	published := bytes.Join(tx.Published(response), []byte("\n"))
	for _, piece := range []string{"rules", "the-key", "the-value", "another-key"} {
		require.Contains(t, string(published), piece)
	}
	require.NotContains(t, string(published), "the-argument", "arguments between chaincodes stay on the peer")
}

func TestAnUpgradedChaincodeKeepsItsState(t *testing.T) {
	world := stub.NewWorld()
	rules := world.Deploy("rules", register)
	put(t, rules, "a", "1")
	same := world.Deploy("rules", script(func(on shim.ChaincodeStubInterface) *peer.Response {
		value, err := on.GetState("a")
		require.NoError(t, err)
		return shim.Success(append([]byte("new "), value...))
	}))
	require.Same(t, rules, same)
	response, _ := world.Invoke(call("rules"), stub.Call{})
	require.Equal(t, "new 1", string(response.GetPayload()))
}

// TestChaincodesOfOneChannelDoNotBlockOneAnother has two chaincodes call each other
// and commit at the same time.
func TestChaincodesOfOneChannelDoNotBlockOneAnother(t *testing.T) {
	world := stub.NewWorld()
	left, right := world.Deploy("left", register), world.Deploy("right", register)
	var working sync.WaitGroup
	for range 4 {
		for from, to := range map[*stub.World]string{left: "right", right: "left"} {
			working.Go(func() {
				for range 200 {
					_, tx := from.Invoke(script(func(on shim.ChaincodeStubInterface) *peer.Response {
						if err := on.PutState("mine", []byte(on.GetTxID())); err != nil {
							return shim.Error(err.Error())
						}
						return on.InvokeChaincode(to, [][]byte{[]byte("put"), []byte("theirs"), []byte(on.GetTxID())}, "")
					}), stub.Call{})
					from.Commit(tx)
				}
			})
		}
	}
	working.Wait()
	require.EqualValues(t, 1600, world.Height())
	require.NotEmpty(t, left.Get("theirs"))
	require.NotEmpty(t, right.Get("theirs"))
}
