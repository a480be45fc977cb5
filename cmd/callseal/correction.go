package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
)

// correcting are the flags of `callseal call correct`.
type correcting struct {
	historian
	reason, disposition, direction string
	start, answer, end             string
	billed, duration               time.Duration
	cause                          int64
	unanswered                     bool
	detailsDigest, evidence        string
}

func callCorrectCommand() *cobra.Command {
	var which correcting
	command := &cobra.Command{
		Use:   "correct LINKEDID UNIQUEID SEQUENCE",
		Short: "Add a correction to a leg, which itself never changes",
		Long: `Add a correction to a leg, which itself never changes.

The correction carries your signature, names what it amends, and stands beside the
leg for ever. Reasons: clock, time_zone, software_fault, late_information, agreed.
What shows it is kept elsewhere: --evidence puts the file's SHA-256 on the ledger.`,
		Example: "  callseal call correct 1763712000.4 1763712000.4 7 --reason clock --start 2026-03-01T09:30:00Z --end 2026-03-01T09:31:00Z --duration 60s",
		Args:    cobra.ExactArgs(3),
		RunE: func(command *cobra.Command, args []string) error {
			leg, err := parseLeg(args)
			if err != nil {
				return err
			}
			channel, err := which.reach()
			if err != nil {
				return err
			}
			defer func() { _ = channel.Close() }()
			correction, err := which.correction(command, channel, leg)
			if err != nil {
				return err
			}
			text, err := ledger.Canonical(correction)
			if err != nil {
				return err
			}
			var anchored ledger.AnchoredCorrection
			_, err = which.submitTo(command.Context(), channel, &anchored, fabric.Proposal{
				Function: "calls:Correct", Args: []string{""}, Transient: map[string][]byte{"correction": text},
			})
			if err != nil {
				return err
			}
			if which.json {
				return printValue(command.OutOrStdout(), &anchored)
			}
			printCorrections(command.OutOrStdout(), []ledger.AnchoredCorrection{anchored})
			return nil
		},
	}
	which.historian.flags(command, ledger.RoleCompliance)
	set := command.Flags()
	set.StringVar(&which.reason, "reason", "", "why: clock, time_zone, software_fault, late_information, agreed")
	set.StringVar(&which.start, "start", "", "when the leg began, such as 2026-03-01T09:30:00Z")
	set.StringVar(&which.answer, "answer", "", "when it was answered")
	set.BoolVar(&which.unanswered, "unanswered", false, "it was not answered")
	set.StringVar(&which.end, "end", "", "when it ended")
	set.DurationVar(&which.duration, "duration", 0, "from start to end, such as 90s")
	set.DurationVar(&which.billed, "billed", 0, "from answer to end")
	set.StringVar(&which.disposition, "disposition", "", "ANSWERED, NO ANSWER, BUSY, FAILED, CONGESTION or CANCEL")
	set.StringVar(&which.direction, "direction", "", "inbound, outbound or internal")
	set.Int64Var(&which.cause, "hangup-cause", 0, "the Q.850 cause")
	set.StringVar(&which.detailsDigest, "details-digest", "", "digest of the details that hold from now on")
	set.StringVar(&which.evidence, "evidence", "", "file that shows it; its SHA-256 goes to the ledger")
	_ = command.MarkFlagRequired("reason")
	return command
}

// parseLeg reads a leg from the command line.
func parseLeg(args []string) (ledger.LegID, error) {
	sequence, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		return ledger.LegID{}, fmt.Errorf("%q is not a CDR sequence: `callseal call get` shows it in the column seq", args[2])
	}
	leg := ledger.LegID{LinkedID: args[0], UniqueID: args[1], Sequence: sequence}
	if err := leg.Check(); err != nil {
		return ledger.LegID{}, sentence(err)
	}
	return leg, nil
}

// correction makes the correction that the flags say of the leg as it stands.
func (c *correcting) correction(command *cobra.Command, channel *fabric.Channel, leg ledger.LegID) (*ledger.Correction, error) {
	made := &ledger.Correction{
		DetailsDigest: c.detailsDigest, Leg: leg, MSP: c.msp, N: 1, PBX: c.pbx, Reason: c.reason, V: ledger.SchemaVersion,
	}
	changes, err := c.changes(command)
	if err != nil {
		return nil, err
	}
	if changes != (ledger.Changes{}) {
		made.Changes = &changes
	}
	if c.evidence != "" {
		content, err := os.ReadFile(c.evidence)
		if err != nil {
			return nil, fmt.Errorf("read the evidence: %w", err)
		}
		made.EvidenceDigest = ledger.Digest(content)
	}
	return made, c.amend(command.Context(), channel, made)
}

// amend names what the correction amends: what stands there now.
func (c *correcting) amend(ctx context.Context, channel *fabric.Channel, made *ledger.Correction) error {
	leg := []string{c.msp, c.pbx, made.Leg.LinkedID, made.Leg.UniqueID, strconv.FormatInt(made.Leg.Sequence, 10)}
	var before []ledger.AnchoredCorrection
	if err := c.ask(ctx, channel, &before, "calls:Corrections", leg...); err != nil {
		return err
	}
	var record ledger.Record
	if len(before) == 0 {
		if err := c.ask(ctx, channel, &record, "calls:Get", leg...); err != nil {
			return err
		}
	}
	return made.Amend(&record, before)
}

// changes are the fields whose flags were given.
func (c *correcting) changes(command *cobra.Command) (ledger.Changes, error) {
	given := command.Flags().Changed
	changes := ledger.Changes{Direction: c.direction, Disposition: c.disposition, Unanswered: c.unanswered}
	for _, at := range []struct {
		flag, text string
		into       *ledger.Time
	}{{"start", c.start, &changes.Start}, {"answer", c.answer, &changes.Answer}, {"end", c.end, &changes.End}} {
		if !given(at.flag) {
			continue
		}
		parsed, err := time.Parse(time.RFC3339, at.text)
		if err != nil {
			return changes, fmt.Errorf("--%s is %q, write it like 2026-03-01T09:30:00Z", at.flag, at.text)
		}
		*at.into = ledger.TimeOf(parsed)
	}
	if given("duration") {
		ms := c.duration.Milliseconds()
		changes.DurationMS = &ms
	}
	if given("billed") {
		ms := c.billed.Milliseconds()
		changes.BillsecMS = &ms
	}
	if given("hangup-cause") {
		changes.HangupCause = &c.cause
	}
	return changes, nil
}

func printCorrections(out io.Writer, corrections []ledger.AnchoredCorrection) {
	for i := range corrections {
		correction := &corrections[i].Correction
		_, _ = fmt.Fprintf(out, "correction %d of %s/%d, %s, %s:", correction.N, correction.Leg.UniqueID, correction.Leg.Sequence, correction.Reason, shownAt(corrections[i].AnchoredAt))
		if changes := correction.Changes; changes != nil {
			text, err := ledger.Canonical(changes)
			if err == nil {
				_, _ = fmt.Fprintf(out, " %s", text)
			}
		}
		if correction.DetailsDigest != "" {
			_, _ = fmt.Fprintf(out, " details_digest %s", correction.DetailsDigest)
		}
		_, _ = fmt.Fprintln(out)
	}
}
