package report

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/callseal/callseal/benchmarks/result"
)

// Plot is a picture of the report.
type Plot struct {
	// Name is its file's, without what follows the dot.
	Name string
	// Title is what it shows.
	Title string

	chart *chart
}

// draw makes all plots of which something was measured.
func (r *Report) draw() error {
	for _, one := range []struct {
		name string
		draw func(Results) (*chart, error)
	}{
		{"latency", cumulative}, {"throughput", ramp}, {"growth", growth},
		{"gas", func(r Results) (*chart, error) {
			return bars(r, "Gas of one CDR", "gas", gasBars, band{paperGas[0], paperGas[1], "the paper"})
		}},
		{"fees", func(r Results) (*chart, error) {
			return bars(r, "Fee of a thousand CDRs at stated prices", "USD a thousand CDRs", feeBars)
		}},
		{"processor", func(r Results) (*chart, error) {
			return bars(r, "Processor time of a CDR at saturation, by kind of node", "µs a CDR", processorBars)
		}},
		{"memory", func(r Results) (*chart, error) {
			return bars(r, "Resident memory of what takes the records", "MiB", memoryBars)
		}},
	} {
		made, err := one.draw(r.results)
		if err != nil {
			return err
		}
		if made != nil {
			r.plots = append(r.plots, Plot{Name: one.name, Title: made.plot.Title.Text, chart: made})
		}
	}
	return nil
}

// plotsNamed are those of the names that could be drawn, in order.
func (r *Report) plotsNamed(names []string) []Plot {
	var found []Plot
	for _, name := range names {
		if at := slices.IndexFunc(r.plots, func(p Plot) bool { return p.Name == name }); at >= 0 {
			found = append(found, r.plots[at])
		}
	}
	return found
}

// cumulative draws which share of the records took no longer than what.
func cumulative(results Results) (*chart, error) {
	c := newChart("Latency of a record on its own", "latency, logarithmic", "share of records that took no longer, %")
	logarithmic(&c.plot.X, "ms")
	for _, series := range latencySeries {
		one, err := results.Find(series.Group, series.Measurement)
		if err != nil || len(one.Latencies) == 0 {
			continue
		}
		points := pooled(one.Latencies)
		line := make(plotter.XYs, len(points))
		for i, point := range points {
			line[i] = plotter.XY{X: max(point[0], 0.001), Y: 100 * point[1]}
		}
		drawn, err := plotter.NewLine(line)
		if err != nil {
			return nil, err //nolint:wrapcheck // of points that were checked
		}
		drawn.LineStyle = series.style.line()
		c.plot.Add(drawn)
		c.name(series.Label, drawn)
	}
	if c.entries == 0 {
		return nil, nil //nolint:nilnil // nothing to draw
	}
	c.plot.Y.Min, c.plot.Y.Max = 0, 100
	c.plot.X.Min, c.plot.X.Max = c.plot.X.Min*0.8, c.plot.X.Max*1.1
	return c, nil
}

// at one offered rate, or number of calls.
type sampled struct {
	at       float64
	p50, p99 Estimate
}

// along answers the latencies of a group whose name begins with a prefix and that were
// measured at some value of a parameter, by that value.
func along(results Results, group, prefix, parameter string) ([]sampled, error) {
	found := results[group]
	if found == nil {
		return nil, nil
	}
	var all []sampled
	for i := range found.Measurements {
		one := &found.Measurements[i]
		at, has := one.Parameters[parameter]
		if !has || at <= 0 || !strings.HasPrefix(one.Name, prefix) || len(one.Latencies) == 0 {
			continue
		}
		s := sampled{at: achieved(found, one, at)}
		var err error
		if s.p50, err = estimate(one, P50); err != nil {
			return nil, err
		}
		if s.p99, err = estimate(one, P99); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b sampled) int { return int(math.Copysign(1, a.at-b.at)) })
	return all, nil
}

// achieved is the throughput that was measured beside latencies of an offered rate,
// where it was: commit/rate=200 has it in throughput/rate=200.
func achieved(group *result.Group, one *result.Measurement, offered float64) float64 {
	_, rest, _ := strings.Cut(one.Name, "/")
	if beside := group.Find("throughput/" + rest); beside != nil && beside.Unit == "/s" && len(beside.Values) > 0 {
		return median(beside.Values)
	}
	return offered
}

// points are the line of a statistic with its intervals.
type points struct {
	plotter.XYs
	plotter.YErrors
}

func pointsOf(all []sampled, of func(sampled) Estimate) points {
	p := points{XYs: make(plotter.XYs, len(all)), YErrors: make(plotter.YErrors, len(all))}
	for i, s := range all {
		e := of(s)
		p.XYs[i] = plotter.XY{X: s.at, Y: e.Value}
		if e.Interval() {
			p.YErrors[i].Low, p.YErrors[i].High = e.Value-e.Low, e.High-e.Value
		}
	}
	return p
}

// add draws a line with marks and intervals.
func (c *chart) add(label string, p points, s style) error {
	line, marks, err := plotter.NewLinePoints(p.XYs)
	if err != nil {
		return err //nolint:wrapcheck // of points that were checked
	}
	line.LineStyle = s.line()
	marks.GlyphStyle = draw.GlyphStyle{Color: s.color, Radius: vg.Points(3.5), Shape: s.mark}
	intervals, err := plotter.NewYErrorBars(p)
	if err != nil {
		return err //nolint:wrapcheck // of points that were checked
	}
	intervals.LineStyle = draw.LineStyle{Color: s.color, Width: vg.Points(1)}
	c.plot.Add(line, intervals, marks)
	c.name(label, line, marks)
	return nil
}

// ramp draws latencies against how many records a second there were.
func ramp(results Results) (*chart, error) {
	c := newChart("Throughput against latency", "records a second, logarithmic", "latency, logarithmic")
	logarithmic(&c.plot.X, "/s")
	logarithmic(&c.plot.Y, "ms")
	return c.curves(results, rampSeries, "offered")
}

// growth draws latencies against how many calls the ledger has.
func growth(results Results) (*chart, error) {
	c := newChart("Latency as the ledger grows", "calls on the ledger, logarithmic", "latency, ms")
	logarithmic(&c.plot.X, "none")
	c, err := c.curves(results, growthSeries, "calls")
	if c != nil {
		c.plot.Y.Min, c.plot.Y.Max = 0, c.plot.Y.Max*1.1
	}
	return c, err
}

// curves adds the p50 and p99 of series along a parameter; the chart is nil where there
// is nothing to draw.
func (c *chart) curves(results Results, all []series, parameter string) (*chart, error) {
	for _, one := range all {
		found, err := along(results, one.Group, one.Measurement, parameter)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			continue
		}
		if err := c.add(one.Label+", p50", pointsOf(found, func(s sampled) Estimate { return s.p50 }), one.style); err != nil {
			return nil, err
		}
		if err := c.add(one.Label+", p99", pointsOf(found, func(s sampled) Estimate { return s.p99 }), one.style.tail()); err != nil {
			return nil, err
		}
	}
	if c.entries == 0 {
		return nil, nil //nolint:nilnil // nothing to draw
	}
	c.widen()
	return c, nil
}

// widen gives points at the edges of logarithmic axes some room.
func (c *chart) widen() {
	for _, axis := range []*plot.Axis{&c.plot.X, &c.plot.Y} {
		if _, is := axis.Scale.(plot.LogScale); is {
			axis.Min, axis.Max = axis.Min/1.3, axis.Max*1.3
		}
	}
}

// bar is one bar with its parts stacked.
type bar struct {
	label string
	parts []float64
}

// stack draws bars from left to right, from the top down, with the sum behind each.
type stack struct {
	bars   []bar
	colors []color.NRGBA
}

// barHeight is of one bar, barRoom of it and what is between.
const (
	barHeight = 15
	barRoom   = 27
)

// Plot implements plot.Plotter.
func (s *stack) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i, one := range s.bars {
		middle, from := y(float64(len(s.bars)-1-i)), 0.0
		for part, value := range one.parts {
			low, high := x(from), x(from+value)
			c.FillPolygon(s.colors[part], c.ClipPolygonXY([]vg.Point{
				{X: low, Y: middle - vg.Points(barHeight)/2}, {X: high, Y: middle - vg.Points(barHeight)/2},
				{X: high, Y: middle + vg.Points(barHeight)/2}, {X: low, Y: middle + vg.Points(barHeight)/2},
			}))
			from += value
		}
		c.FillText(textStyle(11, text.XLeft, text.YCenter), vg.Point{X: x(from) + vg.Points(5), Y: middle + vg.Points(1.5)}, bare(number(from)))
	}
}

// DataRange implements plot.DataRanger.
func (s *stack) DataRange() (left, right, bottom, top float64) {
	for _, one := range s.bars {
		sum := 0.0
		for _, part := range one.parts {
			sum += part
		}
		right = max(right, sum)
	}
	// Room for the figures behind the bars.
	return 0, right * 1.12, -0.6, float64(len(s.bars)) - 0.4
}

// swatch is a colour in a legend.
type swatch struct{ color color.NRGBA }

// Thumbnail implements plot.Thumbnailer.
func (s swatch) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(s.color, []vg.Point{{X: c.Min.X, Y: c.Min.Y}, {X: c.Min.X, Y: c.Max.Y}, {X: c.Max.X, Y: c.Max.Y}, {X: c.Max.X, Y: c.Min.Y}})
}

// bars draws those of which all parts were measured.
func bars(results Results, title, unit string, wanted []Bar, behind ...band) (*chart, error) {
	c := newChart(title, unit, "")
	c.grid.Horizontal.Color = nil
	drawn := &stack{}
	var segments, labels []string
	for _, one := range wanted {
		made, err := measuredBar(results, one, &segments)
		if err != nil {
			return nil, err
		}
		if made != nil {
			drawn.bars = append(drawn.bars, *made)
			labels = append(labels, one.Label)
		}
	}
	if len(labels) == 0 {
		return nil, nil //nolint:nilnil // nothing to draw
	}
	drawn.colors = segmentColors[:max(1, len(segments))]
	_, right, bottom, top := drawn.DataRange()
	for _, one := range behind {
		if err := c.behind(one, bottom, top); err != nil {
			return nil, err
		}
		right = max(right, one.to)
	}
	c.plot.Add(drawn)
	slices.Reverse(labels)
	c.plot.NominalY(labels...)
	c.plot.Y.Tick.Label.Font, c.plot.Y.Width, c.plot.Y.Tick.Length = sans(11), 0, 0
	c.plot.X.Min, c.plot.X.Max, c.plot.Y.Min, c.plot.Y.Max = 0, right, bottom, top
	c.height = vg.Points(barRoom*float64(len(labels)) + 105)
	if len(segments) > 1 {
		for i, segment := range segments {
			c.name(segment, swatch{segmentColors[i]})
		}
	}
	return c, nil
}

// measuredBar answers a bar, or nil where a part of it was not measured: without it
// the bar would look better than it is. Segments grow by those that are new.
func measuredBar(results Results, one Bar, segments *[]string) (*bar, error) {
	made := &bar{label: one.Label}
	for _, segment := range one.Segments {
		e, err := results.Estimate(Reference{Group: one.Group, Measurement: segment.Measurement, Statistic: Value})
		if err != nil {
			return nil, nil //nolint:nilnil,nilerr // not measured, or no value
		}
		if !slices.Contains(*segments, segment.Label) {
			*segments = append(*segments, segment.Label)
		}
		at := slices.Index(*segments, segment.Label)
		for len(made.parts) <= at {
			made.parts = append(made.parts, 0)
		}
		made.parts[at] = e.Value * max(1, one.Scale)
	}
	return made, nil
}

// band is a range along bars.
type band struct {
	from, to float64
	label    string
}

// behind shows a band behind what is drawn next.
func (c *chart) behind(b band, bottom, top float64) error {
	area, err := plotter.NewPolygon(plotter.XYs{{X: b.from, Y: bottom}, {X: b.to, Y: bottom}, {X: b.to, Y: top}, {X: b.from, Y: top}})
	if err != nil {
		return err //nolint:wrapcheck // of four points
	}
	area.Color, area.LineStyle.Width = color.NRGBA{R: 0xf3, G: 0xd5, B: 0x8c, A: 0xff}, 0
	c.plot.Add(area)
	c.name(fmt.Sprintf("%s: %s to %s", b.label, bare(number(b.from)), bare(number(b.to))), area)
	return nil
}
