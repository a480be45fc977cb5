// Callseal-gateway is one operator's gateway between PBXs and the ledger.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/setting"
)

// memoryLimit is what Go's collector keeps the gateway's heap to unless GOMEMLIMIT
// says otherwise. What the stores hold outside the heap and the pages of the program
// itself come on top.
const memoryLimit = 80 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once; the journal is made for that
	}()
	root, err := command()
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "callseal-gateway:", err)
		os.Exit(1)
	}
}

// invocation is how the program was called.
type invocation struct {
	file    string
	command *cobra.Command
}

// load reads all layers.
func (i *invocation) load() (*gateway.Config, setting.Origins, error) {
	return gateway.Load(setting.Sources{File: i.file, Environ: os.Environ(), Flags: i.command.Flags()})
}

func command() (*cobra.Command, error) {
	usage, err := gateway.Usage()
	if err != nil {
		return nil, fmt.Errorf("read the options' documentation: %w", err)
	}
	called := &invocation{}
	var printConfig bool
	root := &cobra.Command{
		Use:   "callseal-gateway --config FILE",
		Short: "Serve one operator's adapters, auditors and programs by gRPC over mutual TLS",
		Long: "Serve one operator's adapters, auditors and programs by gRPC over mutual TLS.\n\n" +
			"The configuration is YAML; `callseal network up` writes one for each operator.\n" +
			"Every option may also be a variable of the environment, " + gateway.VariablePrefix + "SERVER_LISTEN for\n" +
			"server.listen, or a flag; flags win over the environment, and that over the file.\n" +
			"SIGHUP, and a change of the file, reload what is marked so.\n" +
			"Logs go to standard error as JSON, without personal data.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			called.command = cmd
			config, origins, err := called.load()
			if err != nil {
				return fmt.Errorf("the configuration cannot be used:\n%w", err)
			}
			if printConfig {
				return gateway.Options.Print(cmd.OutOrStdout(), config, origins)
			}
			return serve(cmd.Context(), called, config)
		},
	}
	root.PersistentFlags().StringVar(&called.file, "config", "", "configuration file (YAML)")
	root.Flags().BoolVar(&printConfig, "print-config", false, "print the configuration in effect, with where each value came from, and end")
	root.PersistentFlags().SortFlags, root.Flags().SortFlags = false, false
	gateway.Options.AddFlags(root.PersistentFlags(), usage)
	root.AddCommand(checkCommand(called))
	root.CompletionOptions.DisableDefaultCmd = true
	return root, nil
}

// serve runs the gateway until a signal.
func serve(ctx context.Context, called *invocation, config *gateway.Config) error {
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(config.Log.Level)); err != nil {
		return fmt.Errorf("log.level: %w", err)
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	serving := gateway.New(config, log, gateway.WithLevel(level))
	reloading, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		reloads(reloading, called, serving, log)
	}()
	err := serving.Run(ctx)
	stop()
	<-ended
	return err
}
