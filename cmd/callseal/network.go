package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/network/ccbuilder"
)

// networkFlags are the flags all network commands share.
type networkFlags struct {
	state      string
	definition string
	consensus  string
	portOffset int
	bin        string
	noGateways bool
}

// networkCommand is `callseal network` and everything under it.
func networkCommand() *cobra.Command {
	var flags networkFlags
	command := &cobra.Command{
		Use:   "network",
		Short: "Run the consortium's Fabric network on this machine",
		Long: `Run the consortium's Fabric network on this machine as native processes:
three operators and a regulator by default, everything over mutual TLS.

The network lives in one state folder: $CALLSEAL_STATE, else callseal/network
under $XDG_STATE_HOME or ~/.local/state.`,
	}
	command.PersistentFlags().StringVar(&flags.state, "state", "", "state folder of the network")
	command.AddCommand(
		networkUpCommand(&flags), networkDownCommand(&flags), networkStatusCommand(&flags),
		networkUpgradeCommand(&flags), networkLogsCommand(&flags), networkCleanCommand(&flags), networkEnvCommand(&flags),
		networkRevokeCommand(&flags), networkCompactCommand(&flags), networkBuilderCommand(),
	)
	return command
}

func (f *networkFlags) open() (*network.Network, error) {
	options := network.Options{
		State: f.state, Consensus: network.Consensus(f.consensus), PortOffset: f.portOffset,
		Bin: f.bin, WithoutGateways: f.noGateways,
	}
	if f.definition != "" {
		definition, err := network.ReadConsortium(f.definition)
		if err != nil {
			return nil, err
		}
		options.Consortium = definition
	}
	return network.Open(options)
}

// interruptible ends the context on Ctrl-C, so that a command can finish its
// sentence.
func interruptible(command *cobra.Command) (context.Context, context.CancelFunc) {
	parent := command.Context()
	if parent == nil {
		parent = context.Background()
	}
	return signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
}

func networkUpCommand(flags *networkFlags) *cobra.Command {
	command := &cobra.Command{
		Use:   "up",
		Short: "Start the network, making it first if it is new",
		Long: `Start the network, making it first if it is new. On a running network this
changes nothing; on a stopped one it continues on the old ledger.

Fabric's programs are taken from $FABRIC_BIN or PATH, else built once and kept
in the user's cache folder.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := interruptible(command)
			defer stop()
			n, err := flags.open()
			if err != nil {
				return err
			}
			begun := time.Now()
			out := command.OutOrStdout()
			if err := n.Up(ctx, func(line string) { _, _ = fmt.Fprintln(out, line) }); err != nil {
				return err
			}
			_, err = fmt.Fprintf(out, "network up in %s, state in %s\n", time.Since(begun).Round(10*time.Millisecond), n.Layout().Root())
			return err
		},
	}
	command.Flags().StringVar(&flags.definition, "consortium", "", "consortium definition to make the network from (default: the built-in one)")
	command.Flags().StringVar(&flags.consensus, "consensus", "", "bft or raft (default: as the definition says)")
	command.Flags().IntVar(&flags.portOffset, "port-offset", 0, "move every port by this much")
	command.Flags().StringVar(&flags.bin, "bin", "", "folder with callseal-chaincode and callseal-gateway (default: beside callseal)")
	command.Flags().BoolVar(&flags.noGateways, "without-gateways", false, "leave the operators' gateways out")
	return command
}

func networkUpgradeCommand(flags *networkFlags) *cobra.Command {
	var bin, version string
	var noGovernance bool
	command := &cobra.Command{
		Use:   "upgrade",
		Short: "Change the network over to another version of the chaincodes",
		Long: `Change the network over to another version of the chaincodes, on the running
ledger: the new services start beside the old ones, every operator's admin approves
the new definitions, and once all peers run them the old services stop and the
gateways start again from the new programs.

Going back is the same with the older programs. They read what they wrote; what the
newer version wrote meanwhile they refuse to read, with NEWER_VERSION.`,
		Example: "  callseal network upgrade --bin ~/callseal-2.1/bin",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := interruptible(command)
			defer stop()
			n, err := network.Open(network.Options{State: flags.state, ChaincodeVersion: version, WithoutGovernance: noGovernance})
			if err != nil {
				return err
			}
			out := command.OutOrStdout()
			return n.Upgrade(ctx, bin, func(line string) { _, _ = fmt.Fprintln(out, line) })
		},
	}
	command.Flags().StringVar(&bin, "bin", "", "folder with the new callseal-chaincode and callseal-gateway (default: the network's)")
	command.Flags().StringVar(&version, "version", "", "version of the chaincodes (default: what the program says)")
	command.Flags().BoolVar(&noGovernance, "without-governance", false, "the program is version 1.0, which has no governance chaincode")
	return command
}

func networkDownCommand(flags *networkFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop every node and keep the ledger",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := interruptible(command)
			defer stop()
			n, err := flags.open()
			if err != nil {
				return err
			}
			if err := n.Down(ctx); err != nil {
				return err
			}
			_, err = fmt.Fprintln(command.OutOrStdout(), "network down")
			return err
		},
	}
}

func networkStatusCommand(flags *networkFlags) *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "status",
		Short: "Show how every node is",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := interruptible(command)
			defer stop()
			n, err := flags.open()
			if err != nil {
				return err
			}
			report, err := n.Status(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(command.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(report)
			}
			return writeStatus(command.OutOrStdout(), report)
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return command
}

func writeStatus(w io.Writer, report []network.NodeStatus) error {
	rows := table.NewWriter()
	rows.SetStyle(table.StyleLight)
	rows.Style().Options = table.OptionsNoBordersAndSeparators
	rows.AppendHeader(table.Row{"Node", "Operator", "Kind", "Address", "PID", "Memory", "Height", "Chaincode", "Metrics", "State"})
	for _, node := range report {
		row := table.Row{node.Node, node.Operator, node.Kind, node.Address, "", "", "", "", node.Metrics, node.State}
		if node.PID != 0 {
			row[4], row[5] = node.PID, fmt.Sprintf("%d MB", node.MemoryBytes>>20)
		}
		if node.Height != 0 {
			row[6] = node.Height
		}
		for _, definition := range node.Chaincodes {
			// The last is the calls'; governance has the same version.
			row[7] = fmt.Sprintf("%s, sequence %d", definition.Version, definition.Sequence)
		}
		rows.AppendRow(row)
	}
	_, err := fmt.Fprintln(w, rows.Render())
	return err
}

func networkLogsCommand(flags *networkFlags) *cobra.Command {
	var follow bool
	command := &cobra.Command{
		Use:   "logs NODE",
		Short: "Print a node's log",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx, stop := interruptible(command)
			defer stop()
			n, err := flags.open()
			if err != nil {
				return err
			}
			return n.Logs(ctx, arguments[0], follow, command.OutOrStdout())
		},
	}
	command.Flags().BoolVarP(&follow, "follow", "f", false, "go on printing what is added")
	return command
}

func networkCleanCommand(flags *networkFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Stop the network and remove its ledger, keys and state folder",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := interruptible(command)
			defer stop()
			if err := network.Clean(ctx, flags.state); err != nil {
				return err
			}
			_, err := fmt.Fprintln(command.OutOrStdout(), "network removed")
			return err
		},
	}
}

func networkEnvCommand(flags *networkFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "env OPERATOR",
		Short:   "Print the variables to act as an operator's admin",
		Long:    "Print the variables to act as an operator's admin, for Callseal's tools and\nfor Fabric's own peer program.",
		Example: `  eval "$(callseal network env atlas)" && peer channel getinfo -c calls`,
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			n, err := flags.open()
			if err != nil {
				return err
			}
			variables, err := n.Env(arguments[0])
			if err != nil {
				return err
			}
			for _, variable := range variables {
				if _, err := fmt.Fprintln(command.OutOrStdout(), variable.Export()); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func networkRevokeCommand(flags *networkFlags) *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "revoke OPERATOR IDENTITY",
		Short: "Withdraw the certificate of a gateway, an adapter or a person",
		Long: `Withdraw the certificate of one of an operator's identities: gateway, auditor,
compliance, or an adapter by its PBX's id. The operator's revocation list goes into
the channel's configuration, signed for by its own admin; from that block on every
peer and orderer refuses what the certificate signs. What was committed before stays.
An adapter's segments are refused too.`,
		Example: `  callseal network revoke atlas auditor
  callseal network revoke atlas atlas-pbx-1 --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, arguments []string) error {
			ctx, stop := interruptible(command)
			defer stop()
			n, err := flags.open()
			if err != nil {
				return err
			}
			revoked, err := n.Revoke(ctx, arguments[0], arguments[1])
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(command.OutOrStdout()).Encode(revoked)
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "%s of %s revoked: certificate %s is refused from now on\n", revoked.Identity, revoked.Member, revoked.Serial)
			return err
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return command
}

// networkBuilderCommand is what peers run to turn an installed package into a
// connection; people have no use for it.
func networkBuilderCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "builder STEP FOLDER...",
		Short:  "External builder that peers run",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, arguments []string) error {
			return ccbuilder.Run(arguments[0], arguments[1:])
		},
	}
}
