package result

import (
	"errors"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// ticks are how many points a distribution has for each halving of the share above
// them.
const ticks = 10

// The bounds of what a [Recorder] tells apart, to 0.1 %.
const (
	shortest = time.Microsecond
	longest  = 10 * time.Minute
)

// Distribution is how often which latency was found: points of its cumulative
// distribution, enough to draw it and to take percentiles from it.
type Distribution struct {
	// Count is how many were measured.
	Count int64 `json:"count"`
	// Mean and the percentiles are in milliseconds.
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	Max  float64 `json:"max"`
	// Points are milliseconds and the share, from 0 to 1, that took no longer.
	Points [][2]float64 `json:"points"`
}

var errDistribution = errors.New("a distribution needs a count, and points that rise")

func (d *Distribution) check() error {
	if d.Count <= 0 || len(d.Points) == 0 {
		return errDistribution
	}
	for i := 1; i < len(d.Points); i++ {
		if d.Points[i][0] < d.Points[i-1][0] || d.Points[i][1] < d.Points[i-1][1] {
			return errDistribution
		}
	}
	return nil
}

// Recorder takes latencies. It is not for several goroutines.
type Recorder struct{ histogram *hdrhistogram.Histogram }

// NewRecorder is empty.
func NewRecorder() *Recorder {
	return &Recorder{histogram: hdrhistogram.New(shortest.Microseconds(), longest.Microseconds(), 3)}
}

// Record takes one, from when it was due and not from when it was sent: a system that
// is held up makes what comes behind late too. What lies beyond a microsecond and ten
// minutes counts as the bound.
func (r *Recorder) Record(took time.Duration) {
	// Cannot fail within the bounds.
	_ = r.histogram.RecordValue(min(max(took, shortest), longest).Microseconds())
}

// Count is how many were taken.
func (r *Recorder) Count() int64 { return r.histogram.TotalCount() }

// At is a percentile, such as 99.
func (r *Recorder) At(percentile float64) time.Duration {
	return time.Duration(r.histogram.ValueAtPercentile(percentile)) * time.Microsecond
}

// Max is the largest.
func (r *Recorder) Max() time.Duration { return time.Duration(r.histogram.Max()) * time.Microsecond }

// Distribution is what was taken until now; Count must not be 0.
func (r *Recorder) Distribution() Distribution {
	ms := func(microseconds int64) float64 { return float64(microseconds) / 1000 }
	at := func(percentile float64) float64 { return ms(r.histogram.ValueAtPercentile(percentile)) }
	d := Distribution{Count: r.Count(), Mean: r.histogram.Mean() / 1000, P50: at(50), P95: at(95), P99: at(99), Max: ms(r.histogram.Max())}
	for _, bracket := range r.histogram.CumulativeDistributionWithTicks(ticks) {
		point := [2]float64{ms(bracket.ValueAt), bracket.Quantile / 100}
		if n := len(d.Points); n > 0 && d.Points[n-1] == point {
			continue
		}
		d.Points = append(d.Points, point)
	}
	return d
}
