package adversary_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/adversary"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/gateway/gatewaytest"
)

// worst is all that an operator can claim at once against a subject.
var worst = ledger.EvidenceItem{Attempts: 1_000_000, Count: 1_000_000, Kind: ledger.EvidenceAuthFailure}

// recordedBy has an operator's gateway record opinions, which honest peers endorse.
func (w *world) recordedBy(t *testing.T, operator string, opinions ...*ledger.Opinion) {
	t.Helper()
	w.perform(t, act{function: "reputation:Record", by: operator + " gateway", args: value(opinions)}, 1)
}

// reputationAt is a subject's merged reputation at an operator's peer.
func (w *world) reputationAt(t *testing.T, operator, subject string) *ledger.Reputation {
	t.Helper()
	answer, err := w.channels[operator].Evaluate(within(t), "reputation:Get", "1", subject)
	require.NoError(t, err)
	return decode[ledger.Reputation](t, answer)
}

func testLowerSubject(t *testing.T, w *world) {
	threshold := int64(reputation.Unknown)
	for _, kind := range []string{"tel", "aor", "ip"} {
		t.Run("a subject of kind "+kind+" that Atlas thinks well of", func(t *testing.T) {
			subject := kind + ":" + gatewaytest.Random(t, 32)
			w.recordedBy(t, atlas, opinion(t, atlasMSP, subject, nil, ledger.EvidenceItem{Count: 1, Kind: ledger.EvidenceLongCall}))
			// Every writer that an operator may have says the worst.
			var claims []*ledger.Opinion
			for writer := range int64(ledger.MaxWriters) {
				claim := opinion(t, corvusMSP, subject, nil, worst)
				claim.Writer = writer + 1
				claims = append(claims, claim)
			}
			w.recordedBy(t, corvus, claims...)
			for _, name := range honest {
				stands := w.reputationAt(t, name, subject)
				require.Equal(t, reputation.StandingContested, stands.Standing)
				require.Equal(t, threshold, stands.Score, "not a thousandth below the threshold")
				require.False(t, stands.Standing.Blocks())
				require.Equal(t, []string{corvusMSP}, stands.Alone, "it is told whose word it is")
			}
		})
	}
	t.Run("a number that nobody else knows", func(t *testing.T) {
		subject := "tel:" + gatewaytest.Random(t, 32)
		w.recordedBy(t, corvus, opinion(t, corvusMSP, subject, nil, worst))
		for _, name := range honest {
			stands := w.reputationAt(t, name, subject)
			require.Equal(t, reputation.StandingReported, stands.Standing)
			require.False(t, stands.Standing.Blocks(), "no other operator has to block it")
		}
	})
	t.Run("an address that nobody else knows, for an hour at most", func(t *testing.T) {
		subject := "ip:" + gatewaytest.Random(t, 32)
		w.recordedBy(t, corvus, opinion(t, corvusMSP, subject, nil, worst))
		for _, name := range honest {
			stands := w.reputationAt(t, name, subject)
			require.Equal(t, reputation.StandingProvisional, stands.Standing)
			require.LessOrEqual(t, time.Until(stands.Until.Std()), time.Hour)
		}
		w.recordedBy(t, atlas, opinion(t, atlasMSP, subject, nil, ledger.EvidenceItem{Count: 1, Kind: ledger.EvidenceAuthSuccess}))
		for _, name := range honest {
			require.False(t, w.reputationAt(t, name, subject).Standing.Blocks(), "void as soon as another holds fresh positive evidence")
		}
	})
	t.Run("in another's name, and with sums of its own", func(t *testing.T) { w.forgeOpinions(t) })
}

// forgeOpinions tries what the contract, or the endorsement policy, refuses.
func (w *world) forgeOpinions(t *testing.T) {
	subject := "tel:" + gatewaytest.Random(t, 32)
	held := opinion(t, atlasMSP, subject, nil, ledger.EvidenceItem{Count: 1, Kind: ledger.EvidenceLongCall})
	w.recordedBy(t, atlas, held)
	key := ledger.OpinionKey(1, subject, atlasMSP, 1)
	require.Contains(t, w.witnesses[borealis].State(), key)
	w.unharmed(t, func() {
		inItsName := opinion(t, atlasMSP, subject, held, worst)
		inflated := opinion(t, corvusMSP, subject, nil, ledger.EvidenceItem{Attempts: 1, Count: 1, Kind: ledger.EvidenceAuthFailure})
		inflated.Totals.Beta *= 1_000
		old := opinion(t, corvusMSP, subject, nil, worst)
		old.At = ledger.TimeOf(time.Now().AddDate(0, -1, 0))
		for name, forged := range map[string]struct {
			opinion *ledger.Opinion
			code    ledger.Code
		}{
			"as Atlas": {inItsName, ledger.CodeDenied}, "wrong sums": {inflated, ledger.CodeInvalid}, "backdated": {old, ledger.CodeInvalid},
		} {
			t.Run(name, func(t *testing.T) {
				proposal := w.propose(t, nil, "reputation:Record", value([]*ledger.Opinion{forged.opinion})(t)[0])
				for _, peer := range honest {
					w.refused(t, peer, proposal, forged.code)
				}
			})
		}
		for _, step := range []adversary.Step{
			{Act: adversary.Put, Key: key, Value: gatewaytest.JSON(t, inItsName)}, {Act: adversary.Delete, Key: key},
		} {
			require.Equal(t, notEndorsed, w.plottedAlone(t, adversary.Plot{Steps: []adversary.Step{step}}))
		}
	})
	// What it says came before is its own word, because nothing is read. Readers of
	// the ledger see that the chain is broken, and it is of no use either.
	first := opinion(t, corvusMSP, subject, nil, ledger.EvidenceItem{Attempts: 1, Count: 1, Kind: ledger.EvidenceAuthFailure})
	w.recordedBy(t, corvus, first)
	invented := *first
	invented.Totals.Beta = reputation.MaxEvidence
	second := opinion(t, corvusMSP, subject, &invented, worst)
	w.recordedBy(t, corvus, second)
	require.Error(t, ledger.CheckChain(first, second))
	for _, name := range honest {
		stands := w.reputationAt(t, name, subject)
		require.Equal(t, reputation.StandingContested, stands.Standing)
		require.Equal(t, int64(reputation.Unknown), stands.Score)
	}
}
