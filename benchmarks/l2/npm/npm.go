// Package npm has anvil and solc, which come as npm packages, installed just as
// package-lock.json pins them.
package npm

import (
	"context"
	_ "embed"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/callseal/callseal/benchmarks/npm"
)

var (
	//go:embed package.json
	manifest []byte
	//go:embed package-lock.json
	lockFile []byte
)

// The versions that package.json pins.
const (
	// AnvilVersion is that of anvil.
	AnvilVersion = "1.7.1"
	// SolcVersion is that of solc.
	SolcVersion = "0.8.37"
)

// Tools are the installed programs.
type Tools struct {
	// Anvil is its program.
	Anvil string
	// Node runs Solc, a script.
	Node, Solc string
}

// Install finds the tools in the user's cache folder, or asks npm for them first.
func Install(ctx context.Context, progress func(string)) (Tools, error) {
	anvil := filepath.Join("@foundry-rs", fmt.Sprintf("anvil-%s-%s", runtime.GOOS, runtime.GOARCH), "bin", "anvil")
	solc := filepath.Join("solc", "solc.js")
	installed, err := npm.Install(ctx, npm.Packages{
		Title: "anvil and solc", Progress: fmt.Sprintf("installing anvil %s and solc %s from npm, once for this machine", AnvilVersion, SolcVersion),
		Manifest: manifest, Lock: lockFile, Needs: []string{anvil, solc},
	}, progress)
	if err != nil {
		return Tools{}, err //nolint:wrapcheck // says what it was
	}
	return Tools{Anvil: filepath.Join(installed.Modules, anvil), Node: installed.Node, Solc: filepath.Join(installed.Modules, solc)}, nil
}
