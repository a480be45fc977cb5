package report

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/callseal/callseal/benchmarks/result"
)

// Statistic is what is taken of a measurement. The percentiles, the mean and the
// largest are those of latencies, the value is that of everything else; of several
// repetitions it is the median of theirs.
type Statistic string

// The statistics.
const (
	Value Statistic = "value"
	P50   Statistic = "p50"
	P95   Statistic = "p95"
	P99   Statistic = "p99"
	Mean  Statistic = "mean"
	Max   Statistic = "max"
)

// confidence is that of all intervals.
const confidence = 0.95

// Estimate is a figure with its interval.
type Estimate struct {
	// Value is the median of the repetitions.
	Value float64
	// Low and High are the ends of the 95 % confidence interval; both are NaN where
	// nothing can be said of it.
	Low, High float64
	// Unit is the measurement's, or [Times] for a ratio.
	Unit string
	// Repetitions is how often it was measured; of a ratio, the smaller number.
	Repetitions int
}

// Times is the unit of ratios.
const Times = "times"

// Interval says whether there is one.
func (e Estimate) Interval() bool { return !math.IsNaN(e.Low) && !math.IsNaN(e.High) }

// statisticError is a statistic that a measurement does not have.
type statisticError struct {
	measurement string
	statistic   Statistic
	latencies   bool
}

func (e *statisticError) Error() string {
	has := "a value and no percentiles"
	if e.latencies {
		has = "latencies: p50, p95, p99, mean or max"
	}
	return fmt.Sprintf("%s has no %s, it has %s", e.measurement, e.statistic, has)
}

// estimate takes a statistic of a measurement.
//
// Its interval is the wider of two. One is Student's, of the logarithms of the
// repetitions' figures (of the figures themselves where one is not positive): how much
// they differ from one another, and few of them make it wide. The other is what
// samples within a repetition leave open: where the statistic's order statistic lies,
// by the beta distribution, which is what a bootstrap of the samples comes to. Three
// repetitions that agree by luck so do not pass for certainty, and neither do many
// samples of one repetition that another does not confirm.
func estimate(of *result.Measurement, statistic Statistic) (Estimate, error) {
	figures, err := figuresOf(of, statistic)
	if err != nil {
		return Estimate{}, err
	}
	e := Estimate{Value: median(figures), Unit: of.Unit, Repetitions: len(figures)}
	between, within := spread(figures, slices.Min(figures) > 0), sampling(of.Latencies, statistic)
	width := math.NaN()
	for _, one := range []float64{between, within} {
		if !math.IsNaN(one) && !(width > one) {
			width = one
		}
	}
	if slices.Min(figures) > 0 {
		e.Low, e.High = e.Value*math.Exp(-width), e.Value*math.Exp(width)
	} else {
		e.Low, e.High = e.Value-width, e.Value+width
	}
	return e, nil
}

// ratio divides estimates. Their intervals are taken as independent: in logarithms
// their half-widths add as the sides of a right angle do, which is never narrower than
// Welch's interval by much and needs no more than the intervals themselves.
func ratio(of, over Estimate) (Estimate, error) {
	if of.Unit != over.Unit {
		one, other := microseconds[of.Unit], microseconds[over.Unit]
		if one == 0 || other == 0 {
			return Estimate{}, fmt.Errorf("no ratio can be made of %s and %s", of.Unit, over.Unit)
		}
		of.Value, of.Low, of.High = of.Value*one/other, of.Low*one/other, of.High*one/other
	}
	if of.Value <= 0 || over.Value <= 0 {
		return Estimate{}, fmt.Errorf("no ratio can be made of %g and %g", of.Value, over.Value)
	}
	e := Estimate{Value: of.Value / over.Value, Unit: Times, Repetitions: min(of.Repetitions, over.Repetitions), Low: math.NaN(), High: math.NaN()}
	if of.Interval() && over.Interval() {
		width := math.Hypot(math.Log(of.High/of.Value), math.Log(over.High/over.Value))
		e.Low, e.High = e.Value*math.Exp(-width), e.Value*math.Exp(width)
	}
	return e, nil
}

// microseconds are the units of time.
var microseconds = map[string]float64{"µs": 1, "ms": 1000, "s": 1_000_000}

// figuresOf are the statistic's of each repetition.
func figuresOf(of *result.Measurement, statistic Statistic) ([]float64, error) {
	if len(of.Latencies) == 0 {
		if statistic != Value {
			return nil, &statisticError{measurement: of.Name, statistic: statistic}
		}
		return of.Values, nil
	}
	figures := make([]float64, len(of.Latencies))
	for i, latency := range of.Latencies {
		switch statistic {
		case P50:
			figures[i] = latency.P50
		case P95:
			figures[i] = latency.P95
		case P99:
			figures[i] = latency.P99
		case Mean:
			figures[i] = latency.Mean
		case Max:
			figures[i] = latency.Max
		default:
			return nil, &statisticError{measurement: of.Name, statistic: statistic, latencies: true}
		}
	}
	return figures, nil
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// spread is half of Student's interval of repetitions, of their logarithms where asked
// for; NaN of one repetition.
func spread(figures []float64, logarithms bool) float64 {
	if len(figures) < 2 {
		return math.NaN()
	}
	if logarithms {
		figures = slices.Clone(figures)
		for i := range figures {
			figures[i] = math.Log(figures[i])
		}
	}
	n := float64(len(figures))
	student := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}
	return student.Quantile((1+confidence)/2) * stat.StdDev(figures, nil) / math.Sqrt(n)
}

// sampling is half of the interval, in logarithms, that the samples within repetitions
// leave open; NaN where there are none or, as of the largest, none can be given.
func sampling(latencies []result.Distribution, statistic Statistic) float64 {
	if len(latencies) == 0 {
		return math.NaN()
	}
	var squares float64
	for i := range latencies {
		width := open(&latencies[i], statistic)
		squares += width * width
	}
	return math.Sqrt(squares) / float64(len(latencies))
}

// open is half of the interval that one repetition's samples leave open.
func open(d *result.Distribution, statistic Statistic) float64 {
	n := float64(d.Count)
	if statistic == Mean {
		if d.Mean <= 0 {
			return math.NaN()
		}
		return distuv.UnitNormal.Quantile((1+confidence)/2) * deviation(d) / math.Sqrt(n) / d.Mean
	}
	share, known := map[Statistic]float64{P50: 0.50, P95: 0.95, P99: 0.99}[statistic]
	if !known {
		return math.NaN()
	}
	rank := math.Ceil(share * n)
	order := distuv.Beta{Alpha: rank, Beta: n + 1 - rank}
	low, high := percentile(d, order.Quantile((1-confidence)/2)), percentile(d, order.Quantile((1+confidence)/2))
	if low <= 0 {
		return math.NaN()
	}
	return math.Log(high/low) / 2
}

// percentile is the latency, in ms, that a share of all did not exceed.
func percentile(d *result.Distribution, share float64) float64 {
	at, _ := slices.BinarySearchFunc(d.Points, share, func(point [2]float64, share float64) int {
		if point[1] < share {
			return -1
		}
		return 1
	})
	switch {
	case at == 0:
		return d.Points[0][0]
	case at == len(d.Points):
		return d.Points[at-1][0]
	}
	before, after := d.Points[at-1], d.Points[at]
	return before[0] + (after[0]-before[0])*(share-before[1])/(after[1]-before[1])
}

// deviation is the standard deviation of the latencies, in ms, between points of
// which they are taken as even.
func deviation(d *result.Distribution) float64 {
	var mean, square float64
	last := [2]float64{d.Points[0][0], 0}
	for _, point := range d.Points {
		share := point[1] - last[1]
		mean += share * (last[0] + point[0]) / 2
		square += share * (last[0]*last[0] + last[0]*point[0] + point[0]*point[0]) / 3
		last = point
	}
	return math.Sqrt(max(0, square-mean*mean))
}

// pooled is the distribution of all repetitions together, at the points of all.
func pooled(latencies []result.Distribution) [][2]float64 {
	if len(latencies) == 1 {
		return latencies[0].Points
	}
	var at []float64
	var all int64
	for _, latency := range latencies {
		all += latency.Count
		for _, point := range latency.Points {
			at = append(at, point[0])
		}
	}
	slices.Sort(at)
	at = slices.Compact(at)
	points := make([][2]float64, len(at))
	for i, x := range at {
		points[i][0] = x
		for _, latency := range latencies {
			points[i][1] += shareAt(&latency, x) * float64(latency.Count) / float64(all)
		}
	}
	return points
}

// shareAt is the share that took no longer than so many ms.
func shareAt(d *result.Distribution, x float64) float64 {
	at, _ := slices.BinarySearchFunc(d.Points, x, func(point [2]float64, x float64) int {
		// The last of those that are equal.
		if point[0] <= x {
			return -1
		}
		return 1
	})
	switch {
	case at == 0:
		return 0
	case at == len(d.Points):
		return d.Points[at-1][1]
	}
	before, after := d.Points[at-1], d.Points[at]
	return before[1] + (after[1]-before[1])*(x-before[0])/(after[0]-before[0])
}
