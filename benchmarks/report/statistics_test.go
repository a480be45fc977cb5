package report

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
)

func TestEstimateOfValues(t *testing.T) {
	for name, test := range map[string]struct {
		values              []float64
		median, low, high   float64
		logarithms, noRange bool
	}{
		// Student's quantile at 97.5 % is 12.706 of one degree of freedom and 4.3027 of
		// two.
		"of one nothing is known":             {values: []float64{7}, median: 7, noRange: true},
		"two":                                 {values: []float64{math.Exp(1), math.Exp(1.2)}, median: (math.E + math.Exp(1.2)) / 2, low: (math.E + math.Exp(1.2)) / 2 * math.Exp(-12.7062*0.1), high: (math.E + math.Exp(1.2)) / 2 * math.Exp(12.7062*0.1)},
		"three, the middle one":               {values: []float64{math.Exp(3), math.Exp(1), math.Exp(2)}, median: math.Exp(2), low: math.Exp(2 - 4.30265/math.Sqrt(3)), high: math.Exp(2 + 4.30265/math.Sqrt(3))},
		"those that agree":                    {values: []float64{5, 5, 5}, median: 5, low: 5, high: 5},
		"nothing at all":                      {values: []float64{0, 0, 0}, median: 0, low: 0, high: 0},
		"with a zero, not of logarithms":      {values: []float64{0, 1, 2}, median: 1, low: 1 - 4.30265/math.Sqrt(3), high: 1 + 4.30265/math.Sqrt(3)},
		"four, between the two in the middle": {values: []float64{1, 1, 1, 1}, median: 1, low: 1, high: 1},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := estimate(&result.Measurement{Name: "x", Unit: "/s", Values: test.values}, Value)
			require.NoError(t, err)
			require.InDelta(t, test.median, e.Value, 1e-9)
			require.Equal(t, len(test.values), e.Repetitions)
			require.Equal(t, !test.noRange, e.Interval())
			if !test.noRange {
				require.InDelta(t, test.low, e.Low, 1e-3)
				require.InDelta(t, test.high, e.High, 1e-3)
			}
		})
	}
}

// recorded is a distribution of count latencies.
func recorded(count int, one func() float64) result.Distribution {
	recorder := result.NewRecorder()
	for range count {
		recorder.Record(time.Duration(one() * float64(time.Millisecond)))
	}
	return recorder.Distribution()
}

func TestIntervalsHoldWhatIsTrue(t *testing.T) {
	// Of latencies whose p50 is known, the 95 % interval of one repetition misses it in
	// about one of twenty.
	random := rand.New(rand.NewPCG(1, 2))
	missed := 0
	const tries, count = 400, 200
	for range tries {
		all := make([]float64, count)
		for i := range all {
			all[i] = 100 * math.Exp(0.3*random.NormFloat64())
		}
		slices.Sort(all)
		d := result.Distribution{Count: count, P50: all[count/2-1]}
		for i, one := range all {
			d.Points = append(d.Points, [2]float64{one, float64(i+1) / count})
		}
		e, err := estimate(&result.Measurement{Name: "x", Unit: "ms", Latencies: []result.Distribution{d}}, P50)
		require.NoError(t, err)
		if e.Low > 100 || e.High < 100 {
			missed++
		}
	}
	require.InDelta(t, 0.05, float64(missed)/tries, 0.04)
}

func TestEstimateOfLatencies(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	even := func() float64 { return 100 + 100*random.Float64() }
	one := result.Measurement{Name: "x", Unit: "ms", Latencies: []result.Distribution{recorded(1000, even), recorded(1000, even), recorded(1000, even)}}
	for statistic, want := range map[Statistic]float64{P50: 150, P95: 195, P99: 199, Mean: 150, Max: 200} {
		e, err := estimate(&one, statistic)
		require.NoError(t, err)
		require.InEpsilon(t, want, e.Value, 0.03, statistic)
		require.True(t, e.Interval(), statistic)
		require.LessOrEqual(t, e.Low, e.Value)
		require.GreaterOrEqual(t, e.High, e.Value)
	}
	// Repetitions that are alike to the last digit leave open what their samples do.
	same := one
	same.Latencies = []result.Distribution{one.Latencies[0], one.Latencies[0], one.Latencies[0]}
	e, err := estimate(&same, P50)
	require.NoError(t, err)
	require.Greater(t, e.High-e.Low, 1.0)
	_, err = estimate(&one, Value)
	require.ErrorContains(t, err, "x has no value, it has latencies: p50")
	_, err = estimate(&result.Measurement{Name: "y", Unit: "/s", Values: []float64{1}}, P99)
	require.ErrorContains(t, err, "y has no p99, it has a value")
}

func TestRatio(t *testing.T) {
	open := Estimate{Value: 4, Low: math.NaN(), High: math.NaN(), Repetitions: 1}
	of := Estimate{Value: 30, Low: 30 / math.Exp(0.3), High: 30 * math.Exp(0.3), Repetitions: 3}
	over := Estimate{Value: 10, Low: 10 / math.Exp(0.4), High: 10 * math.Exp(0.4), Repetitions: 5}
	e, err := ratio(of, over)
	require.NoError(t, err)
	require.InDelta(t, 3, e.Value, 1e-9)
	require.InDelta(t, 3*math.Exp(-0.5), e.Low, 1e-9)
	require.InDelta(t, 3*math.Exp(0.5), e.High, 1e-9)
	require.Equal(t, 3, e.Repetitions)
	require.Equal(t, Times, e.Unit)
	e, err = ratio(of, open)
	require.NoError(t, err)
	require.False(t, e.Interval())
	e, err = ratio(Estimate{Value: 2, Low: 2, High: 2, Unit: "ms"}, Estimate{Value: 4, Low: 4, High: 4, Unit: "µs"})
	require.NoError(t, err)
	require.InDelta(t, 500, e.Value, 1e-9)
	require.InDelta(t, 500, e.High, 1e-9)
	_, err = ratio(Estimate{Value: 2, Unit: "ms"}, Estimate{Value: 4, Unit: "/s"})
	require.ErrorContains(t, err, "no ratio can be made of ms and /s")
	_, err = ratio(of, Estimate{})
	require.ErrorContains(t, err, "no ratio can be made of 30 and 0")
}

func TestPercentile(t *testing.T) {
	d := result.Distribution{Count: 4, Points: [][2]float64{{10, 0.25}, {20, 0.5}, {20, 0.75}, {40, 1}}}
	for share, want := range map[float64]float64{0: 10, 0.25: 10, 0.375: 15, 0.5: 20, 0.6: 20, 0.875: 30, 1: 40} {
		require.InDelta(t, want, percentile(&d, share), 1e-9, share)
	}
	for x, want := range map[float64]float64{5: 0, 10: 0.25, 15: 0.375, 20: 0.75, 30: 0.875, 40: 1, 50: 1} {
		require.InDelta(t, want, shareAt(&d, x), 1e-9, x)
	}
	other := result.Distribution{Count: 12, Points: [][2]float64{{40, 1}}}
	all := pooled([]result.Distribution{d, other})
	require.Equal(t, [][2]float64{{10, 0.0625}, {20, 0.1875}, {40, 1}}, all)
	require.InDelta(t, 100/math.Sqrt(12), deviation(&result.Distribution{Points: [][2]float64{{0, 0}, {50, 0.5}, {100, 1}}}), 1e-6)
}

func TestNumber(t *testing.T) {
	for want, value := range map[string]float64{
		"0": 0, "14.2": 14.23, "1,230": 1234.5, "1,000": 999.6, "12,300,000": 12345678, "0.00156": 0.00156, "0.827": 0.8269, "100": 99.96, "−3.50": -3.5, "150": 150,
	} {
		require.Equal(t, want, number(value))
	}
	require.Equal(t, "3.20 s", Estimate{Value: 3201, Unit: "ms"}.String())
	require.Equal(t, "3.00 to 3.40", Estimate{Value: 3201, Low: 3001, High: 3400, Unit: "ms"}.Range())
	require.Equal(t, "999 ms", withUnit(999, "ms"))
	require.Equal(t, "3,210/s", withUnit(3210, "/s"))
	require.Equal(t, "92.1 gas", withUnit(92.1, "gas"))
	for want, text := range map[string]string{"20 ms": "20.0 ms", "1/s": "1.00/s", "1.1 times": "1.10 times", "1,500 times": "1,500 times", "0": "0"} {
		require.Equal(t, want, bare(text))
	}
}
