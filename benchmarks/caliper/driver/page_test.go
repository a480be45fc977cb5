package driver

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
)

// realLabel and realCount are of testdata/page.prom, which Caliper's monitor answered.
const (
	realLabel = "anchor-1/rate=20"
	realCount = 9
)

func realPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "page.prom"))
	require.NoError(t, err)
	return string(text)
}

func histogram(counts map[float64]float64, bounds ...float64) *Histogram {
	h := &Histogram{}
	for _, bound := range append(bounds, math.Inf(1)) {
		h.Buckets = append(h.Buckets, Bucket{bound, counts[bound]})
	}
	return h
}

func TestQuantilesAreThoseOfPrometheus(t *testing.T) {
	inf := math.Inf(1)
	h := histogram(map[float64]float64{1: 10, 2: 10, 4: 30, inf: 40}, 1, 2, 4)
	for _, c := range []struct{ share, want float64 }{
		{0, 0}, {0.125, 0.5}, {0.25, 1}, {0.5, 3}, {0.75, 4}, {0.76, 4}, {0.99, 4}, {1, 4},
	} {
		require.InDelta(t, c.want, h.Quantile(c.share), 1e-9, "the share %g", c.share)
	}
	require.True(t, math.IsNaN((&Histogram{}).Quantile(0.5)))
	require.True(t, math.IsNaN(histogram(nil, 1).Quantile(0.5)), "nothing was measured")
	require.InDelta(t, 1, histogram(map[float64]float64{1: 0, inf: 3}, 1).Quantile(0.5), 1e-9, "all lie beyond the last bound")
}

func TestADistributionOfAHistogramCanBeReported(t *testing.T) {
	h := histogram(map[float64]float64{0.001: 0, 0.002: 0, 0.004: 3, 0.008: 3, 0.016: 4, math.Inf(1): 4}, 0.001, 0.002, 0.004, 0.008, 0.016)
	h.Sum = 0.02
	d := h.Distribution()
	require.Equal(t, int64(4), d.Count)
	require.InDelta(t, 5, d.Mean, 1e-9)
	require.InDelta(t, 16, d.Max, 1e-9)
	require.Equal(t, [][2]float64{{2, 0}, {4, 0.75}, {16, 1}}, d.Points)
	now := time.Now()
	group := &result.Group{
		Name: "caliper", Title: "Caliper", Began: now, Ended: now,
		Measurements: []result.Measurement{{Name: realLabel, Title: "anchor", Unit: "ms", Latencies: []result.Distribution{d}}},
	}
	require.NoError(t, group.Write(t.TempDir()))
	beyond := histogram(map[float64]float64{1: 0, math.Inf(1): 2}, 1)
	beyond.Sum = 5
	require.Equal(t, [][2]float64{{1000, 0}, {1000, 1}}, func() [][2]float64 { d := beyond.Distribution(); return d.Points }())
}

func TestARealPageIsRead(t *testing.T) {
	page, err := ParsePage([]byte(realPage(t)), realLabel)
	require.NoError(t, err)
	require.InDelta(t, realCount, page.Succeeded, 0)
	require.InDelta(t, realCount, page.Submitted, 0)
	require.Zero(t, page.Failed)
	require.InDelta(t, realCount, page.Histogram.Count(), 0)
	require.Positive(t, page.Histogram.Quantile(0.5))
	require.LessOrEqual(t, page.Histogram.Quantile(0.5), page.Histogram.Quantile(0.99))
}

// edited is the real page with something in its lines replaced.
func edited(t *testing.T, from, to string) string {
	t.Helper()
	page := realPage(t)
	require.Contains(t, page, from)
	return strings.ReplaceAll(page, from, to)
}

func TestPagesThatFiguresCannotBeTakenFrom(t *testing.T) {
	page := realPage(t)
	for problem, text := range map[string]string{
		"it has no caliper_tx_e2e_latency": "",
		"unexpected end of input":          page[:strings.LastIndex(page, "caliper_tx_e2e_latency_count")+10],
		"it is of the round \"get\"":       edited(t, `roundLabel="`+realLabel+`"`, `roundLabel="get"`),
		"it has latencies of 9":            edited(t, `caliper_tx_finished{final_status="success"`, `caliper_tx_finished{final_status="failed"`),
		"its last bucket does not hold":    edited(t, `le="+Inf"`, `le="100"`),
		"it has no caliper_tx_finished":    edited(t, "caliper_tx_finished", "caliper_tx_done"),
	} {
		_, err := ParsePage([]byte(text), realLabel)
		require.ErrorIs(t, err, ErrPage, problem)
		require.ErrorContains(t, err, problem)
	}
}

func counted(submitted, successful, failed int, first, last float64) string {
	return fmt.Sprintf(`{"label":%q,"submitted":%d,"successful":%d,"failed":%d,"first_create":%g,"last_finish":%g}`, realLabel, submitted, successful, failed, first, last)
}

func TestAnOutcomeIsThatOfAllWorkers(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	write("0-0.prom", realPage(t))
	write("0-0.json", counted(realCount, realCount, 0, 1000, 3000))
	_, err := ReadOutcome(folder, 0, 2, realLabel)
	require.ErrorIs(t, err, os.ErrNotExist, "the second worker left nothing")
	write("0-1.prom", realPage(t))
	write("0-1.json", counted(realCount, realCount, 0, 1500, 5000))
	outcome, err := ReadOutcome(folder, 0, 2, realLabel)
	require.NoError(t, err)
	require.InDelta(t, 4, outcome.Seconds, 1e-9)
	require.InDelta(t, 2*realCount/4.0, outcome.Throughput(), 1e-9)
	require.Zero(t, outcome.Failed)

	for problem, text := range map[string]string{
		"and Caliper 10, 9, 1":     counted(10, 9, 1, 1500, 5000),
		"were finished in -0.1 s":  counted(realCount, realCount, 0, 1500, 900),
		"what Caliper counted":     `{"label":"x","more":1}`,
		"what Caliper counted: js": ``,
	} {
		write("0-1.json", text)
		if problem == "were finished in -0.1 s" {
			write("0-0.json", counted(realCount, realCount, 0, 1000, 800))
		}
		_, err := ReadOutcome(folder, 0, 2, realLabel)
		require.ErrorIs(t, err, ErrPage)
		require.ErrorContains(t, err, problem)
		write("0-0.json", counted(realCount, realCount, 0, 1000, 3000))
	}

	// A transaction that failed is not part of the throughput, and is told.
	failed := edited(t, `caliper_tx_submitted{`, `caliper_tx_submitted{more="1",`) + "\n"
	failed = strings.Replace(failed, "} 9\n", "} 10\n", 1)
	failed += fmt.Sprintf("# TYPE other untyped\ncaliper_other{roundLabel=%q} 1\n", realLabel)
	failed = strings.Replace(failed, `# HELP caliper_tx_e2e_latency`, `caliper_tx_finished{final_status="failed",roundLabel="`+realLabel+`"} 1`+"\n"+`# HELP caliper_tx_e2e_latency`, 1)
	write("0-1.prom", failed)
	write("0-1.json", counted(10, 9, 1, 1500, 5000))
	outcome, err = ReadOutcome(folder, 0, 2, realLabel)
	require.NoError(t, err)
	require.InDelta(t, 1, outcome.Failed, 0)
	require.InDelta(t, 2*realCount/4.0, outcome.Throughput(), 1e-9)
}

func TestDifferentBucketsAreNotAddedUp(t *testing.T) {
	one := histogram(map[float64]float64{1: 1, math.Inf(1): 1}, 1)
	require.ErrorIs(t, one.add(histogram(nil, 1, 2)), ErrPage)
	require.ErrorIs(t, one.add(histogram(nil, 3)), ErrPage)
	require.NoError(t, one.add(histogram(map[float64]float64{1: 2, math.Inf(1): 4}, 1)))
	require.InDelta(t, 5, one.Count(), 0)
}
