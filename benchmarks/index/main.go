// Index projects very many realistic calls into the gateway's index, in SQLite or
// PostgreSQL, and times pages of every kind of list at random places. It prints lines
// as Go's benchmarks do. Interrupted, it measures what is projected by then.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/index"
	"github.com/callseal/callseal/gateway/index/chaintest"
	"github.com/callseal/callseal/gateway/setting"
)

// callsOfBlock is how many calls a block has: an ordinary block under load.
const callsOfBlock = 500

// flow is a source of blocks that are made as they are asked for.
type flow struct {
	genesis *common.Block
	blocks  chan *common.Block
}

// Blocks implements index.Source.
func (f *flow) Blocks(context.Context, uint64) (<-chan *common.Block, error) { return f.blocks, nil }

// Block implements index.Source.
func (f *flow) Block(context.Context, uint64) (*common.Block, error) { return f.genesis, nil }

// Height implements index.Source.
func (f *flow) Height(context.Context) (uint64, error) { return 0, nil }

func main() {
	calls := flag.Int("calls", 1_000_000, "calls to project")
	dsn := flag.String("dsn", "", "a PostgreSQL database to use instead of SQLite; it must be empty")
	turns := flag.Int("turns", 500, "pages of each list")
	flag.Parse()
	if err := measure(*calls, *turns, *dsn); err != nil {
		fmt.Fprintln(os.Stderr, "index:", err)
		os.Exit(1)
	}
}

func measure(calls, turns int, dsn string) error {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "callseal-index-")
	if err != nil {
		return fmt.Errorf("make a folder for the index: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	name, config := "SQLite", index.DefaultConfig()
	config.SQLiteFile = filepath.Join(folder, "index.db")
	if dsn != "" {
		name, config.SQLiteFile, config.Postgres.DSN = "PostgreSQL", "", setting.Secret(dsn)
	}
	if name == "SQLite" {
		for _, fact := range machine.Facts(ctx, folder) {
			fmt.Printf("%s: %s\n", strings.ReplaceAll(fact.Name, " ", "-"), fact.Value)
		}
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	x, err := index.Open(ctx, config, index.Subject{MSP: chaintest.Operators[0], Channel: "calls", Chaincode: chaintest.Chaincode}, log, nil)
	if err != nil {
		return fmt.Errorf("open the index: %w", err)
	}
	world := chaintest.NewWorld(1)
	m := &measurement{index: x, name: name, from: world.Time().UnixMilli(), now: ledger.TimeOf(time.Now())}
	err = m.project(ctx, world, calls)
	if err == nil {
		m.size(config.SQLiteFile)
		m.to = world.Time().UnixMilli()
		err = m.lists(ctx, turns)
	}
	return errors.Join(err, x.Close())
}

// measurement is one index that is measured.
type measurement struct {
	index    *index.Index
	name     string
	calls    int
	from, to int64 // when the calls began, in ms
	now      ledger.Time
	sample   []index.Call
}

// project projects so many calls, or as many as there are when it is interrupted.
func (m *measurement) project(ctx context.Context, world *chaintest.World, calls int) error {
	interrupted, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	running, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	chain, genesis := chaintest.Flowing("measured")
	source := &flow{genesis: genesis, blocks: make(chan *common.Block, 64)}
	cpu, began := processor(), time.Now()
	wait.Go(func() { m.index.Run(running, source) })
	source.blocks <- genesis
	for m.calls < calls && interrupted.Err() == nil {
		transactions := world.Traffic(callsOfBlock)
		if m.calls%20_000 == 0 {
			transactions = append(transactions, world.Everything()...)
		}
		block := chain.Add(transactions...)
		source.blocks <- block
		if m.calls += callsOfBlock; m.calls%50_000 == 0 {
			fmt.Fprintf(os.Stderr, "%s: %d calls, %.0f calls/s\n", m.name, m.calls, float64(m.calls)/time.Since(began).Seconds())
		}
	}
	if err := m.index.Await(ctx, uint64(m.calls/callsOfBlock+1)); err != nil { //nolint:gosec // positive
		return fmt.Errorf("project: %w", err)
	}
	took, used := time.Since(began), processor()-cpu
	fmt.Printf("BenchmarkIndex/%s/projection 1 %d calls %.0f calls/s %.1f cpu-µs/call\n", m.name, m.calls, float64(m.calls)/took.Seconds(), float64(used.Microseconds())/float64(m.calls))
	return nil
}

// processor is the processor time this program has used.
func processor() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// size prints what SQLite's files take.
func (m *measurement) size(file string) {
	total := int64(0)
	for _, one := range []string{file, file + "-wal"} {
		info, err := os.Stat(one)
		if errors.Is(err, fs.ErrNotExist) || file == "" {
			continue
		}
		if err == nil {
			total += info.Size()
		}
	}
	if total > 0 {
		fmt.Printf("BenchmarkIndex/%s/size 1 %d MB %d bytes/call\n", m.name, total>>20, total/int64(m.calls))
	}
}

// somewhere is a span that ends at a random time.
func (m *measurement) somewhere() index.Span {
	return index.Span{To: ledger.TimeOf(time.UnixMilli(m.from + rand.Int64N(m.to-m.from)))}
}

func (m *measurement) some() index.Call { return m.sample[rand.IntN(len(m.sample))] }

// lists times pages of 50, with values, of every kind of list.
func (m *measurement) lists(ctx context.Context, turns int) error {
	for range 40 {
		page, err := m.index.Calls(ctx, index.CallFilter{Start: m.somewhere()}, index.Page{Size: 50})
		if err != nil {
			return fmt.Errorf("sample calls: %w", err)
		}
		m.sample = append(m.sample, page.Rows...)
	}
	for _, one := range slices.Concat(m.callLists(ctx), m.otherLists(ctx)) {
		var times []time.Duration
		for range turns {
			began := time.Now()
			if err := one.ask(); err != nil {
				return fmt.Errorf("%s: %w", one.name, err)
			}
			times = append(times, time.Since(began))
		}
		slices.Sort(times)
		at := func(share float64) float64 {
			return float64(times[int(share*float64(len(times)-1))].Microseconds()) / 1000
		}
		fmt.Printf("BenchmarkIndex/%s/page/%s %d %.2f p50-ms %.2f p95-ms %.2f p99-ms\n", m.name, one.name, turns, at(.5), at(.95), at(.99))
	}
	return nil
}

// question is one kind of page.
type question struct {
	name string
	ask  func() error
}

func (m *measurement) callLists(ctx context.Context) []question {
	var all []question
	for _, one := range []struct {
		name string
		by   func(index.Call) index.CallFilter
	}{
		{"calls-by-time", func(index.Call) index.CallFilter { return index.CallFilter{} }},
		{"calls-of-an-operator", func(c index.Call) index.CallFilter { return index.CallFilter{MSP: c.MSP} }},
		{"calls-of-a-PBX", func(c index.Call) index.CallFilter { return index.CallFilter{MSP: c.MSP, PBX: c.PBX} }},
		{"calls-by-rare-disposition", func(index.Call) index.CallFilter { return index.CallFilter{Disposition: "CONGESTION"} }},
		{"calls-of-a-PBX-by-disposition", func(c index.Call) index.CallFilter {
			return index.CallFilter{MSP: c.MSP, PBX: c.PBX, Disposition: "BUSY"}
		}},
		{"calls-by-direction", func(index.Call) index.CallFilter { return index.CallFilter{Direction: "internal"} }},
		{"calls-of-a-party", func(c index.Call) index.CallFilter { return index.CallFilter{PartyRef: c.CallerRef} }},
		{"calls-held", func(index.Call) index.CallFilter { return index.CallFilter{Held: true, At: m.now} }},
		{"calls-erased", func(index.Call) index.CallFilter { return index.CallFilter{Erased: true} }},
	} {
		all = append(all, question{one.name, func() error {
			by := one.by(m.some())
			if by.PartyRef == "" {
				by.Start = m.somewhere()
			}
			_, err := m.index.Calls(ctx, by, index.Page{Values: true})
			return err //nolint:wrapcheck // named where it is asked
		}})
	}
	return append(all, question{"legs-of-a-conversation", func() error {
		c := m.some()
		_, _, _, err := m.index.Legs(ctx, c.MSP, c.PBX, c.Leg.LinkedID)
		return err //nolint:wrapcheck // as above
	}})
}

func (m *measurement) otherLists(ctx context.Context) []question {
	var all []question
	for _, state := range []index.RecordingState{"", index.Anchored, index.Gap, index.Retained, index.Held, index.Erased} {
		name := "recordings-by-time"
		if state != "" {
			name = "recordings-" + string(state)
		}
		all = append(all, question{name, func() error {
			_, err := m.index.Recordings(ctx, index.RecordingFilter{State: state, At: m.now, Closed: m.somewhere()}, index.Page{Values: true})
			return err //nolint:wrapcheck // named where it is asked
		}})
	}
	for _, kind := range index.EntryKinds() {
		all = append(all, question{string(kind), func() error {
			_, err := m.index.Entries(ctx, kind, index.EntryFilter{At: m.somewhere()}, index.Page{})
			return err //nolint:wrapcheck // as above
		}})
	}
	return append(all, question{"worst-subjects", func() error {
		_, err := m.index.Subjects(ctx, index.SubjectFilter{}, index.Page{Ascending: true})
		return err //nolint:wrapcheck // as above
	}}, question{"changes", func() error {
		_, _, err := m.index.Changes(ctx, index.Cursor{Block: rand.Uint64N(m.index.Height())}, 200, index.Filter{})
		return err //nolint:wrapcheck // as above
	}}, question{"changes-of-a-PBX", func() error {
		c := m.some()
		_, _, err := m.index.Changes(ctx, index.Cursor{Block: rand.Uint64N(m.index.Height())}, 200, index.Filter{MSP: c.MSP, PBX: c.PBX})
		return err //nolint:wrapcheck // as above
	}})
}
