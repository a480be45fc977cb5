package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// assembly starts parts in order and stops them in the opposite order: what was
// started last stands on what was started before.
type assembly struct {
	log    *slog.Logger
	stops  []stop
	failed chan error
}

// stop ends one part.
type stop struct {
	name string
	do   func() error
}

// closing has a part closed in its turn.
func (a *assembly) closing(name string, do func() error) {
	a.stops = append(a.stops, stop{name, do})
}

// running runs a part beside the others until its turn to stop. One that ends
// before ends them all.
func (a *assembly) running(ctx context.Context, name string, do func(context.Context) error) {
	// It outlives ctx: the order of stopping is the assembly's.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		err := do(running)
		if running.Err() == nil {
			early := fmt.Errorf("%s ended", name)
			if err != nil {
				early = fmt.Errorf("%s: %w", name, err)
			}
			select {
			case a.failed <- early:
			default:
			}
			err = nil // told once
		}
		ended <- err
	}()
	a.closing(name, func() error {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	})
}

// stop ends all parts that were started. One that does not end within the bound is
// left behind, and said to be.
func (a *assembly) stop(bound time.Duration) error {
	var failures []error
	for at := len(a.stops) - 1; at >= 0; at-- {
		part := a.stops[at]
		began, done := time.Now(), make(chan error, 1)
		go func() { done <- part.do() }()
		timer := time.NewTimer(bound)
		select {
		case err := <-done:
			if err != nil {
				failures = append(failures, fmt.Errorf("stop %s: %w", part.name, err))
			}
		case <-timer.C:
			failures = append(failures, fmt.Errorf("%s did not stop within %s", part.name, bound))
		}
		timer.Stop()
		a.log.Debug("part stopped", "part", part.name, "ms", time.Since(began).Milliseconds())
	}
	a.stops = nil
	return errors.Join(failures...)
}
