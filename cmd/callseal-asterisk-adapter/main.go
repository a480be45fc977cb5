// Callseal-asterisk-adapter follows one Asterisk and anchors its calls and
// recordings through the operator's gateway.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	adapter "github.com/callseal/callseal/asterisk-adapter"
)

func main() {
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
			"The configuration is YAML; asterisk-adapter/pbx/README.md shows one, with what Asterisk\n" +
			"needs. Logs go to standard error as JSON, one line a call, without personal data.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := adapter.LoadConfig(file)
			if err != nil {
				return err
			}
			var level slog.Level
			if config.LogLevel != "" {
				if err := level.UnmarshalText([]byte(config.LogLevel)); err != nil {
					return fmt.Errorf("log_level must be debug, info, warn or error: %w", err)
				}
			}
			log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
			return adapter.Run(cmd.Context(), config, log)
		},
	}
	command.Flags().StringVar(&file, "config", "", "configuration file (YAML)")
	_ = command.MarkFlagRequired("config")
	return command
}
