// Callseal-bench-report makes the report of the benchmarks' results, gives their
// figures to the pages, and guards their ratios.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/callseal/callseal/benchmarks/report"
)

func main() {
	if err := rootCommand().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "callseal-bench-report:", err)
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "callseal-bench-report",
		Short: "The report of the benchmarks' results",
		Long: `Makes a report of what the benchmarks measured: a folder of results, one JSON file
a group, becomes report.md, report.html and plots.

  callseal-bench-report write --results bin/results --out bin/report
  callseal-bench-report check --results bin/results

The results of the last full run are kept in docs/measured/bench. From them pages take
their figures, and with them a new run is compared:

  callseal-bench-report figures --write
  callseal-bench-report guard --results bin/results`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(writeCommand(), checkCommand(), figuresCommand(), guardCommand())
	return root
}

// read reads results and makes the report of them.
func read(results string) (*report.Report, error) {
	found, err := report.ReadResults(results)
	if err != nil {
		return nil, err
	}
	causes, err := report.WrittenCauses()
	if err != nil {
		return nil, err
	}
	return report.New(found, causes)
}

func writeCommand() *cobra.Command {
	var results, out string
	c := &cobra.Command{
		Use:   "write --results FOLDER --out FOLDER",
		Short: "Write report.md, report.html and plots",
		Long: `Writes the report of a folder of results into another, whole or not at all. A report
that is there is replaced; a folder that holds anything else is left alone.

What was not measured is said to be so, with the command that measures it.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			made, err := read(results)
			if err != nil {
				return err
			}
			if err := made.Write(out); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s/report.html: %d aims reached, %d missed, %d not measured\n", out, made.Reached, made.Missed, made.Unmeasured)
			return err
		},
	}
	c.Flags().StringVar(&results, "results", "", "folder of results, NAME.json each")
	c.Flags().StringVar(&out, "out", "", "folder for the report")
	needs(c, "results", "out")
	return c
}

func checkCommand() *cobra.Command {
	var results string
	var complete bool
	c := &cobra.Command{
		Use:   "check --results FOLDER",
		Short: "Fail where a missed aim has no cause",
		Long: `Fails where an aim was missed and benchmarks/report/causes.yaml does not say why; with
--complete, also where one was not measured.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			made, err := read(results)
			if err != nil {
				return err
			}
			if err := made.Check(complete); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%d aims reached, %d missed for a cause that is said, %d not measured\n", made.Reached, made.Missed, made.Unmeasured)
			return err
		},
	}
	c.Flags().StringVar(&results, "results", "", "folder of results, NAME.json each")
	c.Flags().BoolVar(&complete, "complete", false, "fail where an aim was not measured, too")
	needs(c, "results")
	return c
}

// stored is where the results of the last full run are.
const stored = "docs/measured/bench"

func figuresCommand() *cobra.Command {
	var root, results string
	var write bool
	c := &cobra.Command{
		Use:   "figures [--write]",
		Short: "Check, or write, the figures of the pages",
		Long: `Fails where a page (*.md below --root) gives another figure than was measured, with
file and line; with --write it puts the figures into the pages. A figure stands between
two comments that name it:

  <!-- figure callseal-bft/commit/lone p50 -->14.2 ms<!-- /figure -->

What can be named:

  GROUP/MEASUREMENT [p50|p95|p99|mean|max]   a figure with its unit
  FIGURE over FIGURE                         the ratio of two
  aim ID [verdict]                           the figure of an aim, or what came of it
  aims                                       the whole table of aims
  fact GROUP NAME                            a fact, such as the machine

The word "interval" after a figure, a ratio or an aim's ID adds its confidence interval.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if results == "" {
				results = filepath.Join(root, filepath.FromSlash(stored))
			}
			figures := report.Figures{Root: root, Report: func() (*report.Report, error) { return read(results) }}
			done, say := figures.Check, "as measured"
			if write {
				done, say = figures.Write, "written"
			}
			count, err := done()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "figures in pages: %d, %s\n", count, say)
			return err
		},
	}
	c.Flags().StringVar(&root, "root", ".", "folder of the pages, the project's")
	c.Flags().StringVar(&results, "results", "", "folder of results (default ROOT/"+stored+")")
	c.Flags().BoolVar(&write, "write", false, "write the figures instead of checking them")
	return c
}

func guardCommand() *cobra.Command {
	var results, against string
	var asJSON bool
	c := &cobra.Command{
		Use:   "guard --results FOLDER [--json]",
		Short: "Fail where ratios got worse since the last report",
		Long: `Compares ratios between groups of a new run with those of the last report, and fails
where one is worse by more than a quarter, or is not measured any more. Ratios are
compared because they hold from machine to machine, more or less; figures do not.

"make bench-quick" measures just what is compared.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			fresh, err := report.ReadResults(results)
			if err != nil {
				return err
			}
			last, err := report.ReadResults(against)
			if err != nil {
				return err
			}
			all, err := report.Guard(fresh, last)
			if len(all) == 0 {
				return err
			}
			said := []byte(report.GuardTable(all))
			if asJSON {
				made, wrong := report.GuardJSON(all)
				if wrong != nil {
					return wrong
				}
				said = made
			}
			if _, wrong := fmt.Fprintf(c.OutOrStdout(), "%s\n", said); wrong != nil {
				return wrong
			}
			return err
		},
	}
	c.Flags().StringVar(&results, "results", "", "folder of the new run's results")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON instead of a table")
	c.Flags().StringVar(&against, "against", stored, "folder of the last report's results")
	needs(c, "results")
	return c
}

func needs(c *cobra.Command, names ...string) {
	for _, name := range names {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
}
