package adapter

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/admission"
)

// viewEvery is how often the view's age is looked at.
const viewEvery = time.Second

// keepView keeps the ledger's scores, devices and keys in memory until the context
// ends, and notes whether they are up to date.
func (a *Adapter) keepView(ctx context.Context) error {
	a.standings.expect(standingView)
	a.background.Go(func() { a.view.Run(ctx, pb.NewViewServiceClient(a.connection), a.log) })
	ticker := time.NewTicker(viewEvery)
	defer ticker.Stop()
	for {
		fresh := a.view.Freshness()
		a.stands(standingView, fresh.Problem(time.Now()))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// viewed are a view's figures, read when they are asked for.
type viewed struct {
	view                                       *admission.View
	age, height, subjects, devices, unreadable *prometheus.Desc
}

func newViewed(view *admission.View) *viewed {
	gauge := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("callseal_adapter_view_"+name, help, nil, nil)
	}
	return &viewed{
		view:       view,
		age:        gauge("age_seconds", "Since the gateway last said how the ledger stands; absent before it first has."),
		height:     gauge("height_blocks", "Blocks of the ledger that the view includes."),
		subjects:   gauge("subjects", "Subjects of reputation in the view."),
		devices:    gauge("devices", "Devices in the view."),
		unreadable: gauge("unreadable_records", "Records that the view could not read: a newer contract may have written them."),
	}
}

// Describe implements prometheus.Collector.
func (v *viewed) Describe(out chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{v.age, v.height, v.subjects, v.devices, v.unreadable} {
		out <- one
	}
}

// Collect implements prometheus.Collector.
func (v *viewed) Collect(out chan<- prometheus.Metric) {
	fresh := v.view.Freshness()
	gauge := func(desc *prometheus.Desc, value float64) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	if !fresh.Heard.IsZero() {
		gauge(v.age, time.Since(fresh.Heard).Seconds())
	}
	gauge(v.height, float64(fresh.Height))
	gauge(v.subjects, float64(fresh.Subjects))
	gauge(v.devices, float64(fresh.Devices))
	gauge(v.unreadable, float64(fresh.Unreadable))
}
