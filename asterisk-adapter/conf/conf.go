// Package conf reads Asterisk's configuration files the way Asterisk does: sections,
// templates, comments, and the files that a file includes. It writes nothing.
package conf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// maxBytes bounds a file, maxDepth how deep files include each other, and maxFiles
	// how many there are in all.
	maxBytes = 8 << 20
	maxDepth = 16
	maxFiles = 1000
)

// ErrTooMuch is about files that are larger, deeper or more than Asterisk's are.
var ErrTooMuch = errors.New("more configuration than there can be")

// Line is a setting in its place.
type Line struct {
	// File is the file's name within the folder, Number its line, from 1.
	File   string
	Number int
	// Key and Value are without spaces around them.
	Key, Value string
}

// Place is where the line stands, such as "cdr.conf:12".
func (l Line) Place() string { return fmt.Sprintf("%s:%d", l.File, l.Number) }

// Config is a file with all that it includes.
type Config struct {
	// Name is the file's.
	Name string
	// Unread are what could not be followed: files that are missing, and #exec.
	Unread []Line

	sections map[string][]Line
	names    []string
}

// Read reads a file of a folder. The error wraps fs.ErrNotExist where there is none.
func Read(folder, name string) (*Config, error) {
	c := &Config{Name: name, sections: map[string][]Line{}}
	r := &reader{folder: folder, into: c}
	if err := r.file(name, 0); err != nil {
		return nil, err
	}
	return c, nil
}

// Sections are the names of all sections but templates, in the order of the file.
func (c *Config) Sections() []string { return slices.Clone(c.names) }

// Has says whether there is a section.
func (c *Config) Has(section string) bool { return slices.Contains(c.names, section) }

// All are a section's settings of a key, those of its templates first. Keys are
// compared without case.
func (c *Config) All(section, key string) []Line {
	var found []Line
	for _, line := range c.sections[section] {
		if strings.EqualFold(line.Key, key) {
			found = append(found, line)
		}
	}
	return found
}

// Lines are a section's settings, in order.
func (c *Config) Lines(section string) []Line { return slices.Clone(c.sections[section]) }

// Get is a section's last setting of a key.
func (c *Config) Get(section, key string) (Line, bool) {
	all := c.All(section, key)
	if len(all) == 0 {
		return Line{}, false
	}
	return all[len(all)-1], true
}

// reader is a file under way.
type reader struct {
	folder string
	into   *Config
	files  int
	// section is where settings go; empty before the first.
	section string
	// comment says that a block comment is open.
	comment bool
}

func (r *reader) file(name string, depth int) error {
	if r.files++; depth > maxDepth || r.files > maxFiles {
		return fmt.Errorf("%w: %s", ErrTooMuch, name)
	}
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.folder, name)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read Asterisk's configuration: %w", err)
	}
	if info.Size() > maxBytes || !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s has %d bytes", ErrTooMuch, name, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read Asterisk's configuration: %w", err)
	}
	return r.text(name, text, depth)
}

func (r *reader) text(name string, text []byte, depth int) error {
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxBytes+1)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(r.uncomment(lines.Text()))
		at := Line{File: name, Number: number}
		switch {
		case line == "":
		case line[0] == '#':
			if err := r.directive(line, at, depth); err != nil {
				return err
			}
		case line[0] == '[':
			r.begin(line, at)
		default:
			r.setting(line, at)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read Asterisk's configuration: %s: %w", name, err)
	}
	return nil
}

// uncomment takes comments away: from a semicolon on, unless a backslash stands before
// it, and blocks between ";--" and "--;".
func (r *reader) uncomment(line string) string {
	var kept strings.Builder
	for line != "" {
		if r.comment {
			end := strings.Index(line, "--;")
			if end < 0 {
				return kept.String()
			}
			r.comment, line = false, line[end+3:]
			continue
		}
		at := strings.IndexByte(line, ';')
		switch {
		case at < 0:
			kept.WriteString(line)
			return kept.String()
		case at > 0 && line[at-1] == '\\':
			kept.WriteString(line[:at-1] + ";")
			line = line[at+1:]
		case strings.HasPrefix(line[at:], ";--") && !strings.HasPrefix(line[at:], ";---"):
			kept.WriteString(line[:at])
			r.comment, line = true, line[at+3:]
		default:
			kept.WriteString(line[:at])
			return kept.String()
		}
	}
	return kept.String()
}

// directive follows an include. A file that is missing is noted, unless it may be.
func (r *reader) directive(line string, at Line, depth int) error {
	word, rest, _ := strings.Cut(line[1:], " ")
	target := strings.Trim(strings.TrimSpace(rest), `"<>`)
	at.Key, at.Value = word, target
	if word != "include" && word != "tryinclude" || target == "" {
		r.into.Unread = append(r.into.Unread, at)
		return nil
	}
	pattern := target
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(r.folder, target)
	}
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		if word == "include" && !strings.ContainsAny(target, "*?[") {
			r.into.Unread = append(r.into.Unread, at)
		}
		return nil
	}
	for _, path := range paths {
		name := path
		if within, err := filepath.Rel(r.folder, path); err == nil && !strings.HasPrefix(within, "..") {
			name = within
		}
		switch err := r.file(name, depth+1); {
		case errors.Is(err, fs.ErrPermission):
			r.into.Unread = append(r.into.Unread, Line{File: at.File, Number: at.Number, Key: word, Value: name})
		case err != nil:
			return err
		}
	}
	return nil
}

// begin begins a section: [name], [name](!) for a template, [name](+) for more of one,
// [name](template,template) with what those say first.
func (r *reader) begin(line string, at Line) {
	name, rest, closed := strings.Cut(line[1:], "]")
	if !closed {
		at.Key, at.Value = "section", line
		r.into.Unread = append(r.into.Unread, at)
		return
	}
	r.section = name
	options := strings.Split(strings.Trim(strings.TrimSpace(rest), "()"), ",")
	template := false
	for _, option := range options {
		switch option = strings.TrimSpace(option); option {
		case "", "+":
		case "!":
			template = true
		default:
			r.into.sections[name] = append(r.into.sections[name], r.into.sections[option]...)
		}
	}
	if !template && !slices.Contains(r.into.names, name) {
		r.into.names = append(r.into.names, name)
	}
}

// setting is "key = value" or "key => value".
func (r *reader) setting(line string, at Line) {
	key, value, found := strings.Cut(line, "=")
	if !found {
		at.Key, at.Value = "setting", line
		r.into.Unread = append(r.into.Unread, at)
		return
	}
	at.Key, at.Value = strings.TrimSpace(key), strings.TrimSpace(strings.TrimPrefix(value, ">"))
	r.into.sections[r.section] = append(r.into.sections[r.section], at)
}

// True says what Asterisk takes for yes.
func True(value string) bool {
	return slices.ContainsFunc([]string{"yes", "true", "y", "t", "1", "on"}, func(yes string) bool { return strings.EqualFold(value, yes) })
}
