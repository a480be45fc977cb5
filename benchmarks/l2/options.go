package l2

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/callseal/callseal/benchmarks/l2/anvil"
)

// The stacks that can be asked for.
const (
	// Defaults is op-geth as it is.
	Defaults = "defaults"
	// Tuned is op-geth that fills its block anew every 100 ms.
	Tuned = "tuned"
)

// tunedRecommit is what is tuned.
const tunedRecommit = 100 * time.Millisecond

// channelBlocks has op-batcher put a channel on the L1 for each L1 block.
const channelBlocks = 1

// Options say what is measured, and for how long.
type Options struct {
	// Out is the folder for the results.
	Out string
	// Stacks are of Defaults and Tuned, in the order in which they are measured.
	Stacks []string
	// Anvils are block times, or automine.
	Anvils []string
	// Repetitions is how often lone and open are measured on each chain, in turn.
	Repetitions int
	// StackLone and StackOpen are how long one repetition takes on the OP Stack.
	StackLone, StackOpen time.Duration
	// AnvilLone and AnvilOpen are the same on anvil.
	AnvilLone, AnvilOpen time.Duration
	// Rate is how many records a second the open loop sends.
	Rate float64
	// Safe is how long the safe head is waited for, after the last record; 0 measures
	// none.
	Safe time.Duration
	// Seed makes calls, pauses and arrivals.
	Seed uint64
	// Roots are how many records the Merkle roots are over.
	Roots []int
	// Prices are what fees are computed from.
	Prices Prices
}

// Prices are those of gas. They are stated, not measured.
type Prices struct {
	// L2 is that of the L2's gas, in gwei.
	L2 float64
	// L1 is the L1's base fee, in gwei.
	L1 float64
	// L1Blob is the L1's base fee of blob gas, in gwei.
	L1Blob float64
	// Ether is that of an ether, in US dollars.
	Ether float64
}

// DefaultOptions take about eight minutes.
func DefaultOptions() Options {
	return Options{
		Stacks: []string{Defaults, Tuned}, Anvils: []string{"1s", "250ms", "automine"},
		Repetitions: 3, StackLone: 20 * time.Second, StackOpen: 12 * time.Second, AnvilLone: 6 * time.Second, AnvilOpen: 6 * time.Second,
		Rate: 20, Safe: time.Minute, Seed: 1, Roots: []int{1, 10, 100, 500},
		Prices: Prices{L2: 0.001, L1: 1, L1Blob: 0.01, Ether: 3000},
	}
}

// QuickOptions take about half a minute: enough to see a ratio change, too little for a
// report.
func QuickOptions() Options {
	o := DefaultOptions()
	o.Stacks, o.Anvils = []string{Tuned}, []string{"250ms"}
	o.Repetitions, o.StackLone, o.StackOpen, o.AnvilLone, o.AnvilOpen, o.Safe = 1, 8*time.Second, 4*time.Second, 3*time.Second, 2*time.Second, 0
	o.Roots = []int{100}
	return o
}

// ErrBadOptions are options that nothing can be measured with.
var ErrBadOptions = errors.New("bad option")

// Check answers ErrBadOptions where something cannot be measured.
func (o *Options) Check() error {
	switch {
	case o.Out == "":
		return fmt.Errorf("%w: -out is missing, the folder for the results", ErrBadOptions)
	case len(o.Stacks)+len(o.Anvils) == 0:
		return fmt.Errorf("%w: neither -op-stack nor -anvil names a chain to measure", ErrBadOptions)
	case o.Repetitions < 1:
		return fmt.Errorf("%w: -repetitions is %d, it starts at 1", ErrBadOptions, o.Repetitions)
	case o.Rate <= 0 || o.Rate > 500:
		return fmt.Errorf("%w: -rate is %g, it must be above 0 and at most 500 a second, near which blocks are full", ErrBadOptions, o.Rate)
	case o.Safe < 0:
		return fmt.Errorf("%w: -safe is negative", ErrBadOptions)
	case len(o.Roots) == 0:
		return fmt.Errorf("%w: -roots names no number of records", ErrBadOptions)
	}
	for _, duration := range []time.Duration{o.StackLone, o.StackOpen, o.AnvilLone, o.AnvilOpen} {
		if duration <= 0 {
			return fmt.Errorf("%w: a duration is %s, and must be above 0", ErrBadOptions, duration)
		}
	}
	for _, price := range []float64{o.Prices.L2, o.Prices.L1, o.Prices.L1Blob, o.Prices.Ether} {
		if price < 0 {
			return fmt.Errorf("%w: a price is negative", ErrBadOptions)
		}
	}
	return o.checkLists()
}

func (o *Options) checkLists() error {
	for i, stack := range o.Stacks {
		if stack != Defaults && stack != Tuned || slices.Contains(o.Stacks[:i], stack) {
			return fmt.Errorf("%w: -op-stack has %q: it takes %s and %s, each once", ErrBadOptions, stack, Defaults, Tuned)
		}
	}
	for i, one := range o.Anvils {
		if _, err := blockTime(one); err != nil || slices.Contains(o.Anvils[:i], one) {
			return fmt.Errorf("%w: -anvil has %q: it takes automine and block times such as 1s and 250ms, each once", ErrBadOptions, one)
		}
	}
	for i, count := range o.Roots {
		if count < 1 || count > 1_000_000 || slices.Contains(o.Roots[:i], count) {
			return fmt.Errorf("%w: -roots has %d: it takes numbers of records from 1 to 1000000, each once", ErrBadOptions, count)
		}
	}
	return nil
}

// blockTime reads a block time of anvil.
func blockTime(text string) (time.Duration, error) {
	if text == "automine" {
		return anvil.Automine, nil
	}
	duration, err := time.ParseDuration(text)
	// The name of the group is made of it.
	if err != nil || duration < 10*time.Millisecond || duration > time.Minute || strings.ContainsAny(text, ".+") {
		return 0, fmt.Errorf("%w: %q is no block time", ErrBadOptions, text)
	}
	return duration, nil
}
