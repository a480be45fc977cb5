// Package npm installs anvil and solc, which come as npm packages, once for a machine
// and just as package-lock.json pins them.
package npm

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"
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

// ErrMissing is a program that has to be installed first.
var ErrMissing = errors.New("missing program")

// Tools are the installed programs.
type Tools struct {
	// Anvil is its program.
	Anvil string
	// Node runs Solc, a script.
	Node, Solc string
}

// Install finds the tools in the user's cache folder, or asks npm for them first.
func Install(ctx context.Context, progress func(string)) (Tools, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return Tools{}, fmt.Errorf("no cache folder for anvil and solc, set HOME: %w", err)
	}
	return installIn(ctx, filepath.Join(base, "callseal", "ethereum"), progress)
}

func installIn(ctx context.Context, base string, progress func(string)) (Tools, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return Tools{}, fmt.Errorf("%w: solc needs Node.js, and there is no node: install Debian's packages nodejs and npm", ErrMissing)
	}
	digest := sha256.Sum256(append(append([]byte(nil), manifest...), lockFile...))
	folder := filepath.Join(base, fmt.Sprintf("npm-%s-%x", runtime.GOARCH, digest[:6]))
	if tools, err := toolsIn(folder, node); err == nil {
		return tools, nil
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return Tools{}, fmt.Errorf("make the cache folder of anvil and solc: %w", err)
	}
	// Two that start together must not install into one folder.
	lock := flock.New(folder + ".lock")
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return Tools{}, fmt.Errorf("wait for another installation of anvil and solc: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	if tools, err := toolsIn(folder, node); err == nil {
		return tools, nil
	}
	progress(fmt.Sprintf("installing anvil %s and solc %s from npm, once for this machine", AnvilVersion, SolcVersion))
	if err := download(ctx, base, folder); err != nil {
		return Tools{}, err
	}
	return toolsIn(folder, node)
}

func download(ctx context.Context, base, folder string) error {
	program, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("%w: anvil and solc come from npm, and there is no npm: install Debian's package npm", ErrMissing)
	}
	work, err := os.MkdirTemp(base, "install-")
	if err != nil {
		return fmt.Errorf("make a folder for anvil and solc: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := errors.Join(
		os.WriteFile(filepath.Join(work, "package.json"), manifest, 0o600),
		os.WriteFile(filepath.Join(work, "package-lock.json"), lockFile, 0o600),
	); err != nil {
		return fmt.Errorf("install anvil and solc: %w", err)
	}
	// Scripts of packages are not run: none is needed.
	cmd := exec.CommandContext(ctx, program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = work
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm could not install anvil and solc: %w: %s", err, firstLines(string(output)))
	}
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("replace an incomplete installation: %w", err)
	}
	// Renamed only when whole, so that an interrupted download leaves no half.
	if err := os.Rename(work, folder); err != nil {
		return fmt.Errorf("keep anvil and solc: %w", err)
	}
	return nil
}

func toolsIn(folder, node string) (Tools, error) {
	modules := filepath.Join(folder, "node_modules")
	tools := Tools{
		Anvil: filepath.Join(modules, "@foundry-rs", fmt.Sprintf("anvil-%s-%s", runtime.GOOS, runtime.GOARCH), "bin", "anvil"),
		Node:  node, Solc: filepath.Join(modules, "solc", "solc.js"),
	}
	for _, file := range []string{tools.Anvil, tools.Solc} {
		if _, err := os.Stat(file); err != nil {
			return Tools{}, fmt.Errorf("%w: npm installed no %s for %s/%s: %w", ErrMissing, filepath.Base(file), runtime.GOOS, runtime.GOARCH, err)
		}
	}
	return tools, nil
}

func firstLines(text string) string {
	const enough = 3
	lines := strings.SplitN(strings.TrimSpace(text), "\n", enough+1)
	return strings.Join(lines[:min(len(lines), enough)], " | ")
}
