package report

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
)

// Report is all that is shown, in words and figures that are ready to be read.
type Report struct {
	// Began and Ended are of the first and the last group.
	Began, Ended time.Time
	// Warnings are what a reader must know first.
	Warnings []string
	// Facts are those of all groups, Groups what was measured, in order.
	Facts  []machine.Fact
	Groups []Group
	// Rows are the table of aims.
	Rows []Row
	// Remarks are what must be said beside some of its lines.
	Remarks []string
	// Reached, Missed and Unmeasured count its lines.
	Reached, Missed, Unmeasured int
	// Parts are the comparisons.
	Parts []Part

	results Results
	plots   []Plot
}

// Row is a row of the table of aims, of several lines.
type Row struct {
	Title string
	Lines []Verdict
}

// Group is a group of results.
type Group struct {
	*result.Group

	// Facts are those that other groups do not share.
	Facts []machine.Fact
	// Repetitions is how often most of it was measured, such as "3" or "1 to 3".
	Repetitions string
	// Measurements are its lines of the appendix.
	Measurements []Entry
}

// Took is how long it was measured, in words.
func (g *Group) Took() string { return g.Ended.Sub(g.Began).Round(time.Second).String() }

// Entry is a line of the appendix.
type Entry struct {
	*result.Measurement

	// Figures are its statistics, by name.
	Figures []Figure
}

// Parameters are what it was measured at, such as "clients=16, offered=200".
func (e *Entry) Parameters() string {
	words := make([]string, 0, len(e.Measurement.Parameters))
	for _, name := range slices.Sorted(maps.Keys(e.Measurement.Parameters)) {
		words = append(words, name+"="+number(e.Measurement.Parameters[name]))
	}
	return strings.Join(words, ", ")
}

// Samples are how many latencies there are of all repetitions.
func (e *Entry) Samples() int64 {
	var all int64
	for _, latency := range e.Latencies {
		all += latency.Count
	}
	return all
}

// Repetitions is how often it was measured.
func (e *Entry) Repetitions() int { return len(e.Latencies) + len(e.Values) }

// Figure is a statistic of a measurement.
type Figure struct {
	Statistic Statistic
	Estimate
}

// Part is a comparison with what was measured of it.
type Part struct {
	Comparison

	// Latencies, Values and Pairs are the lines that were measured, Missing says why the
	// others were not.
	Latencies []Latency
	Values    []Compared
	Pairs     []Paired
	Missing   []string
	// Notes are those of its groups and measurements.
	Notes []Note
}

// Note is what must be said beside figures.
type Note struct {
	// Of is the group's title, or that of a measurement.
	Of    string
	Texts []string
}

// Latency is a line of latencies.
type Latency struct {
	Line

	P50, P95, P99 Estimate
	// Ratio is its p50 over Callseal's; nil of Callseal's own.
	Ratio *Estimate
}

// Compared is a line of values.
type Compared struct {
	Line

	Value Estimate
	// Ratio is Callseal's over it; nil of Callseal's own.
	Ratio *Estimate
}

// Paired is a line of pairs.
type Paired struct {
	Label               string
	Theirs, Ours, Ratio Estimate
}

// ErrNoResults is a folder without results.
var ErrNoResults = errors.New("there are no results")

// ReadResults reads a folder of results, of which there must be some.
func ReadResults(folder string) (Results, error) {
	groups, err := result.Read(folder)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the file
	}
	if len(groups) == 0 {
		return nil, fmt.Errorf("%w in %s: measure first, with `make bench`", ErrNoResults, folder)
	}
	return groups, nil
}

// New makes a report.
func New(results Results, causes Causes) (*Report, error) {
	r := &Report{results: results}
	verdicts, err := judge(results, causes)
	if err != nil {
		return nil, err
	}
	r.table(verdicts)
	ordered := inOrder(results)
	r.facts(ordered)
	for _, group := range ordered {
		if err := r.group(group); err != nil {
			return nil, err
		}
	}
	for _, comparison := range comparisons {
		part, err := compare(results, comparison)
		if err != nil {
			return nil, err
		}
		r.Parts = append(r.Parts, part)
	}
	return r, r.draw()
}

// inOrder answers the groups as sources has them, and after them those that are not
// known there.
func inOrder(results Results) []*result.Group {
	var names []string
	for _, source := range sources {
		for _, name := range source.Groups {
			if results[name] != nil {
				names = append(names, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(results)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	groups := make([]*result.Group, len(names))
	for i, name := range names {
		groups[i] = results[name]
	}
	return groups
}

func (r *Report) table(verdicts []Verdict) {
	for _, v := range verdicts {
		if n := len(r.Rows); n == 0 || r.Rows[n-1].Title != v.Row {
			r.Rows = append(r.Rows, Row{Title: v.Row})
		}
		row := &r.Rows[len(r.Rows)-1]
		row.Lines = append(row.Lines, v)
		if remark := row.Title + ": " + v.Note; v.Note != "" && !slices.Contains(r.Remarks, remark) {
			r.Remarks = append(r.Remarks, remark)
		}
		switch v.Outcome {
		case Reached:
			r.Reached++
		case Missed:
			r.Missed++
		default:
			r.Unmeasured++
		}
	}
}

// differing are facts that must not differ from group to group of one run.
var differing = []string{"machine", "system", "commit"}

// facts finds those that all groups share, and when it was measured.
func (r *Report) facts(groups []*result.Group) {
	r.Began, r.Ended = groups[0].Began, groups[0].Ended
	for _, group := range groups {
		if group.Began.Before(r.Began) {
			r.Began = group.Began
		}
		if group.Ended.After(r.Ended) {
			r.Ended = group.Ended
		}
	}
	for _, fact := range groups[0].Facts {
		if shared(groups, fact) {
			r.Facts = append(r.Facts, fact)
		} else if slices.Contains(differing, fact.Name) {
			r.Warnings = append(r.Warnings, fmt.Sprintf("The groups do not agree in %q: they are not of one run on one machine, and ratios between them mean little.", fact.Name))
		}
	}
}

func shared(groups []*result.Group, fact machine.Fact) bool {
	for _, group := range groups {
		if !slices.Contains(group.Facts, fact) {
			return false
		}
	}
	return true
}

func (r *Report) group(group *result.Group) error {
	g := Group{Group: group}
	for _, fact := range group.Facts {
		if !slices.Contains(r.Facts, fact) && fact.Name != "date" {
			g.Facts = append(g.Facts, fact)
		}
	}
	fewest, most := 0, 0
	for i := range group.Measurements {
		entry, err := newEntry(&group.Measurements[i])
		if err != nil {
			return fmt.Errorf("group %s: %w", group.Name, err)
		}
		g.Measurements = append(g.Measurements, entry)
		n := entry.Repetitions()
		if fewest == 0 || n < fewest {
			fewest = n
		}
		most = max(most, n)
	}
	g.Repetitions = fmt.Sprint(most)
	if fewest < most {
		g.Repetitions = fmt.Sprintf("%d to %d", fewest, most)
	}
	r.Groups = append(r.Groups, g)
	return nil
}

func newEntry(one *result.Measurement) (Entry, error) {
	entry := Entry{Measurement: one}
	takes := []Statistic{Value}
	if len(one.Latencies) > 0 {
		takes = []Statistic{P50, P95, P99, Mean, Max}
	}
	for _, statistic := range takes {
		e, err := estimate(one, statistic)
		if err != nil {
			return Entry{}, err
		}
		entry.Figures = append(entry.Figures, Figure{Statistic: statistic, Estimate: e})
	}
	return entry, nil
}

func compare(results Results, comparison Comparison) (Part, error) {
	part := Part{Comparison: comparison}
	for _, fill := range []func(Results, Comparison) error{part.latencies, part.values, part.pairs} {
		if err := fill(results, comparison); err != nil {
			return Part{}, fmt.Errorf("%s: %w", comparison.Title, err)
		}
	}
	part.Notes = notes(results, comparison)
	return part, nil
}

// missing notes what was not measured; other errors remain.
func (p *Part) missing(label string, err error) error {
	if errors.Is(err, ErrNotMeasured) {
		p.Missing = append(p.Missing, label+": "+err.Error())
		return nil
	}
	return err
}

func (p *Part) latencies(results Results, comparison Comparison) error {
	var base *Estimate
	for i, line := range comparison.Latencies {
		found, err := newLatency(results, line)
		if err != nil {
			if err := p.missing(line.Label, err); err != nil {
				return err
			}
			continue
		}
		if i == 0 {
			base = &found.P50
		} else if base != nil {
			against, err := ratio(found.P50, *base)
			if err != nil {
				return err
			}
			found.Ratio = &against
		}
		p.Latencies = append(p.Latencies, found)
	}
	return nil
}

func (p *Part) values(results Results, comparison Comparison) error {
	var base *Estimate
	for i, line := range comparison.Values {
		value, err := results.Estimate(Reference{Group: line.Group, Measurement: line.Measurement, Statistic: Value})
		if err != nil {
			if err := p.missing(line.Label, err); err != nil {
				return err
			}
			continue
		}
		found := Compared{Line: line, Value: value}
		if i == 0 {
			base = &value
		} else if base != nil {
			against, err := ratio(*base, value)
			if err != nil {
				return err
			}
			found.Ratio = &against
		}
		p.Values = append(p.Values, found)
	}
	return nil
}

func (p *Part) pairs(results Results, comparison Comparison) error {
	for _, pair := range comparison.Pairs {
		of, over := pair.Theirs, pair.Ours
		if pair.More {
			of, over = over, of
		}
		measured, err := results.Measure(Quantity{Of: of, Over: &over})
		if err != nil {
			if err := p.missing(pair.Label, err); err != nil {
				return err
			}
			continue
		}
		found := Paired{Label: pair.Label, Theirs: *measured.Of, Ours: *measured.Over, Ratio: measured.Estimate}
		if pair.More {
			found.Theirs, found.Ours = found.Ours, found.Theirs
		}
		p.Pairs = append(p.Pairs, found)
	}
	return nil
}

func newLatency(results Results, line Line) (Latency, error) {
	found := Latency{Line: line}
	for statistic, to := range map[Statistic]*Estimate{P50: &found.P50, P95: &found.P95, P99: &found.P99} {
		e, err := results.Estimate(Reference{Group: line.Group, Measurement: line.Measurement, Statistic: statistic})
		if err != nil {
			return Latency{}, err
		}
		*to = e
	}
	return found, nil
}

// notes are those of the groups, each once, and of the measurements that it shows.
func notes(results Results, comparison Comparison) []Note {
	var all []Note
	said := map[string]bool{}
	add := func(of string, texts []string) {
		var fresh []string
		for _, text := range texts {
			if !said[text] {
				said[text] = true
				fresh = append(fresh, text)
			}
		}
		if len(fresh) > 0 {
			all = append(all, Note{Of: of, Texts: fresh})
		}
	}
	for _, name := range comparison.Groups {
		if results[name] != nil {
			add(results[name].Title, results[name].Notes)
		}
	}
	lines := slices.Concat(comparison.Latencies, comparison.Values)
	for _, pair := range comparison.Pairs {
		lines = append(lines, Line{Group: pair.Theirs.Group, Measurement: pair.Theirs.Measurement}, Line{Group: pair.Ours.Group, Measurement: pair.Ours.Measurement})
	}
	for _, line := range lines {
		if one, err := results.Find(line.Group, line.Measurement); err == nil && slices.Contains(comparison.Groups, line.Group) {
			add(results[line.Group].Title+", "+one.Title, one.Notes)
		}
	}
	return all
}

// Uncaused are the IDs of aims that were missed without a cause.
func (r *Report) Uncaused() []string {
	return r.ids(Missed, func(v Verdict) bool { return v.Cause == "" })
}

// Absent are the IDs of aims that were not measured.
func (r *Report) Absent() []string {
	return r.ids(NotMeasured, func(Verdict) bool { return true })
}

func (r *Report) ids(outcome Outcome, of func(Verdict) bool) []string {
	var ids []string
	for _, row := range r.Rows {
		for _, v := range row.Lines {
			if v.Outcome == outcome && of(v) {
				ids = append(ids, v.ID)
			}
		}
	}
	return ids
}

// ErrIncomplete is a report that lacks a cause or a figure.
var ErrIncomplete = errors.New("the report is not complete")

// Check answers ErrIncomplete where a missed aim has no cause and, if asked for, where
// an aim was not measured.
func (r *Report) Check(complete bool) error {
	var problems []string
	if ids := r.Uncaused(); len(ids) > 0 {
		problems = append(problems, "missed without a cause in benchmarks/report/causes.yaml: "+strings.Join(ids, ", "))
	}
	if ids := r.Absent(); complete && len(ids) > 0 {
		problems = append(problems, "not measured: "+strings.Join(ids, ", "))
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %s", ErrIncomplete, strings.Join(problems, "; "))
	}
	return nil
}
