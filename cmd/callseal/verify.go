package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/callseal/callseal/audit"
	"github.com/callseal/callseal/chaincode/ledger"
)

// verifyTimeout bounds the questions to the ledger.
const verifyTimeout = 30 * time.Second

func verifyCommand() *cobra.Command {
	var which selection
	var question audit.Question
	var detailsFiles []string
	var zone string
	command := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Is this the recording, and the CDR, that the operators endorsed?",
		Long: `Recompute the digests of a recording, compare the columns of a CDR row, and say
whether they are what the operators endorsed when the call ended.

Exit code 0: intact. 1: altered, with what differs. 2: could not tell.

Without --call a recording is looked up by its digest. With --peer any operator's
peer is asked, without any gateway: nobody's goodwill is needed.`,
		Example: `  callseal verify 1763712000.4.wav
  callseal verify 1763712000.4.wav --call 1763712000.4 --peer borealis
  callseal verify --cdr Master.csv --call 1763712000.4 --details disclosed.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if len(args) == 1 {
				question.Recording = args[0]
			}
			if question.Recording == "" && question.CDR == "" {
				return errors.New("name a recording, or a CDR file with --cdr")
			}
			if err := which.resolve(); err != nil {
				return err
			}
			question.MSP, question.PBX = which.msp, which.pbx
			location, err := time.LoadLocation(zone)
			if err != nil {
				return fmt.Errorf("--timezone %q is not an IANA name such as Europe/Lisbon", zone)
			}
			question.Zone = location
			for _, file := range detailsFiles {
				found, err := readDisclosures(file)
				if err != nil {
					return err
				}
				question.Disclosures = append(question.Disclosures, found...)
			}
			return runVerify(command, &which, question)
		},
	}
	which.flags(command, ledger.RoleAuditor)
	command.Flags().StringVar(&question.LinkedID, "call", "", "linkedid of the call the file should belong to")
	command.Flags().StringVar(&question.CDR, "cdr", "", "file of cdr_csv whose row of the call to compare")
	command.Flags().StringSliceVar(&detailsFiles, "details", nil, "details the owner disclosed (`callseal call get --details --json`)")
	command.Flags().StringVar(&zone, "timezone", "UTC", "time zone of the CDR file's times")
	return command
}

func runVerify(command *cobra.Command, which *selection, question audit.Question) error {
	source, closeSource, err := which.ledger()
	if err != nil {
		return err
	}
	defer func() { _ = closeSource() }()
	ctx, cancel := context.WithTimeout(command.Context(), verifyTimeout)
	defer cancel()
	verdict, err := audit.Ask(ctx, source, question)
	if err != nil {
		return err
	}
	if which.json {
		err = printValue(command.OutOrStdout(), verdict)
	} else {
		err = printVerdict(command.OutOrStdout(), verdict)
	}
	if err != nil {
		return err
	}
	if code := verdict.Outcome.ExitCode(); code != 0 {
		return exitCodeError(code)
	}
	return nil
}

// readDisclosures takes what `callseal call get --details --json` prints, or bare
// details.
func readDisclosures(file string) ([][]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the details: %w", err)
	}
	var printed struct {
		Calls []struct {
			DetailsJSON []byte `json:"detailsJson"`
		} `json:"calls"`
	}
	if err := json.Unmarshal(text, &printed); err == nil && len(printed.Calls) > 0 {
		var found [][]byte
		for _, call := range printed.Calls {
			if len(call.DetailsJSON) > 0 {
				found = append(found, call.DetailsJSON)
			}
		}
		return found, nil
	}
	var details ledger.Details
	if err := ledger.DecodeStrict(text, &details); err != nil {
		return nil, fmt.Errorf("%s holds neither details nor the output of `callseal call get --details --json`", file)
	}
	return [][]byte{text}, nil
}

func printVerdict(out io.Writer, verdict *audit.Verdict) error {
	var text strings.Builder
	for _, finding := range verdict.Findings {
		fmt.Fprintf(&text, "%-9s %s %s\n", strings.ToUpper(string(finding.Outcome)), finding.Subject, finding.File)
		line := func(name, format string, args ...any) {
			fmt.Fprintf(&text, "  %-10s %s\n", name, fmt.Sprintf(format, args...))
		}
		line("finding", "%s", finding.Statement)
		for _, difference := range finding.Differences {
			line(difference.Field, "found %s, endorsed %s", shown(difference.Found), shown(difference.Endorsed))
		}
		if finding.Leg != nil {
			line("call", "%s, leg %s/%d of PBX %s of %s", finding.Leg.LinkedID, finding.Leg.UniqueID, finding.Leg.Sequence, finding.PBX, finding.MSP)
		}
		if finding.Recording != nil && len(finding.Differences) == 0 {
			line("sha256", "%s", finding.Recording.SHA256)
		}
		if endorsement := finding.Endorsement; endorsement != nil {
			line("endorsed", "by %s in block %d, %s, at %s", strings.Join(endorsement.Endorsers, " and "), endorsement.Block, endorsement.Validation, endorsement.AnchoredAt)
			line("in", "transaction %s", endorsement.TransactionID)
		}
		for _, note := range finding.Notes {
			line("note", "%s", note)
		}
	}
	fmt.Fprintf(&text, "asked %s: %s\n", verdict.Asked, verdict.Outcome)
	_, err := io.WriteString(out, text.String())
	return err
}

func shown(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}
