package driver

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/callseal/callseal/benchmarks/caliper/workspace"
	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network"
)

// Plan says what is measured.
type Plan struct {
	// Benchmark is Caliper's benchmark file.
	Benchmark []byte
	// Repetitions is how often Caliper runs it.
	Repetitions int
}

// Measure runs the rounds on a running network and adds to the group, for each, its
// throughput and its latencies.
func Measure(tb testing.TB, program Program, running *network.Network, plan Plan, group *result.Group) {
	tb.Helper()
	rounds, err := ParseRounds(plan.Benchmark)
	if err != nil {
		tb.Fatal(err)
	}
	all := make([][]*Outcome, plan.Repetitions)
	for i := range all {
		folder := filepath.Join(tb.TempDir(), "workspace")
		if err := Prepare(running, rounds.Test.Workers.Number, folder); err != nil {
			tb.Fatal(err)
		}
		if all[i], err = Run(tb.Context(), program, folder, plan.Benchmark, func(line string) { tb.Log(line) }); err != nil {
			tb.Fatal(err)
		}
	}
	group.Facts = append(group.Facts, machine.Fact{Name: "caliper", Value: workspace.CaliperVersion})
	group.Notes = append(group.Notes,
		"Caliper's workers, which sign segments and transactions in JavaScript, share this machine's processors with the whole network: at saturation they are part of what is measured.",
		"Transactions go from Caliper to the operators' peers, without Callseal's gateway, and without details. Latencies count from when Caliper sent, not from when a transaction was due.",
		"Percentiles are read off the buckets of Caliper's Prometheus monitor, which grow by a tenth; the largest latency is its bucket's bound.")
	add(group, rounds, all)
}

// Prepare lays out a workspace in a new folder, with the network file and adapters for
// as many workers.
func Prepare(running *network.Network, workers int, folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return fmt.Errorf("the folder for the Caliper workspace: %w", err)
	}
	run := strconv.FormatInt(time.Now().UnixMilli(), 10)
	adapters, err := Adapters(running.Consortium(), running.Layout(), workers, run, filepath.Join(folder, "adapters"))
	if err != nil {
		return err
	}
	file, err := NewNetwork(running.Consortium(), running.Layout(), adapters)
	if err != nil {
		return err
	}
	if err := workspace.Write(folder); err != nil {
		return err //nolint:wrapcheck // says what it was
	}
	return file.Write(folder)
}

// add puts what all repetitions came to into the group.
func add(group *result.Group, rounds *Rounds, all [][]*Outcome) {
	for i, round := range rounds.Test.Rounds {
		throughput := result.Measurement{Name: "throughput/" + round.Label, Title: round.Title() + ", throughput", Unit: "/s", Parameters: round.parameters()}
		latency := result.Measurement{Name: round.Label, Title: round.Title() + ", sent to answered", Unit: "ms", Parameters: round.parameters()}
		for _, outcomes := range all {
			throughput.Values = append(throughput.Values, outcomes[i].Throughput())
			latency.Latencies = append(latency.Latencies, outcomes[i].Latencies.Distribution())
		}
		group.Measurements = append(group.Measurements, throughput, latency)
	}
}

// Table is what a group says, for people at a terminal.
func Table(group *result.Group) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"round", "transactions", "a second", "p50 ms", "p95 ms", "p99 ms"})
	for _, one := range group.Measurements {
		for i, latency := range one.Latencies {
			throughput := math.NaN()
			if counted := group.Find("throughput/" + one.Name); counted != nil && i < len(counted.Values) {
				throughput = counted.Values[i]
			}
			row := table.Row{one.Name, latency.Count}
			for _, value := range []float64{throughput, latency.P50, latency.P95, latency.P99} {
				row = append(row, strconv.FormatFloat(value, 'f', 1, 64))
			}
			t.AppendRow(row)
		}
	}
	return t.Render()
}

// Running opens the network of a state folder and answers it if all that Caliper needs
// of it runs.
func Running(ctx context.Context, state string) (*network.Network, error) {
	found, err := network.Open(network.Options{State: state, WithoutGateways: true})
	if err != nil {
		return nil, err //nolint:wrapcheck // says what it was and what to do
	}
	root := found.Layout().Root()
	if _, err := os.Stat(found.Layout().GenesisBlock()); err != nil {
		return nil, fmt.Errorf("there is no network in %s: make and start one with `callseal network up --state %s`", root, root)
	}
	nodes, err := found.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the network in %s how it is: %w", root, err)
	}
	stopped := 0
	var problems []string
	for _, one := range nodes {
		switch one.State {
		case network.StateRunning:
			continue
		case network.StateStopped:
			stopped++
		}
		problem := one.Node + " is " + one.State
		if one.Problem != "" {
			problem += " (" + one.Problem + ")"
		}
		problems = append(problems, problem)
	}
	switch {
	case stopped == len(nodes):
		return nil, fmt.Errorf("the network in %s is down: start it with `callseal network up --state %s`", root, root)
	case len(problems) > 0:
		return nil, fmt.Errorf("the network in %s is half up, %s: `callseal network up --state %s` starts what is missing", root, strings.Join(problems, ", "), root)
	}
	return found, nil
}
