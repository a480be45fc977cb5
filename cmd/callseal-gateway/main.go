// Callseal-gateway is one operator's gateway between PBXs and the ledger.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/callseal/callseal/gateway"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "callseal-gateway:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "callseal-gateway --config FILE",
		Short: "Serve one operator's adapters, auditors and programs by gRPC over mutual TLS",
		Long: "Serve one operator's adapters, auditors and programs by gRPC over mutual TLS.\n\n" +
			"The configuration is YAML; `callseal network up` writes one for each operator.\n" +
			"Logs go to standard error as JSON, without personal data.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := gateway.LoadConfig(file)
			if err != nil {
				return err
			}
			var level slog.Level
			if err := level.UnmarshalText([]byte(config.Log.Level)); err != nil {
				return fmt.Errorf("log.level must be debug, info, warn or error: %w", err)
			}
			log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
			return gateway.Run(cmd.Context(), config, log)
		},
	}
	command.Flags().StringVar(&file, "config", "", "configuration file (YAML)")
	_ = command.MarkFlagRequired("config")
	return command
}
