package report

import (
	"math"
	"strconv"
	"strings"
)

// digits are the significant ones of a figure.
const digits = 3

// number writes a figure with three significant digits, and thousands apart.
func number(value float64) string {
	if value == 0 {
		return "0"
	}
	size := math.Floor(math.Log10(math.Abs(value)))
	scale := math.Pow(10, size-digits+1)
	value = math.Round(value/scale) * scale
	text := strconv.FormatFloat(value, 'f', max(0, digits-1-int(math.Floor(math.Log10(math.Abs(value))))), 64)
	whole, fraction, has := strings.Cut(text, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "−", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if has {
		whole += "." + fraction
	}
	return sign + whole
}

// scaled is a figure in the unit people read it in: from a second on, milliseconds are
// seconds.
func scaled(value float64, unit string) (float64, string) {
	if unit == "ms" && math.Abs(value) >= 999.5 {
		return value / 1000, "s"
	}
	return value, unit
}

// withUnit writes a figure and its unit.
func withUnit(value float64, unit string) string {
	value, unit = scaled(value, unit)
	switch unit {
	case "/s":
		return number(value) + "/s"
	case "none", "":
		// Counts have no digits behind the point.
		return bare(number(value))
	}
	return number(value) + " " + unit
}

// String is the figure with its unit.
func (e Estimate) String() string { return withUnit(e.Value, e.Unit) }

// Range is its interval, such as "13.9 to 14.8", in the unit of the figure; empty
// where there is none, or where nothing was ever counted: "0 (0 to 0)" says no more.
func (e Estimate) Range() string {
	if !e.Interval() || e.Low == 0 && e.High == 0 {
		return ""
	}
	scale := 1.0
	if value, _ := scaled(e.Value, e.Unit); e.Value != 0 {
		scale = value / e.Value
	}
	return number(e.Low*scale) + " to " + number(e.High*scale)
}

// bare leaves away a fraction that is nothing, as of a round aim: "20 ms", not
// "20.0 ms".
func bare(text string) string {
	whole, rest, has := strings.Cut(text, ".")
	if !has {
		return text
	}
	unit := strings.TrimLeft(rest, "0123456789")
	if fraction := strings.TrimRight(strings.TrimSuffix(rest, unit), "0"); fraction != "" {
		whole += "." + fraction
	}
	return whole + unit
}

// whole writes a percentage without a fraction where it has two digits.
func whole(percent float64) string {
	if percent >= 10 {
		return bare(number(math.Round(percent)))
	}
	return strconv.FormatFloat(percent, 'f', 1, 64)
}
