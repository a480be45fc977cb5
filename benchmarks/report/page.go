package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"
)

//go:embed report.html.tmpl
var htmlText string

// HTML is the report as one page that needs nothing else.
func (r *Report) HTML() ([]byte, error) {
	words := template.FuncMap(r.words())
	words["code"] = code
	words["picture"] = func(p Plot) (template.HTML, error) {
		svg, err := p.chart.svg(nil)
		if err != nil {
			return "", err
		}
		return template.HTML(inline(svg, template.HTMLEscapeString(p.Title))), nil //nolint:gosec // drawn here
	}
	page, err := template.New("report.html").Funcs(words).Parse(htmlText)
	if err != nil {
		return nil, fmt.Errorf("the template of report.html: %w", err)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, r); err != nil {
		return nil, fmt.Errorf("write report.html: %w", err)
	}
	return out.Bytes(), nil
}

// code sets what stands between back quotes as a command.
func code(text string) template.HTML {
	words := strings.Split(text, "`")
	var out strings.Builder
	for i, word := range words {
		escaped := template.HTMLEscapeString(word)
		if i%2 == 1 && i < len(words)-1 {
			escaped = "<code>" + escaped + "</code>"
		}
		out.WriteString(escaped)
	}
	return template.HTML(out.String()) //nolint:gosec // escaped
}
