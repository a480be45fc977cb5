// Rivs measures what RiVS measured, in its way and in Callseal's, for results that stand
// side by side in the report. Its one group is rivs, in the file rivs.json of the
// results folder.
package main

import (
	"os"
	"testing"
	"time"

	"github.com/callseal/callseal/benchmarks/program"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/benchmarks/rivs/pairs"
	"github.com/callseal/callseal/network/networktest"
)

const does = "Measures a message, a score update and a CDR row in RiVS's way (RabbitMQ, MariaDB, a process for each) and in Callseal's."

func main() {
	command := program.Command{Name: "rivs", Does: does, Groups: []string{"rivs"}}
	os.Exit(networktest.Finish(command.Main(os.Args[1:], os.Stderr, func(tb testing.TB, options program.Options) {
		plan := pairs.Plan{Repetitions: options.Repetitions, Singles: 50, Saturated: 4 * time.Second, Seed: 20260301}
		if options.Quick {
			plan.Singles, plan.Saturated = 10, 3*time.Second
		}
		options.Measure(tb, "rivs", "RiVS's way and Callseal's", func(tb testing.TB, group *result.Group) { pairs.Measure(tb, plan, group) })
	})))
}
