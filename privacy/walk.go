// Package privacy looks for personal data where none may be: through every byte
// of the files below a folder, also where a database compresses it, a log splits
// it or a field holds it in hexadecimal or base64.
//
// It is for tests and for operators' own audits: what it searches for is told to
// it and never written anywhere, reports name it by the name it was given.
package privacy

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Needle is something to search for.
type Needle struct {
	// Name stands for it in reports.
	Name string
	// Value is what may not be found: six bytes or more, because fewer are found
	// everywhere by chance.
	Value []byte
}

// Text makes needles of texts, each under the name given.
func Text(namesAndTexts map[string]string) []Needle {
	needles := make([]Needle, 0, len(namesAndTexts))
	for name, text := range namesAndTexts {
		needles = append(needles, Needle{Name: name, Value: []byte(text)})
	}
	return needles
}

// Finding says where something was found.
type Finding struct {
	// Path is the file.
	Path string `json:"path"`
	// Place is where in it: "byte 17", "entry 4 of the table", its name.
	Place string `json:"place"`
	// Needle is its name, and Form how it was written: "plain", "base64", …
	Needle string `json:"needle"`
	Form   string `json:"form"`
}

// String is the finding in words.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s in %s at %s", f.Path, f.Needle, f.Form, f.Place)
}

// Report is what a walk found and how much it looked at.
type Report struct {
	Findings []Finding `json:"findings"`
	// Files and Bytes count what was read as it is, Entries what was decoded
	// beyond: entries of tables, records of logs.
	Files   int   `json:"files"`
	Bytes   int64 `json:"bytes"`
	Entries int64 `json:"entries"`
	// Unread names what could not be read or decoded, and why: a walk is whole
	// only when it is empty.
	Unread []string `json:"unread"`
}

// Of are the findings of one needle.
func (r *Report) Of(needle string) []Finding {
	var found []Finding
	for _, one := range r.Findings {
		if one.Needle == needle {
			found = append(found, one)
		}
	}
	return found
}

// maxPerFile bounds the findings reported of one needle in one form and file:
// one is enough to fail.
const maxPerFile = 3

// Walk searches all regular files below the folders. A file that goes away
// meanwhile, as a running node's do, is left out; stop the nodes for a walk that
// leaves out nothing.
func Walk(ctx context.Context, folders []string, needles []Needle) (*Report, error) {
	search, err := newSearch(needles)
	if err != nil {
		return nil, err
	}
	w := &walk{search: search, report: &Report{Findings: []Finding{}, Unread: []string{}}}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case errors.Is(err, fs.ErrNotExist) && path != folder:
				return nil
			case err != nil:
				return err
			}
			w.name(path, entry)
			if entry.Type().IsRegular() {
				w.file(path)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("walk %s: %w", folder, err)
		}
	}
	return w.report, nil
}

type walk struct {
	search *search
	report *Report
	found  map[Finding]int // of the file at hand, by needle and form
	path   string
}

// look searches one piece of the file at hand.
func (w *walk) look(content []byte, place func(offset int) string) {
	w.search.in(content, func(offset int, p *pattern) {
		kind := Finding{Needle: p.needle, Form: p.form}
		if w.found[kind]++; w.found[kind] > maxPerFile {
			return
		}
		w.report.Findings = append(w.report.Findings, Finding{Path: w.path, Place: place(offset), Needle: p.needle, Form: p.form})
	})
}

func (w *walk) unread(what string, err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		w.report.Unread = append(w.report.Unread, fmt.Sprintf("%s: %s: %v", w.path, what, err))
	}
}

// name searches the name of a file or folder.
func (w *walk) name(path string, entry fs.DirEntry) {
	w.path, w.found = path, map[Finding]int{}
	w.look([]byte(entry.Name()), func(int) string { return "its name" })
}

// file searches a file as it is, and what can be decoded of it.
func (w *walk) file(path string) {
	file, err := os.Open(path)
	if err != nil {
		w.unread("open it", err)
		return
	}
	defer func() { _ = file.Close() }()
	size, err := w.stream(file, "byte %d")
	w.report.Files++
	w.report.Bytes += size
	if err != nil {
		w.unread("read it", err)
		return
	}
	switch kindOf(file, path) {
	case kindTable:
		err = w.table(file, size)
	case kindLog:
		err = w.log(file)
	case kindGzip:
		err = w.gzip(file)
	case kindPebbleTable:
		err = w.pebbleTable(path)
	case kindPebbleLog:
		err = w.pebbleLog(path)
	default:
	}
	if err != nil {
		w.unread("decode it", err)
	}
}

// stream searches what a reader gives, in pieces that overlap.
func (w *walk) stream(from io.Reader, place string) (size int64, err error) {
	const piece = 1 << 20
	overlap := w.search.longest - 1
	buffer := make([]byte, 0, piece+overlap)
	for {
		n, err := io.ReadFull(from, buffer[len(buffer):cap(buffer)])
		begins := size - int64(len(buffer))
		buffer = buffer[:len(buffer)+n]
		size += int64(n)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return size, err
		}
		w.look(buffer, func(offset int) string { return fmt.Sprintf(place, begins+int64(offset)) })
		if last {
			return size, nil
		}
		// What lies whole within the overlap is counted twice; it is found.
		kept := copy(buffer, buffer[len(buffer)-overlap:])
		buffer = buffer[:kept]
	}
}

func (w *walk) gzip(file *os.File) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	reader, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return err
	}
	w.report.Entries++
	_, err = w.stream(reader, "byte %d of what it compresses")
	return err
}
