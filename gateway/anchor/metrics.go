package anchor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/callseal/callseal/gateway/fault"
)

// The stages of a transaction that are timed.
const (
	stageSeal    = "seal"
	stageJournal = "journal"
	stageEndorse = "endorse"
	stageBegin   = "begin"
	stageSubmit  = "submit"
	stageOrder   = "order"
	stageResolve = "resolve"
)

// Metrics tell how segments fare on their way to the ledger.
type Metrics struct {
	segments   *prometheus.CounterVec
	records    *prometheus.CounterVec
	batches    prometheus.Histogram
	stages     *prometheus.HistogramVec
	latency    *prometheus.HistogramVec
	outcomes   *prometheus.CounterVec
	retries    *prometheus.CounterVec
	splits     prometheus.Counter
	rejections *prometheus.CounterVec
	refusals   *prometheus.CounterVec

	make promauto.Factory
}

// NewMetrics makes the metrics and registers them unless the registerer is nil.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	const space, part = "callseal", "gateway_anchor"
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: space, Subsystem: part, Name: name, Help: help}
	}
	factory := promauto.With(registerer)
	latencies := prometheus.ExponentialBuckets(0.001, 1.6, 24) // 1 ms to 50 s
	return &Metrics{
		segments: factory.NewCounterVec(counter("segments_total", "Segments by the state they reached."), []string{"state"}),
		records:  factory.NewCounterVec(counter("records_total", "Records by the state their segments reached."), []string{"state"}),
		batches: factory.NewHistogram(prometheus.HistogramOpts{
			Namespace: space, Subsystem: part, Name: "batch_records", Help: "Records that share a public transaction.", Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 300, 400, 500, 1000, 1500},
		}),
		stages: factory.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: space, Subsystem: part, Name: "stage_seconds", Help: "Time that a stage of a transaction takes.", Buckets: latencies,
		}, []string{"stage"}),
		latency: factory.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: space, Subsystem: part, Name: "latency_seconds", Help: "Time from a segment's arrival to a state.", Buckets: latencies,
		}, []string{"state"}),
		outcomes:   factory.NewCounterVec(counter("transactions_total", "Transactions in blocks by Fabric's validation code."), []string{"code"}),
		retries:    factory.NewCounterVec(counter("retries_total", "Transactions that were made or sent again, by the kind of fault and its stage."), []string{"kind", "stage"}),
		splits:     factory.NewCounter(counter("splits_total", "Transactions that were halved to find a segment that is refused.")),
		rejections: factory.NewCounterVec(counter("rejected_total", "Segments that were not taken, by reason."), []string{"reason"}),
		refusals:   factory.NewCounterVec(counter("refused_total", "Segments that were set aside in the outbox, by reason."), []string{"reason"}),
		make:       factory,
	}
}

// watch has what a pipeline holds measured.
func (m *Metrics) watch(p *Pipeline) {
	gauge := func(name, help string, value func() int) {
		m.make.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "callseal", Subsystem: "gateway_anchor", Name: name, Help: help}, func() float64 {
			p.mu.Lock()
			defer p.mu.Unlock()
			return float64(value())
		})
	}
	gauge("queue_segments", "Segments that wait for their public transaction.", func() int { return p.lanes.waiting })
	gauge("settling_segments", "Segments that are committed and wait for their details' transaction.", func() int { return len(p.settling) })
	gauge("under_way_segments", "Segments that are accepted and neither settled nor refused.", func() int { return len(p.known) })
	gauge("in_flight_transactions", "Public transactions under way.", func() int { return p.inFlight })
	gauge("details_in_flight_transactions", "Transactions with details under way.", func() int { return p.storing })
	gauge("held_bytes", "Bytes of segments that are held in memory.", func() int { return int(p.held) })
	gauge("unreachable", "1 while the network cannot endorse.", func() int {
		if p.public.isShut() {
			return 1
		}
		return 0
	})
}

func (m *Metrics) reached(state string, one *item) {
	m.segments.WithLabelValues(state).Inc()
	m.records.WithLabelValues(state).Add(float64(one.records))
	if !one.recovered { // the wall clock before a restart is not this one's
		m.latency.WithLabelValues(state).Observe(time.Since(one.acceptedAt).Seconds())
	}
}

func (m *Metrics) accepted(one *item)  { m.reached("accepted", one) }
func (m *Metrics) committed(one *item) { m.reached("committed", one) }
func (m *Metrics) settled(one *item)   { m.reached("settled", one) }

func (m *Metrics) stage(name string, took time.Duration) {
	m.stages.WithLabelValues(name).Observe(took.Seconds())
}

func (m *Metrics) batch(b *batch)      { m.batches.Observe(float64(b.records)) }
func (m *Metrics) ordered(code string) { m.outcomes.WithLabelValues(code).Inc() }
func (m *Metrics) split()              { m.splits.Inc() }

func (m *Metrics) retry(what *fault.Error) {
	m.retries.WithLabelValues(string(what.Kind), string(what.Stage)).Inc()
}

func (m *Metrics) rejected(what *fault.Error) { m.rejections.WithLabelValues(string(what.Kind)).Inc() }
func (m *Metrics) refused(what *fault.Error)  { m.refusals.WithLabelValues(string(what.Kind)).Inc() }
