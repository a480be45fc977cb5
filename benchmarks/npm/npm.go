// Package npm installs programs that come as npm packages, once for a machine and just
// as a package-lock.json pins them.
package npm

import (
	"context"
	"crypto/sha256"
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

// ErrMissing is a program that has to be installed first.
var ErrMissing = errors.New("missing program")

// Packages are what is installed together.
type Packages struct {
	// Title is how errors call them, such as "anvil and solc".
	Title string
	// Progress is said before they are downloaded.
	Progress string
	// Manifest and Lock are the contents of package.json and package-lock.json.
	Manifest, Lock []byte
	// Base is the folder to keep them in; empty means callseal in the user's cache.
	Base string
	// Needs are files below node_modules, without which an installation is none.
	Needs []string
}

// Installed is where packages are.
type Installed struct {
	// Node is the program that runs them.
	Node string
	// Modules is their folder node_modules.
	Modules string
}

// Install finds the packages where they were installed, or asks npm for them first.
func Install(ctx context.Context, p Packages, progress func(string)) (Installed, error) {
	base := p.Base
	if base == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return Installed{}, fmt.Errorf("no cache folder for %s, set HOME: %w", p.Title, err)
		}
		base = filepath.Join(cache, "callseal", "npm")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return Installed{}, fmt.Errorf("%w: %s run on Node.js, and there is no node: install Debian's packages nodejs and npm", ErrMissing, p.Title)
	}
	digest := sha256.Sum256(append(append([]byte(nil), p.Manifest...), p.Lock...))
	folder := filepath.Join(base, fmt.Sprintf("%s-%x", runtime.GOARCH, digest[:6]))
	installed := Installed{Node: node, Modules: filepath.Join(folder, "node_modules")}
	if err := p.check(installed); err == nil {
		return installed, nil
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return Installed{}, fmt.Errorf("make the cache folder of %s: %w", p.Title, err)
	}
	// Two that start together must not install into one folder.
	lock := flock.New(folder + ".lock")
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return Installed{}, fmt.Errorf("wait for another installation of %s: %w", p.Title, err)
	}
	defer func() { _ = lock.Unlock() }()
	if err := p.check(installed); err == nil {
		return installed, nil
	}
	progress(p.Progress)
	if err := p.download(ctx, base, folder); err != nil {
		return Installed{}, err
	}
	return installed, p.check(installed)
}

func (p Packages) download(ctx context.Context, base, folder string) error {
	program, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("%w: %s come from npm, and there is no npm: install Debian's package npm", ErrMissing, p.Title)
	}
	work, err := os.MkdirTemp(base, "install-")
	if err != nil {
		return fmt.Errorf("make a folder for %s: %w", p.Title, err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := errors.Join(
		os.WriteFile(filepath.Join(work, "package.json"), p.Manifest, 0o600),
		os.WriteFile(filepath.Join(work, "package-lock.json"), p.Lock, 0o600),
	); err != nil {
		return fmt.Errorf("install %s: %w", p.Title, err)
	}
	// Scripts of packages are not run: none is needed.
	cmd := exec.CommandContext(ctx, program, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = work
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm could not install %s: %w: %s", p.Title, err, firstLines(string(output)))
	}
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("replace an incomplete installation: %w", err)
	}
	// Renamed only when whole, so that an interrupted download leaves no half.
	if err := os.Rename(work, folder); err != nil {
		return fmt.Errorf("keep %s: %w", p.Title, err)
	}
	return nil
}

func (p Packages) check(installed Installed) error {
	for _, file := range p.Needs {
		if _, err := os.Stat(filepath.Join(installed.Modules, file)); err != nil {
			return fmt.Errorf("%w: npm installed no %s for %s/%s: %w", ErrMissing, filepath.Base(file), runtime.GOOS, runtime.GOARCH, err)
		}
	}
	return nil
}

func firstLines(text string) string {
	const enough = 3
	lines := strings.SplitN(strings.TrimSpace(text), "\n", enough+1)
	return strings.Join(lines[:min(len(lines), enough)], " | ")
}
