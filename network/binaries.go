package network

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/callseal/callseal/network/toolmodule"
)

// fabricRelease is the Fabric release the product runs on, and fabricLine what
// a foreign binary's version must start with to be accepted.
const (
	fabricRelease = "v3.1.1"
	fabricLine    = "v3.1."
	fabricCommit  = "435a7f1a780a"
)

// The tool module's files, as copies: Go embeds nothing from another module. A
// test keeps them equal to network/fabric.
var (
	//go:embed toolmodule/go.mod.txt
	toolModule []byte
	//go:embed toolmodule/go.sum.txt
	toolSums []byte
)

// fabricBinaries are the programs the network runs.
type fabricBinaries struct {
	peer, orderer, configtxgen string
}

var fabricPrograms = []string{"peer", "orderer", "configtxgen"}

// findFabric locates Fabric's programs: in dir when it is not empty, else in
// $FABRIC_BIN, else on PATH, else built once and cached.
func findFabric(ctx context.Context, dir string, progress func(string)) (fabricBinaries, error) {
	if dir == "" {
		dir = os.Getenv("FABRIC_BIN")
	}
	if dir != "" {
		return fabricIn(ctx, dir)
	}
	if peer, err := exec.LookPath("peer"); err == nil {
		onPath := filepath.Dir(peer)
		if complete(onPath) {
			return fabricIn(ctx, onPath)
		}
	}
	cached, err := buildFabric(ctx, progress)
	if err != nil {
		return fabricBinaries{}, err
	}
	return binariesOf(cached), nil
}

func binariesOf(dir string) fabricBinaries {
	return fabricBinaries{
		peer:        filepath.Join(dir, "peer"),
		orderer:     filepath.Join(dir, "orderer"),
		configtxgen: filepath.Join(dir, "configtxgen"),
	}
}

func complete(dir string) bool {
	for _, program := range fabricPrograms {
		if _, err := exec.LookPath(filepath.Join(dir, program)); err != nil {
			return false
		}
	}
	return true
}

// fabricIn takes the programs of one folder after asking each its version.
func fabricIn(ctx context.Context, dir string) (fabricBinaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fabricBinaries{}, fmt.Errorf("folder of Fabric's programs: %w", err)
	}
	for _, program := range fabricPrograms {
		file := filepath.Join(dir, program)
		if _, err := exec.LookPath(file); err != nil {
			return fabricBinaries{}, fmt.Errorf("the program %s is missing in %s: put Fabric %s there or unset FABRIC_BIN to have it built", program, dir, fabricRelease)
		}
		found, err := versionOf(ctx, file, program)
		if err != nil {
			return fabricBinaries{}, err
		}
		if !strings.HasPrefix(found, fabricLine) {
			return fabricBinaries{}, fmt.Errorf("%s is Fabric %s, and Callseal needs %sx: set FABRIC_BIN to a folder that has it, or take it off PATH to have it built", file, found, fabricLine)
		}
	}
	return binariesOf(dir), nil
}

var versionLine = regexp.MustCompile(`(?m)^\s*Version:\s*(\S+)`)

func versionOf(ctx context.Context, file, program string) (string, error) {
	argument := "version"
	if program == "configtxgen" {
		argument = "-version"
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, file, argument)
	cmd.Env = cleanEnvironment()
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s does not say its version: %w: %s", file, err, lastLine(string(output)))
	}
	match := versionLine.FindSubmatch(output)
	if match == nil {
		return "", fmt.Errorf("%s does not say its version: is it Fabric's?", file)
	}
	version := string(match[1])
	if !strings.HasPrefix(version, "v") {
		version = "v" + version
	}
	return version, nil
}

// fabricCache is where built programs are kept. Its name follows the tool
// module's content, so that another pin is another folder.
func fabricCache() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder for Fabric's programs, set FABRIC_BIN or HOME: %w", err)
	}
	digest := sha256.Sum256(append(append([]byte(nil), toolModule...), toolSums...))
	return filepath.Join(base, "callseal", "fabric", fmt.Sprintf("%s-%s-%x", fabricRelease, runtime.GOARCH, digest[:6])), nil
}

// buildFabric builds the pinned Fabric unless an earlier run already did.
func buildFabric(ctx context.Context, progress func(string)) (string, error) {
	cache, err := fabricCache()
	if err != nil {
		return "", err
	}
	if complete(cache) {
		return cache, nil
	}
	if err := os.MkdirAll(filepath.Dir(cache), 0o755); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	// Two commands started together must not both spend minutes on it.
	lock := flock.New(cache + ".lock")
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return "", fmt.Errorf("wait for another build of Fabric: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	if complete(cache) {
		return cache, nil
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		return "", fmt.Errorf("neither Fabric's programs nor Go to build them were found: install Go, or set FABRIC_BIN to a folder with Fabric %s", fabricRelease)
	}
	work, err := os.MkdirTemp(filepath.Dir(cache), "build-")
	if err != nil {
		return "", fmt.Errorf("make a build folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := compileFabric(ctx, goTool, work, progress); err != nil {
		return "", err
	}
	// Renamed only when whole, so that an interrupted build leaves no half.
	if err := os.Rename(filepath.Join(work, "bin"), cache); err != nil {
		return "", fmt.Errorf("keep the built programs: %w", err)
	}
	return cache, nil
}

func compileFabric(ctx context.Context, goTool, work string, progress func(string)) error {
	const metadata = "github.com/hyperledger/fabric/common/metadata"
	build := toolmodule.Build{
		Mod: toolModule, Sum: toolSums, LDFlags: fmt.Sprintf("-s -w -X %s.Version=%s -X %s.CommitSHA=%s", metadata, fabricRelease, metadata, fabricCommit),
		Report: func(elapsed time.Duration) {
			progress(fmt.Sprintf("building Fabric %s, once for this machine: %s so far, usually one to three minutes", fabricRelease, elapsed.Round(time.Second)))
		},
	}
	for _, program := range fabricPrograms {
		build.Packages = append(build.Packages, "github.com/hyperledger/fabric/cmd/"+program)
	}
	bin := filepath.Join(work, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return fmt.Errorf("make a build folder: %w", err)
	}
	if err := build.Run(ctx, goTool, work, bin+string(filepath.Separator)); err != nil {
		return fmt.Errorf("building Fabric %s failed: %w", fabricRelease, err)
	}
	return nil
}
