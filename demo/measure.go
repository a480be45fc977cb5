package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shirou/gopsutil/v4/process"

	"github.com/callseal/callseal/asterisk-adapter/lab"
)

// measuredLength is how long the caller talks in a measured call.
const measuredLength = 500 * time.Millisecond

// warmUp is how many calls are placed before the measured ones: the first pay for
// connections and caches.
const warmUp = 5

// paperFloor is the shorter end of what P1 reports from the end of a call to its
// hash on the registry.
const paperFloor = 1750 * time.Millisecond

// Measure places real calls, one after the other, and prints how long each took
// from the phone's BYE to the commit of CDR and recording, and what memory adapter
// and gateway take.
func Measure(ctx context.Context, calls int, options Options) error {
	if calls < 1 {
		return errors.New("measure at least one call")
	}
	return perform(ctx, options, func(s *show) error { return s.measure(ctx, calls) })
}

func (s *show) measure(ctx context.Context, calls int) error {
	s.title("Start a real Asterisk 22 and the adapter beside it")
	installation, err := lab.Find(ctx, s.progress())
	if err != nil {
		return fmt.Errorf("find an Asterisk: %w", err)
	}
	asterisk, where, err := s.startPBX(ctx, installation)
	if err != nil {
		return err
	}
	s.title("Place %d calls of %s, one after the other, after %d to warm up", calls, measuredLength, warmUp)
	var delays []time.Duration
	for n := range warmUp + calls {
		report, err := asterisk.PlaceCall(ctx, lab.Call{Duration: measuredLength})
		if err != nil {
			return fmt.Errorf("place call %d: %w", n+1, err)
		}
		call, err := where.adapter.next(ctx)
		if err != nil {
			return err
		}
		if n >= warmUp {
			delays = append(delays, call.CommittedAt.Sub(report.HungUp))
		}
		if done := n + 1 - warmUp; done > 0 && done%20 == 0 {
			s.say("%d calls", done)
		}
	}
	return s.sayMeasured(ctx, where, delays)
}

func (s *show) sayMeasured(ctx context.Context, where *scene, delays []time.Duration) error {
	slices.Sort(delays)
	at := func(percent int) time.Duration {
		return delays[min(len(delays)-1, len(delays)*percent/100)].Round(100 * time.Microsecond)
	}
	s.title("From the phone's BYE to CDR and recording committed, %d calls", len(delays))
	s.say("p50 %s   p95 %s   p99 %s   min %s   max %s", at(50), at(95), at(99), at(0), at(100))
	s.say("at p50 %.0f times faster than the 1.75 s of the paper", float64(paperFloor)/float64(at(50)))
	nodes, err := s.network.Status(ctx)
	if err != nil {
		return fmt.Errorf("look at the network: %w", err)
	}
	adapter, err := residentBytes(where.adapter.command.Process.Pid)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if node.Node != s.owner.ID()+"-gateway" {
			continue
		}
		gateway, err := residentBytes(node.PID)
		if err != nil {
			return err
		}
		s.say("resident memory: adapter %d MB, gateway %d MB", adapter>>20, gateway>>20)
	}
	return nil
}

func residentBytes(pid int) (uint64, error) {
	watched, err := process.NewProcess(int32(pid)) //nolint:gosec // a pid
	if err != nil {
		return 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	memory, err := watched.MemoryInfo()
	if err != nil {
		return 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return memory.RSS, nil
}
