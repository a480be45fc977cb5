// Package networktest starts real networks for tests: Fabric's own peers and
// orderers with Callseal's chaincode, in a temporary folder, on ports of their
// own. A part that is missing fails the test; nothing is skipped.
package networktest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/callseal/callseal/network"
)

// Network is a running network of a test.
type Network struct {
	*network.Network
	t testing.TB
}

// Option changes what [Start] starts.
type Option func(*network.Options)

// WithRaft orders by Raft instead of SmartBFT.
func WithRaft() Option { return func(o *network.Options) { o.Consensus = network.Raft } }

// WithGateways starts the operators' gateways too.
func WithGateways() Option { return func(o *network.Options) { o.WithoutGateways = false } }

// WithBin takes callseal, callseal-chaincode and callseal-gateway from a folder
// instead of building them.
func WithBin(folder string) Option { return func(o *network.Options) { o.Bin = folder } }

// WithProgram runs a node, such as "corvus-chaincode", from a program of the
// test's own, built from a package of this source tree such as
// "./adversary/chaincode".
func WithProgram(tb testing.TB, node, source string) Option {
	tb.Helper()
	program := build(tb, strings.ReplaceAll(strings.TrimPrefix(source, "./"), "/", "-"), source)
	return func(o *network.Options) {
		if o.Programs == nil {
			o.Programs = map[string]string{}
		}
		o.Programs[node] = program
	}
}

// WithConsortium makes the network from another definition.
func WithConsortium(c *network.Consortium) Option {
	return func(o *network.Options) { o.Consortium = c }
}

// Start makes and starts a network, without gateways unless asked for them, and
// stops it when the test ends. A failed test prints the ends of the nodes' logs.
func Start(tb testing.TB, options ...Option) *Network {
	tb.Helper()
	n := Prepare(tb, options...)
	n.Up()
	return n
}

// Prepare is [Start] without starting: the network is neither made nor up. It
// is still stopped when the test ends.
func Prepare(tb testing.TB, options ...Option) *Network {
	tb.Helper()
	chosen := Options(tb, options...)
	opened, err := network.Open(chosen)
	if err != nil {
		tb.Fatalf("prepare a network: %v", err)
	}
	n := &Network{Network: opened, t: tb}
	tb.Cleanup(func() {
		if tb.Failed() {
			n.printLogs()
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Network.Down(ctx); err != nil {
			tb.Errorf("stop the network: %v", err)
		}
	})
	return n
}

// Options returns options for a network of its own: a temporary state folder,
// free ports, and programs built from this source tree.
func Options(tb testing.TB, options ...Option) network.Options {
	tb.Helper()
	chosen := network.Options{
		State:           filepath.Join(tb.TempDir(), "network"),
		PortOffset:      Ports(tb),
		WithoutGateways: true,
	}
	for _, option := range options {
		option(&chosen)
	}
	if chosen.Bin == "" {
		programs := []string{"callseal-chaincode"}
		if len(chosen.Builder) == 0 {
			programs = append(programs, "callseal")
		}
		if !chosen.WithoutGateways {
			programs = append(programs, "callseal-gateway")
		}
		chosen.Bin = Build(tb, programs...)
	}
	return chosen
}

// Up starts what is not running of the network and fails the test if that fails.
func (n *Network) Up() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := n.Network.Up(ctx, func(line string) { n.t.Log(line) }); err != nil {
		n.t.Fatalf("start the network: %v", err)
	}
}

// Kill ends a node as a crash would, and fails the test if it cannot.
func (n *Network) Kill(node string) {
	n.t.Helper()
	if err := n.Network.Kill(context.Background(), node); err != nil {
		n.t.Fatalf("kill %s: %v", node, err)
	}
}

// Stop ends a node gracefully.
func (n *Network) Stop(node string) {
	n.t.Helper()
	if err := n.Network.Stop(context.Background(), node); err != nil {
		n.t.Fatalf("stop %s: %v", node, err)
	}
}

// Freeze stops a node in its tracks, ports open, until Thaw or the test's end.
func (n *Network) Freeze(node string) {
	n.t.Helper()
	if err := n.Network.Freeze(node); err != nil {
		n.t.Fatalf("freeze %s: %v", node, err)
	}
	n.t.Cleanup(func() { _ = n.Network.Thaw(node) })
}

// Thaw lets a frozen node go on.
func (n *Network) Thaw(node string) {
	n.t.Helper()
	if err := n.Network.Thaw(node); err != nil {
		n.t.Fatalf("thaw %s: %v", node, err)
	}
}

// StartNode runs a stopped node again and waits until it answers.
func (n *Network) StartNode(node string) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := n.Start(ctx, node); err != nil {
		n.t.Fatalf("start %s: %v", node, err)
	}
}

func (n *Network) printLogs() {
	logs, _ := filepath.Glob(n.Layout().LogFile("*"))
	for _, file := range logs {
		content, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(content)), "\n")
		if len(lines) > 15 {
			lines = lines[len(lines)-15:]
		}
		n.t.Logf("%s:\n%s", filepath.Base(file), strings.Join(lines, "\n"))
	}
}

// Ports reserves an offset at which every port of the development consortium is
// free, for this test and against test programs running at the same time.
func Ports(tb testing.TB) int {
	tb.Helper()
	const slots, width = 19, 500 // Ends below the range systems lend ports from.
	folder := filepath.Join(os.TempDir(), fmt.Sprintf("callseal-test-ports-%d", os.Getuid()))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		tb.Fatalf("reserve ports: %v", err)
	}
	deadline := time.Now().Add(5 * time.Minute)
	for first := rand.IntN(slots); time.Now().Before(deadline); first++ {
		slot := first%slots + 1
		lock := flock.New(filepath.Join(folder, fmt.Sprintf("%d.lock", slot)))
		if held, err := lock.TryLock(); err != nil || !held {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		if !free(slot * width) {
			_ = lock.Unlock()
			time.Sleep(10 * time.Millisecond)
			continue
		}
		tb.Cleanup(func() { _ = lock.Unlock() })
		return slot * width
	}
	tb.Fatal("no free ports for a network: other tests hold them all")
	return 0
}

func free(offset int) bool {
	moved, err := network.Development().WithPortOffset(offset)
	return err == nil && moved.PortsFree()
}

// ProgramsEnv names the variable with the folder of programs that were just built
// from this source tree; where it is not set, each test program builds its own.
const ProgramsEnv = "CALLSEAL_PROGRAMS"

var building sync.Mutex

// Build compiles the product's own programs from this source tree and returns
// the folder they are in. They are shared by all tests of a test program; Go's
// build cache makes it cheap across test programs.
func Build(tb testing.TB, programs ...string) string {
	tb.Helper()
	for _, program := range programs {
		build(tb, program, "./cmd/"+program)
	}
	return binFolder()
}

// build compiles one package of this source tree, unless it is there, and returns
// the program.
func build(tb testing.TB, name, source string) string {
	tb.Helper()
	building.Lock()
	defer building.Unlock()
	program := filepath.Join(binFolder(), name)
	if _, err := os.Stat(program); err == nil {
		return program
	}
	root, err := sourceTree()
	if err != nil {
		tb.Fatalf("build the programs: %v", err)
	}
	// Linking takes longer than all else, and is not cached: `make test` does it once
	// for all test programs.
	if folder := os.Getenv(ProgramsEnv); folder != "" && source == "./cmd/"+name {
		if err := os.MkdirAll(binFolder(), 0o755); err != nil {
			tb.Fatalf("take the programs of %s: %v", folder, err)
		}
		if err := os.Symlink(filepath.Join(folder, name), program); err != nil {
			tb.Fatalf("take the programs of %s: %v", folder, err)
		}
		return program
	}
	build := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, source)
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("build %s: %v\n%s", name, err, output)
	}
	return program
}

// binFolder is where this test program's builds are.
func binFolder() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("callseal-test-bin-%d-%d", os.Getuid(), os.Getpid()))
}

// Finish removes what the tests of a program shared. Call it from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }
func Finish(code int) int {
	_ = os.RemoveAll(binFolder())
	return code
}

// sourceTree finds the module's root upwards from the folder of the test.
func sourceTree() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the source tree: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "cmd", "callseal-chaincode")); err == nil {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", errors.New("find the source tree: the test does not run in Callseal's")
		}
		folder = parent
	}
}
