package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// scene is a testing.TB outside a test.
type scene struct {
	// TB is nil: it is here for its private method, and whatever is not overridden has
	// no meaning outside a test.
	testing.TB

	name string
	log  io.Writer
	ctx  context.Context //nolint:containedctx // testing.TB answers its context

	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

// Run measures, ends all that was started for it, and answers the program's exit code.
// An interrupt ends the context that Context answers.
func Run(name string, measure func(testing.TB)) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, name, os.Stderr, measure)
}

func run(ctx context.Context, name string, log io.Writer, measure func(testing.TB)) int {
	s := &scene{name: name, log: log}
	if !s.play(ctx, measure) {
		return 1
	}
	return 0
}

// part measures on a scene of its own and ends all that was started for it before it
// answers, so that nothing of it takes part in what is measured next.
func part(tb testing.TB, measure func(testing.TB)) {
	tb.Helper()
	s := &scene{name: tb.Name(), log: tb.Output()}
	if !s.play(tb.Context(), measure) {
		tb.FailNow()
	}
}

// play measures and cleans up, and answers whether nothing went wrong.
func (s *scene) play(ctx context.Context, measure func(testing.TB)) (well bool) {
	// What is cleaned up last still has the context, as in a test it has not.
	ctx, cancel := context.WithCancel(ctx)
	s.ctx = ctx
	s.alone(func() { measure(s) })
	cancel()
	for {
		s.mu.Lock()
		n := len(s.cleanups)
		if n == 0 {
			break
		}
		last := s.cleanups[n-1]
		s.cleanups = s.cleanups[:n-1]
		s.mu.Unlock()
		s.alone(last)
	}
	defer s.mu.Unlock()
	return !s.failed
}

// alone runs something that may end its goroutine, as FailNow does.
func (s *scene) alone(act func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if problem := recover(); problem != nil {
				s.Errorf("%v\n%s", problem, debug.Stack())
			}
		}()
		act()
	}()
	<-done
}

func (s *scene) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(s.log, "%s %s: %s\n", time.Now().Format(time.TimeOnly), s.name, strings.TrimSpace(text))
}

// Attr says nothing: attributes are for test reports.
func (s *scene) Attr(string, string) {}

// Chdir is refused: programs start others by relative paths.
func (s *scene) Chdir(string) { s.Fatal("a benchmark stays in its folder") }

// Cleanup has something done at the end, the last first.
func (s *scene) Cleanup(act func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleanups = append(s.cleanups, act)
}

// Context ends with the measurement, before the cleaning up, or at an interrupt.
func (s *scene) Context() context.Context { return s.ctx }

// Error says what went wrong and goes on.
func (s *scene) Error(args ...any) { s.say(fmt.Sprintln(args...)); s.Fail() }

// Errorf says what went wrong and goes on.
func (s *scene) Errorf(format string, args ...any) { s.say(fmt.Sprintf(format, args...)); s.Fail() }

// Fail makes the program end badly.
func (s *scene) Fail() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = true
}

// FailNow ends the goroutine that measures.
func (s *scene) FailNow() { s.Fail(); runtime.Goexit() }

// Failed says whether something went wrong.
func (s *scene) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Fatal says what went wrong and ends the goroutine that measures.
func (s *scene) Fatal(args ...any) { s.Error(args...); runtime.Goexit() }

// Fatalf says what went wrong and ends the goroutine that measures.
func (s *scene) Fatalf(format string, args ...any) { s.Errorf(format, args...); runtime.Goexit() }

// Helper does nothing: no line of the source is named.
func (s *scene) Helper() {}

// Log says how far it is.
func (s *scene) Log(args ...any) { s.say(fmt.Sprintln(args...)) }

// Logf says how far it is.
func (s *scene) Logf(format string, args ...any) { s.say(fmt.Sprintf(format, args...)) }

// Name is the program's.
func (s *scene) Name() string { return s.name }

// Output is where Log writes.
func (s *scene) Output() io.Writer { return s.log }

// Setenv sets a variable until the end.
func (s *scene) Setenv(key, value string) {
	before, was := os.LookupEnv(key)
	if err := os.Setenv(key, value); err != nil {
		s.Fatalf("set %s: %v", key, err)
	}
	s.Cleanup(func() {
		if was {
			_ = os.Setenv(key, before)
		} else {
			_ = os.Unsetenv(key)
		}
	})
}

var errSkip = errors.New("a benchmark cannot be skipped")

// Skip is refused, as are the others like it: a figure that is left out is left out by
// who asks for it.
func (s *scene) Skip(args ...any) { s.Fatal(append(args, errSkip)...) }

// SkipNow is refused.
func (s *scene) SkipNow() { s.Fatal(errSkip) }

// Skipf is refused.
func (s *scene) Skipf(format string, args ...any) { s.Fatal(fmt.Sprintf(format, args...), errSkip) }

// Skipped never is.
func (s *scene) Skipped() bool { return false }

// TempDir is a folder that is gone at the end.
func (s *scene) TempDir() string {
	folder, err := os.MkdirTemp("", "callseal-"+s.name+"-")
	if err != nil {
		s.Fatalf("make a temporary folder: %v", err)
	}
	s.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			s.Errorf("remove %s: %v", folder, err)
		}
	})
	return folder
}

// ArtifactDir is as TempDir: what is to be kept is a result.
func (s *scene) ArtifactDir() string { return s.TempDir() }
