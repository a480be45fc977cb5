package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

func callCommand() *cobra.Command {
	command := &cobra.Command{Use: "call", Short: "Read, correct and compare what the operators endorsed of calls"}
	command.AddCommand(
		callGetCommand(), callListCommand(), callStateCommand(), callEraseCommand(), callConversationCommand(), callOmissionsCommand(), callOpenCommand(), callGapsCommand(),
		callCorrectCommand(), callReconcileCommand(), callDisputeCommand(), callDisputesCommand(), callLateCommand(),
	)
	return command
}

// selection says whose calls are meant.
type selection struct {
	access
	msp, pbx string
	json     bool
}

func (s *selection) flags(command *cobra.Command, role ledger.Role) {
	s.access.flags(command, role)
	command.Flags().StringVar(&s.msp, "msp", "", "owner of the call (default: the operator asked)")
	command.Flags().StringVar(&s.pbx, "pbx", "", "PBX of the call (default: the operator's, if it has one)")
	command.Flags().BoolVar(&s.json, "json", false, "print JSON for programs")
}

// resolve fills in the defaults.
func (s *selection) resolve() error {
	if s.msp != "" && s.pbx != "" {
		return nil
	}
	who, err := s.defaultOwner()
	if err != nil {
		return err
	}
	if s.msp == "" {
		s.msp = who.msp
	}
	if s.pbx == "" {
		s.pbx = who.pbx
	}
	if s.pbx == "" {
		return errors.New("name the PBX with --pbx")
	}
	return nil
}

func callGetCommand() *cobra.Command {
	var which selection
	var details bool
	command := &cobra.Command{
		Use:   "get LINKEDID",
		Short: "Show a call's legs and recordings as the operators endorsed them",
		Long: `Show a call's legs and recordings as the operators endorsed them.

With --details the owner's compliance role also sees the personal fields. Their
JSON, with the salt, opens the digest on the ledger: give it to whoever shall be
able to check a CDR row in full with ` + "`callseal verify --details`" + `.`,
		Example: "  callseal call get 1763712000.4\n  callseal call get 1763712000.4 --details --json > disclosed.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if details && !command.Flags().Changed("role") {
				which.role = string(ledger.RoleCompliance)
			}
			if err := which.resolve(); err != nil {
				return err
			}
			connection, _, err := which.connection()
			if err != nil {
				return err
			}
			defer func() { _ = connection.Close() }()
			legs, err := pb.NewCallServiceClient(connection).ListLegs(command.Context(), &pb.ListLegsRequest{Msp: which.msp, Pbx: which.pbx, Linkedid: args[0], IncludeDetails: details})
			if err != nil {
				return asked(err)
			}
			progress, err := pb.NewCallServiceClient(connection).ListProgress(command.Context(), &pb.ListProgressRequest{Msp: which.msp, Pbx: which.pbx, Linkedid: args[0]})
			if err != nil && status.Code(err) != codes.Unimplemented { // a gateway from before version 3
				return asked(err)
			}
			recordings, err := pb.NewRecordingServiceClient(connection).ListRecordings(command.Context(), &pb.ListRecordingsRequest{Msp: which.msp, Pbx: which.pbx, Linkedid: args[0]})
			if err != nil {
				return asked(err)
			}
			if len(legs.GetCalls())+len(recordings.GetRecordings())+len(progress.GetProgress()) == 0 {
				return fmt.Errorf("no leg of call %s of PBX %s of %s is on the ledger", args[0], which.pbx, which.msp)
			}
			if which.json {
				if len(progress.GetProgress()) == 0 {
					return printJSON(command.OutOrStdout(), legs, recordings)
				}
				return printJSON(command.OutOrStdout(), legs, recordings, progress)
			}
			if len(legs.GetCalls()) == 0 {
				_, _ = fmt.Fprintln(command.OutOrStdout(), "no CDR: the PBX wrote none yet, or crashed during the call")
			} else {
				printLegs(command.OutOrStdout(), legs.GetCalls())
			}
			printProgress(command.OutOrStdout(), legs.GetCalls(), progress.GetProgress())
			printRecordings(command.OutOrStdout(), recordings.GetRecordings())
			return nil
		},
	}
	which.flags(command, ledger.RoleAuditor)
	command.Flags().BoolVar(&details, "details", false, "include the personal details (the owner's compliance role only)")
	return command
}

func callListCommand() *cobra.Command {
	var which selection
	var size int32
	var token string
	command := &cobra.Command{
		Use:   "list",
		Short: "List a PBX's calls in order of linkedid",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := which.resolve(); err != nil {
				return err
			}
			connection, _, err := which.connection()
			if err != nil {
				return err
			}
			defer func() { _ = connection.Close() }()
			page, err := pb.NewCallServiceClient(connection).ListCalls(command.Context(), &pb.ListCallsRequest{Msp: which.msp, Pbx: which.pbx, PageSize: size, PageToken: token})
			if err != nil {
				return asked(err)
			}
			if which.json {
				return printJSON(command.OutOrStdout(), page)
			}
			printLegs(command.OutOrStdout(), page.GetCalls())
			if next := page.GetNextPageToken(); next != "" {
				_, err = fmt.Fprintf(command.OutOrStdout(), "more: --page-token %q\n", next)
			}
			return err
		},
	}
	which.flags(command, ledger.RoleAuditor)
	command.Flags().Int32Var(&size, "page-size", 50, "legs a page, 1 to 1000")
	command.Flags().StringVar(&token, "page-token", "", "the page after the one that printed it")
	return command
}

// shownTime is a time as tables show it.
func shownTime(t interface{ AsTime() time.Time }) string {
	return t.AsTime().UTC().Format("2006-01-02 15:04:05")
}

func printLegs(out io.Writer, calls []*pb.Call) {
	rows := newTable(out)
	rows.AppendHeader(table.Row{"linkedid", "uniqueid", "seq", "start (UTC)", "billed", "disposition", "cause", "record"})
	for _, call := range calls {
		rows.AppendRow(table.Row{
			call.GetLeg().GetLinkedid(), call.GetLeg().GetUniqueid(), call.GetLeg().GetSequence(), shownTime(call.GetStart()),
			time.Duration(call.GetBillsecMs()) * time.Millisecond, call.GetDisposition(), call.GetHangupCause(), call.GetPlace().GetSeq(),
		})
	}
	rows.Render()
	for _, call := range calls {
		if len(call.GetDetailsJson()) > 0 {
			_, _ = fmt.Fprintf(out, "details of %s: %s\n", call.GetLeg().GetUniqueid(), call.GetDetailsJson())
		}
	}
}

func printRecordings(out io.Writer, recordings []*pb.Recording) {
	if len(recordings) == 0 {
		return
	}
	rows := newTable(out)
	rows.AppendHeader(table.Row{"recording", "uniqueid", "bytes", "type", "closed (UTC)", "sha-256"})
	for _, recording := range recordings {
		rows.AppendRow(table.Row{
			recording.GetId(), recording.GetLeg().GetUniqueid(), recording.GetBytes(), recording.GetMediaType(), shownTime(recording.GetClosedAt()), recording.GetSha256(),
		})
	}
	rows.Render()
}
