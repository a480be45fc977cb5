package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// chart is a plot with its legend beside it, so that neither hides the other.
type chart struct {
	plot          *plot.Plot
	grid          *plotter.Grid
	legend        plot.Legend
	entries       int
	width, height vg.Length
	legendWidth   vg.Length
}

const (
	chartWidth  = 10 * vg.Inch
	chartHeight = 5 * vg.Inch
	// dotsPerInch are those of PNGs, enough for a screen of high density.
	dotsPerInch = 144
)

var (
	ink  = color.NRGBA{R: 0x22, G: 0x22, B: 0x22, A: 0xff}
	pale = color.NRGBA{R: 0xdd, G: 0xdd, B: 0xdd, A: 0xff}
)

// sans is the font of everything in a chart.
func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

func newChart(title, x, y string) *chart {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = vg.Points(12)
	p.Title.TextStyle.Font, p.Title.TextStyle.Color = sans(15), ink
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font, axis.Tick.Label.Font = sans(12), sans(11)
		axis.Label.TextStyle.Color, axis.Tick.Label.Color, axis.Color, axis.Tick.Color = ink, ink, ink, ink
		axis.Label.Padding = vg.Points(6)
		axis.Tick.Marker = rounds{}
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = pale, pale
	p.Add(grid)
	legend := plot.NewLegend()
	legend.TextStyle.Font, legend.TextStyle.Color = sans(11), ink
	legend.Top, legend.Left = true, true
	legend.Padding, legend.ThumbnailWidth = vg.Points(5), vg.Points(26)
	legend.YPosition = draw.PosCenter
	return &chart{plot: p, grid: grid, legend: legend, width: chartWidth, height: chartHeight}
}

// name gives what is drawn a line of the legend.
func (c *chart) name(label string, drawn ...plot.Thumbnailer) {
	c.legend.Add(label, drawn...)
	c.entries++
	style := c.legend.TextStyle
	style.Handler = plot.DefaultTextHandler
	c.legendWidth = max(c.legendWidth, style.Width(label)+c.legend.ThumbnailWidth+vg.Points(24))
}

// on draws the chart; background is nil where what is behind shall show.
func (c *chart) on(canvas vg.CanvasSizer, background color.Color) {
	c.plot.BackgroundColor = nil
	all := draw.New(canvas)
	if background != nil {
		all.SetColor(background)
		all.Fill(all.Path())
	}
	inner := draw.Crop(all, vg.Points(10), vg.Points(-14), vg.Points(8), vg.Points(-10))
	c.plot.Draw(draw.Crop(inner, 0, -c.legendWidth, 0, 0))
	if c.entries > 0 {
		beside := draw.Crop(inner, inner.Max.X-inner.Min.X-c.legendWidth+vg.Points(10), 0, 0, -vg.Points(34))
		c.legend.Draw(beside)
	}
}

// svg is the chart as SVG, to be part of a page where background is nil.
func (c *chart) svg(background color.Color) ([]byte, error) {
	canvas := vgsvg.New(c.width, c.height)
	c.on(canvas, background)
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("draw %s: %w", c.plot.Title.Text, err)
	}
	return out.Bytes(), nil
}

func (c *chart) png() ([]byte, error) {
	canvas := vgimg.NewWith(vgimg.UseWH(c.width, c.height), vgimg.UseDPI(dotsPerInch))
	c.on(canvas, color.White)
	var out bytes.Buffer
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(&out); err != nil {
		return nil, fmt.Errorf("draw %s: %w", c.plot.Title.Text, err)
	}
	return out.Bytes(), nil
}

// logarithmic makes an axis so, from one decade to another.
func logarithmic(axis *plot.Axis, unit string) {
	axis.Scale, axis.Tick.Marker = plot.LogScale{}, decades{unit: unit}
}

// decades are ticks of a logarithmic axis, with words at powers of ten, and at two and
// five times those where there are few.
type decades struct{ unit string }

// Ticks implements plot.Ticker.
func (d decades) Ticks(from, to float64) []plot.Tick {
	few := math.Log10(to/from) < 2.5
	var ticks []plot.Tick
	for decade := math.Pow(10, math.Floor(math.Log10(from))); decade <= to; decade *= 10 {
		for n := 1.0; n < 10; n++ {
			value := n * decade
			if value < from*0.999 || value > to*1.001 {
				continue
			}
			tick := plot.Tick{Value: value}
			if n == 1 || few && (n == 2 || n == 5) {
				tick.Label = bare(withUnit(value, d.unit))
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// rounds are ticks of a linear axis at round figures, with thousands apart.
type rounds struct{}

// Ticks implements plot.Ticker.
func (rounds) Ticks(from, to float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10((to-from)/4)))
	for _, times := range []float64{5, 2} {
		if times*step <= (to-from)/4 {
			step *= times
			break
		}
	}
	var ticks []plot.Tick
	for n := math.Ceil(from / step); n*step <= to; n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: bare(number(n * step))})
	}
	return ticks
}

// style is how a series is told from others: families by colour, their members by
// dashes and marks. The colours are Okabe's and Ito's, which colour-blind people can
// tell apart.
type style struct {
	color  color.NRGBA
	dashes []vg.Length
	// mark is at the points of a p50, hollow at those of its p99.
	mark, hollow draw.GlyphDrawer
}

var (
	blue   = color.NRGBA{R: 0x00, G: 0x72, B: 0xb2, A: 0xff}
	red    = color.NRGBA{R: 0xd5, G: 0x5e, B: 0x00, A: 0xff}
	green  = color.NRGBA{R: 0x00, G: 0x9e, B: 0x73, A: 0xff}
	orange = color.NRGBA{R: 0xe6, G: 0x9f, B: 0x00, A: 0xff}
	sky    = color.NRGBA{R: 0x56, G: 0xb4, B: 0xe9, A: 0xff}
	purple = color.NRGBA{R: 0xcc, G: 0x79, B: 0xa7, A: 0xff}
	yellow = color.NRGBA{R: 0xf0, G: 0xe4, B: 0x42, A: 0xff}
	grey   = color.NRGBA{R: 0x99, G: 0x99, B: 0x99, A: 0xff}
)

// segmentColors are of the parts of stacked bars, in order.
var segmentColors = []color.NRGBA{blue, orange, green, red, sky, purple, yellow, grey}

var (
	solid  []vg.Length
	dashed = []vg.Length{vg.Points(7), vg.Points(3)}
	dotted = []vg.Length{vg.Points(2), vg.Points(2.5)}
	mixed  = []vg.Length{vg.Points(9), vg.Points(3), vg.Points(2), vg.Points(3)}
)

// tail is the style of the p99 beside that of the p50.
func (s style) tail() style {
	s.dashes, s.mark = dotted, s.hollow
	return s
}

func (s style) line() draw.LineStyle {
	return draw.LineStyle{Color: s.color, Width: vg.Points(2), Dashes: s.dashes}
}

// textStyle is of words within a chart.
func textStyle(size vg.Length, x text.XAlignment, y text.YAlignment) text.Style {
	return text.Style{Color: ink, Font: sans(size), XAlign: x, YAlign: y, Handler: plot.DefaultTextHandler}
}

// inline makes an SVG part of an HTML page: without the declarations before it, and
// with a name for those who cannot see it.
func inline(svg []byte, title string) string {
	_, after, _ := strings.Cut(string(svg), "<svg ")
	return `<svg role="img" aria-label="` + title + `" ` + after
}
