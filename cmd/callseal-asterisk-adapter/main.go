// Callseal-asterisk-adapter follows one Asterisk and anchors its calls and
// recordings through the operator's gateway.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"text/tabwriter"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	adapter "github.com/callseal/callseal/asterisk-adapter"
	"github.com/callseal/callseal/asterisk-adapter/privilege"
)

// collectAt is by how many percent the heap may grow between two runs of Go's
// collector unless GOGC says otherwise. The adapter stands beside Asterisk and makes
// little garbage: memory is dearer there than the collector's time.
const collectAt = 40

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "callseal-asterisk-adapter:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "callseal-asterisk-adapter --config FILE",
		Short: "Follow one Asterisk and anchor its calls and recordings",
		Long: "Follow one Asterisk and anchor its calls and recordings through the operator's gateway.\n\n" +
			"The configuration is YAML; asterisk-adapter/adapter.example.yaml has every option, and\n" +
			"asterisk-adapter/pbx/README.md says what Asterisk needs. Started as root it becomes the\n" +
			"configured user. SIGHUP reloads what is marked so, and what secret files hold.\n" +
			"Logs go to standard error as JSON, one line a call, without personal data.\n\n" +
			"`callseal import` brings old CDRs and recordings.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := adapter.LoadConfig(file)
			if err != nil {
				return err
			}
			if err := errors.Join(privilege.Folder(config.StateDir, config.User), privilege.Drop(config.User)); err != nil {
				return err
			}
			hangups := make(chan os.Signal, 1)
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			level := new(slog.LevelVar)
			log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
			load := func() (*adapter.Config, error) { return adapter.LoadConfig(file) }
			return adapter.Run(cmd.Context(), config, log, adapter.WithLevel(level), adapter.WithReload(hangups, load))
		},
	}
	command.PersistentFlags().StringVar(&file, "config", "", "configuration file (YAML)")
	_ = command.MarkPersistentFlagRequired("config")
	command.AddCommand(doctor(&file), effective(&file), devices(&file))
	return command
}

// effective prints the configuration.
func effective(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "config --config FILE",
		Short: "Print the configuration as it takes effect, without secrets",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := adapter.LoadConfig(*file)
			if err != nil {
				return err
			}
			text, err := config.Effective()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}

// errChange ends a doctor's visit that found something to change.
var errChange = errors.New("something must be changed")

// doctor examines what the adapter will work with.
func doctor(file *string) *cobra.Command {
	var folder string
	var asJSON bool
	command := &cobra.Command{
		Use:   "doctor --config FILE",
		Short: "Say line by line what to change in Asterisk or FreePBX",
		Long: "Read Asterisk's or FreePBX's configuration, ask what runs, and say line by line what to\n" +
			"change so that no record and no recording is missed. Nothing is changed. Run it as the\n" +
			"adapter's user, who must be able to read Asterisk's folder.\n\n" +
			"The exit code is 1 where something must be changed.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := adapter.LoadConfig(*file)
			if err != nil {
				return err
			}
			findings := adapter.Examine(cmd.Context(), config, folder)
			if err := show(cmd.OutOrStdout(), findings, asJSON); err != nil {
				return err
			}
			for _, one := range findings {
				if one.Verdict == adapter.Wrong {
					return errChange
				}
			}
			return nil
		},
	}
	command.Flags().StringVar(&folder, "asterisk", "/etc/asterisk", "Asterisk's configuration folder")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON, one finding a line")
	return command
}

func show(out io.Writer, findings []adapter.Finding, asJSON bool) error {
	if asJSON {
		for _, one := range findings {
			text, err := json.Marshal(one)
			if err != nil {
				return fmt.Errorf("print a finding: %w", err)
			}
			if _, err := fmt.Fprintf(out, "%s\n", text); err != nil {
				return fmt.Errorf("print a finding: %w", err)
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, one := range findings {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", one.Verdict, one.Where, one.Found)
		if one.Change != "" {
			_, _ = fmt.Fprintf(table, "\t\t  → %s\n", one.Change)
		}
	}
	return table.Flush()
}
