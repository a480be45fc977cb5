// Package marker finds the figures of Markdown pages: what stands between two comments,
// which are not shown, of which the first names it.
package marker

import (
	"errors"
	"fmt"
	"strings"
)

// A page names a figure before it and ends it after it:
//
//	<!-- figure callseal-bft/commit/lone p50 -->14.2 ms<!-- /figure -->
const (
	beginning = "<!-- figure "
	closing   = "-->"
	ending    = "<!-- /figure -->"
)

// ErrBad is a marker that cannot be understood.
var ErrBad = errors.New("a figure in a page stands between <!-- figure NAME --> and <!-- /figure -->")

// Marker is a figure of a page.
type Marker struct {
	// Name is what stands in the first comment.
	Name string
	// From and To are where its text begins and ends in the page.
	From, To int
	// Line is that of its beginning, from 1.
	Line int
}

// Find finds the figures of a page, in order. What is code is left alone.
func Find(page string) ([]Marker, error) {
	var found []Marker
	var openBlock string
	at, line := 0, 0
	for at < len(page) {
		line++
		end := len(page)
		if newline := strings.IndexByte(page[at:], '\n'); newline >= 0 {
			end = at + newline + 1
		}
		begins := at == 0 || page[at-1] == '\n'
		if fence := fenceOf(page[at:end]); begins && fence != "" && (openBlock == "" || fence == openBlock) {
			if openBlock == "" {
				openBlock = fence
			} else {
				openBlock = ""
			}
		}
		if openBlock != "" {
			at = end
			continue
		}
		one, after, err := first(page, at, end, line)
		if err != nil {
			return nil, err
		}
		if one == nil {
			at = end
			continue
		}
		found = append(found, *one)
		// The rest of the line on which it ends may have more.
		line += strings.Count(page[at:after], "\n") - 1
		at = after
	}
	return found, nil
}

// fenceOf answers what opens or closes a block of code on a line.
func fenceOf(line string) string {
	text := strings.TrimLeft(line, " ")
	for _, fence := range []string{"```", "~~~"} {
		if len(line)-len(text) < 4 && strings.HasPrefix(text, fence) {
			return fence
		}
	}
	return ""
}

// first answers the first figure that begins in a piece of a line, and where the page
// goes on after it.
func first(page string, at, end, line int) (*Marker, int, error) {
	begin := at
	for {
		next := strings.Index(page[begin:end], beginning)
		stray := strings.Index(page[begin:end], ending)
		if stray >= 0 && (next < 0 || stray < next) && !inCode(page, begin+stray) {
			return nil, 0, fmt.Errorf("line %d: %w: here one ends that has not begun", line, ErrBad)
		}
		if next < 0 {
			return nil, end, nil
		}
		if begin += next; !inCode(page, begin) {
			break
		}
		begin += len(beginning)
	}
	named := begin + len(beginning)
	nameEnds := strings.Index(page[named:end], closing)
	if nameEnds < 0 {
		return nil, 0, fmt.Errorf("line %d: %w: the name is not closed on its line", line, ErrBad)
	}
	one := &Marker{Name: strings.Join(strings.Fields(page[named:named+nameEnds]), " "), From: named + nameEnds + len(closing), Line: line}
	length := strings.Index(page[one.From:], ending)
	if again := strings.Index(page[one.From:], beginning); length < 0 || again >= 0 && again < length {
		return nil, 0, fmt.Errorf("line %d: %w: %q does not end", line, ErrBad, one.Name)
	}
	if one.Name == "" {
		return nil, 0, fmt.Errorf("line %d: %w: it names nothing", line, ErrBad)
	}
	one.To = one.From + length
	return one, one.To + len(ending), nil
}

// inCode says whether a place of a page is between back quotes of its line.
func inCode(page string, at int) bool {
	begin := strings.LastIndexByte(page[:at], '\n') + 1
	return strings.Count(page[begin:at], "`")%2 == 1
}

// Fill puts texts in the places of figures, in order.
func Fill(page string, found []Marker, texts []string) string {
	var out strings.Builder
	at := 0
	for i, one := range found {
		out.WriteString(page[at:one.From])
		out.WriteString(texts[i])
		at = one.To
	}
	out.WriteString(page[at:])
	return out.String()
}
