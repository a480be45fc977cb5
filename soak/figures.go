package soak

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/callseal/callseal/benchmarks/result"
)

// Acceptance and Commitment are the latencies of the records that were due within
// [from, to), counted from the moment each was due, not from when it was sent: a
// client or a gateway that is held up makes those behind it late too.
func (f *Fleet) Acceptance(from, to time.Time) *result.Recorder {
	return f.latency(from, to, func(s *Story) time.Time { return s.Accepted })
}

// Commitment is the latency from due to COMMITTED; see Acceptance.
func (f *Fleet) Commitment(from, to time.Time) *result.Recorder {
	return f.latency(from, to, func(s *Story) time.Time { return s.Committed })
}

// Settlement is the latency from due to SETTLED; see Acceptance.
func (f *Fleet) Settlement(from, to time.Time) *result.Recorder {
	return f.latency(from, to, func(s *Story) time.Time { return s.Settled })
}

func (f *Fleet) latency(from, to time.Time, until func(*Story) time.Time) *result.Recorder {
	l := result.NewRecorder()
	f.Each(func(s *Story) {
		reached := until(s)
		if reached.IsZero() {
			return
		}
		for _, record := range s.Records {
			if !record.Born.Before(from) && record.Born.Before(to) {
				l.Record(reached.Sub(record.Born))
			}
		}
	})
	return l
}

// Taking is the latency of the attempt that was accepted, from sending to ACCEPTED,
// and Keeping that from ACCEPTED to COMMITTED: what a client waits that was not
// pushed back.
func (f *Fleet) Taking() *result.Recorder {
	l := result.NewRecorder()
	f.Each(func(s *Story) {
		if !s.Accepted.IsZero() {
			l.Record(s.Accepted.Sub(s.Taken))
		}
	})
	return l
}

// Keeping is the latency from ACCEPTED to COMMITTED; see Taking.
func (f *Fleet) Keeping() *result.Recorder {
	l := result.NewRecorder()
	f.Each(func(s *Story) {
		if !s.Committed.IsZero() {
			l.Record(s.Committed.Sub(s.Accepted))
		}
	})
	return l
}

// Settled counts the records that were settled within [from, to), by client.
func (f *Fleet) Settled(from, to time.Time) []int {
	counts := make([]int, len(f.Clients))
	for i, stories := range f.Stories() {
		for j := range stories {
			if s := &stories[j]; !s.Settled.IsZero() && !s.Settled.Before(from) && s.Settled.Before(to) {
				counts[i] += len(s.Records)
			}
		}
	}
	return counts
}

// Committed counts the records that were committed within [from, to), by client.
func (f *Fleet) Committed(from, to time.Time) []int {
	counts := make([]int, len(f.Clients))
	for i, stories := range f.Stories() {
		for j := range stories {
			if s := &stories[j]; !s.Committed.IsZero() && !s.Committed.Before(from) && s.Committed.Before(to) {
				counts[i] += len(s.Records)
			}
		}
	}
	return counts
}

// Jain is Jain's index of fairness: 1 where all have the same, 1/n where one has
// all.
func Jain(counts []int) float64 {
	var sum, squares float64
	for _, n := range counts {
		sum += float64(n)
		squares += float64(n) * float64(n)
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(counts)) * squares)
}

// Sum adds up.
func Sum(counts []int) (sum int) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// Watch samples a process's memory and processor time until it is ended.
type Watch struct {
	process *process.Process
	began   time.Time
	cpu     float64
	stop    chan struct{}
	done    sync.WaitGroup
	mu      sync.Mutex
	samples []sample
}

type sample struct {
	at  float64 // seconds since the beginning
	rss float64 // bytes
}

// watchEvery is how often memory is looked at.
const watchEvery = 200 * time.Millisecond

// NewWatch begins to watch a process.
func NewWatch(pid int32) (*Watch, error) {
	watched, err := process.NewProcess(pid)
	if err != nil {
		return nil, err
	}
	w := &Watch{process: watched, began: time.Now(), stop: make(chan struct{})}
	w.cpu = w.seconds()
	w.sample()
	w.done.Go(func() {
		ticker := time.NewTicker(watchEvery)
		defer ticker.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-ticker.C:
				w.sample()
			}
		}
	})
	return w, nil
}

func (w *Watch) sample() {
	memory, err := w.process.MemoryInfo()
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples = append(w.samples, sample{at: time.Since(w.began).Seconds(), rss: float64(memory.RSS)})
}

func (w *Watch) seconds() float64 {
	times, err := w.process.Times()
	if err != nil {
		return 0
	}
	return times.User + times.System
}

// Usage is what a process used while it was watched.
type Usage struct {
	// Wall is how long that was, CPU the processor time, in seconds.
	Wall, CPU float64
	// MaxRSS is its largest resident memory in bytes, Growth by how many bytes a
	// second it grew over the second half, by least squares.
	MaxRSS, Growth float64
}

// End stops watching.
func (w *Watch) End() Usage {
	used := Usage{Wall: time.Since(w.began).Seconds(), CPU: w.seconds() - w.cpu}
	close(w.stop)
	w.done.Wait()
	w.sample()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.samples {
		used.MaxRSS = max(used.MaxRSS, one.rss)
	}
	half := slices.IndexFunc(w.samples, func(s sample) bool { return s.at >= used.Wall/2 })
	if half >= 0 {
		used.Growth = slope(w.samples[half:])
	}
	return used
}

// slope is that of the least squares' line.
func slope(samples []sample) float64 {
	var n, x, y, xx, xy float64
	for _, s := range samples {
		n, x, y, xx, xy = n+1, x+s.at, y+s.rss, xx+s.at*s.at, xy+s.at*s.rss
	}
	if below := n*xx - x*x; math.Abs(below) > 1e-9 {
		return (n*xy - x*y) / below
	}
	return 0
}
