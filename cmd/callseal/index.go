package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/index"
)

// indexCommand looks after a gateway's index, on the gateway's own machine.
func indexCommand() *cobra.Command {
	var file string
	command := &cobra.Command{Use: "index", Short: "The SQL index that a gateway answers lists from"}
	command.PersistentFlags().StringVar(&file, "config", "", "the gateway's configuration file (YAML)")
	_ = command.MarkPersistentFlagRequired("config")
	command.AddCommand(
		&cobra.Command{
			Use: "status", Short: "How far the index is, and what is in it", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return indexStatus(cmd.Context(), file, cmd.OutOrStdout()) },
		},
		&cobra.Command{
			Use: "rebuild", Short: "Make the index anew from block 0", Args: cobra.NoArgs,
			Long: "Make the index anew from block 0, out of the peer's blocks. The gateway may be running: its lists are\nincomplete until it is done. Page tokens and cursors stay good.",
			RunE: func(cmd *cobra.Command, _ []string) error {
				return indexRebuild(cmd.Context(), file, cmd.OutOrStdout())
			},
		},
	)
	return command
}

// openIndex opens the index that a configuration names.
func openIndex(ctx context.Context, file string) (*index.Index, *gateway.Config, error) {
	config, err := gateway.LoadConfig(file)
	if err != nil {
		return nil, nil, err
	}
	opened, err := gateway.OpenIndex(ctx, config, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), nil)
	return opened, config, err
}

func indexStatus(ctx context.Context, file string, out io.Writer) (err error) {
	opened, config, err := openIndex(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	status, err := opened.Status(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(table, "index\t%s\nchannel\t%s\noperator\t%s\nfirst block\t%s\nblocks\t%d\n", status.Where, status.Channel, status.MSP, status.Genesis, status.Height)
	if channel, failed := fabric.Open(config.Fabric); failed == nil {
		if height, failed := channel.Height(ctx); failed == nil {
			_, _ = fmt.Fprintf(table, "blocks of the peer\t%d\n", height)
		} else {
			_, _ = fmt.Fprintf(table, "blocks of the peer\tunknown: it does not answer\n")
		}
		err = channel.Close()
	}
	for _, one := range status.Rows {
		_, _ = fmt.Fprintf(table, "%s\t%d\n", one.Table, one.Rows)
	}
	_, _ = fmt.Fprintf(table, "unreadable writes\t%d\n", status.Unreadable)
	return errors.Join(err, table.Flush())
}

func indexRebuild(ctx context.Context, file string, out io.Writer) (err error) {
	opened, config, err := openIndex(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	channel, err := fabric.Open(config.Fabric)
	if err != nil {
		return fmt.Errorf("reach the peer: %w", err)
	}
	defer func() { err = errors.Join(err, channel.Close()) }()
	height, err := channel.Height(ctx)
	if err != nil {
		return fmt.Errorf("ask the peer for its height: %w", err)
	}
	began := time.Now()
	if err := opened.Clear(ctx); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	go func() { opened.Run(running, channel); close(ended) }()
	defer func() { stop(); <-ended }()
	for {
		waiting, cancel := context.WithTimeout(ctx, 2*time.Second)
		reached := opened.Await(waiting, height) == nil
		cancel()
		stored, err := opened.Stored(ctx) // a running gateway may be quicker
		if err != nil {
			return err
		}
		if reached || stored >= height {
			_, _ = fmt.Fprintf(out, "%d blocks are in the index, after %s\n", max(stored, height), time.Since(began).Round(time.Millisecond))
			return nil
		}
		if trouble := opened.Trouble(); trouble != nil {
			return trouble
		}
		_, _ = fmt.Fprintf(out, "%d of %d blocks\n", stored, height)
	}
}
