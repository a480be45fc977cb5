// Package demo shows the whole product at work on one machine, with the real
// parts: a Fabric network of three operators, an Asterisk with two phones, the
// adapter, the gateway, the verifier, and somebody who tampers.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/network"
)

// Options say how the demo runs.
type Options struct {
	// Out takes what people read.
	Out io.Writer
	// Bundled uses the bundled call even where an Asterisk is to be had.
	Bundled bool
	// Keep is a folder to leave everything in; empty means a temporary one that
	// is removed.
	Keep string
}

// stopTimeout bounds the stopping at the end.
const stopTimeout = time.Minute

// show is a running demo.
type show struct {
	Options
	began   time.Time
	step    int
	folder  string
	network *network.Network
	// owner is the operator whose PBX it is; other is one that is asked later.
	owner, other network.Member
	stops        []func(context.Context) error
	tally        map[string]int
}

// Run runs the demo. It fails unless the recording proves intact once and altered
// three times.
func Run(ctx context.Context, options Options) error {
	return perform(ctx, options, func(s *show) error { return s.play(ctx) })
}

// perform sets the stage, with the network up, and clears it whatever happens.
func perform(ctx context.Context, options Options, play func(*show) error) (err error) {
	s := &show{Options: options, began: time.Now(), tally: map[string]int{}}
	if s.folder, err = s.makeFolder(); err != nil {
		return err
	}
	defer func() {
		// Also after an interrupt: nothing is left running.
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, s.stop(stopping))
	}()
	if err := s.raiseNetwork(ctx); err != nil {
		return err
	}
	return play(s)
}

// play is the demo's plot.
func (s *show) play(ctx context.Context) error {
	scene, err := s.makeCalls(ctx)
	if err != nil {
		return err
	}
	if err := s.prove(ctx, scene); err != nil {
		return err
	}
	// Somebody tampers later, with files that lie in an archive.
	if err := scene.adapter.stop(ctx); err != nil {
		return err
	}
	return s.tamper(ctx, scene)
}

func (s *show) makeFolder() (string, error) {
	if s.Keep != "" {
		folder, err := filepath.Abs(s.Keep)
		if err != nil {
			return "", fmt.Errorf("keep the demo's folder: %w", err)
		}
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return "", fmt.Errorf("keep the demo's folder: %w", err)
		}
		return folder, nil
	}
	folder, err := os.MkdirTemp("", "callseal-demo-")
	if err != nil {
		return "", fmt.Errorf("make the demo's folder: %w", err)
	}
	s.stops = append(s.stops, func(context.Context) error { return os.RemoveAll(folder) })
	return folder, nil
}

// raiseNetwork brings three operators and the regulator up.
func (s *show) raiseNetwork(ctx context.Context) error {
	s.title("Raise a Fabric network: three operators that endorse and order, and a regulator")
	offset, err := freePorts()
	if err != nil {
		return err
	}
	s.network, err = network.Open(network.Options{State: filepath.Join(s.folder, "network"), PortOffset: offset})
	if err != nil {
		return fmt.Errorf("open the network: %w", err)
	}
	operators := s.network.Consortium().Operators
	s.owner, s.other = operators[0], operators[1]
	s.stops = append(s.stops, s.network.Down)
	began := time.Now()
	if err := s.network.Up(ctx, func(line string) { s.say("%s", line) }); err != nil {
		return fmt.Errorf("raise the network: %w", err)
	}
	nodes, err := s.network.Status(ctx)
	if err != nil {
		return fmt.Errorf("look at the network: %w", err)
	}
	s.say("%d nodes up in %s, all over mutual TLS; two of three operators must endorse", len(nodes), round(time.Since(began)))
	return nil
}

// makeCalls has two calls recorded and anchored: by a real Asterisk, or from the
// bundle that one made.
func (s *show) makeCalls(ctx context.Context) (*scene, error) {
	if s.Bundled {
		s.title("Use the bundled calls, which Callseal's lab recorded with a real Asterisk 22")
		return s.bundledScene(ctx)
	}
	s.title("Start a real Asterisk 22 and the adapter beside it")
	installation, err := lab.Find(ctx, s.progress())
	if errors.Is(err, lab.ErrUnavailable) {
		s.say("%v", err)
		s.say("so the same is shown with bundled calls, which Callseal's lab recorded with a real Asterisk 22")
		return s.bundledScene(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("find an Asterisk: %w", err)
	}
	return s.liveScene(ctx, installation)
}

// stop undoes everything, last first.
func (s *show) stop(ctx context.Context) error {
	var problems []error
	for i := len(s.stops) - 1; i >= 0; i-- {
		problems = append(problems, s.stops[i](ctx))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("stop everything: %w", err)
	}
	s.say("everything is stopped; %s in all", round(time.Since(s.began)))
	return nil
}

func (s *show) title(format string, args ...any) {
	s.step++
	_, _ = fmt.Fprintf(s.Out, "\n%d. %s\n", s.step, fmt.Sprintf(format, args...))
}

func (s *show) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.Out, "   %s\n", fmt.Sprintf(format, args...))
}

// progress indents what a long step prints.
func (s *show) progress() io.Writer { return &indented{out: s.Out} }

type indented struct {
	out  io.Writer
	open bool // a line is begun
}

func (w *indented) Write(text []byte) (int, error) {
	for _, b := range text {
		if !w.open && b != '\n' && b != '\r' {
			if _, err := io.WriteString(w.out, "   "); err != nil {
				return 0, err
			}
		}
		w.open = b != '\n' && b != '\r'
		if _, err := w.out.Write([]byte{b}); err != nil {
			return 0, err
		}
	}
	return len(text), nil
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}
