package result

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/renameio/v2"

	"github.com/callseal/callseal/benchmarks/machine"
)

// Version is that of the files.
const Version = 1

// Group is what one benchmark measured in one go.
type Group struct {
	// Version is [Version].
	Version int `json:"version"`
	// Name is the file's: lower case, such as callseal-bft, op-stack, tessera.
	Name string `json:"name"`
	// Title is how the report calls it.
	Title string `json:"title"`
	// Began and Ended are when it was measured.
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	// Facts are the machine and the versions of what was measured.
	Facts []machine.Fact `json:"facts"`
	// Notes are what must be said beside every figure of the group.
	Notes []string `json:"notes,omitempty"`
	// Measurements are in the order in which they were made; their names differ.
	Measurements []Measurement `json:"measurements"`
}

// Measurement is one quantity, measured once or several times.
type Measurement struct {
	// Name is its name within the group, in parts: commit/lone, gas/storage,
	// anchor/rate=200.
	Name string `json:"name"`
	// Title is how the report calls it.
	Title string `json:"title"`
	// Unit is ms, /s, µs, gas, bytes, MiB, %, or none.
	Unit string `json:"unit"`
	// Parameters are what it was measured at, such as offered=200 a second or
	// calls=1000000 on the ledger.
	Parameters map[string]float64 `json:"parameters,omitempty"`
	// Values are those of the repetitions, in Unit; empty where Latencies are given.
	Values []float64 `json:"values,omitempty"`
	// Latencies are those of the repetitions, in milliseconds.
	Latencies []Distribution `json:"latencies,omitempty"`
	// Notes are what must be said beside this figure.
	Notes []string `json:"notes,omitempty"`
}

// ErrBadGroup is a group that no report can be made from.
var ErrBadGroup = errors.New("bad result")

var (
	groupName       = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	measurementName = regexp.MustCompile(`^[A-Za-z0-9.=+-]+(/[A-Za-z0-9.=+-]+)*$`)
)

// Check answers ErrBadGroup where something is missing.
func (g *Group) Check() error {
	if g.Version != Version {
		return fmt.Errorf("%w: %w", ErrBadGroup, otherVersion(g.Version))
	}
	if !groupName.MatchString(g.Name) || g.Title == "" || g.Began.IsZero() || g.Ended.Before(g.Began) || len(g.Measurements) == 0 {
		return fmt.Errorf("%w %q: it needs a name, a title, when it began and ended, and measurements", ErrBadGroup, g.Name)
	}
	seen := map[string]bool{}
	for i := range g.Measurements {
		one := &g.Measurements[i]
		if !measurementName.MatchString(one.Name) || one.Title == "" || one.Unit == "" {
			return fmt.Errorf("%w %s: measurement %q needs a name, a title and a unit", ErrBadGroup, g.Name, one.Name)
		}
		if seen[one.Name] {
			return fmt.Errorf("%w %s: there are two of %s", ErrBadGroup, g.Name, one.Name)
		}
		seen[one.Name] = true
		if (len(one.Values) == 0) == (len(one.Latencies) == 0) {
			return fmt.Errorf("%w %s: %s needs values or latencies, and not both", ErrBadGroup, g.Name, one.Name)
		}
		for _, latency := range one.Latencies {
			if err := latency.check(); err != nil {
				return fmt.Errorf("%w %s: %s: %w", ErrBadGroup, g.Name, one.Name, err)
			}
		}
	}
	return nil
}

// Find answers a measurement by its name, or nil.
func (g *Group) Find(name string) *Measurement {
	at := slices.IndexFunc(g.Measurements, func(one Measurement) bool { return one.Name == name })
	if at < 0 {
		return nil
	}
	return &g.Measurements[at]
}

// Write leaves the group in a folder as NAME.json, whole or not at all.
func (g *Group) Write(folder string) error {
	g.Version = Version
	if err := g.Check(); err != nil {
		return err
	}
	text, err := json.Marshal(g, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("write the results of %s: %w", g.Name, err)
	}
	if err := renameio.WriteFile(filepath.Join(folder, g.Name+".json"), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the results of %s: %w", g.Name, err)
	}
	return nil
}

// Read reads all groups of a folder, by name.
func Read(folder string) (map[string]*Group, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("find results: %w", err)
	}
	groups := map[string]*Group{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read results: %w", err)
		}
		group, err := decode(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrBadGroup, file, err)
		}
		if err := group.Check(); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if group.Name+".json" != filepath.Base(file) {
			return nil, fmt.Errorf("%w: %s holds %q", ErrBadGroup, file, group.Name)
		}
		groups[group.Name] = group
	}
	return groups, nil
}

// decode reads a file's text. The version is read first: a file of another version may
// have members that this one knows nothing of.
func decode(text []byte) (*Group, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("it is no result, or was cut in the middle: remove it and measure again: %w", err)
	}
	if head.Version != Version {
		return nil, otherVersion(head.Version)
	}
	group := &Group{}
	if err := json.Unmarshal(text, group, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("it is not as this program writes results: remove it and measure again: %w", err)
	}
	return group, nil
}

func otherVersion(found int) error {
	return fmt.Errorf("it is of version %d, this program reads %d: measure again, or use the program that wrote it", found, Version)
}
