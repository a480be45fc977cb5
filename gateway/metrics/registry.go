// Package metrics serves what the gateway's parts measure, and how they are, to
// the operator's monitoring: by plain HTTP, apart from the API.
package metrics

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewRegistry makes the registry that all parts register with. Go's runtime, the
// process and the build are in it already.
func NewRegistry() *Registry {
	registry := &Registry{Registry: prometheus.NewRegistry()}
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(),
	)
	return registry
}

// Version is what the build says of itself: the module's version, the revision
// and Go's.
func Version() (version, revision, goVersion string) {
	version, revision = "devel", "unknown"
	info, known := debug.ReadBuildInfo()
	if !known {
		return version, revision, "unknown"
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	for _, one := range info.Settings {
		if one.Key == "vcs.revision" {
			revision = one.Value
		}
	}
	return version, revision, info.GoVersion
}

func buildInfo() prometheus.Collector {
	version, revision, goVersion := Version()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "callseal_gateway_build_info", Help: "1, with what was built: the version, the revision of the sources and Go's version.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "goversion": goVersion},
	})
	gauge.Set(1)
	return gauge
}
