package report

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
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
	t.AppendHeader(table.Row{"ratio", "stored", "now", "loss", ""})
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, Align: text.AlignRight}, {Number: 3, Align: text.AlignRight}, {Number: 4, Align: text.AlignRight}})
	for _, g := range all {
		t.AppendRow(table.Row{g.Title, shown(g.Was), shown(g.Is), g.loss(), g.verdict()})
	}
	return t.Render()
}

// loss is by how much the ratio is worse, in words; a gain is none.
func (g *Guarding) loss() string {
	switch {
	case g.Was == nil || g.Is == nil:
		return ""
	case g.Worse > 0:
		return fmt.Sprintf("%.0f %%", 100*g.Worse)
	}
	return "none"
}

func (g *Guarding) verdict() string {
	switch {
	case g.Was == nil && g.Is == nil:
		return "not measured"
	case g.Was == nil:
		return "new, nothing to compare with"
	case g.Is == nil:
		return "NOT MEASURED ANY MORE"
	case g.Lost():
		return "WORSE"
	}
	return "good"
}

func shown(e *Estimate) string {
	if e == nil {
		return "–"
	}
	return number(e.Value)
}

// guardLine is a line of GuardJSON.
type guardLine struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	// Better says which way is better, more or less.
	Better string `json:"better"`
	// Stored and Now are the ratio in the last report and now, Loss by which part of the
	// stored one it is worse, below 0 where it is better; absent where not measured.
	Stored *float64 `json:"stored,omitzero"`
	Now    *float64 `json:"now,omitzero"`
	Loss   *float64 `json:"loss,omitzero"`
	// Lost says that it is too much, or that the ratio is not measured any more.
	Lost bool `json:"lost"`
}

// GuardJSON is what became of the ratios, for programs.
func GuardJSON(all []Guarding) ([]byte, error) {
	lines := make([]guardLine, len(all))
	for i, g := range all {
		one := guardLine{ID: g.ID, Title: g.Title, Better: "less", Lost: g.Lost()}
		if g.Higher {
			one.Better = "more"
		}
		if g.Was != nil {
			one.Stored = &g.Was.Value
		}
		if g.Is != nil {
			one.Now = &g.Is.Value
		}
		if g.Was != nil && g.Is != nil {
			one.Loss = &g.Worse
		}
		lines[i] = one
	}
	made, err := json.Marshal(lines, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("write the ratios: %w", err)
	}
	return made, nil
}
