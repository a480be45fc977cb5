// Package workspace is the Caliper workspace as it is laid out on disk: connector,
// monitor, workloads and rounds in the languages of Caliper.
package workspace

import (
	"embed"
	"fmt"
	"os"
)

// CaliperVersion is that of Caliper which package.json pins.
const CaliperVersion = "0.6.0"

var (
	//go:embed *.js *.yaml workload package.json package-lock.json
	files embed.FS

	// Manifest is package.json.
	//go:embed package.json
	Manifest []byte
	// Lock is package-lock.json.
	//go:embed package-lock.json
	Lock []byte
	// Rounds is the benchmark file of a whole run.
	//go:embed rounds.yaml
	Rounds []byte
	// Quick is that of a short run, which shows that everything works.
	//go:embed quick.yaml
	Quick []byte
)

// Write lays the workspace out in a folder, which is made where it is missing. Files
// that are there already are not replaced: it fails.
func Write(folder string) error {
	if err := os.CopyFS(folder, files); err != nil {
		return fmt.Errorf("write the Caliper workspace: %w", err)
	}
	return nil
}
