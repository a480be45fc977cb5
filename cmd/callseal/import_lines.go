package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
)

// linesEvery is how often progress is a line.
const linesEvery = 10 * time.Second

// lines is progress in a file or a journal.
type lines struct {
	out io.Writer

	mu          sync.Mutex
	what        string
	done, total int64
	told        time.Time
}

// Begin implements [backfill.Progress].
func (l *lines) Begin(what string, total int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.what, l.done, l.total, l.told = what, 0, total, time.Now()
}

// Add implements [backfill.Progress].
func (l *lines) Add(done int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done += done; time.Since(l.told) >= linesEvery {
		l.tell()
	}
}

// End implements [backfill.Progress].
func (l *lines) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell()
}

func (l *lines) tell() {
	l.told = time.Now()
	switch {
	case l.total < 0:
		_, _ = fmt.Fprintf(l.out, "%s: %d\n", l.what, l.done)
	default:
		_, _ = fmt.Fprintf(l.out, "%s: %s of %s\n", l.what, size(l.done), size(l.total))
	}
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }
