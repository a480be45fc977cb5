package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
)

// historian asks the own peer about any operator's calls.
type historian struct {
	signer
	msp, pbx string
}

func (h *historian) flags(command *cobra.Command, role ledger.Role) {
	h.signer.flags(command, role)
	command.Flags().StringVar(&h.msp, "msp", "", "owner of the calls (default: your operator)")
	command.Flags().StringVar(&h.pbx, "pbx", "", "PBX of the calls (default: your operator's, if it has one)")
}

// reach opens the peer and fills in the defaults.
func (h *historian) reach() (*fabric.Channel, error) {
	channel, err := h.open()
	if err != nil {
		return nil, err
	}
	own := h.msp == "" || h.msp == channel.MSP()
	if h.msp == "" {
		h.msp = channel.MSP()
	}
	if h.pbx == "" && own && h.connectionFile == "" {
		who, err := h.defaultOwner()
		if err != nil {
			return nil, errors.Join(err, channel.Close())
		}
		h.pbx = who.pbx
	}
	if h.pbx == "" {
		return nil, errors.Join(errors.New("name the PBX with --pbx"), channel.Close())
	}
	return channel, nil
}

// ask evaluates a function at the peer that reach opened and decodes its answer.
func (h *historian) ask(ctx context.Context, channel *fabric.Channel, answer any, function string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	result, err := channel.Evaluate(ctx, function, args...)
	if err != nil {
		return sentence(err)
	}
	return ledger.DecodeStrict(result, answer)
}

// walkSize is how many segments one question walks.
const walkSize = 500

func callGapsCommand() *cobra.Command {
	var which historian
	command := &cobra.Command{
		Use:   "gaps",
		Short: "Walk a PBX's history and say what is missing, forked, lost or doubled",
		Long: `Walk a PBX's history and say what is missing, forked, lost or doubled.

The walk reads the headers of the signed segments, the openings of epochs and what
was refused, at your own operator's peer, of any operator's PBX. Findings marked with
an exclamation mark need someone to look into them; then the exit code is 1. The
others have an innocent reason as a rule.`,
		Example: "  callseal call gaps --operator borealis --msp AtlasMSP --pbx atlas-pbx-1",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			channel, err := which.reach()
			if err != nil {
				return err
			}
			defer func() { _ = channel.Close() }()
			history, err := which.walk(command.Context(), channel)
			if err != nil {
				return err
			}
			if which.json {
				err = printValue(command.OutOrStdout(), history)
			} else {
				printGaps(command.OutOrStdout(), history)
			}
			if err == nil && history.Alarms() > 0 {
				return exitCodeError(1)
			}
			return err
		},
	}
	which.flags(command, ledger.RoleAuditor)
	return command
}

// walk reads all pages.
func (h *historian) walk(ctx context.Context, channel *fabric.Channel) (*ledger.Gaps, error) {
	history := &ledger.Gaps{Epochs: []ledger.EpochSummary{}, Findings: []ledger.Finding{}, MSP: h.msp, PBX: h.pbx, V: ledger.SchemaVersion}
	for place := (&ledger.GapsPlace{}); place != nil; place = history.Next {
		var page ledger.Gaps
		err := h.ask(ctx, channel, &page, "calls:Gaps", h.msp, h.pbx, strconv.FormatInt(place.Epoch, 10), strconv.FormatInt(place.From, 10), strconv.Itoa(walkSize))
		if err != nil {
			return nil, err
		}
		if page.Complete {
			return &page, nil
		}
		history.Add(&page)
	}
	history.Conclude()
	return history, nil
}

func printGaps(out io.Writer, history *ledger.Gaps) {
	if len(history.Epochs) == 0 {
		_, _ = fmt.Fprintf(out, "PBX %s of %s has no history on the ledger.\n", history.PBX, history.MSP)
		return
	}
	rows := newTable(out)
	rows.AppendHeader(table.Row{"epoch", "begins", "first closed (UTC)", "last closed (UTC)", "records", "segments", "signers", "closed"})
	for i := range history.Epochs {
		epoch := &history.Epochs[i]
		rows.AppendRow(table.Row{
			epoch.Epoch, dash(epoch.Why), shownAt(epoch.FirstClosed), shownAt(epoch.LastClosed), fmt.Sprintf("%d to %d", epoch.FirstSeq, epoch.LastSeq),
			epoch.Segments, len(epoch.Signers), yes(epoch.Closing),
		})
	}
	rows.Render()
	printBoots(out, history)
	if len(history.Findings) > 0 {
		_, _ = fmt.Fprintln(out)
	}
	for i := range history.Findings {
		finding := &history.Findings[i]
		mark := " "
		if finding.Alarm {
			mark = "!"
		}
		where := "the whole history"
		switch {
		case finding.Epoch != 0:
			where = fmt.Sprintf("epoch %d", finding.Epoch)
		case finding.Boot != 0:
			where = "Asterisk started " + time.UnixMilli(finding.Boot).UTC().Format(time.DateTime)
		}
		_, _ = fmt.Fprintf(out, "%s %-16s %s: %s\n", mark, finding.Kind, where, finding.Sentence())
	}
	_, _ = fmt.Fprintln(out)
	switch alarms := history.Alarms(); alarms {
	case 0:
		_, _ = fmt.Fprintf(out, "No gap: the history of PBX %s of %s is whole, as far as its segments tell.\n", history.PBX, history.MSP)
	case 1:
		_, _ = fmt.Fprintf(out, "One finding about PBX %s of %s needs someone to look into it.\n", history.PBX, history.MSP)
	default:
		_, _ = fmt.Fprintf(out, "%d findings about PBX %s of %s need someone to look into them.\n", alarms, history.PBX, history.MSP)
	}
}

// printBoots shows the high water of CDR sequences, where legs tell their start.
func printBoots(out io.Writer, history *ledger.Gaps) {
	rows := newTable(out)
	rows.AppendHeader(table.Row{"epoch", "asterisk started (UTC)", "legs", "cdr sequences", "without a leg"})
	told := false
	for i := range history.Epochs {
		for _, boot := range history.Epochs[i].Boots {
			told = true
			rows.AppendRow(table.Row{
				history.Epochs[i].Epoch, time.UnixMilli(boot.Boot).UTC().Format(time.DateTime), boot.Count, fmt.Sprintf("%d to %d", boot.Lowest, boot.Highest), max(0, boot.Holes()),
			})
		}
	}
	if told {
		_, _ = fmt.Fprintln(out)
		rows.Render()
	}
}

// shownAt is a ledger's time as tables show it.
func shownAt(t ledger.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Std().Format(time.DateTime)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

func callConversationCommand() *cobra.Command {
	var which historian
	command := &cobra.Command{
		Use:     "conversation LINKEDID",
		Short:   "Show a whole conversation over transfers, pickups and parking, with corrections",
		Example: "  callseal call conversation 1763712000.4",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			channel, err := which.reach()
			if err != nil {
				return err
			}
			defer func() { _ = channel.Close() }()
			var found ledger.Conversation
			if err := which.ask(command.Context(), channel, &found, "calls:Conversation", which.msp, which.pbx, args[0]); err != nil {
				return err
			}
			if which.json {
				return printValue(command.OutOrStdout(), &found)
			}
			if len(found.Legs)+len(found.Links)+len(found.Recordings)+len(found.Omissions) == 0 {
				return fmt.Errorf("nothing of conversation %s of PBX %s of %s is on the ledger", args[0], which.pbx, which.msp)
			}
			printConversation(command.OutOrStdout(), &found)
			return nil
		},
	}
	which.flags(command, ledger.RoleAuditor)
	return command
}

func printConversation(out io.Writer, found *ledger.Conversation) {
	_, _ = fmt.Fprintf(out, "conversation of %s\n\n", strings.Join(found.LinkedIDs, ", "))
	rows := newTable(out)
	rows.AppendHeader(table.Row{"linkedid", "uniqueid", "seq", "start (UTC)", "billed", "disposition", "cause"})
	for i := range found.Legs {
		call := found.Legs[i].Call
		rows.AppendRow(table.Row{
			call.Leg.LinkedID, call.Leg.UniqueID, call.Leg.Sequence, shownAt(call.Start), time.Duration(call.BillsecMS) * time.Millisecond, call.Disposition, call.HangupCause,
		})
	}
	rows.Render()
	for i := range found.Links {
		link := found.Links[i].Link
		_, _ = fmt.Fprintf(out, "%s  %s: %s went on as %s\n", shownAt(link.At), link.Kind, link.From, link.To)
	}
	for i := range found.Recordings {
		recording := found.Recordings[i].Recording
		_, _ = fmt.Fprintf(out, "recording %s of %s/%d, SHA-256 %s\n", recording.ID, recording.Leg.UniqueID, recording.Leg.Sequence, recording.SHA256)
	}
	printOmissions(out, found.Omissions)
	printCorrections(out, found.Corrections)
	if found.Cut {
		_, _ = fmt.Fprintf(out, "There are more than %d linkedids: ask from another of them too.\n", ledger.MaxConversation)
	}
}

func printOmissions(out io.Writer, omissions []ledger.Record) {
	for i := range omissions {
		omission := omissions[i].Omission
		_, _ = fmt.Fprintf(out, "no recording of %s/%d although one was due: %s, given up at %s\n", omission.Leg.UniqueID, omission.Leg.Sequence, omission.Reason, shownAt(omission.At))
	}
}

func callOmissionsCommand() *cobra.Command {
	var which historian
	command := &cobra.Command{
		Use:     "omissions LINKEDID",
		Short:   "List recordings that were due and never came",
		Example: "  callseal call omissions 1763712000.4",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			channel, err := which.reach()
			if err != nil {
				return err
			}
			defer func() { _ = channel.Close() }()
			var found []ledger.Record
			if err := which.ask(command.Context(), channel, &found, "calls:Omissions", which.msp, which.pbx, args[0]); err != nil {
				return err
			}
			if which.json {
				return printValue(command.OutOrStdout(), found)
			}
			if len(found) == 0 {
				_, err = fmt.Fprintln(command.OutOrStdout(), "No recording of this call is known to be missing.")
				return err
			}
			printOmissions(command.OutOrStdout(), found)
			return nil
		},
	}
	which.flags(command, ledger.RoleAuditor)
	return command
}
