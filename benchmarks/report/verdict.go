package report

import (
	"errors"
	"fmt"
	"math"
)

// Outcome is what came of an aim.
type Outcome string

// The outcomes.
const (
	Reached     Outcome = "reached"
	Missed      Outcome = "missed"
	NotMeasured Outcome = "not measured"
)

// Verdict is a line of the table of aims.
type Verdict struct {
	Aim

	// Outcome is what came of it.
	Outcome Outcome
	// Measured is the figure, unless it was not measured.
	Measured Measured
	// Missing says why it was not measured.
	Missing string
	// Cause is why it was missed, by people's word; empty where nobody said so.
	Cause string
}

// judge answers the table of aims.
func judge(results Results, causes Causes) ([]Verdict, error) {
	verdicts := make([]Verdict, 0, len(aims))
	for _, aim := range aims {
		v := Verdict{Aim: aim}
		measured, err := results.Measure(aim.Quantity)
		switch {
		case errors.Is(err, ErrNotMeasured):
			v.Outcome, v.Missing = NotMeasured, err.Error()
		case err != nil:
			return nil, fmt.Errorf("the aim %s: %w", aim.ID, err)
		case measured.Unit != aim.Unit:
			return nil, fmt.Errorf("the aim %s is in %s, and %s was measured in %s", aim.ID, aim.Unit, aim.Quantity.Of, measured.Unit)
		default:
			v.Outcome, v.Measured = Missed, measured
			if aim.reachedBy(measured.Value) {
				v.Outcome = Reached
			} else {
				v.Cause = causes[aim.ID]
			}
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

func (a *Aim) reachedBy(value float64) bool {
	switch a.Bound {
	case AtLeast:
		return value >= a.Target
	case AtMost:
		return value <= a.Target
	default:
		return value < a.Target
	}
}

// Wanted is the aim in words.
func (v *Verdict) Wanted() string {
	return string(v.Bound) + " " + bare(withUnit(v.Target, v.Unit))
}

// Distance is how far the figure is from the aim, in words.
func (v *Verdict) Distance() string {
	if v.Outcome == NotMeasured {
		return ""
	}
	if v.Target == 0 {
		if v.Outcome == Reached {
			return ""
		}
		return "by " + bare(number(v.Measured.Value))
	}
	percent := 100 * math.Abs(v.Measured.Value-v.Target) / v.Target
	if v.Outcome == Missed {
		return "by " + whole(percent) + " %"
	}
	return whole(percent) + " % to spare"
}

// Sure says whether all of the interval is on the figure's side of the aim.
func (v *Verdict) Sure() bool {
	if v.Outcome == NotMeasured || !v.Measured.Interval() {
		return false
	}
	reached := v.Outcome == Reached
	return v.reachedBy(v.Measured.Low) == reached && v.reachedBy(v.Measured.High) == reached
}

// Certainty is what must be said of a verdict that is not sure.
func (v *Verdict) Certainty() string {
	switch {
	case v.Outcome == NotMeasured || v.Sure():
		return ""
	case !v.Measured.Interval():
		return "one repetition, no interval"
	}
	return "the interval reaches across the aim"
}
