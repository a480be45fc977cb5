package soak

import (
	"errors"
	"fmt"
)

// Cost is what records took of the machine.
type Cost struct {
	// Processor is the time that each kind of node (see [Lab.ProcessorSeconds]) used, in
	// seconds.
	Processor map[string]float64
	// Gateway is what the gateway under test used.
	Gateway Usage
	// Written is how many bytes the gateway had written to disk.
	Written float64
}

// Network is the processor time of all nodes together, in seconds.
func (c *Cost) Network() (sum float64) {
	for _, seconds := range c.Processor {
		sum += seconds
	}
	return sum
}

// Account begins to count what the network uses; the answer ends it, and says.
func (l *Lab) Account() (end func() (*Cost, error), err error) {
	pid, err := l.PID(Gateway)
	if err != nil {
		return nil, err
	}
	written, err := Written(pid)
	if err != nil {
		return nil, err
	}
	before, err := l.ProcessorSeconds()
	if err != nil {
		return nil, err
	}
	watch, err := NewWatch(pid)
	if err != nil {
		return nil, fmt.Errorf("watch the gateway: %w", err)
	}
	return func() (*Cost, error) {
		cost := &Cost{Gateway: watch.End(), Processor: map[string]float64{}}
		after, failed := l.ProcessorSeconds()
		now, err := Written(pid)
		if err = errors.Join(failed, err); err != nil {
			return nil, err
		}
		cost.Written = now - written
		for kind, seconds := range after {
			cost.Processor[kind] = seconds - before[kind]
		}
		return cost, nil
	}, nil
}
