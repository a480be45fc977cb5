// Load measures one operator's gateway on a real network, from the gRPC client's side:
// a lone record, fixed rates, and saturation. Its groups, each a file NAME.json of the
// results folder:
//
//	callseal-bft   ordered by SmartBFT
//	callseal-raft  ordered by Raft
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/callseal/callseal/benchmarks/load/gateway"
	"github.com/callseal/callseal/benchmarks/program"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
)

const does = "Measures Callseal's gateway on a real network, ordered by SmartBFT and by Raft: a lone record, fixed rates, saturation, and what a record costs."

func main() {
	options, err := program.Parse("load", does, os.Args[1:], "callseal-bft", "callseal-raft")
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(2)
	}
	plan := gateway.Plan{Repetitions: options.Repetitions, Lone: 100, Steady: 15 * time.Second, Rates: []float64{50, 200}, Seed: 20260301}
	if options.Quick {
		plan.Lone, plan.Steady, plan.Rates = 30, 5*time.Second, []float64{200}
	}
	raft := plan
	if options.Guard {
		// Of Raft only the lone commit is guarded.
		raft.Rates, raft.Steady = nil, 0
	}
	os.Exit(networktest.Finish(program.Run("load", func(tb testing.TB) {
		options.Measure(tb, "callseal-bft", "Callseal, SmartBFT ordering", func(group *result.Group) { gateway.Measure(tb, plan, group) })
		options.Measure(tb, "callseal-raft", "Callseal, Raft ordering", func(group *result.Group) { gateway.Measure(tb, raft, group, networktest.WithRaft()) })
	})))
}
