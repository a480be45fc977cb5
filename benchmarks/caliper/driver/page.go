package driver

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/callseal/callseal/benchmarks/result"
)

// The metrics of Caliper's Prometheus transaction monitor.
const (
	metricLatency   = "caliper_tx_e2e_latency"
	metricFinished  = "caliper_tx_finished"
	metricSubmitted = "caliper_tx_submitted"
	labelStatus     = "final_status"
	labelRound      = "roundLabel"
	statusSuccess   = "success"
)

// ErrPage is a page of the monitor that figures cannot be taken from.
var ErrPage = errors.New("bad page of Caliper's Prometheus monitor")

// Bucket is how many took no longer than a bound.
type Bucket struct {
	// Bound is in seconds, +Inf in the last.
	Bound float64
	// Count is of all up to the bound.
	Count float64
}

// Histogram are the latencies of what succeeded.
type Histogram struct {
	// Buckets are in order of their bounds.
	Buckets []Bucket
	// Sum is that of all latencies, in seconds.
	Sum float64
}

// Count is how many were measured.
func (h *Histogram) Count() float64 {
	if len(h.Buckets) == 0 {
		return 0
	}
	return h.Buckets[len(h.Buckets)-1].Count
}

// add joins another worker's; both have the same bounds.
func (h *Histogram) add(other *Histogram) error {
	if len(h.Buckets) == 0 {
		h.Buckets, h.Sum = slices.Clone(other.Buckets), other.Sum
		return nil
	}
	if len(h.Buckets) != len(other.Buckets) {
		return fmt.Errorf("%w: the workers' histograms have different buckets", ErrPage)
	}
	for i := range h.Buckets {
		if h.Buckets[i].Bound != other.Buckets[i].Bound {
			return fmt.Errorf("%w: the workers' histograms have different buckets", ErrPage)
		}
		h.Buckets[i].Count += other.Buckets[i].Count
	}
	h.Sum += other.Sum
	return nil
}

// Quantile is what a share, from 0 to 1, took no longer than, in seconds: as Prometheus's
// histogram_quantile has it, evenly between a bucket's bounds, and the highest finite
// bound for what lies beyond it. It is NaN where nothing was measured.
func (h *Histogram) Quantile(share float64) float64 {
	count := h.Count()
	if count == 0 || len(h.Buckets) < 2 {
		return math.NaN()
	}
	rank := share * count
	at, _ := slices.BinarySearchFunc(h.Buckets, rank, func(b Bucket, rank float64) int {
		if b.Count < rank {
			return -1
		}
		return 1
	})
	if at >= len(h.Buckets)-1 {
		return h.Buckets[len(h.Buckets)-2].Bound
	}
	lower, before := 0.0, 0.0
	if at > 0 {
		lower, before = h.Buckets[at-1].Bound, h.Buckets[at-1].Count
	}
	within := h.Buckets[at].Count - before
	if within == 0 {
		return h.Buckets[at].Bound
	}
	return lower + (h.Buckets[at].Bound-lower)*(rank-before)/within
}

// Distribution is the histogram as results have it, in milliseconds. Max is the bound of
// the highest bucket in which there is one.
func (h *Histogram) Distribution() result.Distribution {
	const ms = 1000
	d := result.Distribution{
		Count: int64(h.Count()), Mean: h.Sum / h.Count() * ms,
		P50: h.Quantile(0.5) * ms, P95: h.Quantile(0.95) * ms, P99: h.Quantile(0.99) * ms,
	}
	before := 0.0
	for i, one := range h.Buckets {
		if one.Count == before && i > 0 {
			continue
		}
		bound := one.Bound
		if math.IsInf(bound, 1) {
			bound = h.Buckets[len(h.Buckets)-2].Bound
		}
		if one.Count > 0 {
			if before == 0 && i > 0 {
				d.Points = append(d.Points, [2]float64{h.Buckets[i-1].Bound * ms, 0})
			}
			d.Points = append(d.Points, [2]float64{bound * ms, one.Count / h.Count()})
			d.Max = bound * ms
		}
		before = one.Count
	}
	return d
}

// Page is what one worker measured in one round.
type Page struct {
	Histogram Histogram
	// Submitted, Succeeded and Failed count transactions.
	Submitted, Succeeded, Failed float64
}

// ParsePage reads a page of the monitor in Prometheus's text format.
func ParsePage(text []byte, label string) (*Page, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPage, err)
	}
	for _, name := range []string{metricLatency, metricFinished, metricSubmitted} {
		if families[name] == nil {
			return nil, fmt.Errorf("%w: it has no %s", ErrPage, name)
		}
	}
	page := &Page{}
	for _, one := range families[metricSubmitted].GetMetric() {
		if found := value(one, labelRound); found != label {
			return nil, fmt.Errorf("%w: it is of the round %q, not %q", ErrPage, found, label)
		}
		page.Submitted += one.GetCounter().GetValue()
	}
	for _, one := range families[metricFinished].GetMetric() {
		if value(one, labelStatus) == statusSuccess {
			page.Succeeded += one.GetCounter().GetValue()
		} else {
			page.Failed += one.GetCounter().GetValue()
		}
	}
	for _, one := range families[metricLatency].GetMetric() {
		if value(one, labelStatus) != statusSuccess {
			continue
		}
		if page.Histogram, err = histogramOf(one.GetHistogram()); err != nil {
			return nil, err
		}
	}
	if page.Histogram.Count() != page.Succeeded {
		return nil, fmt.Errorf("%w: it has latencies of %g transactions, and %g succeeded", ErrPage, page.Histogram.Count(), page.Succeeded)
	}
	return page, nil
}

func histogramOf(found *dto.Histogram) (Histogram, error) {
	h := Histogram{Sum: found.GetSampleSum()}
	for _, one := range found.GetBucket() {
		h.Buckets = append(h.Buckets, Bucket{one.GetUpperBound(), float64(one.GetCumulativeCount())})
	}
	for i := 1; i < len(h.Buckets); i++ {
		if h.Buckets[i].Bound <= h.Buckets[i-1].Bound || h.Buckets[i].Count < h.Buckets[i-1].Count {
			return Histogram{}, fmt.Errorf("%w: its buckets do not rise", ErrPage)
		}
	}
	if n := len(h.Buckets); n < 2 || !math.IsInf(h.Buckets[n-1].Bound, 1) || h.Buckets[n-1].Count != float64(found.GetSampleCount()) {
		return Histogram{}, fmt.Errorf("%w: its last bucket does not hold all", ErrPage)
	}
	return h, nil
}

func value(metric *dto.Metric, label string) string {
	for _, one := range metric.GetLabel() {
		if one.GetName() == label {
			return one.GetValue()
		}
	}
	return ""
}

// Counted is what Caliper itself counted of one worker in one round.
type Counted struct {
	Label      string `json:"label"`
	Submitted  int64  `json:"submitted"`
	Successful int64  `json:"successful"`
	Failed     int64  `json:"failed"`
	// FirstCreate and LastFinish are when the first was made and the last was done,
	// in milliseconds since 1970.
	FirstCreate float64 `json:"first_create"`
	LastFinish  float64 `json:"last_finish"`
}

// Outcome is what all workers measured in one round.
type Outcome struct {
	Latencies         Histogram
	Submitted, Failed float64
	// Seconds are from the first transaction made to the last one done.
	Seconds float64
}

// Throughput is how many succeeded a second. Caliper's own counts those that failed too.
func (o *Outcome) Throughput() float64 { return o.Latencies.Count() / o.Seconds }

// ReadOutcome reads what the monitors of so many workers left of a round in a folder. It
// fails with os.ErrNotExist where one left nothing.
func ReadOutcome(folder string, round, workers int, label string) (*Outcome, error) {
	outcome := &Outcome{}
	first, last := math.Inf(1), math.Inf(-1)
	for worker := range workers {
		page, counted, err := readPage(filepath.Join(folder, fmt.Sprintf("%d-%d", round, worker)), label)
		if err != nil {
			return nil, fmt.Errorf("what worker %d measured in the round %s: %w", worker+1, label, err)
		}
		if err := outcome.Latencies.add(&page.Histogram); err != nil {
			return nil, err
		}
		outcome.Submitted += page.Submitted
		outcome.Failed += page.Failed
		first, last = min(first, counted.FirstCreate), max(last, counted.LastFinish)
	}
	outcome.Seconds = (last - first) / 1000
	if finished := outcome.Latencies.Count() + outcome.Failed; outcome.Submitted == 0 || finished != outcome.Submitted || outcome.Seconds <= 0 {
		return nil, fmt.Errorf("%w: of %g transactions of the round %s, %g were finished in %g s", ErrPage, outcome.Submitted, label, finished, outcome.Seconds)
	}
	return outcome, nil
}

func readPage(file, label string) (*Page, *Counted, error) {
	text, err := os.ReadFile(file + ".prom")
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // wrapped by the caller
	}
	page, err := ParsePage(text, label)
	if err != nil {
		return nil, nil, err
	}
	if text, err = os.ReadFile(file + ".json"); err != nil {
		return nil, nil, err //nolint:wrapcheck // wrapped by the caller
	}
	counted := &Counted{}
	if err := json.Unmarshal(text, counted, json.RejectUnknownMembers(true)); err != nil {
		return nil, nil, fmt.Errorf("%w: what Caliper counted: %w", ErrPage, err)
	}
	if float64(counted.Submitted) != page.Submitted || float64(counted.Successful) != page.Succeeded || float64(counted.Failed) != page.Failed {
		return nil, nil, fmt.Errorf("%w: it counts %g submitted, %g successful, %g failed, and Caliper %d, %d, %d",
			ErrPage, page.Submitted, page.Succeeded, page.Failed, counted.Submitted, counted.Successful, counted.Failed)
	}
	return page, counted, nil
}
