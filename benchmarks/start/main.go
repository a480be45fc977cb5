// Start measures what who tries Callseal waits for: a network's first start, its start on
// a ledger that is there, and the demo, each by the callseal program as people run it. Its
// one group is callseal-start, in the file callseal-start.json of the results folder.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/benchmarks/program"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
)

const does = "Measures how long it takes to start a network, first and again, and to see the demo."

// stopWithin bounds how long a network may take to stop.
const stopWithin = time.Minute

func main() {
	command := program.Command{Name: "start", Does: does, Groups: []string{"callseal-start"}}
	os.Exit(networktest.Finish(command.Main(os.Args[1:], os.Stderr, func(tb testing.TB, options program.Options) {
		options.Measure(tb, "callseal-start", "Starting Callseal", func(tb testing.TB, group *result.Group) { measure(tb, options.Repetitions, group) })
	})))
}

// measure starts everything so often and measures it into a group.
func measure(tb testing.TB, repetitions int, group *result.Group) {
	tb.Helper()
	group.Notes = append(group.Notes,
		"The callseal program from its start to its end. Fabric is built and Asterisk installed before; a network is its peers, orderers, chaincode services and gateways, with new identities, founding votes and enrolments where it starts for the first time. The demo starts a network and an Asterisk, places its calls and stops it all.")
	// What is fetched and built once for a machine is not what is measured.
	lab.Require(tb)
	first, again, demo := of("network/first", "a network's first start"), of("network/again", "its start on a ledger that is there"), of("demo", "the demo")
	callseal := filepath.Join(networktest.Build(tb, "callseal", "callseal-chaincode", "callseal-gateway", "callseal-asterisk-adapter"), "callseal")
	offset := strconv.Itoa(networktest.Ports(tb))
	prepare(tb, callseal, offset)
	for n := range repetitions {
		state := filepath.Join(tb.TempDir(), "network")
		stop := stopper(tb, callseal, state)
		timed(tb, &first, callseal, "network", "up", "--state", state, "--port-offset", offset)
		stop()
		timed(tb, &again, callseal, "network", "up", "--state", state)
		stop()
		timed(tb, &demo, callseal, "demo")
		tb.Logf("%d of %d: measured", n+1, repetitions)
	}
	group.Measurements = append(group.Measurements, first, again, demo)
}

// prepare has a network started that is not measured, since the machine's first builds
// Fabric.
func prepare(tb testing.TB, callseal, offset string) {
	tb.Helper()
	state := filepath.Join(tb.TempDir(), "network")
	stop := stopper(tb, callseal, state)
	run(tb, callseal, "network", "up", "--state", state, "--port-offset", offset)
	stop()
}

func of(name, title string) result.Measurement {
	return result.Measurement{Name: name, Title: title, Unit: "s"}
}

// timed runs the program and adds how long it took.
func timed(tb testing.TB, to *result.Measurement, callseal string, arguments ...string) {
	tb.Helper()
	began := time.Now()
	run(tb, callseal, arguments...)
	to.Values = append(to.Values, time.Since(began).Seconds())
}

// run runs the program and ends the measurement where it fails. An interrupt is passed on:
// it stops what it has started.
func run(tb testing.TB, callseal string, arguments ...string) {
	tb.Helper()
	command := exec.CommandContext(tb.Context(), callseal, arguments...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	if output, err := command.CombinedOutput(); err != nil {
		tb.Fatalf("callseal %s: %v: %s", strings.Join(arguments, " "), err, last(output))
	}
}

// stopper stops a network, at the latest when the measurement ends.
func stopper(tb testing.TB, callseal, state string) (stop func()) {
	tb.Helper()
	down := func() error {
		if _, err := os.Stat(state); err != nil {
			return nil // nothing was started
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), stopWithin)
		defer cancel()
		if output, err := exec.CommandContext(ctx, callseal, "network", "down", "--state", state).CombinedOutput(); err != nil {
			return fmt.Errorf("callseal network down: %w: %s", err, last(output))
		}
		return nil
	}
	tb.Cleanup(func() {
		if err := down(); err != nil {
			tb.Error(err)
		}
	})
	return func() {
		tb.Helper()
		if err := down(); err != nil {
			tb.Fatal(err)
		}
	}
}

// last is the last line of an output, which says what went wrong.
func last(output []byte) string {
	lines := bytes.Split(bytes.TrimSpace(output), []byte("\n"))
	return string(lines[len(lines)-1])
}
