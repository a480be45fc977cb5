// Callseal-bench-l2 measures the Ethereum L2 baseline, a real OP Stack and anvil, and
// leaves results for the report.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/callseal/callseal/benchmarks/l2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "callseal-bench-l2:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	options, quick := l2.DefaultOptions(), false
	if err := flags(&options, &quick).Parse(arguments); err != nil {
		return err
	}
	if quick {
		// Those that are given stay as they are.
		options = l2.QuickOptions()
		if err := flags(&options, &quick).Parse(arguments); err != nil {
			return err
		}
	}
	return l2.Run(ctx, options, func(line string) { fmt.Fprintln(os.Stderr, line) })
}

func flags(o *l2.Options, quick *bool) *flag.FlagSet {
	f := flag.NewFlagSet("callseal-bench-l2", flag.ContinueOnError)
	f.Usage = func() {
		_, _ = fmt.Fprint(f.Output(), `Measures registries of call records on a real OP Stack (L1 geth, op-geth, op-node,
op-batcher, built once for a machine) and on anvil, all on 127.0.0.1: latency from
send to receipt and to the safe head, gas, fees, memory and processor. It leaves a
JSON file a group in the folder -out, all or none.

`)
		f.PrintDefaults()
	}
	f.StringVar(&o.Out, "out", o.Out, "the `folder` for the results")
	f.BoolVar(quick, "quick", *quick, "measure for half a minute, for a first look and for make bench-quick")
	f.Var(list{&o.Stacks}, "op-stack", "OP Stacks to measure: `defaults,tuned`, or none")
	f.Var(list{&o.Anvils}, "anvil", "`block times` of anvil to measure, such as 1s,250ms,automine, or none")
	f.IntVar(&o.Repetitions, "repetitions", o.Repetitions, "how often lone and open are measured on each chain")
	f.DurationVar(&o.StackLone, "stack-lone", o.StackLone, "how long one repetition sends one at a time, on an OP Stack")
	f.DurationVar(&o.StackOpen, "stack-open", o.StackOpen, "how long one repetition sends at the rate, on an OP Stack")
	f.DurationVar(&o.AnvilLone, "anvil-lone", o.AnvilLone, "how long one repetition sends one at a time, on anvil")
	f.DurationVar(&o.AnvilOpen, "anvil-open", o.AnvilOpen, "how long one repetition sends at the rate, on anvil")
	f.Float64Var(&o.Rate, "rate", o.Rate, "records a second of the open loop, at Poisson arrivals")
	f.DurationVar(&o.Safe, "safe", o.Safe, "how long to wait at the end for the safe head; 0 does not measure it")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "what calls, pauses and arrivals are made from")
	f.Var(numbers{&o.Roots}, "roots", "`numbers` of records under a Merkle root")
	f.Float64Var(&o.Prices.L2, "gas-price", o.Prices.L2, "stated price of the L2's gas, in `gwei`")
	f.Float64Var(&o.Prices.L1, "l1-base-fee", o.Prices.L1, "stated base fee of the L1, in `gwei`")
	f.Float64Var(&o.Prices.L1Blob, "l1-blob-fee", o.Prices.L1Blob, "stated base fee of the L1's blobs, in `gwei`")
	f.Float64Var(&o.Prices.Ether, "ether", o.Prices.Ether, "stated price of an ether, in `USD`")
	return f
}

// list is a flag of words between commas.
type list struct{ to *[]string }

func (l list) String() string {
	if l.to == nil {
		return ""
	}
	return strings.Join(*l.to, ",")
}

// Set implements flag.Value.
func (l list) Set(text string) error {
	*l.to = nil
	if text != "" && text != "none" {
		*l.to = strings.Split(text, ",")
	}
	return nil
}

// numbers is a flag of numbers between commas.
type numbers struct{ to *[]int }

func (n numbers) String() string {
	if n.to == nil {
		return ""
	}
	texts := make([]string, len(*n.to))
	for i, number := range *n.to {
		texts[i] = strconv.Itoa(number)
	}
	return strings.Join(texts, ",")
}

// Set implements flag.Value.
func (n numbers) Set(text string) error {
	*n.to = nil
	for word := range strings.SplitSeq(text, ",") {
		number, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("%q is no number", word)
		}
		*n.to = append(*n.to, number)
	}
	return nil
}
