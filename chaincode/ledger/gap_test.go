package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

func TestEveryKindOfFindingHasWords(t *testing.T) {
	alarms := 0
	for _, kind := range []string{
		ledger.FindingMissing, ledger.FindingOverlapping, ledger.FindingForked, ledger.FindingBroken, ledger.FindingLostEpoch, ledger.FindingLostJournal,
		ledger.FindingUnclosed, ledger.FindingTwoHistories, ledger.FindingRefused, ledger.FindingQuiet, ledger.FindingReused,
		ledger.FindingHole, ledger.FindingLate, ledger.FindingLateByAdmin, ledger.FindingClockBack,
	} {
		gaps := &ledger.Gaps{}
		gaps.Report(ledger.Finding{Kind: kind, First: 1, Last: 2, Count: 2, Since: ledger.TimeOf(noon)})
		require.NotEqual(t, kind, gaps.Findings[0].Sentence())
		require.NotContains(t, gaps.Findings[0].Sentence(), "\n")
		alarms += gaps.Alarms()
		gaps.Findings[0].Until = ledger.TimeOf(noon.Add(time.Hour))
		require.NotEqual(t, kind, gaps.Findings[0].Sentence())
	}
	require.Equal(t, 11, alarms)
	require.Equal(t, "unknown", (&ledger.Finding{Kind: "unknown"}).Sentence())
}

func TestTheWholeIsJudgedOnce(t *testing.T) {
	at := func(d time.Duration) ledger.Time { return ledger.TimeOf(noon.Add(d)) }
	page := func(boot ledger.BootRange, signer string) *ledger.Gaps {
		return &ledger.Gaps{Epochs: []ledger.EpochSummary{{
			Boots: []ledger.BootRange{boot}, Count: 1, Epoch: 1, FirstSeq: 1, LastSeq: 1, Segments: 1, Signers: []ledger.SignerRun{{From: 1, Signer: signer}},
		}}}
	}
	// A start whose numbers are told over two pages, and a signer that comes back.
	whole := page(ledger.BootRange{Boot: 1, Count: 2, Highest: 3, Latest: at(0), Lowest: 2}, "a")
	whole.Add(page(ledger.BootRange{Boot: 1, Count: 1, Highest: 5, Latest: at(time.Second), Lowest: 5}, "b"))
	whole.Add(page(ledger.BootRange{Boot: noon.UnixMilli() + 500, Count: 1, Highest: 0, Latest: at(2 * time.Second), Lowest: 0}, "a"))
	whole.Conclude()
	require.True(t, whole.Complete)
	require.Len(t, whole.Epochs, 1)
	require.EqualValues(t, 3, whole.Epochs[0].Count)
	var kinds []string
	for _, finding := range whole.Findings {
		kinds = append(kinds, finding.Kind)
	}
	require.Equal(t, []string{ledger.FindingHole, ledger.FindingTwoHistories, ledger.FindingTwoHistories}, kinds)
	require.EqualValues(t, 1, whole.Findings[0].Count)
	whole.Conclude()
	require.Len(t, whole.Findings, 3, "twice is once")
}

func TestReconciliationPolicyIsBounded(t *testing.T) {
	standard, err := ledger.DefaultPolicy(ledger.PolicyReconciliation)
	require.NoError(t, err)
	require.NoError(t, standard.Policy.Check())
	for name, change := range map[string]func(*ledger.ReconciliationPolicy){
		"a negative tolerance":    func(p *ledger.ReconciliationPolicy) { p.DurationMS = -1 },
		"a negative start":        func(p *ledger.ReconciliationPolicy) { p.StartMS = -1 },
		"more than an hour":       func(p *ledger.ReconciliationPolicy) { p.StartMS = 3600*1000 + 1 },
		"an hour of billing":      func(p *ledger.ReconciliationPolicy) { p.DurationMS = 3600*1000 + 1 },
		"never late":              func(p *ledger.ReconciliationPolicy) { p.LateMS = ledger.MaxInteger },
		"late before it happened": func(p *ledger.ReconciliationPolicy) { p.LateMS = -1 },
	} {
		policy := *standard.Policy.Reconciliation
		change(&policy)
		changed := ledger.Policy{Reconciliation: &policy, V: ledger.SchemaVersion}
		require.Error(t, changed.Check(), name)
		requireCode(t, ledger.CodeInvalid, changed.Check())
	}
}
