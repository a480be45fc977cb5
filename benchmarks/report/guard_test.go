package report

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// scaled multiplies all figures of a measurement.
func scaleBy(t *testing.T, results Results, group, name string, by float64) {
	t.Helper()
	one, err := results.Find(group, name)
	require.NoError(t, err)
	for i := range one.Values {
		one.Values[i] *= by
	}
	for i := range one.Latencies {
		one.Latencies[i].P50 *= by
		one.Latencies[i].Mean *= by
		for n := range one.Latencies[i].Points {
			one.Latencies[i].Points[n][0] *= by
		}
	}
}

func TestGuard(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(Results)
		lost  []string
	}{
		"the same": {spoil: func(Results) {}},
		"a slower machine altogether": {spoil: func(r Results) {
			scaleBy(t, r, "callseal-bft", "commit/lone", 2)
			scaleBy(t, r, "anvil-250ms", "latency/open", 2)
			scaleBy(t, r, "callseal-raft", "commit/lone", 2)
			scaleBy(t, r, "callseal-bft", "commit/rate=200", 2)
		}},
		"a lone commit a fifth slower":      {spoil: func(r Results) { scaleBy(t, r, "callseal-bft", "commit/lone", 1.2) }},
		"a lone commit half as slow again":  {spoil: func(r Results) { scaleBy(t, r, "callseal-bft", "commit/lone", 1.5) }, lost: []string{"lone-to-anvil", "raft-to-bft"}},
		"throughput down by a third":        {spoil: func(r Results) { scaleBy(t, r, "callseal-bft", "throughput/saturation/details", 0.66) }, lost: []string{"details-to-fabric", "details-to-tessera", "details-to-none"}},
		"a gateway that takes a third more": {spoil: func(r Results) { scaleBy(t, r, "callseal-bft", "cpu/gateway/rate=200", 1.33) }, lost: []string{"gateway-share"}},
		"twice as good":                     {spoil: func(r Results) { scaleBy(t, r, "callseal-bft", "cpu/gateway/saturation/details", 0.5) }},
		"not measured any more":             {spoil: func(r Results) { delete(r, "fabric-stock") }, lost: []string{"details-to-fabric"}},
	} {
		t.Run(name, func(t *testing.T) {
			fresh := sample(t)
			test.spoil(fresh)
			all, err := Guard(fresh, sample(t))
			var lost []string
			for _, g := range all {
				if g.Lost() {
					lost = append(lost, g.ID)
				}
			}
			require.Equal(t, test.lost, lost)
			if len(lost) == 0 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrLoss)
			}
			require.Contains(t, GuardTable(all), "gateway's share of the network's processor time")
		})
	}
}

func TestGuardOfNothing(t *testing.T) {
	all := sample(t)
	fresh := Results{"gas": all["gas"]}
	_, err := Guard(fresh, fresh)
	require.ErrorIs(t, err, ErrNotMeasured)
	old := sample(t)
	delete(old, "fabric-stock")
	lines, err := Guard(all, old)
	require.NoError(t, err, "a ratio that is new is nothing to fail for")
	require.Contains(t, GuardTable(lines), "new, nothing to compare with")
}

// TestGuardInFigures reads what programs are told of a loss, a gain and what is missing.
func TestGuardInFigures(t *testing.T) {
	stored, fresh := sample(t), sample(t)
	scaleBy(t, fresh, "callseal-bft", "throughput/saturation/details", 0.5)
	scaleBy(t, fresh, "callseal-raft", "commit/lone", 1.1)
	delete(fresh, "fabric-stock")
	delete(stored, "tessera-tuned")
	all, err := Guard(fresh, stored)
	require.ErrorIs(t, err, ErrLoss)
	text, err := GuardJSON(all)
	require.NoError(t, err)
	var lines []guardLine
	require.NoError(t, json.Unmarshal(text, &lines))
	require.Len(t, lines, len(guarded))
	of := map[string]guardLine{}
	for _, one := range lines {
		of[one.ID] = one
	}
	halved := of["details-to-none"]
	require.True(t, halved.Lost)
	require.Equal(t, "more", halved.Better)
	require.InEpsilon(t, 0.5, *halved.Loss, 1e-6)
	require.InEpsilon(t, 0.5**halved.Stored, *halved.Now, 1e-6)
	require.False(t, of["raft-to-bft"].Lost)
	require.Negative(t, *of["raft-to-bft"].Loss)
	gone, fresher := of["details-to-fabric"], of["details-to-tessera"]
	require.True(t, gone.Lost)
	require.Nil(t, gone.Now)
	require.Nil(t, gone.Loss)
	require.False(t, fresher.Lost)
	require.Nil(t, fresher.Stored)

	table := GuardTable(all)
	width := 0
	for line := range strings.Lines(table) {
		if width == 0 {
			width = utf8.RuneCountInString(line)
		}
		require.Equal(t, width, utf8.RuneCountInString(strings.TrimSuffix(line, "\n"))+1, "the columns are aligned: %s", line)
	}
	require.Regexp(t, `over that without +\| +[0-9.]+ \| +[0-9.]+ \| +50 % \| WORSE`, table)
	require.Regexp(t, `Raft over BFT +\| +[0-9.]+ \| +[0-9.]+ \| none \| good`, table)
}
