// Package footprint measures the memory and the processor time of processes that run
// together.
package footprint

import (
	"context"
	"fmt"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/callseal/callseal/benchmarks/daemon"
)

// Usage is what a process took.
type Usage struct {
	// Name is the process's.
	Name string
	// Memory is what it has in memory at the end, in MiB.
	Memory float64
	// Processor is what it took, in percent of one core.
	Processor float64
}

// Meter measures from when it was made.
type Meter struct {
	began time.Time
	names []string
	ones  []*process.Process
	took  []float64
}

// Start begins to measure.
func Start(ctx context.Context, daemons []*daemon.Daemon) (*Meter, error) {
	m := &Meter{began: time.Now()}
	for _, one := range daemons {
		watched, err := process.NewProcessWithContext(ctx, int32(one.PID())) //nolint:gosec // a pid
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", one.Name(), err)
		}
		seconds, err := seconds(ctx, watched)
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", one.Name(), err)
		}
		m.names, m.ones, m.took = append(m.names, one.Name()), append(m.ones, watched), append(m.took, seconds)
	}
	return m, nil
}

// Usages answers what each has taken since then, and all together as "total".
func (m *Meter) Usages(ctx context.Context) ([]Usage, error) {
	elapsed := time.Since(m.began).Seconds()
	total := Usage{Name: "total"}
	var usages []Usage
	for i, one := range m.ones {
		now, err := seconds(ctx, one)
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", m.names[i], err)
		}
		memory, err := one.MemoryInfoWithContext(ctx)
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", m.names[i], err)
		}
		usage := Usage{Name: m.names[i], Memory: float64(memory.RSS) / (1 << 20), Processor: 100 * (now - m.took[i]) / elapsed}
		total.Memory += usage.Memory
		total.Processor += usage.Processor
		usages = append(usages, usage)
	}
	return append(usages, total), nil
}

func seconds(ctx context.Context, one *process.Process) (float64, error) {
	times, err := one.TimesWithContext(ctx)
	if err != nil {
		return 0, err
	}
	return times.User + times.System, nil
}
