package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"
	"time"
)

//go:embed report.md.tmpl
var markdownText string

// words are what the templates of both forms need.
func (r *Report) words() map[string]any {
	return map[string]any{
		"time":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") },
		"interval": interval,
		"measured": func(v Verdict) string { return v.figures() },
		"plots":    r.plotsNamed,
	}
}

// interval is an estimate with its unit and its interval.
func interval(e Estimate) string {
	if within := e.Range(); within != "" {
		return e.String() + " (" + within + ")"
	}
	return e.String()
}

// figures are those of a line of the table.
func (v *Verdict) figures() string {
	if v.Outcome == NotMeasured {
		return ""
	}
	text := interval(v.Measured.Estimate)
	if v.Measured.Over != nil {
		text += ": " + v.Measured.Of.String() + " over " + v.Measured.Over.String()
	}
	return text
}

// cell keeps a text within one cell of a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

// Markdown is the report as Markdown, with plots in the folder plots beside it.
func (r *Report) Markdown() ([]byte, error) {
	return r.markdown("report")
}

// markdown is a part of it.
func (r *Report) markdown(part string) ([]byte, error) {
	words := r.words()
	words["cell"] = cell
	page, err := template.New("report.md").Funcs(words).Parse(markdownText)
	if err != nil {
		return nil, fmt.Errorf("the template of report.md: %w", err)
	}
	var out bytes.Buffer
	if err := page.ExecuteTemplate(&out, part, r); err != nil {
		return nil, fmt.Errorf("write report.md: %w", err)
	}
	return out.Bytes(), nil
}

// IDs are those of all aims.
func (r *Report) IDs() []string {
	var ids []string
	for _, row := range r.Rows {
		for _, v := range row.Lines {
			ids = append(ids, v.ID)
		}
	}
	return ids
}
