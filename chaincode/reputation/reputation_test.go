package reputation_test

import (
	"fmt"
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/reputation"
)

const (
	day      = int64(24 * time.Hour / time.Millisecond)
	halfLife = 30 * day
	century  = 100 * 365 * day
	// noon is 2026-03-01T12:00:00Z.
	noon = int64(1_772_366_400_000)
)

// TestTheScoresOfThePaper checks P2 §3.1 and its scenarios to the digit.
func TestTheScoresOfThePaper(t *testing.T) {
	for name, c := range map[string]struct{ positive, negative, score int64 }{
		"unknown":                         {0, 0, 5000},
		"one positive":                    {1, 0, 6000},
		"one negative":                    {0, 1, 4000},
		"one of each":                     {1, 1, 5000},
		"brute force after one success":   {1, 8, 2307},
		"a million positives":             {1_000_000, 0, 9999},
		"a million negatives":             {0, 1_000_000, 0},
		"more than is kept":               {1 << 40, 1 << 40, 5000},
		"what cannot be counts as nought": {-7, -7, 5000},
	} {
		require.Equal(t, c.score, reputation.Score(c.positive*reputation.One, c.negative*reputation.One), name)
	}
	require.EqualValues(t, reputation.Perfect, reputation.Score(math.MaxInt64, 0)+1)
	require.EqualValues(t, 0, reputation.Score(math.MinInt64, math.MaxInt64))
}

// TestTheTableIsExact compares one half-life's ageing with arithmetic of any
// precision: f = ⌊2^32·2^(-i/256)⌋ means f^256 ≤ 2^(8192-i) < (f+1)^256.
func TestTheTableIsExact(t *testing.T) {
	power := func(base int64) *big.Int { return new(big.Int).Exp(big.NewInt(base), big.NewInt(256), nil) }
	for i, f := range reputation.Factors {
		limit := new(big.Int).Lsh(big.NewInt(1), uint(32*256-i))
		require.LessOrEqual(t, power(f).Cmp(limit), 0, "entry %d is too large", i)
		require.Positive(t, power(f+1).Cmp(limit), "entry %d is too small", i)
	}
}

// TestAgeingIsTheDocumentedFormula checks ageing against big-number arithmetic.
func TestAgeingIsTheDocumentedFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		evidence := rapid.Int64Range(0, reputation.MaxEvidence).Draw(t, "evidence")
		from := rapid.Int64Range(0, noon).Draw(t, "from")
		to := rapid.Int64Range(from, from+century).Draw(t, "to")
		life := rapid.Int64Range(reputation.MinHalfLife, 10*365*day).Draw(t, "half-life")
		length := life / 256
		steps := to/length - from/length
		want := new(big.Int).Mul(big.NewInt(evidence), big.NewInt(reputation.Factors[steps%256]))
		want.Rsh(want, 32)
		want.Rsh(want, uint(steps/256))
		require.Equal(t, want.Int64(), reputation.Aged(evidence, from, to, life))
	})
}

func TestEvidenceHalvesEveryHalfLife(t *testing.T) {
	for halves, want := range map[int64]int64{0: 1_000_000, 1: 500_000, 2: 250_000, 10: 976, 19: 1, 20: 0, 30: 0, 1000: 0} {
		require.Equal(t, want, reputation.Aged(1_000_000, 0, halves*halfLife, halfLife), "%d half-lives", halves)
	}
	// A step is half-life/256; within it nothing ages.
	require.EqualValues(t, 1_000_000, reputation.Aged(1_000_000, 0, halfLife/256-1, halfLife))
	require.EqualValues(t, 997_296, reputation.Aged(1_000_000, 0, halfLife/256, halfLife))
	require.EqualValues(t, 997_296, reputation.Aged(1_000_000, halfLife/256-1, halfLife/256, halfLife))
	// Before it stood, and without a half-life, it does not age.
	require.EqualValues(t, 1000, reputation.Aged(1000, noon, noon-day, halfLife))
	require.EqualValues(t, 1000, reputation.Aged(1000, 0, noon, 0))
	require.EqualValues(t, 1000, reputation.Aged(1000, 0, noon, -halfLife))
	require.EqualValues(t, 0, reputation.Aged(1000, math.MinInt64, math.MaxInt64, reputation.MinHalfLife))
}

func TestAgeingNeverIncreasesAndEndsAtUnknown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		totals := drawTotals(t, "totals")
		life := rapid.Int64Range(reputation.MinHalfLife, 2*365*day).Draw(t, "half-life")
		at := totals.At
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			at += rapid.Int64Range(-day, century/50).Draw(t, "later")
			aged := totals.AgedTo(at, life)
			require.LessOrEqual(t, aged.Alpha, totals.Alpha)
			require.LessOrEqual(t, aged.Beta, totals.Beta)
			require.LessOrEqual(t, aged.Failures, totals.Failures)
			require.LessOrEqual(t, aged.Attempts, totals.Attempts)
			require.GreaterOrEqual(t, aged.Alpha, int64(0))
			require.GreaterOrEqual(t, aged.Beta, int64(0))
			require.GreaterOrEqual(t, aged.At, totals.At, "no clock ages twice")
			requireScore(t, aged.Score())
			totals = aged
		}
		end := totals.AgedTo(totals.At+30*life+life, life)
		require.EqualValues(t, reputation.Unknown, end.Score())
		require.Zero(t, end.Alpha+end.Beta+end.Failures+end.Attempts)
	})
}

func TestAHundredYearsOfEventsStayInBounds(t *testing.T) {
	var totals reputation.Totals
	for week := range int64(100 * 52) {
		totals = totals.Plus(reputation.Evidence{Alpha: reputation.MaxEvidence, Beta: reputation.MaxEvidence, Failures: math.MaxInt64, Attempts: 7}, week*7*day, halfLife)
		require.LessOrEqual(t, totals.Alpha, int64(reputation.MaxEvidence))
		require.LessOrEqual(t, totals.Failures, int64(reputation.MaxEvidence))
		requireScore(t, totals.Score())
	}
	require.Equal(t, int64(reputation.MaxEvidence), totals.Alpha)
	require.EqualValues(t, reputation.Unknown, totals.Score())
}

func TestAScoreIsMonotoneAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.Int64Range(0, 2*reputation.MaxEvidence)
		alpha, beta, more := count.Draw(t, "alpha"), count.Draw(t, "beta"), count.Draw(t, "more")
		score := reputation.Score(alpha, beta)
		requireScore(t, score)
		require.GreaterOrEqual(t, reputation.Score(alpha+more, beta), score)
		require.LessOrEqual(t, reputation.Score(alpha, beta+more), score)
	})
}

func TestTheOrderWithinAnInstantIsFree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		totals := drawTotals(t, "totals")
		at := totals.At + rapid.Int64Range(0, century).Draw(t, "later")
		evidence := rapid.SliceOfN(rapid.Custom(drawEvidence), 1, 30).Draw(t, "evidence")
		shuffled := rapid.Permutation(evidence).Draw(t, "shuffled")
		one, other, sum := totals, totals, reputation.Evidence{}
		for i := range evidence {
			one, other = one.Plus(evidence[i], at, halfLife), other.Plus(shuffled[i], at, halfLife)
			sum = sum.And(evidence[i])
		}
		require.Equal(t, one, other)
		require.Equal(t, one, totals.Plus(sum, at, halfLife), "and the sum is the parts")
	})
}

func TestAStepIsTheSameForAll(t *testing.T) {
	// Whenever within one step evidence is added, it is worth the same later.
	start := noon / (halfLife / 256) * (halfLife / 256)
	rapid.Check(t, func(t *rapid.T) {
		within := rapid.Int64Range(0, halfLife/256-1)
		first, second := within.Draw(t, "first"), within.Draw(t, "second")
		later := start + rapid.Int64Range(halfLife/256, century).Draw(t, "later")
		e := drawEvidence(t)
		one := reputation.Totals{}.Plus(e, start+first, halfLife).AgedTo(later, halfLife)
		other := reputation.Totals{}.Plus(e, start+second, halfLife).AgedTo(later, halfLife)
		require.Equal(t, one.Alpha, other.Alpha)
		require.Equal(t, one.Beta, other.Beta)
	})
}

func requireScore(t require.TestingT, score int64) {
	require.GreaterOrEqual(t, score, int64(0))
	require.LessOrEqual(t, score, int64(reputation.Perfect))
}

func drawTotals(t *rapid.T, name string) reputation.Totals {
	count := rapid.Int64Range(0, reputation.MaxEvidence)
	at := rapid.Int64Range(0, 4*noon).Draw(t, name+" at")
	totals := reputation.Totals{Alpha: count.Draw(t, name+" alpha"), Beta: count.Draw(t, name+" beta"), At: at}
	totals.Failures, totals.Attempts = totals.Beta/reputation.One*reputation.One, totals.Beta/2
	if totals.Alpha > 0 {
		totals.NewestPositive = at - rapid.Int64Range(0, min(at, 60*day)).Draw(t, name+" newest positive")
	}
	if totals.Beta > 0 {
		totals.NewestNegative = at - rapid.Int64Range(0, min(at, 60*day)).Draw(t, name+" newest negative")
	}
	return totals
}

func drawEvidence(t *rapid.T) reputation.Evidence {
	count := rapid.Int64Range(0, reputation.MaxEvidence)
	beta := count.Draw(t, "negative")
	return reputation.Evidence{Alpha: count.Draw(t, "positive"), Beta: beta, Failures: beta, Attempts: beta / 3}
}

// BenchmarkPlus ages totals by a minute, adds evidence and scores them: what one event
// is.
func BenchmarkPlus(b *testing.B) {
	var totals reputation.Totals
	at := noon
	b.ReportAllocs()
	for b.Loop() {
		at += 60_000
		totals = totals.Plus(reputation.Evidence{Alpha: 1000, Beta: 500, Failures: 1000, Attempts: 1000}, at, halfLife)
		if score := totals.Score(); score < reputation.Unknown {
			b.Fatalf("the score is %d with twice as much for as against", score)
		}
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, operators := range []int{3, 100} {
		b.Run(fmt.Sprint(operators), func(b *testing.B) {
			opinions := make([]reputation.Opinion, operators)
			for i := range opinions {
				opinions[i] = reputation.Opinion{Operator: fmt.Sprintf("O%03dMSP", i), Weight: 1000, Totals: reputation.Totals{Alpha: 1000, Beta: 9000, At: noon}}
			}
			b.ReportAllocs()
			for b.Loop() {
				reputation.Merge(rules, true, opinions, noon+day)
			}
		})
	}
}
