// Measureddoc writes into the pages of docs what was measured and what soaks found,
// between comments that name the file in docs/measured each comes from. What stands
// around them is written by people.
package main

import (
	"bytes"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/callseal/callseal/tools/measured"
)

//go:embed *.md.tmpl
var templates embed.FS

// parts are the pages, and the files in docs/measured that they show.
var parts = []struct {
	page  string
	names []string
}{
	{"gateway.md", []string{"gateway", "index", "soak"}},
	{"adapter.md", []string{"adapter", "adapter-soak", "adapter-concurrent"}},
}

func main() {
	root := flag.String("root", ".", "the project's folder")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "measureddoc:", err)
		os.Exit(1)
	}
}

func run(root string) error {
	for _, part := range parts {
		if err := write(root, filepath.Join(root, "docs", part.page), part.names); err != nil {
			return err
		}
	}
	return nil
}

// write renews the parts of one page.
func write(root, file string, names []string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	text := string(page)
	for _, name := range names {
		found, err := read(filepath.Join(root, "docs", "measured"), name)
		if err != nil {
			return err
		}
		parsed, err := template.ParseFS(templates, name+".md.tmpl")
		if err != nil {
			return fmt.Errorf("the template of %s: %w", name, err)
		}
		var out bytes.Buffer
		if err := parsed.Execute(&out, found); err != nil {
			return fmt.Errorf("write the part from %s.txt: %w", name, err)
		}
		if text, err = replace(text, name, strings.TrimSpace(out.String())); err != nil {
			return err
		}
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// content is a file of docs/measured.
type content struct {
	measured.Figures
	// Facts are the lines "name: value", Text is all of it. Both are empty as long as
	// nothing was measured.
	Facts map[string]string
	Text  string
}

func read(folder, name string) (*content, error) {
	figures, err := measured.Read(folder)
	if err != nil {
		return nil, err
	}
	found := &content{Figures: figures, Facts: map[string]string{}}
	text, err := os.ReadFile(filepath.Join(folder, name+".txt"))
	if errors.Is(err, fs.ErrNotExist) {
		return found, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was measured: %w", err)
	}
	found.Text = strings.TrimSpace(string(text))
	for line := range strings.Lines(found.Text) {
		if fact, value, is := strings.Cut(strings.TrimSpace(line), ": "); is && !strings.ContainsAny(fact, " \t") {
			found.Facts[fact] = value
		}
	}
	return found, nil
}

// replace puts the text between the comments that name the file.
func replace(page, name, text string) (string, error) {
	begin, end := fmt.Sprintf("<!-- from measured/%s.txt by tools/measureddoc -->", name), fmt.Sprintf("<!-- end of measured/%s.txt -->", name)
	before, rest, found := strings.Cut(page, begin)
	if !found {
		return "", fmt.Errorf("the page lacks the line %s", begin)
	}
	_, after, found := strings.Cut(rest, end)
	if !found {
		return "", fmt.Errorf("the page lacks the line %s", end)
	}
	return before + begin + "\n\n" + text + "\n\n" + end + after, nil
}
