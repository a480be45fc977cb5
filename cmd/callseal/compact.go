package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/callseal/callseal/network"
)

const compactLong = `

After a purge, erased details stay in the peer's files, sealed and without their
key, until the databases are compacted. Compact after every batch of erasures and
within the term your law sets for them; once a week is a good habit. The peer is
away for as long as it takes; other operators go on.`

// networkCompactCommand is `callseal network compact`.
func networkCompactCommand(flags *networkFlags) *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:     "compact OPERATOR",
		Short:   "Remove what was purged from the files of an operator's peer",
		Long:    "Stop an operator's peer, compact its private, state and transient databases, and\nstart it again." + compactLong,
		Example: "  callseal network compact atlas",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			ctx, stop := interruptible(command)
			defer stop()
			n, err := flags.open()
			if err != nil {
				return err
			}
			out := command.OutOrStdout()
			done, err := n.Compact(ctx, args[0], func(line string) {
				if !asJSON {
					_, _ = fmt.Fprintln(out, line)
				}
			})
			if err != nil || !asJSON {
				return err
			}
			return printValue(out, done)
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return command
}

// compactCommand is `callseal compact`, for peers that run elsewhere.
func compactCommand() *cobra.Command {
	var folder string
	var asJSON bool
	command := &cobra.Command{
		Use:     "compact --ledger FOLDER",
		Short:   "Remove what was purged from the files of a stopped peer",
		Long:    "Compact the private, state and transient databases of a peer that is stopped, in\nits fileSystemPath." + compactLong,
		Example: "  systemctl stop peer && callseal compact --ledger /var/hyperledger/production; systemctl start peer",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := interruptible(command)
			defer stop()
			out := command.OutOrStdout()
			done, err := network.CompactPeer(ctx, folder, func(line string) {
				if !asJSON {
					_, _ = fmt.Fprintln(out, line)
				}
			})
			if err != nil || !asJSON {
				return err
			}
			return printValue(out, done)
		},
	}
	command.Flags().StringVar(&folder, "ledger", "", "the peer's fileSystemPath")
	command.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	_ = command.MarkFlagRequired("ledger")
	return command
}
