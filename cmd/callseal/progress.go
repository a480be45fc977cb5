package main

import (
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// printProgress says how the calls stand that have no leg.
func printProgress(out io.Writer, legs []*pb.Call, progress []*pb.Progress) {
	closed := map[string]bool{}
	for _, leg := range legs {
		closed[leg.GetLeg().GetUniqueid()] = true
	}
	settled := map[string]bool{}
	for _, one := range progress {
		settled[one.GetUniqueid()] = settled[one.GetUniqueid()] || one.GetState() != ledger.ProgressAnswered
	}
	for _, one := range progress {
		at := one.GetAt().AsTime().UTC().Format(time.RFC3339)
		switch {
		case closed[one.GetUniqueid()]:
		case one.GetState() == ledger.ProgressCut:
			_, _ = fmt.Fprintf(out, "the call of %s was cut: the Asterisk that carried it was gone by %s, without a CDR\n", one.GetUniqueid(), at)
		case one.GetState() == ledger.ProgressEnded:
			_, _ = fmt.Fprintf(out, "the call of %s ended at %s, and no source of the PBX has a CDR of it\n", one.GetUniqueid(), at)
		case settled[one.GetUniqueid()]:
			_, _ = fmt.Fprintf(out, "the call of %s was answered at %s\n", one.GetUniqueid(), at)
		default:
			_, _ = fmt.Fprintf(out, "the call of %s was answered at %s, and the ledger has not heard of its end\n", one.GetUniqueid(), at)
		}
	}
}

func callOpenCommand() *cobra.Command {
	var which selection
	var since time.Duration
	command := &cobra.Command{
		Use:   "open",
		Short: "List calls that were answered and of whose end the ledger has not heard",
		Long: `List calls that were answered and of whose end the ledger has not heard.

They go on, or their adapter is away. A call that a crash of Asterisk cut is told as
such by the adapter once Asterisk is back; callseal call get shows it. The PBX's adapter
tells of calls before they end only with progress: answered in its configuration.`,
		Example: "  callseal call open\n  callseal call open --operator borealis --msp AtlasMSP --pbx atlas-pbx-1 --since 24h",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := which.resolve(); err != nil {
				return err
			}
			connection, _, err := which.connection()
			if err != nil {
				return err
			}
			defer func() { _ = connection.Close() }()
			found, err := pb.NewSearchServiceClient(connection).ListOpenCalls(command.Context(), &pb.ListOpenCallsRequest{
				Msp: which.msp, Pbx: which.pbx, Since: timestamppb.New(time.Now().Add(-since)),
			})
			if err != nil {
				return asked(err)
			}
			out := command.OutOrStdout()
			if which.json {
				return printJSON(out, found)
			}
			if len(found.GetCalls()) == 0 {
				_, err = fmt.Fprintf(out, "No call of PBX %s of %s is open.\n", which.pbx, which.msp)
				return err
			}
			rows := newTable(out)
			rows.AppendHeader(table.Row{"linkedid", "uniqueid", "answered (UTC)", "for"})
			for _, call := range found.GetCalls() {
				answered := call.GetAnswered().AsTime()
				rows.AppendRow(table.Row{call.GetLinkedid(), call.GetUniqueid(), answered.UTC().Format(time.DateTime), time.Since(answered).Round(time.Second)})
			}
			rows.Render()
			return nil
		},
	}
	which.flags(command, ledger.RoleAuditor)
	command.Flags().DurationVar(&since, "since", 7*24*time.Hour, "how long ago they may have been answered")
	return command
}
