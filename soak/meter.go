package soak

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/shirou/gopsutil/v4/process"

	"github.com/callseal/callseal/benchmarks/result"
)

// Meter reads what the gateway measures of itself, by the page for Prometheus.
type Meter struct{ url string }

// Meter has the gateway serve its measurements, and Go's profiles, on the port that
// another operator's gateway, which does not run, would have.
func (l *Lab) Meter() *Meter {
	l.tb.Helper()
	address := l.Member(Witness).Gateway.Address
	l.Configure(func(config map[string]any) { config["metrics"] = map[string]any{"listen": address, "pprof": true} })
	return &Meter{url: "http://" + address + "/metrics"}
}

// Read adds a metric up over its labels; the sum of a histogram. There must be one.
func (m *Meter) Read(ctx context.Context, name string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url, nil)
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	family := families[name]
	if family == nil {
		return 0, fmt.Errorf("the gateway serves no metric %s", name)
	}
	var sum float64
	for _, metric := range family.GetMetric() {
		sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetHistogram().GetSampleSum()
	}
	return sum, nil
}

// Follow samples a metric until it is ended, and answers the samples as a latency of
// so many units each.
func (m *Meter) Follow(name string, unit time.Duration) (end func() (*result.Recorder, error)) {
	ctx, stop := context.WithCancel(context.Background())
	samples := result.NewRecorder()
	var failed error
	var following sync.WaitGroup
	following.Go(func() {
		for ctx.Err() == nil {
			value, err := m.Read(ctx, name)
			if err != nil && ctx.Err() == nil {
				failed = err
				return
			}
			if err == nil {
				samples.Record(time.Duration(value * float64(unit)))
			}
			sleep(ctx, watchEvery)
		}
	})
	return func() (*result.Recorder, error) {
		stop()
		following.Wait()
		return samples, failed
	}
}

// ProcessorSeconds is the processor time that each kind of node has used so far.
func (l *Lab) ProcessorSeconds() (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	all, err := l.Status(ctx)
	if err != nil {
		return nil, err
	}
	used := map[string]float64{}
	for _, one := range all {
		if one.PID == 0 {
			continue
		}
		running, err := process.NewProcess(int32(one.PID)) //nolint:gosec // Linux numbers processes below 2^22
		if err != nil {
			return nil, fmt.Errorf("process of %s: %w", one.Node, err)
		}
		times, err := running.Times()
		if err != nil {
			return nil, fmt.Errorf("process of %s: %w", one.Node, err)
		}
		used[one.Kind] += times.User + times.System
	}
	return used, nil
}

// Written is how many bytes a process has had written to disk.
func Written(pid int32) (float64, error) {
	running, err := process.NewProcess(pid)
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	counters, err := running.IOCounters()
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	return float64(counters.WriteBytes), nil
}
