package l2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/callseal/callseal/benchmarks/daemon"
	"github.com/callseal/callseal/benchmarks/l2/anvil"
	"github.com/callseal/callseal/benchmarks/l2/contracts"
	"github.com/callseal/callseal/benchmarks/l2/driver"
	"github.com/callseal/callseal/benchmarks/l2/npm"
	"github.com/callseal/callseal/benchmarks/l2/opstack"
	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
)

// equipment is what all chains are measured with.
type equipment struct {
	tools     npm.Tools
	binaries  opstack.Binaries
	contracts contracts.Contracts
	facts     []machine.Fact
}

// runner measures one chain after the other.
type runner struct {
	equipment
	options  Options
	progress func(string)
	groups   []*result.Group
}

// Run measures what the options say and writes the results: all groups or, where
// anything fails, none.
func Run(ctx context.Context, options Options, progress func(string)) error {
	return run(ctx, options, progress, equip)
}

func run(ctx context.Context, options Options, progress func(string), equip func(context.Context, Options, func(string)) (equipment, error)) error {
	if err := options.Check(); err != nil {
		return err
	}
	if err := result.Prepare(options.Out); err != nil {
		return err
	}
	equipment, err := equip(ctx, options, progress)
	if err != nil {
		return err
	}
	r := &runner{equipment: equipment, options: options, progress: progress}
	if err := r.measure(ctx); err != nil {
		return err
	}
	return r.write()
}

// equip installs, builds and compiles what is not there.
func equip(ctx context.Context, options Options, progress func(string)) (equipment, error) {
	var e equipment
	var err error
	if e.tools, err = npm.Install(ctx, progress); err != nil {
		return e, err
	}
	if e.contracts, err = contracts.Compile(ctx, e.tools); err != nil {
		return e, err
	}
	if len(options.Stacks) != 0 {
		if e.binaries, err = opstack.Build(ctx, progress); err != nil {
			return e, err
		}
	}
	for _, fact := range machine.Facts(ctx, options.Out) {
		// There is no Fabric here.
		if fact.Name != "fabric" {
			e.facts = append(e.facts, fact)
		}
	}
	e.facts = append(e.facts, machine.Fact{Name: "solc", Value: npm.SolcVersion + ", optimizer on, 200 runs, EVM " + contracts.EVM})
	return e, nil
}

func (r *runner) measure(ctx context.Context) error {
	gas := len(r.groups) // measured on the first chain, an OP Stack where there is one
	for _, name := range r.options.Stacks {
		if err := r.onStack(ctx, name, len(r.groups) == gas); err != nil {
			return err
		}
	}
	for _, name := range r.options.Anvils {
		if err := r.onAnvil(ctx, name, len(r.groups) == gas); err != nil {
			return err
		}
	}
	return nil
}

// write leaves all groups in the folder or, where one cannot be written, takes those
// away that were.
func (r *runner) write() error {
	for i, group := range r.groups {
		if err := group.Write(r.options.Out); err != nil {
			for _, written := range r.groups[:i] {
				_ = os.Remove(filepath.Join(r.options.Out, written.Name+".json"))
			}
			return err
		}
	}
	return nil
}

// chain is a chain that runs.
type chain interface {
	URL() string
	Daemons() []*daemon.Daemon
	Stop()
}

// session is a chain with an account's connections to it.
type session struct {
	daemons  []*daemon.Daemon
	sender   *driver.Sender
	follower *driver.Follower
	calls    *calls
}

// with runs a chain in a folder of its own while work does, and ends both when one of
// its processes ends.
func (r *runner) with(ctx context.Context, start func(folder string) (chain, error), key string, work func(context.Context, *session) error) error {
	folder, err := os.MkdirTemp("", "callseal-l2-")
	if err != nil {
		return fmt.Errorf("make a folder for the chain: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	running, err := start(folder)
	if err != nil {
		return err
	}
	defer running.Stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, process := range running.Daemons() {
		go func() {
			select {
			case <-process.Done():
				cancel(process.Err())
			case <-ctx.Done():
			}
		}()
	}
	s := &session{daemons: running.Daemons(), calls: newCalls(r.options.Seed)}
	if s.sender, err = driver.NewSender(ctx, running.URL(), key); err != nil {
		return because(ctx, err)
	}
	defer s.sender.Close()
	if s.follower, err = driver.Follow(ctx, running.URL()); err != nil {
		return because(ctx, err)
	}
	defer s.follower.Close()
	return because(ctx, work(ctx, s))
}

// because is why the context ended, where it did: a chain whose process is gone shows
// as a lost connection first.
func because(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return cause
	}
	return err
}

func (r *runner) onStack(ctx context.Context, name string, withGas bool) error {
	options, says := opstack.Options{ChannelBlocks: channelBlocks}, "op-geth at its defaults"
	if name == Tuned {
		options.Recommit = tunedRecommit
		says = "op-geth with --miner.recommit " + tunedRecommit.String()
	}
	group := r.group("op-stack-"+name, "OP Stack, 2 s blocks, "+says, stackNotes(name),
		machine.Fact{Name: "op-node and op-batcher", Value: opstack.OptimismVersion},
		machine.Fact{Name: "op-geth", Value: opstack.OpGethVersion},
		machine.Fact{Name: "L1 geth", Value: opstack.GethVersion + ", --dev.period 12"})
	r.progress("starting the OP Stack, " + says)
	start := func(folder string) (chain, error) { return opstack.Start(ctx, r.binaries, folder, options) }
	return r.with(ctx, start, opstack.Key, func(ctx context.Context, s *session) error {
		return r.onChain(ctx, s, group, plan{lone: r.options.StackLone, open: r.options.StackOpen, pause: opstack.BlockTime, safe: r.options.Safe}, withGas, true)
	})
}

func (r *runner) onAnvil(ctx context.Context, name string, withGas bool) error {
	return r.anvil(ctx, name, func(ctx context.Context, s *session, group *result.Group, every time.Duration) error {
		return r.onChain(ctx, s, group, plan{lone: r.options.AnvilLone, open: r.options.AnvilOpen, pause: every}, withGas, false)
	})
}

// anvil has work done on one.
func (r *runner) anvil(ctx context.Context, name string, work func(context.Context, *session, *result.Group, time.Duration) error) error {
	every, err := blockTime(name)
	if err != nil {
		return err
	}
	says := "mining every transaction at once"
	if every != anvil.Automine {
		says = "a block every " + every.String()
	}
	group := r.group("anvil-"+name, "anvil, "+says, anvilNotes(every), machine.Fact{Name: "anvil", Value: npm.AnvilVersion})
	r.progress("starting anvil, " + says)
	start := func(folder string) (chain, error) { return anvil.Start(ctx, r.tools.Anvil, folder, every) }
	return r.with(ctx, start, anvil.Key, func(ctx context.Context, s *session) error {
		return work(ctx, s, group, every)
	})
}

// group begins one.
func (r *runner) group(name, title string, notes []string, facts ...machine.Fact) *result.Group {
	return &result.Group{Name: name, Title: title, Began: time.Now().UTC(), Facts: append(append([]machine.Fact(nil), r.facts...), facts...), Notes: notes}
}

// onChain measures latencies and, where it is the first chain, gas.
func (r *runner) onChain(ctx context.Context, s *session, group *result.Group, p plan, withGas, rollup bool) error {
	registry, err := s.sender.Deploy(ctx, s.follower, r.contracts[contracts.Slot])
	if err != nil {
		return err
	}
	if err := r.latencies(ctx, s, registry, group, p); err != nil {
		return fmt.Errorf("measure %s: %w", group.Title, err)
	}
	group.Ended = time.Now().UTC()
	r.groups = append(r.groups, group)
	if !withGas {
		return nil
	}
	costs := r.group("gas", "gas and fees of one CDR", r.gasNotes(group, rollup), group.Facts[len(r.facts):]...)
	if err := r.gas(ctx, s, costs, rollup); err != nil {
		return fmt.Errorf("measure gas on %s: %w", group.Title, err)
	}
	costs.Ended = time.Now().UTC()
	r.groups = append(r.groups, costs)
	return nil
}
