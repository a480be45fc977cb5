package program

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/benchmarks/result"
)

func TestEverythingEndsHoweverItEnds(t *testing.T) {
	for name, measure := range map[string]func(testing.TB){
		"well":        func(testing.TB) {},
		"by Fatal":    func(tb testing.TB) { tb.Fatal("the network is down") },
		"by require":  func(tb testing.TB) { require.FailNow(tb, "the network is down") },
		"by a panic":  func(testing.TB) { panic("the network is down") },
		"interrupted": func(tb testing.TB) { <-tb.Context().Done(); tb.Fatal("the network is down") },
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			var order []string
			var folder string
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			code := run(ctx, "peers", &log, func(tb testing.TB) {
				tb.Cleanup(func() { order = append(order, "first") })
				folder = tb.TempDir()
				tb.Cleanup(func() { order = append(order, "second"); tb.Log("is ended") })
				if name == "interrupted" {
					cancel()
				}
				measure(tb)
			})
			require.Equal(t, []string{"second", "first"}, order)
			require.NoDirExists(t, folder)
			require.Contains(t, log.String(), "peers: is ended")
			if name == "well" {
				require.Zero(t, code)
				return
			}
			require.Equal(t, 1, code)
			require.Contains(t, log.String(), "the network is down")
		})
	}
}

func TestNoResultOfHalfAMeasurement(t *testing.T) {
	folder := t.TempDir()
	options := Options{Out: folder, Only: []string{"rivs"}}
	group := func(_ testing.TB, g *result.Group) {
		g.Measurements = []result.Measurement{{Name: "a", Title: "a", Unit: "ms", Values: []float64{1}}}
	}
	require.Zero(t, run(t.Context(), "x", io.Discard, func(tb testing.TB) {
		options.Measure(tb, "rivs", "RiVS", group)
		options.Measure(tb, "other", "not asked for", func(testing.TB, *result.Group) { panic("measured") })
	}))
	groups, err := result.Read(folder)
	require.NoError(t, err)
	require.Len(t, groups, 1)
	require.Equal(t, 1, run(t.Context(), "x", io.Discard, func(tb testing.TB) {
		options.Measure(tb, "rivs", "RiVS", func(tb testing.TB, g *result.Group) { group(tb, g); tb.Error("the broker ended") })
	}))
	require.NoFileExists(t, filepath.Join(folder, "rivs.json"), "an old result must not stand in for the one that failed")
}

func TestNothingOfAGroupRunsBesideTheNext(t *testing.T) {
	options := Options{Out: t.TempDir(), Only: []string{"a", "b"}}
	var running []string
	require.Zero(t, run(t.Context(), "x", io.Discard, func(tb testing.TB) {
		for _, name := range options.Only {
			options.Measure(tb, name, name, func(tb testing.TB, group *result.Group) {
				require.Empty(t, running)
				running = append(running, name)
				tb.Cleanup(func() { running = nil })
				group.Measurements = []result.Measurement{{Name: "a", Title: "a", Unit: "ms", Values: []float64{1}}}
			})
		}
	}))
	require.FileExists(t, filepath.Join(options.Out, "b.json"))
}

func TestCommandLine(t *testing.T) {
	out := filepath.Join(t.TempDir(), "new", "results")
	one, two := Command{Name: "peers", Does: "Measures.", Groups: []string{"a"}}, Command{Name: "peers", Does: "Measures.", Groups: []string{"a", "b"}}
	options, err := two.Parse([]string{"-out", out, "-quick", "-only", "b"})
	require.NoError(t, err)
	require.Equal(t, Options{Out: out, Repetitions: 1, Quick: true, Only: []string{"b"}}, options)
	options, err = two.Parse([]string{"-out", out})
	require.NoError(t, err)
	require.Equal(t, Options{Out: out, Repetitions: 3, Only: []string{"a", "b"}}, options)
	options, err = one.Parse([]string{"-out", out, "-guard"})
	require.NoError(t, err)
	require.Equal(t, Options{Out: out, Repetitions: 1, Quick: true, Guard: true, Only: []string{"a"}}, options)
	left, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Empty(t, left)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for problem, arguments := range map[string][]string{
		"-out is missing":                 nil,
		"there is no group \"c\"":         {"-out", out, "-only", "a,c"},
		"takes flags only":                {"-out", out, "more"},
		"-repetitions must be at least 1": {"-out", out, "-repetitions", "0"},
		"make the folder for the results": {"-out", file},
		"results cannot be written":       {"-out", "/proc"},
	} {
		_, err := two.Parse(arguments)
		require.ErrorContains(t, err, problem)
	}
	_, err = one.Parse([]string{"--help"})
	require.ErrorIs(t, err, flag.ErrHelp)
}

func TestCommandLineOfItsOwn(t *testing.T) {
	var state string
	command := Command{
		Name: "caliper", Does: "Measures.", Groups: []string{"a"}, Repetitions: 1,
		Flags:   func(flags *flag.FlagSet) { flags.StringVar(&state, "state", "", "a folder") },
		Instead: func() bool { return state == "none" },
	}
	out := filepath.Join(t.TempDir(), "results")
	options, err := command.Parse([]string{"-out", out, "-state", "here"})
	require.NoError(t, err)
	require.Equal(t, Options{Out: out, Repetitions: 1, Only: []string{"a"}}, options)
	require.Equal(t, "here", state)
	options, err = command.Parse([]string{"-out", out, "-repetitions", "2"})
	require.NoError(t, err)
	require.Equal(t, 2, options.Repetitions)
	_, err = command.Parse([]string{"-state", "here"})
	require.ErrorContains(t, err, "-out is missing")
	_, err = command.Parse([]string{"-state", "none"})
	require.NoError(t, err, "what is done instead needs no folder for results")
}
