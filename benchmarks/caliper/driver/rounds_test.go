package driver

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/caliper/workspace"
)

func TestTheRoundsHaveEveryWorkload(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, workspace.Write(folder))
	modules, err := fs.Glob(os.DirFS(folder), "workload/*.js")
	require.NoError(t, err)
	for name, text := range map[string][]byte{"rounds.yaml": workspace.Rounds, "quick.yaml": workspace.Quick} {
		rounds, err := ParseRounds(text)
		require.NoError(t, err, name)
		for _, module := range modules {
			if filepath.Base(module) != "workload.js" {
				require.Contains(t, string(text), "./"+module, name)
			}
		}
		kinds := map[string]bool{}
		for _, one := range rounds.Test.Rounds {
			kinds[one.name()] = true
			if strings.Contains(one.Label, "/rate=") {
				require.Positive(t, one.parameters()["offered"], one.Label)
			} else {
				require.Positive(t, one.parameters()["underway"], one.Label)
			}
		}
		require.Len(t, kinds, 8, name)
	}
	rounds, err := ParseRounds(workspace.Rounds)
	require.NoError(t, err)
	require.Equal(t, "anchor-1 at 20 transactions/s", rounds.Test.Rounds[0].Title())
	require.Equal(t, map[string]float64{"offered": 20, "records": 1}, rounds.Test.Rounds[0].parameters())
	require.Equal(t, "reputation-hot, 4 transactions under way", rounds.Test.Rounds[len(rounds.Test.Rounds)-1].Title())
}

func TestBenchmarkFilesThatCannotBeMeasuredBy(t *testing.T) {
	for problem, text := range map[string]string{
		"bad benchmark file":                             "\t",
		"it needs test.workers.number and test.rounds":   "test: { workers: { number: 2 } }",
		"round 2 needs a label of its own":               "test: { workers: { number: 1 }, rounds: [{ label: a, txDuration: 1 }, { label: a, txDuration: 1 }] }",
		"the round a needs a txDuration":                 "test: { workers: { number: 1 }, rounds: [{ label: a, txNumber: 10 }] }",
		"bad benchmark file: it needs test.workers.numb": "test: { rounds: [{ label: a, txDuration: 1 }] }",
	} {
		_, err := ParseRounds([]byte(text))
		require.ErrorIs(t, err, ErrRounds)
		require.ErrorContains(t, err, problem)
	}
}
