package opstack

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
	"time"

	"github.com/gofrs/flock"

	"github.com/callseal/callseal/network/toolmodule"
)

// The versions that the tool modules pin.
const (
	// OptimismVersion is that of op-node and op-batcher.
	OptimismVersion = "v1.16.10"
	// OpGethVersion is that of op-geth.
	OpGethVersion = "v1.101701.0"
	// GethVersion is that of the L1.
	GethVersion = "v1.16.8"
)

// The tool modules' files, as copies: Go embeds nothing from another module. A test
// keeps them equal to stack and l1.
var (
	//go:embed toolmodule/stack.go.mod.txt
	stackModule []byte
	//go:embed toolmodule/stack.go.sum.txt
	stackSums []byte
	//go:embed toolmodule/l1.go.mod.txt
	l1Module []byte
	//go:embed toolmodule/l1.go.sum.txt
	l1Sums []byte
)

// Binaries are the programs that a stack consists of.
type Binaries struct{ geth, opGeth, opNode, opBatcher string }

// program is one that is built: its file, its package and the module that has it.
type program struct {
	name, source string
	module, sums []byte
}

func programs() []program {
	return []program{
		{"op-geth", "github.com/ethereum/go-ethereum/cmd/geth", stackModule, stackSums},
		{"op-node", "github.com/ethereum-optimism/optimism/op-node/cmd", stackModule, stackSums},
		{"op-batcher", "github.com/ethereum-optimism/optimism/op-batcher/cmd", stackModule, stackSums},
		{"geth", "github.com/ethereum/go-ethereum/cmd/geth", l1Module, l1Sums},
	}
}

// ErrBuild is a stack that could not be built.
var ErrBuild = errors.New("the OP Stack could not be built")

// Built answers the programs where an earlier run built them.
func Built() (Binaries, bool) {
	cache, err := cacheFolder()
	if err != nil {
		return Binaries{}, false
	}
	return binariesIn(cache)
}

// Build finds the programs in the user's cache folder, or builds them first, which
// takes some minutes, once for a machine.
func Build(ctx context.Context, progress func(string)) (Binaries, error) {
	cache, err := cacheFolder()
	if err != nil {
		return Binaries{}, err
	}
	if found, ok := binariesIn(cache); ok {
		return found, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return Binaries{}, fmt.Errorf("make the cache folder of the OP Stack: %w", err)
	}
	// Two that start together must not both spend minutes on it.
	lock := flock.New(cache + ".lock")
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return Binaries{}, fmt.Errorf("wait for another build of the OP Stack: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	goTool, err := exec.LookPath("go")
	if err != nil {
		return Binaries{}, fmt.Errorf("%w: there is no Go to build it with: install Go 1.26 or later", ErrBuild)
	}
	for _, one := range programs() {
		// What an interrupted build has finished is kept.
		if executable(filepath.Join(cache, one.name)) {
			continue
		}
		if err := one.build(ctx, goTool, cache, progress); err != nil {
			return Binaries{}, err
		}
	}
	found, ok := binariesIn(cache)
	if !ok {
		return Binaries{}, fmt.Errorf("%w: programs are missing in %s", ErrBuild, cache)
	}
	return found, nil
}

func cacheFolder() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder for the OP Stack, set HOME: %w", err)
	}
	hash := sha256.New()
	for _, file := range [][]byte{stackModule, stackSums, l1Module, l1Sums} {
		hash.Write(file)
	}
	return filepath.Join(base, "callseal", "ethereum", fmt.Sprintf("op-stack-%s-%x", runtime.GOARCH, hash.Sum(nil)[:6])), nil
}

func binariesIn(folder string) (Binaries, bool) {
	for _, one := range programs() {
		if !executable(filepath.Join(folder, one.name)) {
			return Binaries{}, false
		}
	}
	at := func(name string) string { return filepath.Join(folder, name) }
	return Binaries{geth: at("geth"), opGeth: at("op-geth"), opNode: at("op-node"), opBatcher: at("op-batcher")}, true
}

func executable(file string) bool {
	_, err := exec.LookPath(file)
	return err == nil
}

// build compiles the program into a folder, whole or not at all.
func (p program) build(ctx context.Context, goTool, folder string, progress func(string)) error {
	work, err := os.MkdirTemp(filepath.Dir(folder), "build-")
	if err != nil {
		return fmt.Errorf("make a build folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	build := toolmodule.Build{
		Mod: p.module, Sum: p.sums, Packages: []string{p.source}, LDFlags: "-s -w",
		Report: func(elapsed time.Duration) {
			progress(fmt.Sprintf("building %s, once for this machine: %s so far, usually about a minute", p.name, elapsed.Round(time.Second)))
		},
	}
	file := filepath.Join(work, p.name)
	if err := build.Run(ctx, goTool, work, file); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrBuild, p.name, err)
	}
	if err := os.Rename(file, filepath.Join(folder, p.name)); err != nil {
		return fmt.Errorf("keep %s: %w", p.name, err)
	}
	return nil
}
