// Adapter measures the real adapter beside a real Asterisk on a real network: what
// processor time adapter and gateway together take at thirty recorded calls at once. Its
// one group is callseal-adapter, in the file callseal-adapter.json of the results folder.
//
// Its benchmarks, which `make measure-adapter` runs and of which docs/adapter.md shows
// what they found, also measure how long it takes from the phone's BYE until a call and
// its recordings are on the ledger, by the way it is recorded, and where the time goes.
package main

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/callseal/callseal/benchmarks/adapter/stage"
	"github.com/callseal/callseal/benchmarks/program"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
)

const does = "Measures what processor time adapter and gateway take beside a real Asterisk that has thirty recorded calls at once."

func main() {
	command := program.Command{Name: "adapter", Does: does, Groups: []string{"callseal-adapter"}}
	os.Exit(networktest.Finish(command.Main(os.Args[1:], os.Stderr, func(tb testing.TB, options program.Options) {
		chosen := plan{repetitions: options.Repetitions, atOnce: 30, rounds: 2, talk: 20 * time.Second, idle: 10 * time.Second}
		if options.Quick {
			chosen.rounds, chosen.talk, chosen.idle = 1, 10*time.Second, 2*time.Second
		}
		options.Measure(tb, "callseal-adapter", "Adapter and gateway beside Asterisk", func(group *result.Group) { measure(tb, chosen, group) })
	})))
}

// plan says how much is measured.
type plan struct {
	// repetitions is how often, each time rounds of atOnce calls of so much talk.
	repetitions, atOnce, rounds int
	talk                        time.Duration
	// idle is how long it is looked at without calls, each time.
	idle time.Duration
}

// measure starts everything and measures it into a group.
func measure(tb testing.TB, chosen plan, group *result.Group) {
	tb.Helper()
	group.Notes = append(group.Notes,
		"SIPp's phones call each other through a real Asterisk, which records each call; adapter and gateway are the product's programs. The time is that of their processes, from the first call until the last recording is on the ledger, with what they take without calls. Asterisk, peers and orderers are not in it.",
		fmt.Sprintf("Each repetition has %d calls of %s, %d at once.", chosen.atOnce*chosen.rounds, chosen.talk, chosen.atOnce))
	s := stage.New(tb)
	s.Start(tb)
	at, parameters := fmt.Sprintf("/calls=%d", chosen.atOnce), map[string]float64{"calls": float64(chosen.atOnce)}
	of := func(name, title, unit string) result.Measurement {
		return result.Measurement{Name: name + at, Title: fmt.Sprintf("%s, %d recorded calls at once", title, chosen.atOnce), Unit: unit, Parameters: parameters}
	}
	both, memory := of("cpu", "processor time of adapter and gateway, of one core", "%"), of("memory/adapter", "memory of the adapter, at most", "MiB")
	idle := result.Measurement{Name: "cpu/idle", Title: "processor time of adapter and gateway without calls, of one core", Unit: "%"}
	each := []string{"adapter", "gateway", "asterisk"}
	parts := make([]result.Measurement, len(each))
	for i, name := range each {
		parts[i] = of("cpu/"+name, "processor time of the "+name+", of one core", "%")
	}
	for n := range chosen.repetitions {
		resting := s.Use(tb, func() {
			select {
			case <-tb.Context().Done():
			case <-time.After(chosen.idle):
			}
		})
		idle.Values = append(idle.Values, resting.Added())
		used := s.Load(tb, chosen.atOnce*chosen.rounds, chosen.atOnce, chosen.talk)
		both.Values = append(both.Values, used.Added())
		for i, name := range each {
			parts[i].Values = append(parts[i].Values, used.Processor[name])
		}
		memory.Values = append(memory.Values, float64(used.Memory)/(1<<20))
		tb.Logf("%d of %d: measured", n+1, chosen.repetitions)
	}
	group.Measurements = append(group.Measurements, both)
	group.Measurements = append(group.Measurements, parts...)
	group.Measurements = append(group.Measurements, idle, memory)
}
