package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	adapter "github.com/callseal/callseal/asterisk-adapter"
	"github.com/callseal/callseal/asterisk-adapter/backfill"
)

// importFlags are what `callseal import` was told.
type importFlags struct {
	config, times, timezone, since, before string
	recordings                             []string
	table, dryRun, asJSON                  bool
}

func importCommand() *cobra.Command {
	var flags importFlags
	command := &cobra.Command{
		Use:   "import --config FILE [FILE...]",
		Short: "Bring old CDRs and recordings of a PBX into its history",
		Long: "Bring a PBX's old files of CDRs (Master.csv and its rotated ones, packed or not), the\n" +
			"table of CDRs and old recordings into its history on the ledger, marked as imported.\n\n" +
			"Run it on the PBX, as the adapter's user or root, with the adapter's configuration. A\n" +
			"running adapter takes what is brought; where none runs, the import signs by itself.\n" +
			"What is on the ledger already is left as it is, so an import that was cut off is run\n" +
			"again. Recordings are found by the uniqueid in their names, as in the folders of this\n" +
			"project's dialplan and of FreePBX; import the CDRs of their calls first, or with them.\n\n" +
			"The exit code is 0 when all was taken or known, 1 when something was left out or\n" +
			"differs from what is on the ledger, 2 when the import could not be made.",
		Example: "  callseal import --config /etc/callseal/adapter.yaml /var/log/asterisk/cdr-csv/Master.csv.*\n" +
			"  callseal import --config /etc/callseal/adapter.yaml --recordings /mnt/archive/monitor\n" +
			"  callseal import --config /etc/callseal/adapter.yaml --table --since 2024-01-01 --dry-run",
		RunE: func(cmd *cobra.Command, files []string) error {
			config, err := adapter.LoadConfig(flags.config)
			if err != nil {
				return err
			}
			options, err := flags.options(config, files)
			if err != nil {
				return err
			}
			options.Progress = newProgress(cmd.ErrOrStderr())
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			summary, err := adapter.Import(cmd.Context(), config, options, log)
			if summary != nil {
				if printed := printSummary(cmd.OutOrStdout(), summary, flags.asJSON); printed != nil {
					return errors.Join(err, printed)
				}
			}
			if err == nil && !summary.Whole() {
				return exitCodeError(1)
			}
			return err
		},
	}
	set := command.Flags()
	set.SortFlags = false
	set.StringVar(&flags.config, "config", "", "the adapter's configuration file (YAML)")
	set.StringArrayVar(&flags.recordings, "recordings", nil, "a folder of recordings, with its subfolders; may be given again")
	set.BoolVar(&flags.table, "table", false, "import the table of CDRs, cdr.table in the configuration")
	set.StringVar(&flags.since, "since", "", "of the table: only calls that began on this day or later, such as 2024-01-31")
	set.StringVar(&flags.before, "before", "", "of the table: only calls that began before this day")
	set.StringVar(&flags.times, "times", "", `of the files: "utc" or "local", where they were not written as cdr.local_times says`)
	set.StringVar(&flags.timezone, "timezone", "", "the PBX's time zone then, where it is not the configured one, such as Europe/Lisbon")
	set.BoolVar(&flags.dryRun, "dry-run", false, "say what would be imported, and change nothing")
	set.BoolVar(&flags.asJSON, "json", false, "print the summary as JSON")
	_ = command.MarkFlagRequired("config")
	return command
}

// options are what the flags mean.
func (f *importFlags) options(config *adapter.Config, files []string) (adapter.ImportOptions, error) {
	options := adapter.ImportOptions{UseTable: f.table}
	if len(files) == 0 && len(f.recordings) == 0 && !f.table {
		return options, errors.New("say what to import: files of CDRs, --recordings FOLDER, or --table")
	}
	if f.timezone != "" {
		config.Timezone = f.timezone
	}
	zone, err := config.Location()
	if err != nil {
		return options, fmt.Errorf("the time zone %q is not an IANA name such as Europe/Lisbon", config.Timezone)
	}
	options.Files, options.Folders, options.DryRun, options.Zone = files, f.recordings, f.dryRun, time.UTC
	switch f.times {
	case "":
		if config.CDR.LocalTimes {
			options.Zone = zone
		}
	case "local":
		options.Zone = zone
	case "utc":
	default:
		return options, fmt.Errorf("--times is %q, it must be utc or local", f.times)
	}
	if !f.table && (f.since != "" || f.before != "") {
		return options, errors.New("--since and --before are about --table: choose files by naming them")
	}
	options.Before = time.Now()
	for _, bound := range []struct {
		name, text string
		to         *time.Time
	}{{"--since", f.since, &options.From}, {"--before", f.before, &options.Before}} {
		if bound.text == "" {
			continue
		}
		if *bound.to, err = time.ParseInLocation(time.DateOnly, bound.text, zone); err != nil {
			return options, fmt.Errorf("%s is %q, write a day such as 2024-01-31", bound.name, bound.text)
		}
	}
	return options, nil
}

// printSummary prints what came of an import, for people or programs.
func printSummary(out io.Writer, summary *backfill.Summary, asJSON bool) error {
	if asJSON {
		return printValue(out, summary)
	}
	for _, left := range summary.LeftOut {
		word := "left out"
		if left.Outcome == backfill.Differing {
			word = "differs"
		}
		_, _ = fmt.Fprintf(out, "%s: %s\n", word, left)
	}
	if summary.More > 0 {
		_, _ = fmt.Fprintf(out, "and %d more that were left out or differ\n", summary.More)
	}
	imported := "imported"
	if summary.DryRun {
		imported = "would be imported"
	}
	for _, one := range []struct {
		what  string
		count backfill.Count
	}{{"records", summary.Records}, {"recordings", summary.Recordings}} {
		if one.count.Read == 0 {
			continue
		}
		_, _ = fmt.Fprintf(out, "%d %s read: %d %s, %d known", one.count.Read, one.what, one.count.Imported, imported, one.count.Known)
		if one.count.Watched > 0 {
			_, _ = fmt.Fprintf(out, ", %d left to the adapter, which watches their folder", one.count.Watched)
		}
		_, _ = fmt.Fprintf(out, ", %d differ, %d left out\n", one.count.Differing, one.count.LeftOut)
	}
	_, err := fmt.Fprintf(out, "took %s\n", time.Duration(summary.Seconds*float64(time.Second)).Round(10*time.Millisecond))
	return err
}

// newProgress shows how far an import is: by a bar on a terminal, by a line now and then
// elsewhere.
func newProgress(out io.Writer) backfill.Progress {
	if file, is := out.(*os.File); is && isatty.IsTerminal(file.Fd()) {
		return &bars{out: out}
	}
	return &lines{out: out}
}

// bars is progress on a terminal.
type bars struct {
	out io.Writer
	bar *progressbar.ProgressBar
}

// Begin implements [backfill.Progress].
func (b *bars) Begin(what string, total int64) {
	options := []progressbar.Option{
		progressbar.OptionSetWriter(b.out), progressbar.OptionSetDescription(what), progressbar.OptionThrottle(100 * time.Millisecond),
		progressbar.OptionShowCount(), progressbar.OptionOnCompletion(func() { _, _ = fmt.Fprintln(b.out) }), progressbar.OptionFullWidth(),
	}
	if total >= 0 {
		options = append(options, progressbar.OptionShowBytes(true))
	}
	b.bar = progressbar.NewOptions64(max(total, -1), options...)
}

// Add implements [backfill.Progress].
func (b *bars) Add(done int64) { _ = b.bar.Add64(done) }

// End implements [backfill.Progress].
func (b *bars) End() { _ = b.bar.Finish() }
