package l2

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/core/types"

	"github.com/callseal/callseal/benchmarks/l2/driver"
	"github.com/callseal/callseal/benchmarks/l2/footprint"
	"github.com/callseal/callseal/benchmarks/result"
)

// safePoll is how often the safe head is asked for, and so how exact it is known.
const safePoll = 100 * time.Millisecond

// plan is how long a chain is measured.
type plan struct {
	// lone and open are those of one repetition.
	lone, open time.Duration
	// pause is the longest between two lone records: the block time.
	pause time.Duration
	// safe is how long the safe head is waited for; 0 where there is none.
	safe time.Duration
}

// latencies measures lone and open in turn, the safe head of the same transactions,
// and what the chain's processes take during the open loop.
func (r *runner) latencies(ctx context.Context, s *session, registry *driver.Registry, group *result.Group, p plan) error {
	random := rand.New(rand.NewPCG(r.options.Seed, 2))
	next := func() (*types.Transaction, error) {
		call, err := s.calls.next()
		if err != nil {
			return nil, err
		}
		return s.sender.Anchor(registry, call.key, call.digest)
	}
	safe := &safety{}
	stop := safe.watch(ctx, s, p.safe)
	defer stop()
	var lone, open []result.Distribution
	var all [][]driver.Sample
	usages := map[string][]footprint.Usage{}
	var names []string
	for i := range r.options.Repetitions {
		r.progress(fmt.Sprintf("%s: repetition %d of %d, one record at a time for %s, then %g a second for %s", group.Title, i+1, r.options.Repetitions, p.lone, r.options.Rate, p.open))
		ones, err := driver.Lone(ctx, s.sender, s.follower, next, p.lone, p.pause, random)
		if err != nil {
			return err
		}
		meter, err := footprint.Start(ctx, s.daemons)
		if err != nil {
			return err
		}
		many, err := driver.OpenLoop(ctx, s.sender, s.follower, next, p.open, r.options.Rate, random)
		if err != nil {
			return err
		}
		taken, err := meter.Usages(ctx)
		if err != nil {
			return err
		}
		for _, usage := range taken {
			if usages[usage.Name] == nil {
				names = append(names, usage.Name)
			}
			usages[usage.Name] = append(usages[usage.Name], usage)
		}
		lone, open = append(lone, distribution(ones)), append(open, distribution(many))
		all = append(all, append(ones, many...))
	}
	block := map[string]float64{"block_time": p.pause.Seconds()}
	offered := map[string]float64{"block_time": p.pause.Seconds(), "offered": r.options.Rate}
	group.Measurements = append(group.Measurements,
		result.Measurement{Name: "latency/lone", Title: "one record at a time, sent to receipt in the latest block", Unit: "ms", Parameters: block, Latencies: lone,
			Notes: []string{"Each is sent at a random phase of the block time. Repetitions hold few samples: take percentiles beyond p95 from the open loop."}},
		result.Measurement{Name: "latency/open", Title: "Poisson arrivals, due to receipt in the latest block", Unit: "ms", Parameters: offered, Latencies: open})
	if p.safe != 0 {
		became, err := r.safe(ctx, safe, all, p.safe)
		if err != nil {
			return err
		}
		group.Measurements = append(group.Measurements, result.Measurement{
			Name: "latency/safe", Title: "the same records, due to safe head", Unit: "ms", Parameters: map[string]float64{"l1_block_time": 12, "max_channel_duration": channelBlocks}, Latencies: became,
			Notes: []string{"The safe head is derived from batches on the L1, with a block every 12 s. op-batcher is told to close a channel for each L1 block, where by default it waits until 120 kB are full, and the sequencer to stand on the newest L1 block, where by default it stands four behind."},
		})
	}
	for _, name := range names {
		var memory, processor []float64
		for _, usage := range usages[name] {
			memory, processor = append(memory, usage.Memory), append(processor, usage.Processor)
		}
		group.Measurements = append(group.Measurements,
			result.Measurement{Name: "memory/" + name, Title: "memory of " + name, Unit: "MiB", Parameters: offered, Values: memory},
			result.Measurement{Name: "cpu/" + name, Title: "processor of " + name + ", of one core", Unit: "%", Parameters: offered, Values: processor})
	}
	return nil
}

func distribution(samples []driver.Sample) result.Distribution {
	recorder := result.NewRecorder()
	for _, sample := range samples {
		recorder.Record(sample.Confirmed.Sub(sample.Due))
	}
	return recorder.Distribution()
}

// safe waits until the safe head has reached the last of the samples, and answers how
// long all took.
func (r *runner) safe(ctx context.Context, safe *safety, all [][]driver.Sample, patience time.Duration) ([]result.Distribution, error) {
	last := uint64(0)
	for _, samples := range all {
		for _, sample := range samples {
			last = max(last, sample.Block)
		}
	}
	r.progress(fmt.Sprintf("waiting for the safe head to reach block %d", last))
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the safe head did not reach block %d within %s: give -safe more time", last, patience))
	defer cancel()
	steps, err := safe.until(ctx, last)
	if err != nil {
		return nil, err
	}
	var distributions []result.Distribution
	for _, samples := range all {
		recorder := result.NewRecorder()
		for _, sample := range samples {
			at, _ := slices.BinarySearchFunc(steps, sample.Block, func(s step, block uint64) int { return int(s.height) - int(block) }) //nolint:gosec // heights
			recorder.Record(steps[at].at.Sub(sample.Due))
		}
		distributions = append(distributions, recorder.Distribution())
	}
	return distributions, nil
}

// step is when the safe head was seen to have reached a height.
type step struct {
	height uint64
	at     time.Time
}

// safety follows the safe head.
type safety struct {
	steps chan step
	done  chan struct{}
	err   error
}

// watch begins to follow it, unless patience is 0.
func (s *safety) watch(ctx context.Context, of *session, patience time.Duration) (stop func()) {
	if patience == 0 {
		return func() {}
	}
	// More than there can be L1 blocks within hours.
	s.steps, s.done = make(chan step, 10_000), make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(s.done)
		ticker := time.NewTicker(safePoll)
		defer ticker.Stop()
		last := uint64(0)
		for {
			height, err := driver.Safe(ctx, of.sender.Client())
			if err != nil {
				s.err = err
				return
			}
			if height > last {
				last = height
				s.steps <- step{height: height, at: time.Now()}
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return func() { cancel(); <-s.done }
}

// until answers every step until the head has reached a height.
func (s *safety) until(ctx context.Context, height uint64) ([]step, error) {
	var steps []step
	for {
		select {
		case one := <-s.steps:
			steps = append(steps, one)
			if one.height >= height {
				return steps, nil
			}
		case <-s.done:
			return nil, s.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
