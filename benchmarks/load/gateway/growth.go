package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/disk"
	"golang.org/x/sync/errgroup"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/soak"
)

const (
	// fillers are how many fill the ledger at the same time, each with a PBX of its own.
	fillers = 6
	// filling is how many calls each brings in one transaction, in full segments but for
	// the opening that the first has too.
	filling = int64(ledger.MaxTransactionRecords / ledger.MaxRecords * (ledger.MaxRecords - 1))
	// settling is how long the network rests after it was filled: its databases compact
	// what was written.
	settling = 15 * time.Second
	// single is how many reads of each kind are made, one after the other.
	single = 100
	// spare is how much of a disk is left free, in bytes.
	spare = 2 << 30
)

// Grow measures the same on one ledger as it grows to so many calls, which rise.
func Grow(tb testing.TB, plan Plan, sizes []int, group *result.Group, lab *soak.Lab) {
	tb.Helper()
	m := newMeasurement(tb, plan, group, lab)
	group.Notes = append(group.Notes,
		fmt.Sprintf("The ledger is filled by signed segments, %d calls of a PBX in each transaction, which the gateway's identity hands to the peers itself: endorsed by two operators, ordered and committed as any other. The calls that fill it have no sealed details; those that are measured do.", filling),
		fmt.Sprintf("After it was filled the network rests until every peer and the gateway's index have caught up, and %s longer.", settling),
		"While it is measured a ledger grows a little beyond its size, by the records that are measured.")
	g := &growth{measurement: m, asking: newReader(tb, lab), channel: lab.Channel(soak.Operator, "gateway"), writers: lab.Writers(fillers)}
	for _, size := range sizes {
		g.grow(size)
		m.calls = size
		g.footprint()
		g.alone()
		m.lone()
		for _, rate := range plan.Rates {
			m.rate(rate)
		}
		tb.Logf("%d calls: measured", size)
		m.calls, g.filled, m.anchored = 0, g.filled+m.anchored, 0
	}
}

// growth is a ledger that grows.
type growth struct {
	*measurement
	asking  *reader
	channel *fabric.Channel
	writers []*soak.Writer

	// filled are the calls on the ledger, known some of those that fill it.
	filled int
	known  []place
	// took is how long it took to fill, since the size before, and added by how many.
	took  time.Duration
	added int
}

// grow fills the ledger until it holds so many calls.
func (g *growth) grow(size int) {
	g.tb.Helper()
	g.room(size)
	var left, done atomic.Int64
	left.Store(int64(size - g.filled))
	g.added = max(0, size-g.filled)
	legs := make([][]place, len(g.writers))
	group, ctx := errgroup.WithContext(g.tb.Context())
	began := time.Now()
	for i, writer := range g.writers {
		group.Go(func() error {
			for ctx.Err() == nil {
				rest := left.Add(-filling) + filling
				calls := int(min(rest, filling))
				if calls <= 0 {
					return nil
				}
				text, last := writer.Segments(calls)
				if err := g.anchor(ctx, text); err != nil {
					return err
				}
				legs[i] = append(legs[i], place{writer.PBX(), last})
				done.Add(int64(calls))
			}
			return nil
		})
	}
	end := g.tell(&done, size)
	err := group.Wait()
	end()
	g.took = time.Since(began)
	if err != nil {
		g.tb.Fatal(err)
	}
	if g.filled += int(done.Load()); g.filled < size {
		g.tb.Fatalf("the ledger holds %d calls, it should hold %d", g.filled, size)
	}
	g.known = append(g.known, slices.Concat(legs...)...)
	g.rest()
}

// anchor brings segments onto the ledger, by transient data as the gateway does: an
// argument would be stored in the block a second time. Those of which it is not known
// whether they stand there are sent again: they are put only if absent.
func (g *growth) anchor(ctx context.Context, segments []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, err := g.channel.Transact(ctx, fabric.Proposal{Function: "calls:Anchor", Args: []string{""}, Transient: map[string][]byte{"segments": segments}})
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil || !fault.Of(err).Retryable():
			return fmt.Errorf("fill the ledger: %w", err)
		}
		g.pause(again)
	}
}

// tell says now and then how far it is.
func (g *growth) tell(done *atomic.Int64, size int) (end func()) {
	ctx, stop := context.WithCancel(g.tb.Context())
	told := make(chan struct{})
	go func() {
		defer close(told)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(30 * time.Second):
				g.tb.Logf("%d of %d calls on the ledger", g.filled+int(done.Load()), size)
			}
		}
	}()
	return func() { stop(); <-told }
}

// room refuses a size for which the disk has no room, as far as the size before tells.
func (g *growth) room(size int) {
	g.tb.Helper()
	folder := g.lab.Layout().Root()
	free, err := disk.UsageWithContext(g.tb.Context(), folder)
	if err != nil {
		g.tb.Fatalf("what is free on the disk of %s: %v", folder, err)
	}
	wanted := 0.0
	if g.filled > 0 {
		taken, err := bytesIn(folder)
		if err != nil {
			g.tb.Fatal(err)
		}
		wanted = taken / float64(g.filled) * float64(size-g.filled)
	}
	if err := fits(size, wanted, float64(free.Free), folder); err != nil {
		g.tb.Fatal(err)
	}
}

var errDisk = errors.New("the disk is too small")

func fits(size int, wanted, free float64, folder string) error {
	if wanted+spare <= free {
		return nil
	}
	return fmt.Errorf("%w: a ledger of %d calls would take about %.1f GB more, with %.1f GB to spare, and %.1f GB are free on the disk of %s: name fewer with -calls, or another disk with TMPDIR",
		errDisk, size, wanted/1e9, float64(spare)/1e9, free/1e9, folder)
}

// bytesIn is what the files of a folder take.
func bytesIn(folder string) (sum float64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // databases remove files while one looks
		}
		if info, err := entry.Info(); err == nil {
			sum += float64(info.Size())
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("look through %s: %w", folder, err)
	}
	return sum, nil
}

// rest waits until every peer has all blocks and the index too, and a while longer.
func (g *growth) rest() {
	g.tb.Helper()
	for began := time.Now(); !g.level(); {
		if time.Since(began) > patience {
			g.tb.Fatalf("not all peers have caught up within %s", patience)
		}
		g.pause(time.Second)
	}
	g.indexed(g.asking)
	g.pause(min(settling, g.took))
}

// level says whether all peers have as many blocks.
func (g *growth) level() bool {
	g.tb.Helper()
	all, err := g.lab.Status(g.tb.Context())
	if err != nil {
		g.tb.Fatalf("ask the nodes: %v", err)
	}
	heights := map[uint64]bool{}
	for _, one := range all {
		if one.Kind == "peer" {
			heights[one.Height] = true
		}
	}
	return len(heights) == 1 && !heights[0]
}

// footprint is what filling took.
func (g *growth) footprint() {
	peer, err := bytesIn(g.lab.Layout().Operator(soak.Operator).PeerData())
	if err != nil {
		g.tb.Fatalf("what the peer takes on disk: %v", err)
	}
	onDisk, fill := g.named("disk/peer", "one peer's ledger on disk", "MiB", nil), g.named("throughput/fill", "calls committed while the ledger was filled", "/s", nil)
	onDisk.Values = []float64{peer / (1 << 20)}
	g.add(onDisk)
	if g.added > 0 {
		fill.Values = []float64{float64(g.added) / g.took.Seconds()}
		g.add(fill)
	}
}

// alone reads one after the other, calls from all over the ledger.
func (g *growth) alone() {
	g.tb.Helper()
	for _, kind := range g.asking.kinds() {
		read := g.named("read/"+kind.name, kind.title+", alone", "ms", nil)
		for range g.plan.Repetitions {
			recorder := result.NewRecorder()
			for range single {
				at := g.known[g.random.IntN(len(g.known))]
				began := time.Now()
				if err := insist(g.tb.Context(), func(ctx context.Context) error { return kind.read(ctx, at) }); err != nil {
					g.tb.Fatal(err)
				}
				recorder.Record(time.Since(began))
			}
			read.Latencies = append(read.Latencies, recorder.Distribution())
		}
		g.add(read)
	}
}
