// Adapter measures the real adapter beside a real Asterisk on a real network: how long
// after the phone's BYE a recorded call is on the ledger, and what processor time and
// memory adapter and gateway take at thirty such calls at once. Its one group is
// callseal-adapter, in the file callseal-adapter.json of the results folder.
//
// Its benchmarks, which `make measure-adapter` runs and of which docs/adapter.md shows
// what they found, measure the same by the way a call is recorded, and where the time
// goes.
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

const does = "Measures how long after its end a recorded call is on the ledger, and what adapter and gateway take beside a real Asterisk that has thirty such calls at once."

func main() {
	command := program.Command{Name: "adapter", Does: does, Groups: []string{"callseal-adapter"}}
	os.Exit(networktest.Finish(command.Main(os.Args[1:], os.Stderr, func(tb testing.TB, options program.Options) {
		chosen := plan{repetitions: options.Repetitions, atOnce: 30, rounds: 1, talk: 20 * time.Second, idle: 10 * time.Second, alone: 25}
		if options.Quick {
			chosen.talk, chosen.idle, chosen.alone = 10*time.Second, 2*time.Second, 5
		}
		options.Measure(tb, "callseal-adapter", "Adapter and gateway beside Asterisk", func(tb testing.TB, group *result.Group) { measure(tb, chosen, group) })
	})))
}

// plan says how much is measured.
type plan struct {
	// repetitions is how often, each time rounds of atOnce calls of so much talk.
	repetitions, atOnce, rounds int
	talk                        time.Duration
	// idle is how long it is looked at without calls, each time.
	idle time.Duration
	// alone is how many calls are placed one after the other, each time.
	alone int
}

// measure starts everything and measures it into a group.
func measure(tb testing.TB, chosen plan, group *result.Group) {
	tb.Helper()
	group.Notes = append(group.Notes,
		"SIPp's phones call each other through a real Asterisk, which records each call; adapter and gateway are the product's programs. The time is that of their processes, from the first call until the last recording is on the ledger, with what they take without calls. Asterisk, peers and orderers are not in it.",
		"From BYE to COMMITTED is from when SIPp's phone sent its BYE until the peer had found the transactions valid that hold the call and the digest of its recording.",
		fmt.Sprintf("Each repetition has %d calls of %s, %d at once.", chosen.atOnce*chosen.rounds, chosen.talk, chosen.atOnce))
	s := stage.New(tb)
	s.Start(tb)
	at, parameters := fmt.Sprintf("/calls=%d", chosen.atOnce), map[string]float64{"calls": float64(chosen.atOnce)}
	of := func(name, title, unit string) result.Measurement {
		return result.Measurement{Name: name + at, Title: fmt.Sprintf("%s, %d recorded calls at once", title, chosen.atOnce), Unit: unit, Parameters: parameters}
	}
	both := of("cpu", "processor time of adapter and gateway, of one core", "%")
	hangUp := result.Measurement{Name: "hang-up", Title: "a recorded call on its own, from the phone's BYE to COMMITTED", Unit: "ms"}
	idle := result.Measurement{Name: "cpu/idle", Title: "processor time of adapter and gateway without calls, of one core", Unit: "%"}
	each := []struct{ name, called string }{{"adapter", "the adapter"}, {"gateway", "the gateway"}, {"asterisk", "Asterisk"}}
	parts, memory := make([]result.Measurement, len(each)), make([]result.Measurement, len(each))
	for i, one := range each {
		parts[i] = of("cpu/"+one.name, "processor time of "+one.called+", of one core", "%")
		memory[i] = of("memory/"+one.name, "memory of "+one.called+", at most", "MiB")
	}
	s.HangUp(tb) // the first of all opens what the others find open
	for n := range chosen.repetitions {
		alone := result.NewRecorder()
		for range chosen.alone {
			alone.Record(s.HangUp(tb))
		}
		hangUp.Latencies = append(hangUp.Latencies, alone.Distribution())
		resting := s.Use(tb, func() {
			select {
			case <-tb.Context().Done():
			case <-time.After(chosen.idle):
			}
		})
		idle.Values = append(idle.Values, resting.Added())
		used := s.Load(tb, chosen.atOnce*chosen.rounds, chosen.atOnce, chosen.talk)
		both.Values = append(both.Values, used.Added())
		for i, one := range each {
			parts[i].Values = append(parts[i].Values, used.Processor[one.name])
			memory[i].Values = append(memory[i].Values, float64(used.Memory[one.name])/(1<<20))
		}
		tb.Logf("%d of %d: measured", n+1, chosen.repetitions)
	}
	group.Measurements = append(group.Measurements, hangUp, both)
	group.Measurements = append(group.Measurements, parts...)
	group.Measurements = append(group.Measurements, idle)
	group.Measurements = append(group.Measurements, memory...)
}
