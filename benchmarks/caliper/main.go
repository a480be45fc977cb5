// Caliper has Hyperledger Caliper measure Callseal's chaincode on a real network: signed
// segments, reads, devices, consents and reputation, at fixed rates and at saturation.
// Its group is caliper. See README.md for running the workspace with Caliper alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/callseal/callseal/benchmarks/caliper/driver"
	"github.com/callseal/callseal/benchmarks/caliper/workspace"
	"github.com/callseal/callseal/benchmarks/program"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
)

const does = "Has Hyperledger Caliper measure Callseal's chaincode on a network of its own, or on one that runs: anchoring, reads, devices, consents and reputation, at fixed rates and at saturation."

func main() {
	var state, folder string
	command := program.Command{
		Name: "caliper", Does: does, Groups: []string{"caliper"}, Repetitions: 1,
		Flags: func(flags *flag.FlagSet) {
			flags.StringVar(&state, "state", "", "measure the running network of this state `folder`, as `callseal network up` makes it, and leave it running")
			flags.StringVar(&folder, "workspace", "", "measure nothing: make this `folder`, a Caliper workspace for the network of -state")
		},
		Instead: func() bool { return folder != "" },
	}
	options, err := command.Parse(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err == nil && folder != "":
		err = prepare(state, folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "caliper:", err)
		os.Exit(2)
	}
	if folder != "" {
		return
	}
	os.Exit(networktest.Finish(program.Run("caliper", func(tb testing.TB) { measure(tb, options, state) })))
}

// prepare makes a workspace for who runs Caliper without this program.
func prepare(state, folder string) error {
	running, err := driver.Running(context.Background(), state)
	if err != nil {
		return err //nolint:wrapcheck // says what it was and what to do
	}
	rounds, err := driver.ParseRounds(workspace.Rounds)
	if err != nil {
		return err //nolint:wrapcheck // says what it was
	}
	return driver.Prepare(running, rounds.Test.Workers.Number, folder) //nolint:wrapcheck // says what it was
}

func measure(tb testing.TB, options program.Options, state string) {
	tb.Helper()
	caliper, err := driver.Install(tb.Context(), func(line string) { tb.Log(line) })
	if err != nil {
		tb.Fatal(err)
	}
	plan := driver.Plan{Benchmark: workspace.Rounds, Repetitions: options.Repetitions}
	if options.Quick {
		plan.Benchmark = workspace.Quick
	}
	options.Measure(tb, "caliper", "Caliper on Callseal's chaincode", func(tb testing.TB, group *result.Group) {
		if state == "" {
			driver.Measure(tb, caliper, networktest.Start(tb).Network, plan, group)
		} else {
			running, err := driver.Running(tb.Context(), state)
			if err != nil {
				tb.Fatal(err)
			}
			driver.Measure(tb, caliper, running, plan, group)
		}
		fmt.Println(driver.Table(group))
	})
}
