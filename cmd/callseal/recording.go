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
	"github.com/callseal/callseal/gateway/fabric"
)

func recordingCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "recording",
		Short: "Read recordings' records, hold them, keep them longer or shorter, erase them",
	}
	command.AddCommand(
		recordingGetCommand(), recordingListCommand(), recordingStateCommand(),
		recordingHoldCommand(), recordingReleaseCommand(), recordingHoldsCommand(),
		recordingRetainCommand(), recordingEraseCommand(),
	)
	return command
}

func recordingGetCommand() *cobra.Command {
	var which selection
	var details bool
	var revision int64
	command := &cobra.Command{
		Use:     "get RECORDING",
		Short:   "Show a recording's record as the operators endorsed it",
		Example: "  callseal recording get 5f0c…  --details",
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
			answer, err := pb.NewRecordingServiceClient(connection).GetRecording(command.Context(), &pb.GetRecordingRequest{
				Msp: which.msp, Pbx: which.pbx, Id: args[0], Revision: revision, IncludeDetails: details,
			})
			if err != nil {
				return asked(err)
			}
			if which.json {
				return printJSON(command.OutOrStdout(), answer)
			}
			printRecordings(command.OutOrStdout(), []*pb.Recording{answer.GetRecording()})
			if said := answer.GetRecording().GetDetailsJson(); len(said) > 0 {
				_, err = fmt.Fprintf(command.OutOrStdout(), "details: %s\n", said)
			}
			return err
		},
	}
	which.flags(command, ledger.RoleAuditor)
	command.Flags().Int64Var(&revision, "revision", 1, "revision of the recording")
	command.Flags().BoolVar(&details, "details", false, "include the personal details (the owner's compliance role only)")
	return command
}

func recordingListCommand() *cobra.Command {
	var which selection
	command := &cobra.Command{
		Use:     "list LINKEDID",
		Short:   "List the recordings of a call",
		Example: "  callseal recording list 1763712000.4",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := which.resolve(); err != nil {
				return err
			}
			connection, _, err := which.connection()
			if err != nil {
				return err
			}
			defer func() { _ = connection.Close() }()
			answer, err := pb.NewRecordingServiceClient(connection).ListRecordings(command.Context(), &pb.ListRecordingsRequest{Msp: which.msp, Pbx: which.pbx, Linkedid: args[0]})
			if err != nil {
				return asked(err)
			}
			if which.json {
				return printJSON(command.OutOrStdout(), answer)
			}
			printRecordings(command.OutOrStdout(), answer.GetRecordings())
			return nil
		},
	}
	which.flags(command, ledger.RoleAuditor)
	return command
}

// custodian signs decisions about records of a PBX.
type custodian struct {
	signer
	msp, pbx string
	revision int64
}

func (c *custodian) flags(command *cobra.Command, role ledger.Role) {
	c.signer.flags(command, role)
	command.Flags().StringVar(&c.msp, "msp", "", "owner of the records (default: your operator)")
	command.Flags().StringVar(&c.pbx, "pbx", "", "PBX (default: the operator's, if it has one)")
}

func (c *custodian) revisionFlag(command *cobra.Command) {
	command.Flags().Int64Var(&c.revision, "revision", 1, "revision of the recording")
}

// resolve fills in the defaults.
func (c *custodian) resolve() error {
	which := selection{access: c.access, msp: c.msp, pbx: c.pbx}
	if c.connectionFile != "" {
		config, err := readConnection(c.connectionFile)
		if err != nil {
			return err
		}
		if which.msp == "" {
			which.msp = config.MSP
		}
		if which.pbx == "" {
			return fmt.Errorf("name the PBX with --pbx")
		}
	}
	if err := which.resolve(); err != nil {
		return err
	}
	c.msp, c.pbx = which.msp, which.pbx
	return nil
}

// recording names a recording to the contracts.
func (c *custodian) recording(id string) []string {
	return []string{c.msp, c.pbx, id, strconv.FormatInt(c.revision, 10)}
}

func recordingStateCommand() *cobra.Command {
	var who custodian
	command := &cobra.Command{
		Use:     "state RECORDING",
		Short:   "Show whether a recording is held or erased, and until when it is kept",
		Example: "  callseal recording state 5f0c… --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := who.resolve(); err != nil {
				return err
			}
			var custody ledger.Custody
			if err := who.evaluate(command.Context(), &custody, "recordings:State", who.recording(args[0])...); err != nil {
				return err
			}
			if who.json {
				return printValue(command.OutOrStdout(), &custody)
			}
			printCustody(command.OutOrStdout(), &custody)
			return nil
		},
	}
	who.flags(command, ledger.RoleAuditor)
	who.revisionFlag(command)
	return command
}

// printCustody prints what stands about a record.
func printCustody(out io.Writer, custody *ledger.Custody) {
	rows := newTable(out)
	rows.AppendRow(table.Row{"state", custody.State})
	rows.AppendRow(table.Row{"kept until", custody.RetentionUntil})
	if custody.Hold == nil {
		rows.AppendRow(table.Row{"held by", "no case"})
	} else {
		for _, held := range custody.Hold.Cases {
			until := "until it is released"
			if !held.Until.IsZero() {
				until = "until " + held.Until.String()
			}
			rows.AppendRow(table.Row{"held by", fmt.Sprintf("case %.12s… (%s) since %s, %s", held.CaseDigest, held.Reason, held.PlacedAt, until)})
		}
	}
	for _, pause := range custody.Pauses {
		rows.AppendRow(table.Row{"paused", fmt.Sprintf("%s to %s (%s)", time.Duration(pause.FromMS)*time.Millisecond, time.Duration(pause.ToMS)*time.Millisecond, pause.Reason)})
	}
	if erasure := custody.Erasure; erasure != nil {
		for _, part := range []struct {
			what string
			*ledger.Destruction
		}{{"details erased", erasure.Details}, {"audio erased", erasure.Audio}} {
			if part.Destruction != nil {
				rows.AppendRow(table.Row{part.what, fmt.Sprintf("%s (%s), transaction %.12s…", part.At, part.Reason, part.TxID)})
			}
		}
	}
	rows.Render()
}

// legalCase is how a case is named on the command line.
type legalCase struct{ file, digest string }

func (l *legalCase) flags(command *cobra.Command) {
	command.Flags().StringVar(&l.file, "case", "", "file with the order or the case's papers: its SHA-256 names the case")
	command.Flags().StringVar(&l.digest, "case-digest", "", "SHA-256 that names the case, in place of --case")
	command.MarkFlagsOneRequired("case", "case-digest")
	command.MarkFlagsMutuallyExclusive("case", "case-digest")
}

func (l *legalCase) resolve() (string, error) {
	if l.digest != "" {
		return strings.ToLower(l.digest), nil
	}
	return fileDigest(l.file)
}

// versions are the versions of a conversation's hold.
func (c *custodian) holds(command *cobra.Command, linkedID string) ([]ledger.Hold, error) {
	var holds []ledger.Hold
	err := c.evaluate(command.Context(), &holds, "recordings:Holds", c.msp, c.pbx, linkedID)
	return holds, err
}

func recordingHoldCommand() *cobra.Command {
	var who custodian
	var which legalCase
	var reason, until string
	command := &cobra.Command{
		Use:   "hold LINKEDID",
		Short: "Forbid the erasure of a call's details and recordings for a case",
		Long: `Forbid the erasure of a call's details and recordings for a case. Several cases
may hold a call; each is released by itself. The ledger learns a digest of the
case's papers and a reason, nothing more: keep the papers.

You sign it yourself, with the compliance role of the call's owner. A hold asked
for by another operator or a regulator is placed by the owner on their behalf.`,
		Example: "  callseal recording hold 1763712000.4 --case order.pdf --reason court_order --until 2027-01-01T00:00:00Z",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			digest, err := which.resolve()
			if err != nil {
				return err
			}
			request := ledger.HoldRequest{CaseDigest: digest, Reason: reason}
			if request.Until, err = timeFlag("until", until); err != nil {
				return err
			}
			if err := who.resolve(); err != nil {
				return err
			}
			before, err := who.holds(command, args[0])
			if err != nil {
				return err
			}
			request.After = int64(len(before))
			argument, err := ledger.Canonical(&request)
			if err != nil {
				return err
			}
			return who.changeHold(command, fabric.Proposal{Function: "recordings:Hold", Args: []string{who.msp, who.pbx, args[0], string(argument)}})
		},
	}
	who.flags(command, ledger.RoleCompliance)
	which.flags(command)
	command.Flags().StringVar(&reason, "reason", "", "one of "+strings.Join(ledger.HoldReasons, ", "))
	command.Flags().StringVar(&until, "until", "", "when the case lets go by itself, RFC 3339 (default: when it is released)")
	_ = command.MarkFlagRequired("reason")
	return command
}

func recordingReleaseCommand() *cobra.Command {
	var who custodian
	var which legalCase
	command := &cobra.Command{
		Use:     "release LINKEDID",
		Short:   "Let a call go from a case that holds it",
		Example: "  callseal recording release 1763712000.4 --case order.pdf",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			digest, err := which.resolve()
			if err != nil {
				return err
			}
			if err := who.resolve(); err != nil {
				return err
			}
			before, err := who.holds(command, args[0])
			if err != nil {
				return err
			}
			return who.changeHold(command, fabric.Proposal{
				Function: "recordings:Release", Args: []string{who.msp, who.pbx, args[0], digest, strconv.Itoa(len(before))},
			})
		},
	}
	who.flags(command, ledger.RoleCompliance)
	which.flags(command)
	return command
}

// changeHold has a change of a hold committed and prints what holds then.
func (c *custodian) changeHold(command *cobra.Command, what fabric.Proposal) error {
	var hold ledger.Hold
	commit, err := c.submit(command.Context(), &hold, what)
	if err != nil {
		return err
	}
	if c.json {
		return printValue(command.OutOrStdout(), &hold)
	}
	_, err = fmt.Fprintf(command.OutOrStdout(), "%s case %.12s… (block %d); cases that hold call %s now: %d\n", hold.Change, hold.CaseDigest, commit.Block, hold.LinkedID, len(hold.Cases))
	return err
}

func recordingHoldsCommand() *cobra.Command {
	var who custodian
	command := &cobra.Command{
		Use:     "holds LINKEDID",
		Short:   "Show who held a call and when, since the first",
		Example: "  callseal recording holds 1763712000.4",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := who.resolve(); err != nil {
				return err
			}
			holds, err := who.holds(command, args[0])
			if err != nil {
				return err
			}
			if who.json {
				return printValue(command.OutOrStdout(), holds)
			}
			rows := newTable(command.OutOrStdout())
			rows.AppendHeader(table.Row{"version", "at (UTC)", "change", "case", "cases then", "transaction"})
			for _, hold := range holds {
				rows.AppendRow(table.Row{hold.N, hold.At, hold.Change, hold.CaseDigest[:12] + "…", len(hold.Cases), hold.TxID})
			}
			rows.Render()
			return nil
		},
	}
	who.flags(command, ledger.RoleAuditor)
	return command
}

func recordingRetainCommand() *cobra.Command {
	var who custodian
	var until string
	command := &cobra.Command{
		Use:   "retain RECORDING",
		Short: "Keep a recording longer, or shorter than was meant",
		Long: `Keep a recording longer, or shorter than was meant, within the bounds of the
operators' policy on retention. You sign it yourself, with the compliance role of
the recording's owner.`,
		Example: "  callseal recording retain 5f0c… --until 2028-01-01T00:00:00Z",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			at, err := timeFlag("until", until)
			if err != nil {
				return err
			}
			if err := who.resolve(); err != nil {
				return err
			}
			var retention ledger.Retention
			commit, err := who.submit(command.Context(), &retention, fabric.Proposal{Function: "recordings:Retain", Args: append(who.recording(args[0]), at.String())})
			if err != nil {
				return err
			}
			if who.json {
				return printValue(command.OutOrStdout(), &retention)
			}
			_, err = fmt.Fprintf(command.OutOrStdout(), "kept until %s (block %d)\n", retention.Until, commit.Block)
			return err
		},
	}
	who.flags(command, ledger.RoleCompliance)
	who.revisionFlag(command)
	command.Flags().StringVar(&until, "until", "", "until when, RFC 3339")
	_ = command.MarkFlagRequired("until")
	return command
}

// timeFlag reads a time as people write it; an empty one is not set.
func timeFlag(name, text string) (ledger.Time, error) {
	if text == "" {
		return ledger.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return ledger.Time{}, fmt.Errorf("--%s: write a time like 2027-01-01T00:00:00Z", name)
	}
	return ledger.TimeOf(at), nil
}
