package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/callseal/callseal/benchmarks/result"
)

// Results are groups by name.
type Results map[string]*result.Group

// Reference names a figure, in text as "callseal-bft/commit/lone p50": the group, the
// measurement within it and, where it has latencies, a statistic.
type Reference struct {
	Group, Measurement string
	Statistic          Statistic
}

// ErrBadReference is a reference that cannot be understood.
var ErrBadReference = errors.New("a figure is named GROUP/MEASUREMENT, and GROUP/MEASUREMENT p50 (or p95, p99, mean, max) where it has latencies")

var statistics = []Statistic{P50, P95, P99, Mean, Max}

// ParseReference reads one.
func ParseReference(text string) (Reference, error) {
	words := strings.Fields(text)
	if len(words) == 0 || len(words) > 2 {
		return Reference{}, fmt.Errorf("%q: %w", text, ErrBadReference)
	}
	group, measurement, found := strings.Cut(words[0], "/")
	if !found || group == "" || measurement == "" {
		return Reference{}, fmt.Errorf("%q: %w", text, ErrBadReference)
	}
	r := Reference{Group: group, Measurement: measurement, Statistic: Value}
	if len(words) == 2 {
		if r.Statistic = Statistic(words[1]); !slices.Contains(statistics, r.Statistic) {
			return Reference{}, fmt.Errorf("%q: %w", text, ErrBadReference)
		}
	}
	return r, nil
}

// at is a reference of aims.go, which is right or a mistake in this package.
func at(text string) Reference {
	r, err := ParseReference(text)
	if err != nil {
		panic(err)
	}
	return r
}

// String is how it is written.
func (r Reference) String() string {
	if r.Statistic == Value {
		return r.Group + "/" + r.Measurement
	}
	return r.Group + "/" + r.Measurement + " " + string(r.Statistic)
}

// ErrNotMeasured is a figure that the results lack, with how it is measured.
var ErrNotMeasured = errors.New("not measured")

// Find answers a measurement.
func (r Results) Find(group, name string) (*result.Measurement, error) {
	found, is := r[group]
	if !is {
		return nil, fmt.Errorf("%w: there is no group %s; %s", ErrNotMeasured, group, measuredBy(group))
	}
	one := found.Find(name)
	if one == nil {
		return nil, fmt.Errorf("%w: group %s has no %s; %s", ErrNotMeasured, group, name, measuredBy(group))
	}
	return one, nil
}

// Estimate answers a figure.
func (r Results) Estimate(of Reference) (Estimate, error) {
	one, err := r.Find(of.Group, of.Measurement)
	if err != nil {
		return Estimate{}, err
	}
	e, err := estimate(one, of.Statistic)
	if err != nil {
		return Estimate{}, fmt.Errorf("group %s: %w", of.Group, err)
	}
	return e, nil
}

func measuredBy(group string) string {
	for _, source := range sources {
		if slices.Contains(source.Groups, group) {
			return "measured by " + source.Command
		}
	}
	return "no command is known to measure it"
}

// Quantity is a figure, or a ratio of two.
type Quantity struct {
	// Of is the figure, Over what it is divided by; Over is nil where nothing is.
	Of   Reference
	Over *Reference
}

// figure and quotient are for aims.go.
func figure(of string) Quantity { return Quantity{Of: at(of)} }

func quotient(of, over string) Quantity {
	below := at(over)
	return Quantity{Of: at(of), Over: &below}
}

// Measured is a quantity found in results.
type Measured struct {
	Estimate

	// Of and Over are what it was made of, where it is a ratio.
	Of, Over *Estimate
}

// Measure answers a quantity.
func (r Results) Measure(q Quantity) (Measured, error) {
	of, err := r.Estimate(q.Of)
	if err != nil || q.Over == nil {
		return Measured{Estimate: of}, err
	}
	over, err := r.Estimate(*q.Over)
	if err != nil {
		return Measured{}, err
	}
	e, err := ratio(of, over)
	if err != nil {
		return Measured{}, fmt.Errorf("%s over %s: %w", q.Of, q.Over, err)
	}
	return Measured{Estimate: e, Of: &of, Over: &over}, nil
}
