package report

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed causes.yaml
var causesText []byte

// Causes are why aims are missed, by the aims' IDs: people write them, the report
// shows them beside the figures.
type Causes map[string]string

// ErrBadCauses are causes that are not of aims, or say nothing.
var ErrBadCauses = errors.New("bad causes")

// WrittenCauses are those of causes.yaml.
func WrittenCauses() (Causes, error) { return parseCauses(causesText) }

func parseCauses(text []byte) (Causes, error) {
	causes := Causes{}
	if err := yaml.Unmarshal(text, &causes); err != nil {
		return nil, fmt.Errorf("%w: causes.yaml: %w", ErrBadCauses, err)
	}
	for id, cause := range causes {
		if !slices.ContainsFunc(aims, func(a Aim) bool { return a.ID == id }) {
			return nil, fmt.Errorf("%w: causes.yaml has %q, which is no aim of aims.go", ErrBadCauses, id)
		}
		if causes[id] = strings.Join(strings.Fields(cause), " "); causes[id] == "" {
			return nil, fmt.Errorf("%w: causes.yaml says nothing of %q", ErrBadCauses, id)
		}
	}
	return causes, nil
}
