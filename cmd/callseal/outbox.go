package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

func outboxCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "outbox",
		Short: "See what the gateway has accepted, and replay what the ledger refused",
		Long: `See what the gateway has accepted, and replay what the ledger refused.

Whatever a gateway acknowledges stands in its journal until it is on the ledger. A
segment that the ledger refuses (an adapter that is not enrolled, say) is set aside
with the reason; those behind it go on. Mend what the reason names, then replay it.

  callseal gateway outbox list --in refused
  callseal gateway outbox show 17
  callseal gateway outbox replay 17`,
	}
	command.AddCommand(outboxListCommand(), outboxShowCommand(), outboxReplayCommand())
	return command
}

func outboxListCommand() *cobra.Command {
	var where access
	var state, pbx string
	var limit int
	var asJSON bool
	command := &cobra.Command{
		Use:   "list",
		Short: "List segments in the order in which they were accepted",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			wanted, err := entryState(state)
			if err != nil {
				return err
			}
			connection, _, err := where.connection()
			if err != nil {
				return err
			}
			defer func() { _ = connection.Close() }()
			all, request := &pb.ListEntriesResponse{}, &pb.ListEntriesRequest{State: wanted, Pbx: pbx}
			for len(all.GetEntries()) < limit {
				request.PageSize = int32(min(limit-len(all.GetEntries()), 500)) //nolint:gosec // at most 500
				page, err := pb.NewOutboxServiceClient(connection).ListEntries(command.Context(), request)
				if err != nil {
					return asked(err)
				}
				all.Entries = append(all.Entries, page.GetEntries()...)
				if all.NextPageToken, request.PageToken = page.GetNextPageToken(), page.GetNextPageToken(); request.PageToken == "" {
					break
				}
			}
			if asJSON {
				return printJSON(command.OutOrStdout(), all)
			}
			printEntries(command.OutOrStdout(), all.GetEntries())
			return nil
		},
	}
	where.flags(command, ledger.RoleAdmin)
	set := command.Flags()
	set.StringVar(&state, "in", "", "only those that are queued, committed, settled or refused (default: all)")
	set.StringVar(&pbx, "pbx", "", "only those of this PBX")
	set.IntVar(&limit, "limit", 100, "at most so many")
	set.BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func outboxShowCommand() *cobra.Command {
	var where access
	var asJSON bool
	command := &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show one segment: how far it has come, what went wrong, what its adapter signed",
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			numbers, err := entryNumbers(args)
			if err != nil {
				return err
			}
			connection, _, err := where.connection()
			if err != nil {
				return err
			}
			defer func() { _ = connection.Close() }()
			found, err := pb.NewOutboxServiceClient(connection).GetEntry(command.Context(), &pb.GetEntryRequest{Number: numbers[0]})
			if err != nil {
				return asked(err)
			}
			if asJSON {
				return printJSON(command.OutOrStdout(), found)
			}
			printEntry(command.OutOrStdout(), found)
			return nil
		},
	}
	where.flags(command, ledger.RoleAdmin)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func outboxReplayCommand() *cobra.Command {
	var where access
	var asJSON bool
	command := &cobra.Command{
		Use:   "replay NUMBER...",
		Short: "Send refused segments on their way again: all that are named, or none",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			numbers, err := entryNumbers(args)
			if err != nil {
				return err
			}
			connection, _, err := where.connection()
			if err != nil {
				return err
			}
			defer func() { _ = connection.Close() }()
			replayed, err := pb.NewOutboxServiceClient(connection).ReplayEntries(command.Context(), &pb.ReplayEntriesRequest{Numbers: numbers})
			if err != nil {
				return asked(err)
			}
			if asJSON {
				return printJSON(command.OutOrStdout(), replayed)
			}
			printEntries(command.OutOrStdout(), replayed.GetEntries())
			return nil
		},
	}
	where.flags(command, ledger.RoleAdmin)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// entryState reads a state as people write it.
func entryState(text string) (pb.EntryState, error) {
	if text == "" {
		return pb.EntryState_ENTRY_STATE_UNSPECIFIED, nil
	}
	state, known := pb.EntryState_value["ENTRY_STATE_"+strings.ToUpper(text)]
	if !known || state == 0 {
		return 0, fmt.Errorf("there is no state %q: say queued, committed, settled or refused", text)
	}
	return pb.EntryState(state), nil
}

func entryNumbers(args []string) ([]int64, error) {
	numbers := make([]int64, len(args))
	for i, text := range args {
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil || number < 1 {
			return nil, fmt.Errorf("%q is no entry's number: `callseal gateway outbox list` prints them", text)
		}
		numbers[i] = number
	}
	return numbers, nil
}

func stateOf(entry *pb.OutboxEntry) string {
	return strings.ToLower(strings.TrimPrefix(entry.GetState().String(), "ENTRY_STATE_"))
}

func printEntries(out io.Writer, entries []*pb.OutboxEntry) {
	if len(entries) == 0 {
		_, _ = fmt.Fprintln(out, "nothing")
		return
	}
	rows := newTable(out)
	rows.AppendHeader(table.Row{"number", "pbx", "epoch", "first", "records", "accepted", "state", "attempts", "problem"})
	for _, entry := range entries {
		rows.AppendRow(table.Row{
			entry.GetNumber(), entry.GetPbx(), entry.GetEpoch(), entry.GetFirstSeq(), entry.GetRecords(),
			entry.GetAcceptedAt().AsTime().Format(time.RFC3339), stateOf(entry), entry.GetAttempts(), entry.GetProblem().GetReason(),
		})
	}
	rows.Render()
}

func printEntry(out io.Writer, found *pb.GetEntryResponse) {
	entry := found.GetEntry()
	rows := newTable(out)
	add := func(name string, value any) {
		if text := fmt.Sprint(value); text != "" {
			rows.AppendRow(table.Row{name, text})
		}
	}
	add("number", entry.GetNumber())
	add("segment", fmt.Sprintf("%s, epoch %d, from %d, %d records", entry.GetPbx(), entry.GetEpoch(), entry.GetFirstSeq(), entry.GetRecords()))
	add("accepted", entry.GetAcceptedAt().AsTime().Format(time.RFC3339))
	add("state", stateOf(entry))
	add("attempts", entry.GetAttempts())
	add("under way in", entry.GetTransactionId())
	if commit := entry.GetCommit(); commit != nil {
		add("committed", fmt.Sprintf("transaction %s in block %d", commit.GetTransactionId(), commit.GetBlock()))
	}
	if problem := entry.GetProblem(); problem != nil {
		add("problem", fmt.Sprintf("%s: %s", problem.GetReason(), problem.GetMessage()))
		add("at", problem.GetStage())
	}
	add("signed header", string(found.GetSegmentJson()))
	rows.Render()
}
