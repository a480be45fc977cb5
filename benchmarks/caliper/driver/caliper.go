// Package driver runs Hyperledger Caliper's rounds on a Callseal network and takes
// percentiles from its Prometheus transaction monitor, which its own report has none of.
package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/callseal/callseal/benchmarks/caliper/workspace"
	"github.com/callseal/callseal/benchmarks/daemon"
	"github.com/callseal/callseal/benchmarks/npm"
)

const (
	// networkFile, roundsFile and pagesFolder are in the workspace.
	networkFile = "network.yaml"
	roundsFile  = "run.yaml"
	pagesFolder = "pages"
	// poll is how often it is looked whether a round is over.
	poll = 500 * time.Millisecond
)

// Program is Caliper as npm installed it.
type Program struct{ npm.Installed }

// Install finds Caliper in the user's cache folder, or has npm install it.
func Install(ctx context.Context, progress func(string)) (Program, error) {
	installed, err := npm.Install(ctx, npm.Packages{
		Title: "Caliper and its packages", Progress: "installing Caliper " + workspace.CaliperVersion + " from npm, once for this machine: up to two minutes",
		Manifest: workspace.Manifest, Lock: workspace.Lock,
		Needs: []string{
			cli, filepath.Join("@hyperledger", "caliper-fabric", "package.json"), filepath.Join("@hyperledger", "fabric-gateway", "package.json"),
			filepath.Join("canonicalize", "package.json"),
		},
	}, progress)
	return Program{installed}, err //nolint:wrapcheck // says what it was
}

// cli is Caliper's command line below node_modules.
var cli = filepath.Join("@hyperledger", "caliper-cli", "caliper.js")

// ErrCaliper is a run of Caliper from which no figures can be taken.
var ErrCaliper = errors.New("caliper")

// Run has Caliper run the rounds of a benchmark file in a workspace that has its network
// file, and answers what each came to. It fails where any transaction of any round did.
func Run(ctx context.Context, program Program, folder string, benchmark []byte, progress func(string)) ([]*Outcome, error) {
	rounds, err := ParseRounds(benchmark)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(folder, roundsFile), benchmark, 0o600),
		link(program.Modules, filepath.Join(folder, "node_modules")),
	); err != nil {
		return nil, fmt.Errorf("prepare the Caliper workspace: %w", err)
	}
	port, err := consecutivePorts(ctx, rounds.Test.Workers.Number)
	if err != nil {
		return nil, err
	}
	caliper, err := daemon.Start(daemon.Command{
		Name: "caliper", Program: program.Node, Folder: folder,
		Arguments: []string{
			filepath.Join(program.Modules, cli), "launch", "manager", "--caliper-workspace", folder,
			"--caliper-networkconfig", networkFile, "--caliper-benchconfig", roundsFile,
			fmt.Sprintf("--caliper-observer-prometheus-scrapeport=%d", port),
			// How long a worker lingers at the end of a round, in milliseconds.
			"--caliper-observer-internal-interval=200",
			"--caliper-progress-reporting-enabled=false", "--caliper-logging-formats-colorize=false",
		},
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // names Caliper
	}
	defer end(caliper)
	waiting, cancel := context.WithTimeoutCause(ctx, rounds.patience(), fmt.Errorf("its rounds take %s at most", rounds.patience()))
	defer cancel()
	follow(waiting, caliper, rounds, folder, progress)
	ended := caliper.Wait(waiting)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: interrupted: %w", ErrCaliper, err)
	}
	if problem := problemIn(filepath.Join(folder, "caliper.log")); problem != "" && ended != nil {
		return nil, fmt.Errorf("%w: %s", ErrCaliper, problem)
	}
	if ended != nil {
		return nil, fmt.Errorf("%w: %w", ErrCaliper, ended)
	}
	return outcomes(rounds, folder)
}

// end leaves nothing of Caliper running, its workers neither: they are of its group.
func end(caliper *daemon.Daemon) {
	caliper.Stop()
	_ = syscall.Kill(-caliper.PID(), syscall.SIGKILL)
}

// outcomes reads what every round came to.
func outcomes(rounds *Rounds, folder string) ([]*Outcome, error) {
	all := make([]*Outcome, len(rounds.Test.Rounds))
	for i, round := range rounds.Test.Rounds {
		outcome, err := ReadOutcome(filepath.Join(folder, pagesFolder), i, rounds.Test.Workers.Number, round.Label)
		if err == nil && outcome.Failed > 0 {
			err = fmt.Errorf("%w: %g of %g transactions of the round %s failed", ErrCaliper, outcome.Failed, outcome.Submitted, round.Label)
		}
		if err != nil {
			if problem := problemIn(filepath.Join(folder, "caliper.log")); problem != "" {
				err = fmt.Errorf("%w; Caliper's first complaint: %s", err, problem)
			}
			return nil, err
		}
		all[i] = outcome
	}
	return all, nil
}

// follow says which rounds are over until Caliper has ended.
func follow(ctx context.Context, caliper *daemon.Daemon, rounds *Rounds, folder string, progress func(string)) {
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for said := 0; said < len(rounds.Test.Rounds); {
		select {
		case <-ctx.Done():
			return
		case <-caliper.Done():
			return
		case <-ticker.C:
		}
		round := rounds.Test.Rounds[said]
		outcome, err := ReadOutcome(filepath.Join(folder, pagesFolder), said, rounds.Test.Workers.Number, round.Label)
		if err != nil {
			continue
		}
		said++
		progress(fmt.Sprintf("round %d of %d, %s: %.1f/s, p50 %.1f ms, p99 %.1f ms", said, len(rounds.Test.Rounds), round.Label,
			outcome.Throughput(), outcome.Latencies.Quantile(0.5)*1000, outcome.Latencies.Quantile(0.99)*1000))
	}
}

// link points to a folder from another.
func link(to, from string) error {
	if err := os.Remove(from); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	return os.Symlink(to, from) //nolint:wrapcheck // wrapped by the caller
}

// consecutivePorts finds the first of so many ports in a row that are free: the monitors
// of the workers take one each.
func consecutivePorts(ctx context.Context, n int) (int, error) {
	for range 50 {
		found, err := daemon.Ports(ctx, 1)
		if err != nil {
			return 0, err //nolint:wrapcheck // says what it was
		}
		if first := found[0]; free(ctx, first, n) {
			return first, nil
		}
	}
	return 0, fmt.Errorf("there are no %d free ports in a row for the monitors of Caliper's workers", n)
}

func free(ctx context.Context, first, n int) bool {
	for port := first; port < first+n; port++ {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return false
		}
		_ = listener.Close()
	}
	return true
}

// What Caliper says when something goes wrong, the first of them first: a step of its
// own that failed, and whatever it logs as an error, with what each peer said.
var (
	step      = regexp.MustCompile(`Error while performing "\w+" step: (?:Error: )*(.*)`)
	complaint = regexp.MustCompile(`(?m)^\S+ error \[[^\]]*\] \[[^\]]*\]\s*(.*(?:\n(?:Details:|- ).*)*)$`)
)

// problemIn is what a log of Caliper's says went wrong, in one line; empty for nothing.
func problemIn(log string) string {
	text, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	for _, pattern := range []*regexp.Regexp{step, complaint} {
		if found := pattern.FindSubmatch(text); found != nil {
			return shorten(strings.Join(strings.Fields(string(found[1])), " "))
		}
	}
	return ""
}

// shorten cuts what quotes a whole transaction.
func shorten(text string) string {
	const enough = 600
	if len(text) <= enough {
		return text
	}
	return text[:enough/2] + " … " + text[len(text)-enough/2:]
}
