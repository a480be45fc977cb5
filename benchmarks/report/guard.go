package report

import (
	"errors"
	"fmt"

	"github.com/jedib0t/go-pretty/v6/table"
)

// allowed is the loss of a ratio that is put down to chance.
const allowed = 0.25

// ErrLoss are ratios that got worse than is allowed, or were not measured any more.
var ErrLoss = errors.New("ratios got worse")

// Guarding is what became of a guarded ratio.
type Guarding struct {
	Guarded

	// Was and Is are the ratio in the last report and now; nil where it was not
	// measured.
	Was, Is *Estimate
	// Worse is by how much it is worse now, 0.25 for a quarter; below 0 it is better.
	Worse float64
}

// Lost says whether this is too much.
func (g *Guarding) Lost() bool { return g.Was != nil && (g.Is == nil || g.Worse > allowed) }

// Guard compares the ratios of a new run with those of the last report. It answers
// ErrLoss, beside all of them, where one got worse by more than a quarter, or is not
// measured any more.
func Guard(fresh, stored Results) ([]Guarding, error) {
	all := make([]Guarding, 0, len(guarded))
	compared, lost := 0, 0
	for _, one := range guarded {
		g := Guarding{Guarded: one}
		var err error
		if g.Is, err = found(fresh, one); err != nil {
			return nil, err
		}
		if g.Was, err = found(stored, one); err != nil {
			return nil, err
		}
		if g.Was != nil && g.Is != nil {
			compared++
			g.Worse = 1 - g.Is.Value/g.Was.Value
			if !one.Higher {
				g.Worse = g.Is.Value/g.Was.Value - 1
			}
		}
		if g.Lost() {
			lost++
		}
		all = append(all, g)
	}
	switch {
	case lost > 0:
		return all, fmt.Errorf("%w: %d of %d by more than %.0f %%, or are not measured any more", ErrLoss, lost, len(all), 100*allowed)
	case compared == 0:
		return all, fmt.Errorf("%w: no ratio is in both the new results and the last report", ErrNotMeasured)
	}
	return all, nil
}

// found answers a ratio, or nil where it was not measured.
func found(results Results, one Guarded) (*Estimate, error) {
	measured, err := results.Measure(one.Quantity)
	switch {
	case errors.Is(err, ErrNotMeasured):
		return nil, nil //nolint:nilnil // not measured
	case err != nil:
		return nil, fmt.Errorf("the ratio %s: %w", one.ID, err)
	}
	return &measured.Estimate, nil
}

// GuardTable shows what became of the ratios.
func GuardTable(all []Guarding) string {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"ratio", "better is", "last report", "now", "change", ""})
	for _, g := range all {
		better, change, verdict := "less", "", "good"
		if g.Higher {
			better = "more"
		}
		switch {
		case g.Was == nil && g.Is == nil:
			verdict = "not measured"
		case g.Was == nil:
			verdict = "new, nothing to compare with"
		case g.Is == nil:
			verdict = "NOT MEASURED ANY MORE"
		default:
			change = fmt.Sprintf("%+.0f %%", 100*(g.Is.Value/g.Was.Value-1))
			if g.Lost() {
				verdict = "WORSE"
			}
		}
		t.AppendRow(table.Row{g.Title, better, shown(g.Was), shown(g.Is), change, verdict})
	}
	return t.Render()
}

func shown(e *Estimate) string {
	if e == nil {
		return "–"
	}
	return interval(*e)
}
