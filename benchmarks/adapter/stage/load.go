package stage

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/callseal/callseal/asterisk-adapter/lab"
)

// Used is what processes took over a time.
type Used struct {
	// Processor is the processor time of "adapter", "gateway" and "asterisk", in % of one
	// core.
	Processor map[string]float64
	// Memory is the resident memory of each at most, in bytes.
	Memory map[string]uint64
}

// Added is the processor time of adapter and gateway, in % of one core.
func (u *Used) Added() float64 { return u.Processor["adapter"] + u.Processor["gateway"] }

// Load keeps so many recorded calls up, until all of them were placed and all recordings
// are on the ledger, and says what was used meanwhile.
func (s *Stage) Load(tb testing.TB, calls, atOnce int, talk time.Duration) Used {
	tb.Helper()
	s.Forget()
	return s.Use(tb, func() {
		if _, err := s.Asterisk.PlaceCalls(tb.Context(), lab.Call{To: Mixed + lab.Answers, Duration: talk}, calls, atOnce); err != nil {
			tb.Fatal(err)
		}
		s.Wait(tb, func(lines []Line) bool {
			found := 0
			for i := range lines {
				if lines[i].Msg == anchored {
					found += len(lines[i].Recordings)
				}
			}
			return found >= calls
		})
	})
}

// Use says what is used while something is done.
func (s *Stage) Use(tb testing.TB, act func()) Used {
	tb.Helper()
	watched, err := s.watch(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	before, began := map[string]float64{}, time.Now()
	for name, one := range watched {
		before[name] = seconds(tb, one)
	}
	most, stop := peak(tb.Context(), watched)
	act()
	took := time.Since(began).Seconds()
	stop()
	used := Used{Processor: map[string]float64{}, Memory: most}
	for name, one := range watched {
		used.Processor[name] = 100 * (seconds(tb, one) - before[name]) / took
	}
	return used
}

// watch finds the three processes.
func (s *Stage) watch(ctx context.Context) (map[string]*process.Process, error) {
	nodes, err := s.network.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("find the gateway: %w", err)
	}
	pids := map[string]int{"adapter": s.command.Process.Pid, "asterisk": s.Asterisk.PID()}
	for _, node := range nodes {
		if node.Node == s.gateway {
			pids["gateway"] = node.PID
		}
	}
	watched := map[string]*process.Process{}
	for _, name := range []string{"adapter", "gateway", "asterisk"} {
		if watched[name], err = process.NewProcess(int32(pids[name])); err != nil { //nolint:gosec // Linux numbers processes below 2^22
			return nil, fmt.Errorf("watch the %s: %w", name, err)
		}
	}
	return watched, nil
}

// seconds is the processor time that a process has taken.
func seconds(tb testing.TB, one *process.Process) float64 {
	tb.Helper()
	times, err := one.Times()
	if err != nil {
		tb.Fatalf("processor time of process %d: %v", one.Pid, err)
	}
	return times.User + times.System
}

// peak follows the processes' resident memory, in bytes, until it is stopped.
func peak(ctx context.Context, watched map[string]*process.Process) (most map[string]uint64, stop func()) {
	most = map[string]uint64{}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			for name, one := range watched {
				if memory, err := one.MemoryInfo(); err == nil {
					most[name] = max(most[name], memory.RSS)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
	}()
	return most, func() {
		cancel()
		<-done
	}
}
