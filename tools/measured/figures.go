// Package measured reads the figures in docs/measured, as Go's benchmarks print
// them, for the pages that show them.
package measured

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Figures are what was measured, as Go's benchmarks print it, by the name of the
// file in docs/measured.
type Figures map[string][]Figure

// Figure is one line of a benchmark: its name without the processor count, and
// each measurement by its unit.
type Figure struct {
	Name string
	Of   map[string]string
}

// Read reads every file of a folder. Those that are not there yet are no error.
func Read(folder string) (Figures, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil {
		return nil, fmt.Errorf("find the figures: %w", err)
	}
	all := Figures{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the figures: %w", err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".txt")] = parseFigures(string(content))
	}
	return all, nil
}

// parseFigures reads lines such as "BenchmarkX/a-2   100   1234 ns/op   56 B/op".
func parseFigures(text string) []Figure {
	var all []Figure
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if dash := strings.LastIndexByte(name, '-'); dash > 0 && isNumber(name[dash+1:]) {
			name = name[:dash]
		}
		one := Figure{Name: name, Of: map[string]string{}}
		for i := 2; i+1 < len(fields); i += 2 {
			one.Of[fields[i+1]] = fields[i]
		}
		all = append(all, one)
	}
	return all
}

// In is a measurement in another unit: "ns/op" divided by so many.
func (f Figure) In(unit string, divisor float64, digits int) string {
	value, err := strconv.ParseFloat(f.Of[unit], 64)
	if err != nil {
		return "–"
	}
	return strconv.FormatFloat(value/divisor, 'f', digits, 64)
}

// Under are the figures of a file whose names begin so.
func (f Figures) Under(file, prefix string) []Figure {
	var some []Figure
	for _, one := range f[file] {
		if strings.HasPrefix(one.Name, prefix) {
			some = append(some, one)
		}
	}
	return some
}

// Value is what follows the last "=" of the name.
func (f Figure) Value() string { return f.Name[strings.LastIndexByte(f.Name, '=')+1:] }

// Last is the part of the name after the last slash.
func (f Figure) Last() string { return f.Name[strings.LastIndexByte(f.Name, '/')+1:] }

// Words is Last with spaces for its dashes.
func (f Figure) Words() string { return strings.ReplaceAll(f.Last(), "-", " ") }

func isNumber(text string) bool {
	_, err := strconv.Atoi(text)
	return err == nil
}
