package adversary_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/anchor"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/gatewaytest"
	"github.com/callseal/callseal/gateway/journal"
	"github.com/callseal/callseal/gateway/seal"
)

// anchoredByAtlas anchors a segment in Atlas's name, step by step, and answers the
// transaction.
func (w *world) anchoredByAtlas(t *testing.T, segment *pb.SignedSegment) string {
	t.Helper()
	endorsed, err := w.channels[atlas].Endorse(within(t), fabric.Proposal{
		Function: "calls:Anchor", Args: []string{""}, Transient: anchoring(t, segment), EndorsedBy: []string{atlasMSP, "BorealisMSP"},
	})
	require.NoError(t, err)
	submitted, err := endorsed.Submit(within(t))
	require.NoError(t, err)
	commit, err := submitted.Wait(within(t))
	require.NoError(t, err)
	require.Equal(t, valid, commit.Validation)
	return commit.TransactionID
}

// testConcurrentAnchors has two gateways of one operator, each with a keyring of
// its own, anchor the same record.
func testConcurrentAnchors(t *testing.T, w *world) {
	t.Run("both endorsed before either is ordered", func(t *testing.T) {
		segment := w.atlas.Reborn(t).Segment(t, gatewaytest.Calls(t, 1))
		what := fabric.Proposal{Function: "calls:Anchor", Args: []string{""}, Transient: anchoring(t, segment), EndorsedBy: []string{atlasMSP, "BorealisMSP"}}
		first, second := w.channel(t, atlas, "gateway"), w.channel(t, atlas, "gateway")
		one, err := first.Endorse(within(t), what)
		require.NoError(t, err)
		other, err := second.Endorse(within(t), what)
		require.NoError(t, err)
		var codes []string
		for _, endorsed := range []*fabric.Endorsed{one, other} {
			submitted, err := endorsed.Submit(within(t))
			require.NoError(t, err)
			_, _ = submitted.Wait(within(t))
			codes = append(codes, w.judged(t, endorsed.ID()).String())
		}
		require.ElementsMatch(t, []string{valid, mvccConflict}, codes)
		again, err := second.Endorse(within(t), what)
		require.NoError(t, err)
		require.Equal(t, ledger.OutcomeAlready, decode[ledger.AnchorResult](t, again.Result()).Segments[0].Outcome, "the loser is told when it asks again")
		key := signed(t, segment).Records[0].Key()
		require.Equal(t, []string{one.ID()}, w.witnesses[borealis].Writers(key), "the record was written once")
	})
	t.Run("two whole gateways at once", func(t *testing.T) {
		message := w.atlas.Reborn(t).Segment(t, gatewaytest.Calls(t, 3))
		receipts := make([]*anchor.Receipt, 2)
		var group sync.WaitGroup
		for i := range receipts {
			keyring, err := seal.Open(filepath.Join(t.TempDir(), "keyring"))
			require.NoError(t, err)
			t.Cleanup(func() { _ = keyring.Close() })
			submission, err := anchor.NewSubmission(message.GetSegmentJson(), message.GetSignature(), message.GetRecordsJson(), message.GetDetailsJson())
			require.NoError(t, err)
			book, err := journal.Open(filepath.Join(t.TempDir(), "journal"), journal.Config{}, slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, book.Close()) })
			pipeline, err := anchor.New(anchor.Parts{
				Channel: w.channel(t, atlas, "gateway"), Journal: book, Keyring: keyring, Log: slog.New(slog.DiscardHandler),
			}, anchor.DefaultConfig())
			require.NoError(t, err)
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- pipeline.Run(ctx) }()
			t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
			group.Go(func() {
				for { // until it runs
					var err error
					if receipts[i], err = pipeline.Anchor(within(t), submission); err == nil || !fault.Of(err).Retryable() {
						require.NoError(t, err)
						return
					}
				}
			})
		}
		group.Wait()
		require.ElementsMatch(t, []ledger.Outcome{ledger.OutcomeAnchored, ledger.OutcomeAlready}, []ledger.Outcome{receipts[0].Outcome, receipts[1].Outcome})
		require.Equal(t, receipts[0].Commit.TransactionID, receipts[1].Commit.TransactionID, "both are told of the one transaction")
		for _, record := range signed(t, message).Records {
			require.Len(t, w.witnesses[borealis].Writers(record.Key()), 1)
		}
	})
}
