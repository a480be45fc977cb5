package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/callseal/callseal/asterisk-adapter/journal"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
)

func callLateCommand() *cobra.Command {
	var which historian
	command := &cobra.Command{
		Use:   "late JOURNAL",
		Short: "Anchor what an adapter had signed before its certificate ended",
		Long: `Anchor what an adapter had signed before its certificate ended.

JOURNAL is the adapter's journal.db. Its segments that are not on the ledger are
anchored by you, the owner's admin, in place of the gateway, if they were closed while
the certificate was good; they are marked late_by_admin for ever. The details of their
records stay in the journal: keep it. Stop the adapter first.`,
		Example: "  callseal call late /var/lib/callseal/journal.db --pbx atlas-pbx-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if _, err := os.Stat(args[0]); err != nil {
				return fmt.Errorf("open the journal: %w", err)
			}
			channel, err := which.reach()
			if err != nil {
				return err
			}
			defer func() { _ = channel.Close() }()
			outcomes, err := which.anchorLate(command.Context(), channel, args[0])
			if err != nil {
				return err
			}
			if which.json {
				return printValue(command.OutOrStdout(), outcomes)
			}
			rows := newTable(command.OutOrStdout())
			rows.AppendHeader(table.Row{"epoch", "first record", "outcome"})
			for _, outcome := range outcomes {
				rows.AppendRow(table.Row{outcome.Epoch, outcome.FirstSeq, outcome.Outcome})
			}
			rows.Render()
			_, err = fmt.Fprintf(command.OutOrStdout(), "Segments of the journal that are on the ledger now: %d.\n", len(outcomes))
			return err
		},
	}
	which.flags(command, ledger.RoleAdmin)
	return command
}

// anchorLate anchors the journal's outbox, oldest first, a segment a transaction.
func (h *historian) anchorLate(ctx context.Context, channel *fabric.Channel, path string) (outcomes []ledger.SegmentOutcome, err error) {
	book, err := journal.Open(path, h.msp, h.pbx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	waiting, refused, err := book.Outbox()
	if err != nil {
		return nil, err
	}
	outcomes = []ledger.SegmentOutcome{}
	for _, segment := range append(waiting, refused...) {
		signed := ledger.SignedSegment{Records: make([]ledger.Record, len(segment.Records)), Segment: segment.Header, Signature: segment.Signature}
		for i, record := range segment.Records {
			if err := ledger.DecodeStrict(record, &signed.Records[i]); err != nil {
				return nil, sentence(err)
			}
		}
		text, err := ledger.Canonical([]ledger.SignedSegment{signed})
		if err != nil {
			return nil, err
		}
		var result ledger.AnchorResult
		_, err = h.submitTo(ctx, channel, &result, fabric.Proposal{Function: "calls:AnchorLate", Args: []string{""}, Transient: map[string][]byte{"segments": text}})
		if err != nil {
			return nil, fmt.Errorf("segment %d: %w", segment.Header.FirstSeq, err)
		}
		outcomes = append(outcomes, result.Segments...)
	}
	return outcomes, nil
}
