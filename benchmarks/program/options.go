package program

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
)

// Options are what every benchmark program is told.
type Options struct {
	// Out is the folder of results.
	Out string
	// Repetitions is how often each measurement is made.
	Repetitions int
	// Quick asks for figures that only show that everything runs.
	Quick bool
	// Guard asks for what the guarded ratios of benchmarks/report are made of, and for
	// no more; it implies Quick.
	Guard bool
	// Only are the groups to measure.
	Only []string
}

// Command is what a program is and which command line it has.
type Command struct {
	// Name is its folder's below benchmarks, Does what its help begins with.
	Name, Does string
	// Groups are what it measures, by name.
	Groups []string
	// Repetitions is how often each measurement is made where nobody says; 0 is 3.
	Repetitions int
	// Flags adds flags of its own, and is nil where there are none.
	Flags func(*flag.FlagSet)
	// Instead says, once the flags are read, that they ask for something else than a
	// measurement, which needs no folder for results; nil is never.
	Instead func() bool
}

// Main is all of a program that measures what its command line asks for, and nothing
// else: it answers the exit code, 2 for a command line that is not understood, 1 for what
// was not measured.
func (c Command) Main(arguments []string, problems io.Writer, measure func(testing.TB, Options)) int {
	options, err := c.Parse(arguments)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(problems, "%s: %v\n", c.Name, err)
		return 2
	}
	return Run(c.Name, func(tb testing.TB) { measure(tb, options) })
}

// Parse reads its command line. It answers flag.ErrHelp where only the help was wanted.
func (c Command) Parse(arguments []string) (Options, error) {
	name, does, groups := c.Name, c.Does, c.Groups
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	options := Options{}
	flags.StringVar(&options.Out, "out", "", "`folder` for the results, one JSON file a group; made where it is missing")
	flags.IntVar(&options.Repetitions, "repetitions", cmp.Or(c.Repetitions, 3), "how often each measurement is made")
	flags.BoolVar(&options.Quick, "quick", false, "short measurements, made once: they show that all runs, and little else")
	flags.BoolVar(&options.Guard, "guard", false, "as -quick, and only what make bench-quick compares with the last report")
	only := flags.String("only", strings.Join(groups, ","), "the groups to measure, with commas between")
	if c.Flags != nil {
		c.Flags(flags)
	}
	flags.Usage = func() {
		_, _ = fmt.Fprintf(flags.Output(), "%s\n\nUsage:\n  go run ./benchmarks/%s -out FOLDER [flags]\n\nFlags:\n", does, name)
		flags.PrintDefaults()
	}
	if err := flags.Parse(arguments); err != nil {
		return Options{}, err //nolint:wrapcheck // said already
	}
	options.Quick = options.Quick || options.Guard
	if options.Quick && !isSet(flags, "repetitions") {
		options.Repetitions = 1
	}
	for one := range strings.SplitSeq(*only, ",") {
		if one = strings.TrimSpace(one); !slices.Contains(groups, one) {
			return Options{}, fmt.Errorf("there is no group %q to measure: the groups are %s", one, strings.Join(groups, ", "))
		}
		options.Only = append(options.Only, one)
	}
	switch {
	case flags.NArg() > 0:
		return Options{}, fmt.Errorf("%q is not understood: this program takes flags only, see --help", flags.Arg(0))
	case options.Repetitions < 1:
		return Options{}, errors.New("-repetitions must be at least 1")
	case c.Instead != nil && c.Instead():
		return options, nil
	case options.Out == "":
		return Options{}, errors.New("-out is missing: name the folder for the results")
	}
	return options, options.prepare()
}

func isSet(flags *flag.FlagSet, name string) (set bool) {
	flags.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// prepare makes the folder's path absolute and the folder ready.
func (o *Options) prepare() error {
	absolute, err := filepath.Abs(o.Out)
	if err != nil {
		return fmt.Errorf("the folder for the results: %w", err)
	}
	o.Out = absolute
	return result.Prepare(o.Out) //nolint:wrapcheck // says what it was
}

// Measure has a group measured, ends what was started for it, and writes the group. What
// was measured before is removed first, so that no figure of another run stands in for
// one that failed.
func (o *Options) Measure(tb testing.TB, name, title string, measure func(testing.TB, *result.Group)) {
	tb.Helper()
	if !slices.Contains(o.Only, name) {
		return
	}
	if err := os.Remove(filepath.Join(o.Out, name+".json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		tb.Fatalf("remove the results of the last run: %v", err)
	}
	group := &result.Group{Name: name, Title: title, Began: time.Now().UTC(), Facts: machine.Facts(tb.Context(), tb.TempDir())}
	if o.Quick {
		group.Notes = append(group.Notes, "A quick run: the figures only show that everything runs.")
	}
	tb.Logf("%s: begun", name)
	part(tb, func(tb testing.TB) { measure(tb, group) })
	group.Ended = time.Now().UTC()
	if tb.Failed() || tb.Context().Err() != nil {
		tb.Fatalf("%s was not measured whole: no result is written", name)
	}
	if err := group.Write(o.Out); err != nil {
		tb.Fatal(err)
	}
	tb.Logf("%s: measured in %s, see %s", name, group.Ended.Sub(group.Began).Round(time.Second), filepath.Join(o.Out, name+".json"))
}
