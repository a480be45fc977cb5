package main

import (
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
)

func callReconcileCommand() *cobra.Command {
	var who signer
	command := &cobra.Command{
		Use:   "reconcile CALL_REF",
		Short: "Compare what the operators on a trunk say of one call",
		Long: `Compare what the operators on a trunk say of one call.

CALL_REF is the keyed pseudonym of the SIP Call-ID, as the trunk leg's record carries
it. The tolerance is the policy document "reconciliation". The exit code is 1 when
the operators differ.`,
		Example: "  callseal call reconcile 5a19fe049890a46a178990786df8e0fc",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			var result ledger.Reconciliation
			if err := who.evaluate(command.Context(), &result, "calls:Reconcile", args[0]); err != nil {
				return err
			}
			if who.json {
				if err := printValue(command.OutOrStdout(), &result); err != nil {
					return err
				}
			} else {
				printReconciliation(command.OutOrStdout(), &result)
			}
			if result.Outcome == ledger.OutcomeDiffer {
				return exitCodeError(1)
			}
			return nil
		},
	}
	who.flags(command, ledger.RoleAuditor)
	return command
}

func printReconciliation(out io.Writer, result *ledger.Reconciliation) {
	printSides(out, result.Sides)
	for i := range result.Comparisons {
		compared := &result.Comparisons[i]
		for _, difference := range compared.Differences {
			printDifference(out, &compared.A, &compared.B, difference)
		}
	}
	switch result.Outcome {
	case ledger.OutcomeAgree:
		_, _ = fmt.Fprintln(out, "The operators agree.")
	case ledger.OutcomeDiffer:
		_, _ = fmt.Fprintln(out, "The operators differ: `callseal call dispute` records it for both.")
	default:
		_, _ = fmt.Fprintln(out, "Not comparable: fewer than two operators have a leg with this call_ref.")
	}
}

func printSides(out io.Writer, sides []ledger.Side) {
	if len(sides) == 0 {
		return
	}
	rows := newTable(out)
	rows.AppendHeader(table.Row{"operator", "pbx", "uniqueid", "seq", "start (UTC)", "billed ms", "answered", "corrections"})
	for i := range sides {
		side := &sides[i]
		rows.AppendRow(table.Row{
			side.Place.MSP, side.Place.PBX, side.Place.Leg.UniqueID, side.Place.Leg.Sequence, shownAt(side.Start), side.BillsecMS, yes(side.Answered), side.Corrections,
		})
	}
	rows.Render()
}

func printDifference(out io.Writer, a, b *ledger.Side, difference ledger.Difference) {
	_, _ = fmt.Fprintf(out, "%s: %s says %s, %s says %s", difference.Field, a.Place.MSP, difference.A, b.Place.MSP, difference.B)
	if difference.ByMS > 0 {
		_, _ = fmt.Fprintf(out, " (%d ms apart)", difference.ByMS)
	}
	_, _ = fmt.Fprintln(out)
}

func callDisputeCommand() *cobra.Command {
	var who signer
	command := &cobra.Command{
		Use:   "dispute CALL_REF",
		Short: "Record that two operators tell a call they share differently",
		Long: `Record that two operators tell a call they share differently.

The contract compares the two legs itself and refuses a dispute where they agree. One
is recorded with each operator whose record differs from yours; both see it.`,
		Example: "  callseal call dispute 5a19fe049890a46a178990786df8e0fc",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			channel, err := who.open()
			if err != nil {
				return err
			}
			defer func() { _ = channel.Close() }()
			var result ledger.Reconciliation
			if err := who.evaluate(command.Context(), &result, "calls:Reconcile", args[0]); err != nil {
				return err
			}
			raised := []ledger.Dispute{}
			for i := range result.Comparisons {
				compared := &result.Comparisons[i]
				if compared.Outcome != ledger.OutcomeDiffer || compared.A.Place.MSP != channel.MSP() && compared.B.Place.MSP != channel.MSP() {
					continue
				}
				dispute, err := raiseDispute(command, &who, channel, compared)
				if err != nil {
					return err
				}
				raised = append(raised, *dispute)
			}
			if len(raised) == 0 {
				return fmt.Errorf("there is nothing to dispute: no operator's record of this call differs from that of %s", channel.MSP())
			}
			return showDisputes(command.OutOrStdout(), raised, who.json)
		},
	}
	who.flags(command, ledger.RoleCompliance)
	return command
}

func raiseDispute(command *cobra.Command, who *signer, channel *fabric.Channel, compared *ledger.Comparison) (*ledger.Dispute, error) {
	a, err := ledger.Canonical(&compared.A.Place)
	if err != nil {
		return nil, err
	}
	b, err := ledger.Canonical(&compared.B.Place)
	if err != nil {
		return nil, err
	}
	dispute := &ledger.Dispute{}
	_, err = who.submitTo(command.Context(), channel, dispute, fabric.Proposal{Function: "calls:Dispute", Args: []string{string(a), string(b)}})
	return dispute, err
}

func callDisputesCommand() *cobra.Command {
	var who signer
	var msp string
	command := &cobra.Command{
		Use:     "disputes",
		Short:   "List an operator's disputes about calls",
		Example: "  callseal call disputes --operator borealis",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if msp == "" {
				channel, err := who.open()
				if err != nil {
					return err
				}
				msp = channel.MSP()
				if err := channel.Close(); err != nil {
					return err
				}
			}
			var disputes []ledger.Dispute
			if err := who.evaluate(command.Context(), &disputes, "calls:Disputes", msp); err != nil {
				return err
			}
			return showDisputes(command.OutOrStdout(), disputes, who.json)
		},
	}
	who.flags(command, ledger.RoleAuditor)
	command.Flags().StringVar(&msp, "msp", "", "whose disputes (default: your operator's)")
	return command
}

func showDisputes(out io.Writer, disputes []ledger.Dispute, asJSON bool) error {
	if asJSON {
		return printValue(out, disputes)
	}
	if len(disputes) == 0 {
		_, err := fmt.Fprintln(out, "There is no dispute.")
		return err
	}
	for i := range disputes {
		dispute := &disputes[i]
		_, _ = fmt.Fprintf(out, "call %s, raised by %s at %s\n", dispute.CallRef, dispute.RaisedBy, shownAt(dispute.At))
		for _, difference := range dispute.Differences {
			_, _ = fmt.Fprint(out, "  ")
			printDifference(out, &dispute.A, &dispute.B, difference)
		}
	}
	return nil
}
