package tessera

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/soak"
)

// patience bounds the wait for one proof, well beyond the default interval of
// checkpoints.
const patience = time.Minute

// Plan says how much is measured.
type Plan struct {
	// Repetitions is how often each measurement is made, on a log of its own.
	Repetitions int
	// Lone is how long one record a second arrives, 0 for not at all; Steady how long
	// each other rate is held and saturation lasts.
	Lone, Steady time.Duration
	// Rates are the arrivals a second that are tried beside one.
	Rates []float64
	// Saturation is whether the log is saturated.
	Saturation bool
	// Quiet is whether records are tried that arrive at a log without any traffic.
	Quiet bool
	// Seed makes the arrivals.
	Seed uint64
}

// workers is how many clients saturate the log, each with one entry on its way: more
// than two batches of the largest size.
const workers = 4096

// proven is the share of the entries at saturation that are proven too: one in so
// many. All are committed to by the checkpoints that are counted.
const proven = 256

// Measure measures one kind of settings into a group.
func Measure(tb testing.TB, settings Settings, plan Plan, group *result.Group) {
	tb.Helper()
	records := soak.Records(tb, "AtlasMSP", "tessera-pbx", 20_000)
	m := &measurement{tb: tb, settings: settings, plan: plan, records: records}
	if plan.Lone > 0 {
		m.lone(group)
	}
	if plan.Quiet {
		m.quiet(group)
	}
	for _, rate := range plan.Rates {
		m.rate(group, rate)
	}
	if plan.Saturation {
		m.saturated(group)
	}
}

// lone adds what one record a second takes.
func (m *measurement) lone(group *result.Group) {
	m.tb.Helper()
	lone := result.Measurement{Name: "proof/lone", Title: "one record a second at random moments, to a verified proof", Unit: "ms", Parameters: map[string]float64{"offered": 1}}
	loneDurable := result.Measurement{Name: "integrated/lone", Title: "the same, to durable in the tree without a checkpoint", Unit: "ms", Parameters: map[string]float64{"offered": 1}}
	for range m.plan.Repetitions {
		shown, durable := m.arrivals(1, m.plan.Lone)
		lone.Latencies, loneDurable.Latencies = append(lone.Latencies, shown), append(loneDurable.Latencies, durable)
	}
	group.Measurements = append(group.Measurements, lone, loneDurable)
}

// quiet adds what a record takes that comes after none for a while.
func (m *measurement) quiet(group *result.Group) {
	m.tb.Helper()
	quiet := result.Measurement{
		Name: "proof/quiet", Title: "a record after more than a checkpoint interval without any, to a verified proof", Unit: "ms",
		Notes: []string{"The best that these settings can do: the next checkpoint is due at once."},
	}
	for range m.plan.Repetitions {
		quiet.Latencies = append(quiet.Latencies, m.afterQuiet())
	}
	group.Measurements = append(group.Measurements, quiet)
}

// rate adds what a record takes at so many a second.
func (m *measurement) rate(group *result.Group, rate float64) {
	m.tb.Helper()
	one := result.Measurement{
		Name: fmt.Sprintf("proof/rate=%.0f", rate), Title: fmt.Sprintf("%.0f records a second at random moments, to a verified proof", rate), Unit: "ms",
		Parameters: map[string]float64{"offered": rate},
	}
	for range m.plan.Repetitions {
		shown, _ := m.arrivals(rate, m.plan.Steady)
		one.Latencies = append(one.Latencies, shown)
	}
	group.Measurements = append(group.Measurements, one)
}

// saturated adds how many records a second the log takes.
func (m *measurement) saturated(group *result.Group) {
	m.tb.Helper()
	throughput := result.Measurement{
		Name: "throughput/saturation", Title: "records a second that signed checkpoints commit to", Unit: "/s", Parameters: map[string]float64{"clients": workers},
		Notes: []string{fmt.Sprintf("One in %d is proven and verified; each stands under a checkpoint whose signature was.", proven)},
	}
	for range m.plan.Repetitions {
		throughput.Values = append(throughput.Values, m.saturation())
	}
	group.Measurements = append(group.Measurements, throughput)
}

type measurement struct {
	tb       testing.TB
	settings Settings
	plan     Plan
	records  [][]byte
	logs     uint64
}

// open starts a log of its own for one repetition.
func (m *measurement) open() *Log {
	m.tb.Helper()
	opened, err := Open(m.tb.Context(), m.tb.TempDir(), m.settings)
	if err != nil {
		m.tb.Fatal(err)
	}
	m.logs++
	return opened
}

func (m *measurement) close(l *Log) {
	m.tb.Helper()
	ctx, cancel := context.WithTimeout(m.tb.Context(), patience)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		m.tb.Fatal(err)
	}
}

// add adds one record and verifies its proof. It answers when it was durable and when
// its proof was verified.
func add(ctx context.Context, l *Log, record []byte) (durable, shown time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pending := l.Add(ctx, record)
	if err := pending.Integrated(); err != nil {
		return time.Time{}, time.Time{}, err
	}
	durable = time.Now()
	found, err := pending.Prove(ctx)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	if err := l.Verify(record, found); err != nil {
		return time.Time{}, time.Time{}, err
	}
	return durable, time.Now(), nil
}

// arrivals offers records at random moments, so many a second on average, whatever
// becomes of those before: an open loop with Poisson arrivals. Latencies count from
// the moment a record was due.
func (m *measurement) arrivals(rate float64, lasts time.Duration) (shown, durable result.Distribution) {
	m.tb.Helper()
	l := m.open()
	random := rand.New(rand.NewPCG(m.plan.Seed, m.logs))
	var mu sync.Mutex
	proofs, integrations := result.NewRecorder(), result.NewRecorder()
	group, ctx := errgroup.WithContext(m.tb.Context())
	began := time.Now()
	due := began
	for n := 0; ; n++ {
		due = due.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
		if due.Sub(began) > lasts || !until(ctx, due) {
			break
		}
		record, arrived := m.records[n%len(m.records)], due
		group.Go(func() error {
			when, verified, err := add(ctx, l, record)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			proofs.Record(verified.Sub(arrived))
			integrations.Record(when.Sub(arrived))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		m.tb.Fatal(err)
	}
	m.close(l)
	if proofs.Count() == 0 {
		m.tb.Fatal("no record was offered: measure for longer")
	}
	return proofs.Distribution(), integrations.Distribution()
}

// until waits for a moment; it answers false where the context ends before.
func until(ctx context.Context, moment time.Time) bool {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// afterQuiet adds one record at a time to logs that had none for longer than the
// interval of checkpoints. Several logs wait at the same time, and seldom for the same
// thing, since each waits a random while.
func (m *measurement) afterQuiet() result.Distribution {
	m.tb.Helper()
	const logs, each = 8, 1
	random := rand.New(rand.NewPCG(m.plan.Seed, m.logs))
	var mu sync.Mutex
	recorder := result.NewRecorder()
	group, ctx := errgroup.WithContext(m.tb.Context())
	var opened []*Log
	for range logs {
		l := m.open()
		opened = append(opened, l)
		pauses := make([]time.Duration, each)
		for i := range pauses {
			pauses[i] = m.settings.CheckpointInterval + 200*time.Millisecond + time.Duration(random.Int64N(int64(time.Second)))
		}
		group.Go(func() error {
			for i, pause := range pauses {
				due := time.Now().Add(pause)
				if !until(ctx, due) {
					return ctx.Err()
				}
				_, verified, err := add(ctx, l, m.records[i])
				if err != nil {
					return err
				}
				mu.Lock()
				recorder.Record(verified.Sub(due))
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		m.tb.Fatal(err)
	}
	for _, l := range opened {
		m.close(l)
	}
	return recorder.Distribution()
}

// saturation has all workers add one record after the other, each as soon as its last
// is durable, and counts what checkpoints commit to, from the first that appears after
// the warm-up to the last.
func (m *measurement) saturation() float64 {
	m.tb.Helper()
	l := m.open()
	group, ctx := errgroup.WithContext(m.tb.Context())
	adding, stop := context.WithCancel(ctx)
	defer stop()
	var next atomic.Int64
	for range workers {
		group.Go(func() error {
			for adding.Err() == nil {
				n := next.Add(1)
				record := m.records[int(n)%len(m.records)]
				if n%proven == 0 {
					// Its proof is awaited beside what this client adds next.
					group.Go(func() error { _, _, err := add(ctx, l, record); return err })
				}
				if err := l.Add(ctx, record).Integrated(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	rate, err := published(ctx, l, m.plan.Steady)
	stop()
	if failed := group.Wait(); failed != nil {
		err = failed
	}
	if err != nil {
		m.tb.Fatal(err)
	}
	m.close(l)
	return rate
}

// published watches checkpoints for at least so long and answers entries a second,
// from one checkpoint to another.
func published(ctx context.Context, l *Log, lasts time.Duration) (float64, error) {
	began := time.Now()
	var size uint64
	var first, last time.Time
	var from, to uint64
	for until(ctx, time.Now().Add(pollEvery)) {
		now, err := l.Published(ctx)
		if err != nil {
			return 0, err
		}
		switch {
		case now == size:
		case size > 0 && first.IsZero():
			// The first to appear with a known beginning: of the one before nobody
			// saw when it was made.
			first, from = time.Now(), now
		case !first.IsZero():
			last, to = time.Now(), now
		}
		size = now
		if !last.IsZero() && time.Since(began) > lasts {
			return float64(to-from) / last.Sub(first).Seconds(), nil
		}
		if time.Since(began) > lasts+patience {
			return 0, fmt.Errorf("within %s the log has not published three checkpoints", lasts+patience)
		}
	}
	return 0, ctx.Err()
}
