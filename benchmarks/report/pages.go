package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/callseal/callseal/benchmarks/report/marker"
)

// Figures gives the pages of a folder, and of those below, their figures.
type Figures struct {
	// Root is the folder.
	Root string
	// Report answers the report that figures are taken from. It is asked for only
	// where a page has figures.
	Report func() (*Report, error)
}

// ErrOtherFigures are pages that give other figures than were measured.
var ErrOtherFigures = errors.New("pages give other figures than were measured: run `make bench-figures`")

// page is a page with figures.
type page struct {
	file, text string
	found      []marker.Marker
}

// Check answers how many figures there are and, where some differ from what was
// measured, ErrOtherFigures with the line of each.
func (f *Figures) Check() (int, error) { return f.each(false) }

// Write puts what was measured into the pages: all of it or, where a figure cannot be
// found, nothing.
func (f *Figures) Write() (int, error) { return f.each(true) }

func (f *Figures) each(write bool) (int, error) {
	pages, err := f.pages()
	if err != nil || len(pages) == 0 {
		return 0, err
	}
	report, err := f.Report()
	if err != nil {
		return 0, err
	}
	count := 0
	var problems []error
	fresh := make([]string, len(pages))
	for i, one := range pages {
		count += len(one.found)
		texts := make([]string, len(one.found))
		for n, figure := range one.found {
			where := fmt.Sprintf("%s:%d", one.file, figure.Line)
			if texts[n], err = report.Figure(figure.Name); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", where, err))
				continue
			}
			if says := one.text[figure.From:figure.To]; !write && says != texts[n] {
				problems = append(problems, fmt.Errorf("%s: %s is %s, the page says %s", where, figure.Name, brief(texts[n]), brief(says)))
			}
		}
		fresh[i] = marker.Fill(one.text, one.found, texts)
	}
	if len(problems) > 0 {
		if !write {
			problems = append([]error{ErrOtherFigures}, problems...)
		}
		return count, errors.Join(problems...)
	}
	if !write {
		return count, nil
	}
	for i, one := range pages {
		if fresh[i] == one.text {
			continue
		}
		if err := renameio.WriteFile(filepath.Join(f.Root, one.file), []byte(fresh[i]), 0o644); err != nil {
			return count, fmt.Errorf("write the figures: %w", err)
		}
	}
	return count, nil
}

// brief is the first line of a text.
func brief(text string) string {
	first, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		first += " …"
	}
	return fmt.Sprintf("%q", first)
}

// pages are those with figures. What is not written by people is left out: what is
// built, fetched, or of others.
func (f *Figures) pages() ([]page, error) {
	root, err := os.OpenRoot(f.Root)
	if err != nil {
		return nil, fmt.Errorf("find the pages' figures: %w", err)
	}
	defer func() { _ = root.Close() }()
	var pages []page
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || slices.Contains([]string{"bin", "node_modules", "third_party", "testdata"}, entry.Name())) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".md" {
			return nil
		}
		text, err := fs.ReadFile(root.FS(), name)
		if err != nil {
			return err
		}
		found, err := marker.Find(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(found) > 0 {
			pages = append(pages, page{file: name, text: string(text), found: found})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find the pages' figures: %w", err)
	}
	return pages, nil
}

// Figure answers what a marker names:
//
//	GROUP/MEASUREMENT [p50|p95|p99|mean|max]      the figure with its unit
//	… over …                                      the ratio of two
//	aim ID [verdict]                              the figure of an aim, or what came of it
//	aims                                          the whole table
//	fact GROUP NAME                               a fact, such as the machine
//
// After a figure or ratio, "interval" adds its interval.
func (r *Report) Figure(name string) (string, error) {
	words := strings.Fields(name)
	switch {
	case len(words) == 0:
		return "", ErrBadReference
	case len(words) == 1 && words[0] == "aims":
		table, err := r.markdown("aims")
		return "\n\n" + string(table) + "\n", err
	case words[0] == "aim":
		return r.aimNamed(words[1:])
	case words[0] == "fact":
		return r.factNamed(words[1:])
	}
	interval := words[len(words)-1] == "interval"
	if interval {
		words = words[:len(words)-1]
	}
	var quantity Quantity
	var err error
	of := words
	if at := slices.Index(words, "over"); at >= 0 {
		of = words[:at]
		over, err := ParseReference(strings.Join(words[at+1:], " "))
		if err != nil {
			return "", err
		}
		quantity.Over = &over
	}
	if quantity.Of, err = ParseReference(strings.Join(of, " ")); err != nil {
		return "", err
	}
	measured, err := r.results.Measure(quantity)
	if err != nil {
		return "", err
	}
	return said(measured.Estimate, interval), nil
}

func said(e Estimate, withInterval bool) string {
	if withInterval {
		return interval(e)
	}
	return e.String()
}

func (r *Report) aimNamed(words []string) (string, error) {
	if len(words) == 0 {
		return "", fmt.Errorf("%w: which aim?", ErrBadReference)
	}
	for _, row := range r.Rows {
		for _, v := range row.Lines {
			if v.ID != words[0] {
				continue
			}
			switch {
			case v.Outcome == NotMeasured:
				return "", errors.New(v.Missing)
			case len(words) == 1, len(words) == 2 && words[1] == "interval":
				return said(v.Measured.Estimate, len(words) == 2), nil
			case len(words) == 2 && words[1] == "verdict":
				return v.sentence(), nil
			}
			return "", fmt.Errorf("%w: of an aim there are the figure, interval and verdict, no %q", ErrBadReference, words[1])
		}
	}
	return "", fmt.Errorf("%w: there is no aim %q", ErrBadReference, words[0])
}

// sentence is the verdict in words, such as "reached, 25 % to spare".
func (v *Verdict) sentence() string {
	distance := v.Distance()
	switch {
	case distance == "":
		return string(v.Outcome)
	case v.Outcome == Missed:
		return string(v.Outcome) + " " + distance
	}
	return string(v.Outcome) + ", " + distance
}

func (r *Report) factNamed(words []string) (string, error) {
	if len(words) < 2 {
		return "", fmt.Errorf("%w: a fact is named with its group: fact callseal-bft machine", ErrBadReference)
	}
	group := r.results[words[0]]
	if group == nil {
		return "", fmt.Errorf("%w: there is no group %s; %s", ErrNotMeasured, words[0], measuredBy(words[0]))
	}
	name := strings.Join(words[1:], " ")
	for _, fact := range group.Facts {
		if fact.Name == name {
			return fact.Value, nil
		}
	}
	return "", fmt.Errorf("%w: group %s has no fact %q", ErrNotMeasured, words[0], name)
}
