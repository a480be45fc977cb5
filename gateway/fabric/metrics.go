package fabric

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/callseal/callseal/gateway/fault"
)

const metricPrefix = "callseal_gateway_fabric_"

var (
	peerLabels    = []string{"peer"}
	healthyMetric = prometheus.NewDesc(metricPrefix+"peer_healthy", "1 while the peer answers.", peerLabels, nil)
	heightMetric  = prometheus.NewDesc(metricPrefix+"peer_blocks", "Blocks the peer is known to have; 0 while it does not answer.", peerLabels, nil)
	lagMetric     = prometheus.NewDesc(metricPrefix+"commit_lag_blocks", "Blocks an own peer has and the commit stream has not delivered.", nil, nil)
	expectMetric  = prometheus.NewDesc(metricPrefix+"commits_expected", "Transactions whose commit is waited for.", nil, nil)
	expiryMetric  = prometheus.NewDesc(metricPrefix+"identity_expiry_seconds", "When the identity's certificate expires, Unix time.", nil, nil)
)

// Metrics are what the channel measures.
type Metrics struct {
	registerer prometheus.Registerer
	calls      *prometheus.HistogramVec
	failures   *prometheus.CounterVec
	reconnects *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them; with nil they are registered
// nowhere.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	m := &Metrics{
		registerer: registerer,
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: metricPrefix + "call_seconds", Help: "Calls to an own peer that succeeded, by stage.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"peer", "stage"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricPrefix + "call_failures_total", Help: "Calls to an own peer that failed, by stage and kind of fault.",
		}, []string{"peer", "stage", "kind"}),
		reconnects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: metricPrefix + "stream_reconnects_total", Help: "Streams of blocks that broke and were opened anew.",
		}, peerLabels),
	}
	if registerer != nil {
		registerer.MustRegister(m.calls, m.failures, m.reconnects)
	}
	return m
}

// standing collects what a channel knows at the moment.
type standing struct{ channel *shared }

// Describe implements prometheus.Collector.
func (s standing) Describe(to chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{healthyMetric, heightMetric, lagMetric, expectMetric, expiryMetric} {
		to <- one
	}
}

// Collect implements prometheus.Collector.
func (s standing) Collect(to chan<- prometheus.Metric) {
	gauge := func(what *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(what, prometheus.GaugeValue, value, labels...)
	}
	for _, peer := range s.channel.Peers() {
		healthy := 0.0
		if peer.Healthy {
			healthy = 1
		}
		gauge(healthyMetric, healthy, peer.Address)
		gauge(heightMetric, float64(peer.Height), peer.Address)
	}
	gauge(lagMetric, float64(s.channel.commits.lag()))
	gauge(expectMetric, float64(s.channel.commits.Expected()))
	gauge(expiryMetric, float64(s.channel.Identity().NotAfter.Unix()))
}

// lag is how many blocks an own peer has beyond those that were delivered.
func (c *Commits) lag() uint64 {
	tallest := c.channel.tallest()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known || tallest <= c.next {
		return 0
	}
	return tallest - c.next
}

// done notes how a call to a peer at a stage went.
func (m *Metrics) done(peer *Peer, stage fault.Stage, took time.Duration, err error) {
	if err == nil {
		m.calls.WithLabelValues(peer.address, string(stage)).Observe(took.Seconds())
		return
	}
	m.failures.WithLabelValues(peer.address, string(stage), strings.ToLower(string(classify(stage, "", err).Kind))).Inc()
}
