package reputation_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/reputation"
)

const hour = day / 24

// rules are the default policy's.
var rules = reputation.Rules{
	HalfLife: halfLife, Threshold: reputation.Unknown, BanFailures: 5, BanAttempts: 3, Fresh: day, Provisional: hour,
}

// holds is an operator's opinion, as of noon: so many whole events.
func holds(operator string, positive, negative int64) reputation.Opinion {
	opinion := reputation.Opinion{Operator: operator, Weight: 1000, Totals: reputation.Totals{At: noon}.Plus(reputation.Evidence{
		Alpha: positive * reputation.One, Beta: negative * reputation.One, Failures: negative * reputation.One, Attempts: negative * reputation.One,
	}, noon, halfLife)}
	return opinion
}

func TestMerge(t *testing.T) {
	stale := func(o reputation.Opinion) reputation.Opinion { o.Totals.NewestPositive -= 2 * day; return o }
	weigh := func(o reputation.Opinion, weight int64) reputation.Opinion { o.Weight = weight; return o }
	pardoned := func(o reputation.Opinion) reputation.Opinion { o.Pardoned = true; return o }
	fewAttempts := func(o reputation.Opinion) reputation.Opinion { o.Totals.Attempts = 2 * reputation.One; return o }
	type opinions = []reputation.Opinion
	for name, c := range map[string]struct {
		opinions opinions
		address  bool
		at       int64
		want     reputation.Verdict
	}{
		"nobody knows it":             {nil, true, noon, reputation.Verdict{Score: 5000, Standing: "unknown"}},
		"one positive":                {opinions{holds("A", 1, 0)}, false, noon, reputation.Verdict{Score: 6000, Standing: "good"}},
		"one negative":                {opinions{holds("A", 0, 1)}, false, noon, reputation.Verdict{Score: 4000, Standing: "reported", Alone: []string{"A"}}},
		"brute force, one reporter":   {opinions{holds("A", 1, 8)}, false, noon, reputation.Verdict{Score: 2307, Standing: "reported", Alone: []string{"A"}}},
		"two agree":                   {opinions{holds("B", 0, 3), holds("A", 1, 8)}, false, noon, reputation.Verdict{Score: 1875, Standing: "blocked"}},
		"two agree, too little":       {opinions{holds("A", 0, 2), holds("B", 0, 2)}, false, noon, reputation.Verdict{Score: 2500, Standing: "low"}},
		"two agree, too few attempts": {opinions{fewAttempts(holds("A", 0, 9)), weigh(holds("B", 0, 1), 400)}, false, noon, reputation.Verdict{Score: 1492, Standing: "low"}},
		"a loud one against one":      {opinions{holds("A", 0, 1_000_000), holds("B", 1, 0)}, false, noon, reputation.Verdict{Score: 5000, Standing: "contested", Alone: []string{"A"}}},
		"two against one":             {opinions{holds("A", 0, 9), holds("B", 1, 0), holds("C", 0, 9)}, false, noon, reputation.Verdict{Score: 1304, Standing: "blocked"}},
		"neither could do it alone":   {opinions{holds("A", 0, 1), holds("B", 1, 0), holds("C", 0, 1)}, false, noon, reputation.Verdict{Score: 5000, Standing: "contested", Alone: []string{"A", "C"}}},
		"one alone praises it":        {opinions{holds("A", 0, 8), holds("B", 0, 8), holds("C", 1_000_000, 0)}, false, noon, reputation.Verdict{Score: 5000, Standing: "contested", Alone: []string{"C"}}},
		"two praise it":               {opinions{holds("A", 0, 8), holds("B", 20, 0), holds("C", 20, 0)}, false, noon, reputation.Verdict{Score: 8076, Standing: "good"}},
		"writers of one operator are one": {
			opinions{holds("A", 0, 900), holds("B", 1, 0), holds("A", 0, 900)}, false, noon, reputation.Verdict{Score: 5000, Standing: "contested", Alone: []string{"A"}},
		},
		"a newcomer's word counts for nothing": {opinions{weigh(holds("A", 0, 99), 0)}, true, noon, reputation.Verdict{Score: 5000, Standing: "unknown"}},
		"a newcomer does not protect":          {opinions{holds("A", 0, 1), weigh(holds("B", 99, 0), 0)}, false, noon, reputation.Verdict{Score: 4000, Standing: "reported", Alone: []string{"A"}}},
		"half a weight is half the evidence":   {opinions{weigh(holds("A", 4, 0), 500)}, false, noon, reputation.Verdict{Score: 6666, Standing: "good"}},
		"a pardon":                             {opinions{pardoned(holds("A", 1, 8))}, true, noon, reputation.Verdict{Score: 6000, Standing: "good"}},
		"a pardon of all there is":             {opinions{pardoned(holds("A", 0, 8))}, true, noon, reputation.Verdict{Score: 5000, Standing: "unknown"}},

		"an address, one reporter":            {opinions{holds("A", 1, 8)}, true, noon, reputation.Verdict{Score: 2307, Standing: "provisionally_blocked", Alone: []string{"A"}, Until: noon + hour}},
		"an hour later":                       {opinions{holds("A", 1, 8)}, true, noon + hour, reputation.Verdict{Score: 2307, Standing: "reported", Alone: []string{"A"}}},
		"an address, too little evidence":     {opinions{holds("A", 0, 4)}, true, noon, reputation.Verdict{Score: 2500, Standing: "reported", Alone: []string{"A"}}},
		"an address another saw behave today": {opinions{holds("A", 0, 8), holds("B", 1, 0)}, true, noon, reputation.Verdict{Score: 5000, Standing: "contested", Alone: []string{"A"}}},
		"an address another saw behave once": {
			opinions{holds("A", 0, 8), stale(holds("B", 1, 0))}, true, noon, reputation.Verdict{Score: 5000, Standing: "provisionally_blocked", Alone: []string{"A"}, Until: noon + hour},
		},
		"a newcomer's fresh word": {
			opinions{holds("A", 0, 8), weigh(holds("B", 9, 0), 0)}, true, noon, reputation.Verdict{Score: 2000 * 10 / 12, Standing: "provisionally_blocked", Alone: []string{"A"}, Until: noon + hour},
		},
		"forgotten in the end":           {opinions{holds("A", 0, 8)}, true, noon + 31*halfLife, reputation.Verdict{Score: 5000, Standing: "unknown"}},
		"five that have aged are five":   {opinions{holds("A", 0, 3), holds("B", 0, 2)}, false, noon + 3*day, reputation.Verdict{Score: 2309, Standing: "blocked"}},
		"after a half-life they are not": {opinions{holds("A", 0, 3), holds("B", 0, 2)}, false, noon + halfLife, reputation.Verdict{Score: 3076, Standing: "low"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, reputation.Merge(rules, c.address, c.opinions, c.at))
		})
	}
}

func TestThePapersBareRule(t *testing.T) {
	bare := rules
	bare.BanFailures, bare.BanAttempts = 0, 0
	verdict := reputation.Merge(bare, true, []reputation.Opinion{holds("A", 0, 1)}, noon)
	require.Equal(t, reputation.StandingProvisional, verdict.Standing)
	verdict = reputation.Merge(bare, false, []reputation.Opinion{holds("A", 0, 1), holds("B", 0, 1)}, noon)
	require.Equal(t, reputation.StandingBlocked, verdict.Standing)
	require.True(t, verdict.Standing.Blocks())
	require.False(t, reputation.StandingContested.Blocks())
}

// consortium draws what up to six operators hold, some through several writers.
func consortium(t *rapid.T) []reputation.Opinion {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) reputation.Opinion {
		return reputation.Opinion{
			Operator: rapid.SampledFrom([]string{"A", "B", "C", "D", "E", "F"}).Draw(t, "operator"), Weight: 1000,
			Totals: totalsNearNoon(t), Pardoned: rapid.IntRange(0, 9).Draw(t, "pardon") == 0,
		}
	}), 0, 8).Draw(t, "opinions")
}

// totalsNearNoon draws little and much evidence, in whole events and odd rests.
func totalsNearNoon(t *rapid.T) reputation.Totals {
	count := rapid.OneOf(rapid.Just[int64](0), rapid.Int64Range(0, 5), rapid.Int64Range(0, 20_000), rapid.Int64Range(0, reputation.MaxEvidence))
	totals := reputation.Totals{At: noon - rapid.Int64Range(0, 90*day).Draw(t, "age")}
	return totals.Plus(reputation.Evidence{Alpha: count.Draw(t, "alpha"), Beta: count.Draw(t, "beta"), Failures: count.Draw(t, "failures"), Attempts: count.Draw(t, "attempts")}, totals.At, halfLife)
}

// othersWho draws what operators other than Z hold, of which a condition is true.
func othersWho(t *rapid.T, condition func([]reputation.Opinion) bool) []reputation.Opinion {
	return rapid.Custom(func(t *rapid.T) []reputation.Opinion { return without(consortium(t), "Z") }).Filter(condition).Draw(t, "others")
}

func without(opinions []reputation.Opinion, operator string) []reputation.Opinion {
	var others []reputation.Opinion
	for _, opinion := range opinions {
		if opinion.Operator != operator {
			others = append(others, opinion)
		}
	}
	return others
}

// TestNoOperatorAloneBringsASubjectDown is the rule that makes the merge worth
// having: where the others' evidence is at the threshold or above, nothing that
// one more operator writes makes it less, or blocks what is not an address; an
// address is blocked for the provisional time at most, and not against fresh
// positive evidence.
func TestNoOperatorAloneBringsASubjectDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := noon + rapid.Int64Range(0, 10*hour).Draw(t, "later")
		others := othersWho(t, func(others []reputation.Opinion) bool {
			// They vouch for it, and what they hold has not aged too much.
			return reputation.Merge(rules, false, others, noon).Standing == reputation.StandingGood &&
				reputation.Merge(rules, false, others, at).Standing == reputation.StandingGood
		})
		attack := slices.Clone(others)
		for range rapid.IntRange(1, 3).Draw(t, "writers") {
			attack = append(attack, reputation.Opinion{Operator: "Z", Weight: 1000, Totals: totalsNearNoon(t)})
		}
		after := reputation.Merge(rules, false, attack, at)
		require.GreaterOrEqual(t, after.Score, rules.Threshold)
		require.False(t, after.Standing.Blocks())
		if after.Standing == reputation.StandingContested {
			require.NotEmpty(t, after.Alone, "whose word decides is named")
		}

		after = reputation.Merge(rules, true, attack, at)
		require.GreaterOrEqual(t, after.Score, rules.Threshold)
		fresh := false
		for _, other := range others {
			aged := other.Totals.AgedTo(at, halfLife)
			fresh = fresh || aged.Alpha > 0 && at-aged.NewestPositive <= rules.Fresh
		}
		if fresh && len(after.Alone) == 1 && after.Alone[0] == "Z" {
			require.NotEqual(t, reputation.StandingProvisional, after.Standing)
		}
		if after.Standing == reputation.StandingProvisional {
			require.Greater(t, after.Until, at)
			require.LessOrEqual(t, after.Until, at+rules.Provisional)
		}
	})
}

func TestNoOperatorAloneWhitewashesASubject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		others := othersWho(t, func(others []reputation.Opinion) bool {
			standing := reputation.Merge(rules, false, others, noon).Standing
			return standing == reputation.StandingBlocked || standing == reputation.StandingLow
		})
		praise := slices.Clone(others)
		for range rapid.IntRange(1, 3).Draw(t, "writers") {
			praise = append(praise, reputation.Opinion{Operator: "Z", Weight: 1000, Totals: totalsNearNoon(t)})
		}
		after := reputation.Merge(rules, false, praise, noon)
		require.LessOrEqual(t, after.Score, rules.Threshold)
		require.NotEqual(t, reputation.StandingGood, after.Standing)
		if after.Score == rules.Threshold {
			require.Equal(t, reputation.StandingContested, after.Standing)
			require.NotEmpty(t, after.Alone)
		}
	})
}

func TestAMergeIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opinions := consortium(t)
		before := reputation.Merge(rules, false, opinions, noon)
		requireScore(t, before.Score)
		more := reputation.Opinion{
			Operator: rapid.SampledFrom([]string{"A", "C", "F", "G"}).Draw(t, "who"), Weight: 1000,
			Totals: reputation.Totals{Alpha: rapid.Int64Range(1, reputation.MaxEvidence).Draw(t, "more"), At: noon, NewestPositive: noon},
		}
		after := reputation.Merge(rules, false, append(opinions[:len(opinions):len(opinions)], more), noon)
		require.GreaterOrEqual(t, after.Score, before.Score, "positive evidence never lowers")
		more.Totals.Alpha, more.Totals.Beta = 0, more.Totals.Alpha
		after = reputation.Merge(rules, false, append(opinions[:len(opinions):len(opinions)], more), noon)
		require.LessOrEqual(t, after.Score, before.Score, "negative evidence never raises")
	})
}

func TestWeightNoughtHasNoInfluence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opinions := consortium(t)
		address := rapid.Bool().Draw(t, "address")
		more := reputation.Opinion{Operator: rapid.SampledFrom([]string{"B", "Z"}).Draw(t, "who"), Totals: totalsNearNoon(t)}
		require.Equal(t, reputation.Merge(rules, address, opinions, noon), reputation.Merge(rules, address, append(opinions[:len(opinions):len(opinions)], more), noon))
	})
}

func TestAMergeKnowsNoOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opinions := consortium(t)
		address := rapid.Bool().Draw(t, "address")
		require.Equal(t, reputation.Merge(rules, address, opinions, noon), reputation.Merge(rules, address, rapid.Permutation(opinions).Draw(t, "shuffled"), noon))
	})
}
