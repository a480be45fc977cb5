package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// unhealthy is the exit code of `callseal gateway health` when the gateway does not
// accept.
const unhealthy = exitCodeError(1)

func gatewayHealthCommand() *cobra.Command {
	var where access
	var asJSON bool
	command := &cobra.Command{
		Use:   "health",
		Short: "Show what the gateway can do now, and why not the rest",
		Long: `Show what the gateway can do now, and why not the rest: each thing it stands on
and each of its services, as the gRPC health service and /readyz tell it too.
The exit code is 1 when it accepts no records.`,
		Example: "  callseal gateway health --operator borealis",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			status, err := gatewayStatus(command, &where)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeHealthJSON(command.OutOrStdout(), status)
			} else {
				err = writeHealth(command.OutOrStdout(), status)
			}
			if err == nil && !status.GetAccepting() {
				return unhealthy
			}
			return err
		},
	}
	where.flags(command, ledger.RoleAuditor)
	command.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return command
}

func gatewayStatusCommand() *cobra.Command {
	var where access
	var asJSON bool
	command := &cobra.Command{
		Use:   "status",
		Short: "Show versions, heights, queues, peers and certificates of the gateway",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			status, err := gatewayStatus(command, &where)
			if err != nil {
				return err
			}
			if asJSON {
				text, err := protojson.MarshalOptions{Multiline: true, UseProtoNames: true, EmitUnpopulated: true}.Marshal(status)
				if err != nil {
					return fmt.Errorf("write the status: %w", err)
				}
				_, err = fmt.Fprintln(command.OutOrStdout(), string(text))
				return err
			}
			return writeGatewayStatus(command.OutOrStdout(), status)
		},
	}
	where.flags(command, ledger.RoleAuditor)
	command.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return command
}

func gatewayStatus(command *cobra.Command, where *access) (*pb.GetStatusResponse, error) {
	ctx, stop := interruptible(command)
	defer stop()
	connection, _, err := where.connection()
	if err != nil {
		return nil, err
	}
	defer func() { _ = connection.Close() }()
	status, err := pb.NewStatusServiceClient(connection).GetStatus(ctx, &pb.GetStatusRequest{})
	if err != nil {
		return nil, asked(err)
	}
	return status, nil
}

func word(serving bool) string {
	if serving {
		return "serving"
	}
	return "NOT SERVING"
}

func plainTable() table.Writer {
	rows := table.NewWriter()
	rows.SetStyle(table.StyleLight)
	rows.Style().Options = table.OptionsNoBordersAndSeparators
	return rows
}

func writeHealth(w io.Writer, status *pb.GetStatusResponse) error {
	rows := plainTable()
	rows.AppendHeader(table.Row{"Name", "State", "For", "Reason"})
	rows.AppendRow(table.Row{"accepting records", word(status.GetAccepting()), "", status.GetReason()})
	for _, one := range append(status.GetDependencies(), status.GetServices()...) {
		rows.AppendRow(table.Row{one.GetName(), word(one.GetServing()), since(one.GetSince()), one.GetReason()})
	}
	_, err := fmt.Fprintln(w, rows.Render())
	return err
}

func writeHealthJSON(w io.Writer, status *pb.GetStatusResponse) error {
	type health struct {
		Name    string    `json:"name"`
		Serving bool      `json:"serving"`
		Reason  string    `json:"reason,omitempty"`
		Since   time.Time `json:"since,omitzero"`
	}
	all := []health{{Serving: status.GetAccepting(), Reason: status.GetReason()}}
	for _, one := range append(status.GetDependencies(), status.GetServices()...) {
		all = append(all, health{one.GetName(), one.GetServing(), one.GetReason(), one.GetSince().AsTime()})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(all)
}

func writeGatewayStatus(w io.Writer, status *pb.GetStatusResponse) error {
	rows := plainTable()
	add := func(name string, value ...any) {
		rows.AppendRow(table.Row{name, strings.TrimSpace(fmt.Sprintln(value...))})
	}
	add("Operator", status.GetOperator(), status.GetMsp())
	add("Version", status.GetVersion(), status.GetRevision(), status.GetGoVersion())
	add("Chaincode", status.GetChaincodeVersion())
	add("Running for", since(status.GetStartedAt()))
	add("Accepting", word(status.GetAccepting()), status.GetReason())
	heights, queue := status.GetLedger(), status.GetQueue()
	add("Blocks", heights.GetPeer(), "at the peer,", heights.GetIndex(), "in the index,", heights.GetLag(), "behind")
	add("Queue", queue.GetQueued(), "queued,", queue.GetCommitted(), "without details yet,", queue.GetRefused(), "refused,", queue.GetInFlight(), "transactions under way")
	if queue.GetOldestAcceptedAt() != nil {
		add("Oldest waits", since(queue.GetOldestAcceptedAt()))
	}
	add("Journal", queue.GetDiskBytes()>>10, "KiB on disk,", queue.GetBytes()>>10, "KiB of segments")
	for _, peer := range status.GetPeers() {
		state := "answers"
		if !peer.GetReachable() {
			state = "DOES NOT ANSWER"
		}
		add("Peer", peer.GetAddress(), state, "height", peer.GetHeight())
	}
	for _, one := range status.GetCertificates() {
		add("Certificate", one.GetName(), "of", one.GetSubject(), "ends", one.GetNotAfter().AsTime().Format(time.RFC3339))
	}
	_, err := fmt.Fprintln(w, rows.Render())
	return err
}

func since(when *timestamppb.Timestamp) string {
	if when == nil {
		return ""
	}
	return time.Since(when.AsTime()).Round(time.Second).String()
}
