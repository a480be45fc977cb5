// Load measures one operator's gateway on a real network, from the gRPC client's side:
// a lone record, fixed rates, a ramp, reads among writes, saturation and evidence on
// reputation; and the same on a ledger that grows. Its groups, each a file NAME.json of
// the results folder:
//
//	callseal-bft     ordered by SmartBFT
//	callseal-raft    ordered by Raft
//	callseal-growth  ordered by SmartBFT, with more and more calls on the ledger
//
// It starts a network for each group. With -network it measures one that is up instead,
// into the group of its ordering.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/callseal/callseal/benchmarks/load/gateway"
	"github.com/callseal/callseal/benchmarks/program"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/networktest"
	"github.com/callseal/callseal/soak"
)

const does = "Measures Callseal's gateway on a real network: a lone record, fixed rates, a ramp, reads among writes, saturation, evidence on reputation, what a record costs, and how all that changes as the ledger grows."

// The groups.
const (
	bft    = "callseal-bft"
	raft   = "callseal-raft"
	growth = "callseal-growth"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// own are the flags that only this program has.
type own struct {
	calls   []int
	network string
}

// run answers the exit code: 2 for a command line that is not understood, 1 for what cannot
// be measured or was not.
func run(arguments []string, problems io.Writer) int {
	flags := own{calls: []int{10_000, 100_000, 1_000_000}}
	options, err := program.Command{Name: "load", Does: does, Groups: []string{bft, raft, growth}, Flags: flags.define}.Parse(arguments)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintln(problems, "load:", err)
		return 2
	}
	var running *network.Network
	if flags.network != "" {
		if running, err = flags.running(&options); err != nil {
			_, _ = fmt.Fprintln(problems, "load:", err)
			return 1
		}
	}
	whole, grown := plans(options)
	if options.Quick && slices.Equal(flags.calls, []int{10_000, 100_000, 1_000_000}) {
		flags.calls = []int{1000, 2000}
	}
	return networktest.Finish(program.Run("load", func(tb testing.TB) {
		lab := func(tb testing.TB, choice ...networktest.Option) *soak.Lab {
			if running != nil {
				return soak.Join(tb, running)
			}
			return soak.NewLab(tb, choice...)
		}
		options.Measure(tb, bft, "Callseal, SmartBFT ordering", func(tb testing.TB, group *result.Group) {
			flags.note(group)
			gateway.Measure(tb, whole, group, lab(tb))
		})
		// Of Raft what stands beside BFT is measured; of that only the lone commit is guarded.
		whole.Evidence, whole.Mixed, whole.Rates = 0, 0, []float64{200}
		if options.Guard {
			whole.Rates, whole.Steady = nil, 0
		}
		options.Measure(tb, raft, "Callseal, Raft ordering", func(tb testing.TB, group *result.Group) {
			flags.note(group)
			gateway.Measure(tb, whole, group, lab(tb, networktest.WithRaft()))
		})
		options.Measure(tb, growth, "Callseal, SmartBFT ordering, as the ledger grows", func(tb testing.TB, group *result.Group) {
			gateway.Grow(tb, grown, flags.calls, group, lab(tb))
		})
	}))
}

// plans are that of the groups by ordering, and that of the growing ledger.
func plans(options program.Options) (whole, grown gateway.Plan) {
	whole = gateway.Plan{
		Repetitions: options.Repetitions, Lone: 100, Steady: 10 * time.Second, Rates: []float64{50, 200},
		Ramp: []float64{50, 100, 200, 400, 800, 1600, 3200, 6400}, Step: 6 * time.Second, Mixed: 6 * time.Second, Evidence: 5 * time.Second, Seed: 20260301,
	}
	grown = gateway.Plan{Repetitions: options.Repetitions, Lone: 40, Steady: 5 * time.Second, Rates: []float64{200}, Seed: 20260301}
	if options.Quick {
		whole.Lone, whole.Steady, whole.Rates = 30, 5*time.Second, []float64{200}
		whole.Ramp, whole.Step, whole.Mixed, whole.Evidence = []float64{200, 400, 800}, 3*time.Second, 3*time.Second, 3*time.Second
		grown.Lone, grown.Steady = 20, 3*time.Second
	}
	if options.Guard {
		whole.Ramp, whole.Mixed, whole.Evidence = nil, 0, 0
	}
	return whole, grown
}

func (o *own) define(flags *flag.FlagSet) {
	flags.Func("calls", "how many `calls` the ledger of "+growth+" holds when it is measured, rising; a million take some 10 minutes and 20 GB (default 10000,100000,1000000; with -quick 1000,2000)", o.setCalls)
	flags.StringVar(&o.network, "network", "", "state `folder` of a network that is up, to be measured instead of networks that this program starts; it keeps the records, and its gateway of "+soak.Operator+" is started again")
}

var errCalls = errors.New("write rising numbers of calls with commas between, such as 10000,100000")

func (o *own) setCalls(text string) error {
	o.calls = nil
	for one := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(one))
		if err != nil || n < 1 || len(o.calls) > 0 && n <= o.calls[len(o.calls)-1] {
			return errCalls
		}
		o.calls = append(o.calls, n)
	}
	return nil
}

var errOrdering = errors.New("another group was asked for than the network's")

// running opens the network that is up, and leaves of the groups the one that it can be
// measured into.
func (o *own) running(options *program.Options) (*network.Network, error) {
	opened, err := gateway.Running(context.Background(), o.network)
	if err != nil {
		return nil, err
	}
	group := bft
	if opened.Consortium().Consensus == network.Raft {
		group = raft
	}
	if !slices.Contains(options.Only, group) {
		return nil, fmt.Errorf("%w: the one in %s is ordered by %s, it can be measured as %s and nothing else", errOrdering, o.network, opened.Consortium().Consensus, group)
	}
	options.Only = []string{group}
	return opened, nil
}

func (o *own) note(group *result.Group) {
	if o.network != "" {
		group.Notes = append(group.Notes, "Measured on a network that was up before: its ledger was not empty, and the other operators' gateways ran too, which counts as the gateway's.")
	}
}
