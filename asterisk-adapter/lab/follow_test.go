package lab_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/asterisk-adapter/recording"
)

// patience is how long a test waits for what takes milliseconds: machines are
// busy.
const patience = 20 * time.Second

// followed is everything the adapter's sources told of one Asterisk.
type followed struct {
	t        *testing.T
	observer *ari.Observer
	watcher  *recording.Watcher

	mu       sync.Mutex
	byAMI    map[cdr.Key]cdr.Row
	byCSV    map[cdr.Key]cdr.Row
	lines    []error
	closed   []recording.Closed
	finished []ari.Recording
	amiUp    int
	ariUp    int
	caughtUp bool
	changed  *sync.Cond
}

// follow connects every source to ast, whose own zone and CSV zone are given,
// and returns when all are up.
func follow(t *testing.T, ast *lab.Asterisk, zone, csvZone *time.Location) *followed {
	t.Helper()
	f := &followed{t: t, byAMI: make(map[cdr.Key]cdr.Row), byCSV: make(map[cdr.Key]cdr.Row)}
	f.changed = sync.NewCond(&f.mu)
	var workers sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); workers.Wait() })
	note := func(change func()) {
		f.mu.Lock()
		defer f.mu.Unlock()
		change()
		f.changed.Broadcast()
	}
	run := func(run func() error) {
		workers.Go(func() {
			if err := run(); !errors.Is(err, context.Canceled) {
				t.Errorf("a source ended: %v", err)
			}
		})
	}
	run(func() error {
		return ami.New(ami.Options{Address: ast.AMI(), User: lab.User, Secret: ast.Secret(), KeepAlive: time.Second}).Run(ctx, ami.Handler{
			Connected: func(n int) { note(func() { f.amiUp = n }) },
			Event: func(e ami.Event) {
				if e.Name != "Cdr" {
					return
				}
				row, err := cdr.ParseEvent(e.Get, zone)
				if err != nil {
					t.Errorf("AMI: %v: %v", err, e.Headers)
					return
				}
				note(func() { f.byAMI[row.Key()] = row })
			},
		})
	})
	f.observer = ari.New(ari.Options{URL: ast.ARI(), User: lab.User, Password: ast.Secret()})
	run(func() error {
		return f.observer.Run(ctx, ari.Handler{
			Connected: func(n int, _ ari.Listing) { note(func() { f.ariUp = n }) },
			Recording: func(r ari.Recording) { note(func() { f.finished = append(f.finished, r) }) },
		})
	})
	run(func() error {
		tail := cdr.Tail{Path: ast.CSV(), Zone: csvZone}
		return tail.Run(ctx, func(e cdr.Entry) error {
			note(func() {
				if e.Err != nil {
					f.lines = append(f.lines, e.Err)
				} else {
					f.byCSV[e.Row.Key()] = e.Row
				}
			})
			return nil
		}, func() { note(func() { f.caughtUp = true }) })
	})
	var err error
	f.watcher, err = recording.NewWatcher(recording.Options{Folders: []string{ast.RecordingDir()}, ClosedFolder: ast.ClosedDir()})
	require.NoError(t, err)
	run(func() error {
		return f.watcher.Run(ctx, func(c recording.Closed) error {
			note(func() { f.closed = append(f.closed, c) })
			return nil
		})
	})
	f.until("all sources are up", func() bool { return f.amiUp > 0 && f.ariUp > 0 && f.caughtUp })
	return f
}

// until waits for something to be so.
func (f *followed) until(what string, so func() bool) {
	f.t.Helper()
	late := time.AfterFunc(patience, func() { f.changed.Broadcast() })
	defer late.Stop()
	deadline := time.Now().Add(patience)
	f.mu.Lock()
	defer f.mu.Unlock()
	for !so() {
		if time.Now().After(deadline) {
			f.t.Fatalf("after %v it is not so that %s: %d rows by AMI, %d by CSV, %d recordings", patience, what, len(f.byAMI), len(f.byCSV), len(f.closed))
		}
		f.changed.Wait()
	}
}

// start starts an Asterisk with registered phones, which the test's end stops.
func start(t *testing.T, opts lab.Options) *lab.Asterisk {
	t.Helper()
	inst := lab.Require(t)
	ast, err := inst.Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(ast.Stop)
	require.NoError(t, ast.RegisterPhones(t.Context()))
	return ast
}
