// Peers measures what people would use instead of Callseal, for results that stand
// beside Callseal's own in the report. Its groups, each a file NAME.json of the results
// folder:
//
//	tessera-default  Tessera on POSIX files as it comes
//	tessera-tuned    the same, set for latency
//	fabric-stock     Callseal's network with the block cutting that Fabric's samples have
package main

import (
	"os"
	"testing"
	"time"

	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/peers/fabric"
	"github.com/callseal/callseal/benchmarks/peers/tessera"
	"github.com/callseal/callseal/benchmarks/program"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
)

const does = "Measures what people would use instead of Callseal: Tessera on POSIX files, by default and tuned, and Fabric with its samples' block cutting."

// seed makes the moments at which records arrive.
const seed = 20260301

func main() {
	command := program.Command{Name: "peers", Does: does, Groups: []string{"tessera-default", "tessera-tuned", "fabric-stock"}}
	os.Exit(networktest.Finish(command.Main(os.Args[1:], os.Stderr, measure)))
}

func measure(tb testing.TB, options program.Options) {
	tb.Helper()
	log := func(settings tessera.Settings, plan tessera.Plan) func(testing.TB, *result.Group) {
		return func(tb testing.TB, group *result.Group) {
			group.Facts = append(group.Facts, machine.Fact{Name: "tessera", Value: tessera.Version()}, machine.Fact{Name: "settings", Value: settings.String()})
			group.Notes = append(group.Notes, tessera.Notes...)
			tessera.Measure(tb, settings, plan, group)
		}
	}
	// Checkpoints ten seconds apart need as long to be counted from one to another, too
	// long for a quick run.
	slow := tessera.Plan{Repetitions: options.Repetitions, Lone: 15 * time.Second, Steady: 10 * time.Second, Quiet: true, Saturation: true, Rates: []float64{200}, Seed: seed}
	quick := tessera.Plan{Repetitions: options.Repetitions, Lone: 12 * time.Second, Steady: 6 * time.Second, Quiet: true, Saturation: true, Rates: []float64{50, 200}, Seed: seed}
	if options.Quick {
		slow = tessera.Plan{Repetitions: options.Repetitions, Lone: 5 * time.Second, Seed: seed}
		quick = tessera.Plan{Repetitions: options.Repetitions, Lone: 5 * time.Second, Steady: 2 * time.Second, Saturation: true, Rates: []float64{200}, Seed: seed}
	}
	if options.Guard {
		slow.Lone, quick.Lone, slow.Steady, slow.Saturation, quick.Rates = 0, 0, quick.Steady, true, nil
	}
	options.Measure(tb, "tessera-default", "Tessera on POSIX, default settings", log(tessera.Default(), slow))
	options.Measure(tb, "tessera-tuned", "Tessera on POSIX, tuned", log(tessera.Tuned(), quick))
	options.Measure(tb, "fabric-stock", "Fabric with its samples' block cutting", func(tb testing.TB, group *result.Group) {
		plan := fabric.Plan{Repetitions: options.Repetitions, Lone: 5, Saturated: 8 * time.Second, Gateway: true, Seed: seed}
		if options.Quick {
			plan.Lone, plan.Saturated, plan.Gateway = 1, 4*time.Second, false
		}
		if options.Guard {
			plan.Lone = 0
		}
		fabric.Measure(tb, plan, group)
	})
}
