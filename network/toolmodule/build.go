// Package toolmodule builds programs of other projects from Go's module proxy. A tool
// module pins their versions in a go.mod and go.sum of its own, so that what they need
// stays out of Callseal's.
package toolmodule

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// reportEvery is how often a build says how long it has taken so far.
const reportEvery = 10 * time.Second

// Build is what to build.
type Build struct {
	// Mod and Sum are the module's go.mod and go.sum.
	Mod, Sum []byte
	// Packages are the programs' import paths.
	Packages []string
	// LDFlags are for the linker.
	LDFlags string
	// Report is told at once, and then every ten seconds, how long it has taken.
	Report func(elapsed time.Duration)
}

// Run compiles with Go's tool in a work folder, which it fills, into a program's file or,
// where out ends with a separator, a folder. An error holds the last line that Go said.
func (b *Build) Run(ctx context.Context, goTool, work, out string) error {
	if err := errors.Join(
		os.WriteFile(filepath.Join(work, "go.mod"), b.Mod, 0o600),
		os.WriteFile(filepath.Join(work, "go.sum"), b.Sum, 0o600),
	); err != nil {
		return fmt.Errorf("write the tool module: %w", err)
	}
	cmd := exec.CommandContext(ctx, goTool, append([]string{"build", "-trimpath", "-mod=readonly", "-buildvcs=false", "-ldflags", b.LDFlags, "-o", out}, b.Packages...)...)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	stop := every(reportEvery, b.Report)
	output, err := cmd.CombinedOutput()
	stop()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	return fmt.Errorf("%w: %s", err, strings.TrimSpace(lines[len(lines)-1]))
}

// every calls report now and then at each interval until stopped.
func every(interval time.Duration, report func(elapsed time.Duration)) (stop func()) {
	begun, done, ended := time.Now(), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		report(0)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				report(time.Since(begun))
			}
		}
	}()
	return func() { close(done); <-ended }
}
