package stage

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"
)

// Line is what the adapter's log says of a step on a call's way.
type Line struct {
	Time       time.Time `json:"time"`
	Msg        string    `json:"msg"`
	UniqueID   string    `json:"uniqueid"`
	CDR        bool      `json:"cdr"`
	Recordings []string  `json:"recordings"`
	// Noticed is when a recording's file was seen closed, Committed when the peer said
	// VALID.
	Noticed   time.Time `json:"noticed"`
	Committed time.Time `json:"committed_at"`
}

// follower reads an adapter's log.
type follower struct {
	mu    sync.Mutex
	lines []Line
	more  chan struct{}
}

func follow(log io.Reader) *follower {
	f := &follower{more: make(chan struct{}, 1)}
	go func() {
		for scanner := bufio.NewScanner(log); scanner.Scan(); {
			var one Line
			if json.Unmarshal(scanner.Bytes(), &one) != nil {
				continue
			}
			f.mu.Lock()
			f.lines = append(f.lines, one)
			f.mu.Unlock()
			select {
			case f.more <- struct{}{}:
			default:
			}
		}
	}()
	return f
}

// forget drops what was read.
func (f *follower) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = nil
}

// until waits until the lines since the last forget satisfy what is asked, and answers
// them; the context's end is an error.
func (f *follower) until(ctx context.Context, enough func([]Line) bool) ([]Line, error) {
	for {
		f.mu.Lock()
		lines := f.lines
		f.mu.Unlock()
		if enough(lines) {
			return lines, nil
		}
		select {
		case <-ctx.Done():
			return lines, ctx.Err()
		case <-f.more:
		}
	}
}
