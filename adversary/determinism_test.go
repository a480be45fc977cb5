package adversary_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/callseal/callseal/adversary"
	"github.com/callseal/callseal/chaincode/ledger"
)

// repetitions is how often each function runs on each peer.
const repetitions = 10

// systemContract is contract-api's own, which every chaincode has.
const systemContract = "org.hyperledger.fabric"

// testDeterminism sends each call of a story as one signed proposal, and so with
// one transaction id and one time, to all three operators' peers, many times: what
// they sign must be the same byte for byte, or endorsements would not match. Then
// the call takes effect, and the story goes on. Every function of both chaincodes
// has to be in the story.
func testDeterminism(t *testing.T, w *world) {
	untold := map[bool][]string{false: w.functions(t, w.Consortium().Chaincode), true: w.functions(t, ledger.GovernanceChaincode)}
	for _, one := range append(w.story(t),
		act{function: systemContract + ":GetMetadata", by: "Atlas auditor", args: texts()},
		act{function: systemContract + ":GetMetadata", by: "Atlas auditor", args: texts(), governance: true},
	) {
		untold[one.governance] = slices.DeleteFunc(untold[one.governance], func(function string) bool { return function == one.function })
		if !t.Run(one.function, func(t *testing.T) { w.perform(t, one, repetitions) }) {
			return // what follows builds on it
		}
	}
	require.Empty(t, untold[false], "the story lacks functions of the calls' chaincode")
	require.Empty(t, untold[true], "the story lacks functions of the governance chaincode")
}

// functions lists a chaincode's functions from its own metadata.
func (w *world) functions(t *testing.T, chaincode string) []string {
	t.Helper()
	answer, err := w.channels[atlas].In(chaincode).Evaluate(within(t), systemContract+":GetMetadata")
	require.NoError(t, err)
	var metadata struct {
		Contracts map[string]struct {
			Transactions []struct {
				Name string `json:"name"`
			} `json:"transactions"`
		} `json:"contracts"`
	}
	require.NoError(t, json.Unmarshal(answer, &metadata))
	var functions []string
	for contract, described := range metadata.Contracts {
		for _, transaction := range described.Transactions {
			functions = append(functions, contract+":"+transaction.Name)
		}
	}
	require.NotEmpty(t, functions)
	return functions
}

// level waits until all operators' peers have the same blocks.
func (w *world) level(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		heights := map[uint64]bool{}
		for _, channel := range w.channels {
			height, err := channel.Height(context.Background())
			if err != nil {
				return false
			}
			heights[height] = true
		}
		return len(heights) == 1
	}, patience, 5*time.Millisecond)
}

// perform compares what the peers sign for an act, each asked so many times, and
// commits it if it writes.
func (w *world) perform(t *testing.T, one act, times int) {
	t.Helper()
	w.level(t)
	chaincode := w.Consortium().Chaincode
	if one.governance {
		chaincode = ledger.GovernanceChaincode
	}
	operator, identity, _ := strings.Cut(one.by, " ")
	who := w.party(t, operator, identity)
	invocation := adversary.Invocation{Channel: w.Consortium().Channel, Chaincode: chaincode, Args: append([]string{one.function}, one.args(t)...)}
	if one.transient != nil {
		invocation.Transient = one.transient(t)
	}
	proposal, err := adversary.Propose(who, invocation)
	require.NoError(t, err)
	peers := []string{atlas, borealis, corvus}
	if one.private {
		peers = []string{operator}
	}
	var signed []byte
	var endorsements []*peer.Endorsement
	for i := range times {
		for _, name := range peers {
			response := w.endorsed(t, name, proposal)
			if signed == nil {
				signed = response.GetPayload()
			}
			// Reads, writes, the answer and the event.
			require.Equal(t, string(signed), string(response.GetPayload()), "%s's peer, time %d", name, i+1)
			if i == 0 {
				endorsements = append(endorsements, response.GetEndorsement())
			}
		}
	}
	if !writes(t, signed) {
		return
	}
	envelope, err := proposal.Envelope(who, signed, endorsements...)
	require.NoError(t, err)
	w.orderEnvelope(t, envelope)
	require.Equal(t, valid, w.judged(t, proposal.ID).String())
}

// writes says whether a response changes anything, public or private.
func writes(t *testing.T, response []byte) bool {
	t.Helper()
	found := false
	_, err := adversary.Alter(response, func(results *rwset.TxReadWriteSet) error {
		for _, namespace := range results.GetNsRwset() {
			set := &kvrwset.KVRWSet{}
			if err := proto.Unmarshal(namespace.GetRwset(), set); err != nil {
				return err
			}
			found = found || len(set.GetWrites()) > 0
			for _, collection := range namespace.GetCollectionHashedRwset() {
				hashed := &kvrwset.HashedRWSet{}
				if err := proto.Unmarshal(collection.GetHashedRwset(), hashed); err != nil {
					return err
				}
				found = found || len(hashed.GetHashedWrites()) > 0
			}
		}
		return nil
	})
	require.NoError(t, err)
	return found
}
