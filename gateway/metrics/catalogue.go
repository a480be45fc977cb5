package metrics

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Registry is a registry that can say what it holds, values or none.
type Registry struct {
	*prometheus.Registry

	mu         sync.Mutex
	collectors []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (r *Registry) Register(collector prometheus.Collector) error {
	if err := r.Registry.Register(collector); err != nil {
		return err //nolint:wrapcheck // the registry's own, which callers look into
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.collectors = append(r.collectors, collector)
	return nil
}

// MustRegister implements prometheus.Registerer.
func (r *Registry) MustRegister(collectors ...prometheus.Collector) {
	for _, one := range collectors {
		if err := r.Register(one); err != nil {
			panic(err)
		}
	}
}

// Description is what there is to say of a metric.
type Description struct {
	Name string
	// Type is counter, gauge or histogram.
	Type   string
	Labels []string
	Help   string
}

// described takes apart what a Desc prints, which has no other way to be read.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*")(?:, unit: "[^"]*")?, constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// Catalogue describes the metrics whose names begin with one of the prefixes, sorted
// by name.
func (r *Registry) Catalogue(prefixes ...string) ([]Description, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Description
	for _, collector := range r.collectors {
		known, types := descriptions(collector), kinds(collector)
		for _, desc := range known {
			one, err := describe(desc)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(one.Name, prefix) }) {
				continue
			}
			if one.Type = types[desc]; one.Type == "" {
				one.Type = kindOf(collector)
			}
			if one.Type == "" {
				return nil, fmt.Errorf("the type of %s cannot be known: its collector has no value and is no vector", one.Name)
			}
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b Description) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func descriptions(collector prometheus.Collector) []string {
	channel := make(chan *prometheus.Desc)
	go func() { collector.Describe(channel); close(channel) }()
	var all []string
	for one := range channel {
		all = append(all, one.String())
	}
	return all
}

// kinds are the types of what has values now.
func kinds(collector prometheus.Collector) map[string]string {
	channel := make(chan prometheus.Metric)
	go func() { collector.Collect(channel); close(channel) }()
	types := map[string]string{}
	for one := range channel {
		var value dto.Metric
		if one.Write(&value) != nil {
			continue
		}
		switch {
		case value.GetCounter() != nil:
			types[one.Desc().String()] = "counter"
		case value.GetHistogram() != nil:
			types[one.Desc().String()] = "histogram"
		case value.GetGauge() != nil:
			types[one.Desc().String()] = "gauge"
		}
	}
	return types
}

// kindOf is the type of a vector that has no value yet, or of a collector that says its
// own.
func kindOf(collector prometheus.Collector) string {
	if own, says := collector.(interface{ Kind() string }); says {
		return own.Kind()
	}
	switch collector.(type) {
	case *prometheus.CounterVec:
		return "counter"
	case *prometheus.GaugeVec:
		return "gauge"
	case *prometheus.HistogramVec:
		return "histogram"
	}
	return ""
}

func describe(text string) (Description, error) {
	parts := described.FindStringSubmatch(text)
	if parts == nil {
		return Description{}, errors.New("the library describes metrics in another way: " + text)
	}
	help, err := strconv.Unquote(parts[2])
	if err != nil {
		return Description{}, fmt.Errorf("the help of %s: %w", parts[1], err)
	}
	one := Description{Name: parts[1], Help: help}
	for label := range strings.SplitSeq(parts[3], `",`) {
		if name, _, has := strings.Cut(label, "="); has {
			one.Labels = append(one.Labels, strings.TrimSpace(name))
		}
	}
	for label := range strings.SplitSeq(parts[4], ",") {
		if label != "" {
			one.Labels = append(one.Labels, strings.TrimSpace(label))
		}
	}
	slices.Sort(one.Labels)
	return one, nil
}
