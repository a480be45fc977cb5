package adapter

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/callseal/callseal/asterisk-adapter/journal"
)

// Labels of metrics.recordings.
const (
	recordingDigested = "digested"
	recordingNoAudio  = "no audio"
	recordingChanged  = "changed"
	recordingFailed   = "unreadable"
	recordingRepaired = "repaired"
	recordingUnbound  = "of no channel"
	recordingNone     = "none made"
)

// metrics are what an adapter counts; their names begin with callseal_adapter_.
type metrics struct {
	registry      *registry
	connected     *prometheus.GaugeVec
	legs          *prometheus.CounterVec
	lag           *prometheus.HistogramVec
	unfit         *prometheus.CounterVec
	disagreements *prometheus.CounterVec
	recordings    *prometheus.CounterVec
	imported      *prometheus.CounterVec
	happenings    *prometheus.CounterVec
	// strangers are devices that were reported, strangersCalls their calls.
	strangers, strangersCalls *prometheus.CounterVec
	omissions                 prometheus.Counter
	// progress counts what the ledger heard of calls before their CDR, or without one.
	progress  *prometheus.CounterVec
	commits   prometheus.Histogram
	conflicts prometheus.Counter
	refused   prometheus.Gauge
	diskFree  prometheus.Gauge
}

// registry is a registry that remembers what was registered.
type registry struct {
	*prometheus.Registry

	collectors []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (r *registry) Register(collector prometheus.Collector) error {
	if err := r.Registry.Register(collector); err != nil {
		return err //nolint:wrapcheck // the registry's own
	}
	r.collectors = append(r.collectors, collector)
	return nil
}

// MustRegister implements prometheus.Registerer.
func (r *registry) MustRegister(collectors ...prometheus.Collector) {
	for _, one := range collectors {
		if err := r.Register(one); err != nil {
			panic(err)
		}
	}
}

// Collectors are all that an adapter of this configuration measures, for their
// documentation. Close lets its journal go.
func Collectors(config *Config, log *slog.Logger) (collectors []prometheus.Collector, closed func() error, err error) {
	if err := config.check(); err != nil {
		return nil, nil, err
	}
	a, err := open(config, log)
	if err != nil {
		return nil, nil, err
	}
	return a.metrics.registry.collectors, a.close, nil
}

func newMetrics() *metrics {
	registry := &registry{Registry: prometheus.NewRegistry()}
	name := func(name string) string { return "callseal_adapter_" + name }
	counters := func(what, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name(what), Help: help}, labels)
		registry.MustRegister(v)
		return v
	}
	m := &metrics{
		registry:       registry,
		connected:      prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name("connected"), Help: "Whether a source, or the gateway, answers."}, []string{"to"}),
		legs:           counters("source_legs_total", "Legs that a source told of, by whether it was the first to.", "source", "first"),
		unfit:          counters("source_unfit_total", "Lines, rows and events that cannot be taken.", "source"),
		disagreements:  counters("disagreements_total", "Legs of which two sources say different things.", "first", "second"),
		imported:       counters("imported_total", "Old records and recordings that an import brought, by what came of it.", "what", "outcome"),
		happenings:     counters("happenings_total", "What happened to calls while they lived, such as transfers and holds, by who told of it.", "kind", "source"),
		recordings:     counters("recordings_total", "Recordings' files that were closed, by what came of it.", "outcome"),
		strangers:      counters("strangers_total", "Reports of devices that are not in good standing on the ledger, by verdict.", "verdict"),
		strangersCalls: counters("strangers_calls_total", "Calls that such devices had, by verdict.", "verdict"),
		progress:       counters("progress_total", "Calls that were told of without a CDR, by state.", "state"),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name("source_lag_seconds"), Help: "From a leg's end, as the CDR has it, until a source told of it.", Buckets: []float64{.1, .5, 1, 2, 5, 10, 60, 600, 3600, 86400},
		}, []string{"source"}),
		omissions: prometheus.NewCounter(prometheus.CounterOpts{Name: name("omissions_total"), Help: "Recordings that were due, never came, and were given up."}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name("commit_seconds"), Help: "From hang-up, as ARI tells it, until a call is on the ledger.", Buckets: []float64{.05, .1, .2, .3, .5, 1, 2, 5, 10, 60, 600, 3600, 86400},
		}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{Name: name("conflicts_total"), Help: "Calls of which the ledger holds other content: an incident is recorded."}),
	}
	m.refused = prometheus.NewGauge(prometheus.GaugeOpts{Name: name("refused_segments"), Help: "Segments that the gateway refused, set aside in the journal."})
	m.diskFree = prometheus.NewGauge(prometheus.GaugeOpts{Name: name("disk_free_bytes"), Help: "What is free where the journal is."})
	registry.MustRegister(m.diskFree, m.refused, m.connected, m.lag, m.omissions, m.commits, m.conflicts, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// told notes that a source told of a leg.
func (m *metrics) told(source string, ended time.Time, known bool) {
	m.legs.WithLabelValues(source, map[bool]string{true: "no", false: "yes"}[known]).Inc()
	if !known {
		m.lag.WithLabelValues(source).Observe(max(0, time.Since(ended).Seconds()))
	}
}

// depths are what waits in an adapter, read when they are asked for.
type depths struct {
	journal *journal.Journal
	pairing *pairing
	log     *slog.Logger
	unsettled, outbox, due,
	disk, legs, recordings *prometheus.Desc
}

func newDepths(book *journal.Journal, pairing *pairing, log *slog.Logger) *depths {
	gauge := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("callseal_adapter_"+name, help, nil, nil)
	}
	return &depths{
		journal: book, pairing: pairing, log: log,
		unsettled:  gauge("journal_open_legs", "Legs that were received and are in no segment yet."),
		outbox:     gauge("journal_outbox_segments", "Segments that are not on the ledger, those that were refused too."),
		due:        gauge("recordings_due", "Recordings that are due of legs that are in a segment."),
		disk:       gauge("journal_disk_bytes", "What the journal takes on disk."),
		legs:       gauge("unpaired_legs", "Legs that wait for their recording."),
		recordings: gauge("unpaired_recordings", "Recordings that wait for their leg."),
	}
}

// Describe implements prometheus.Collector.
func (d *depths) Describe(out chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{d.unsettled, d.outbox, d.due, d.disk, d.legs, d.recordings} {
		out <- one
	}
}

// Collect implements prometheus.Collector.
func (d *depths) Collect(out chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value int) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value))
	}
	legs, recordings := d.pairing.waiting()
	gauge(d.legs, legs)
	gauge(d.recordings, recordings)
	depth, err := d.journal.Depth()
	if err != nil {
		d.log.Warn("the journal cannot be counted", "error", err)
		return
	}
	gauge(d.unsettled, depth.OpenLegs)
	gauge(d.outbox, depth.Outbox)
	gauge(d.due, depth.Due)
	gauge(d.disk, int(depth.DiskBytes))
}
