package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/device"
	"github.com/callseal/callseal/gateway/fabric"
)

func consentCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "consent",
		Short: "State what the parties of a call agreed to, and see what stands against it",
		Long: `State what the parties of a call agreed to, and see what stands against it.

Statements are only ever added: each names the one it supersedes. Parties stand on
the ledger under your operator's pseudonyms.`,
	}
	command.AddCommand(
		consentDeclareCommand("declare", "Put a party's statement on the ledger", ""),
		consentDeclareCommand("revoke", "Put a party's withdrawal on the ledger", ledger.ConsentRevoked),
		consentListCommand(), consentStandingCommand(), consentViolationsCommand(), consentReportCommand(),
	)
	return command
}

// callSigner is a signer that knows whose call is meant.
type callSigner struct {
	signer
	msp, pbx string
}

func (c *callSigner) flags(command *cobra.Command, role ledger.Role) {
	c.signer.flags(command, role)
	command.Flags().StringVar(&c.msp, "msp", "", "owner of the call (default: your operator)")
	command.Flags().StringVar(&c.pbx, "pbx", "", "PBX of the call (default: your operator's, if it has one)")
}

// resolve fills in the defaults.
func (c *callSigner) resolve() error {
	if c.connectionFile == "" && (c.msp == "" || c.pbx == "") {
		who, err := c.defaultOwner()
		if err != nil {
			return err
		}
		if c.msp == "" {
			c.msp = who.msp
		}
		if c.pbx == "" {
			c.pbx = who.pbx
		}
	}
	var err error
	if c.msp, err = c.orOwn(c.msp); err != nil {
		return err
	}
	if c.pbx == "" {
		return errors.New("name the PBX with --pbx")
	}
	return nil
}

// party names people by number or by pseudonym.
type party struct {
	number, ref, keyFile string
}

func (p *party) flags(command *cobra.Command) {
	set := command.Flags()
	set.StringVar(&p.number, "party", "", "the party, tel:+351… for a number or ext:600@pbx for an extension; needs --party-key")
	set.StringVar(&p.ref, "party-ref", "", "pseudonym of the party, as a CDR's caller_ref or callee_ref")
	set.StringVar(&p.keyFile, "party-key", os.Getenv("CALLSEAL_PARTY_KEY"), "file with the key your adapters make pseudonyms with, 32 bytes in hexadecimal ($CALLSEAL_PARTY_KEY)")
	command.MarkFlagsMutuallyExclusive("party", "party-ref")
	command.MarkFlagsOneRequired("party", "party-ref")
}

func (p *party) pseudonym() (string, error) {
	if p.ref != "" {
		return p.ref, nil
	}
	if !strings.HasPrefix(p.number, "tel:+") && !strings.HasPrefix(p.number, "ext:") {
		return "", errors.New("--party is written tel:+351… for a number or ext:600@pbx for an extension, as the adapter writes it")
	}
	if p.keyFile == "" {
		return "", errors.New("name the key your adapters make pseudonyms with, with --party-key, or give the pseudonym with --party-ref")
	}
	key, err := readSecretKey(p.keyFile)
	if err != nil {
		return "", err
	}
	return ledger.PartyRef(key, p.number), nil
}

// consentDeclareCommand states what is in its flags; a status that is given is
// no flag.
func consentDeclareCommand(use, short, status string) *cobra.Command {
	var sign callSigner
	var who party
	var evidence, givenAt, until string
	statement := ledger.ConsentStatement{Status: status}
	command := &cobra.Command{
		Use:   use + " LINKEDID",
		Short: short,
		Long: short + `.

The number of the statement and what it supersedes are found on the ledger. If
another statement of the party comes between, this one is refused: look and state
it again.`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := sign.resolve(); err != nil {
				return err
			}
			if own, err := sign.own(); err != nil || own != sign.msp {
				return errors.Join(err, errors.New("consents are stated by the operator of the call: leave --msp out"))
			}
			statement.LinkedID, statement.PBX = args[0], sign.pbx
			var err error
			if statement.PartyRef, err = who.pseudonym(); err != nil {
				return err
			}
			if statement.EvidenceDigest, err = evidenceDigest(evidence); err != nil {
				return err
			}
			statement.GivenAt = ledger.TimeOf(time.Now())
			if givenAt != "" {
				if statement.GivenAt, err = flagTime("given-at", givenAt); err != nil {
					return err
				}
			}
			if statement.ExpiresAt, err = flagTime("expires-at", until); err != nil {
				return err
			}
			if err := sign.follow(command.Context(), &statement); err != nil {
				return err
			}
			if err := statement.Check(); err != nil {
				return plain(err)
			}
			wire, err := ledger.Canonical(&statement)
			if err != nil {
				return err
			}
			var consent ledger.Consent
			if _, err := sign.submit(command.Context(), &consent, fabric.Proposal{Function: "consents:Declare", Args: []string{string(wire)}}); err != nil {
				return err
			}
			if sign.json {
				err = printValue(command.OutOrStdout(), consent)
			} else {
				printConsents(command.OutOrStdout(), consent)
			}
			return errors.Join(err, sign.warn(command, &consent))
		},
	}
	sign.flags(command, ledger.RoleCompliance)
	who.flags(command)
	set := command.Flags()
	if status == "" {
		command.Aliases = []string{"state"}
		command.Example = "  callseal consent declare 1763712000.4 --party tel:+351912345678 --party-key party.key --status granted --method dtmf --jurisdiction PT --evidence prompt.wav"
		set.StringVar(&statement.Status, "status", "", "what the party says: "+strings.Join(ledger.ConsentStatuses, ", "))
		_ = command.MarkFlagRequired("status")
	} else {
		command.Example = "  callseal consent revoke 1763712000.4 --party-ref 9c5d… --method verbal --evidence note.txt"
	}
	set.StringVar(&statement.Purpose, "purpose", ledger.PurposeRecording, "to what: "+strings.Join(ledger.ConsentPurposes, ", "))
	set.StringVar(&statement.Method, "method", "", "how: "+strings.Join(ledger.ConsentMethods, ", "))
	set.StringVar(&statement.Jurisdiction, "jurisdiction", "", "where the party is, ISO 3166, such as PT or US-CA")
	set.StringVar(&evidence, "evidence", "", "file that proves it, or its SHA-256 in hexadecimal: only the digest goes to the ledger")
	set.StringVar(&givenAt, "given-at", "", "when the party said so, RFC 3339 (default: now)")
	set.StringVar(&until, "expires-at", "", "until when it holds, RFC 3339 (default: without end)")
	_ = command.MarkFlagRequired("method")
	_ = command.MarkFlagRequired("evidence")
	return command
}

// warn says where recordings that are anchored already stand against an objection:
// the gateway looks when it anchors, and soon after, not at every statement.
func (c *callSigner) warn(command *cobra.Command, consent *ledger.Consent) error {
	if !consent.Statement.Objects() || consent.Statement.Purpose != ledger.PurposeRecording {
		return nil
	}
	var due []ledger.ViolationReport
	if err := c.evaluate(command.Context(), &due, "consents:Violating", c.msp, c.pbx, consent.Statement.LinkedID); err != nil || len(due) == 0 {
		return err
	}
	_, err := fmt.Fprintf(command.ErrOrStderr(), "recordings that stand against an objection on this call: %d; record them with `callseal consent report %s`\n", len(due), consent.Statement.LinkedID)
	return err
}

// evidenceDigest is the SHA-256 that a flag names or that of the file it names.
func evidenceDigest(evidence string) (string, error) {
	if ledger.CheckHex("", evidence, 32) == nil {
		return evidence, nil
	}
	content, err := os.ReadFile(evidence)
	if err != nil {
		return "", fmt.Errorf("read the evidence: %w", err)
	}
	return ledger.Digest(content), nil
}

// follow numbers a statement after the party's last one on the ledger.
func (c *callSigner) follow(ctx context.Context, statement *ledger.ConsentStatement) error {
	consents, err := c.consents(ctx, statement.LinkedID)
	if err != nil {
		return err
	}
	return statement.Succeed(consents)
}

// consents are all statements on a call.
func (c *callSigner) consents(ctx context.Context, linkedID string) ([]ledger.Consent, error) {
	var consents []ledger.Consent
	err := c.evaluate(ctx, &consents, "consents:ForCall", c.msp, c.pbx, linkedID)
	return consents, err
}

func consentListCommand() *cobra.Command {
	var sign callSigner
	command := &cobra.Command{
		Use:     "list LINKEDID",
		Short:   "Show all statements on a call",
		Example: "  callseal consent list 1763712000.4",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := sign.resolve(); err != nil {
				return err
			}
			consents, err := sign.consents(command.Context(), args[0])
			if err != nil {
				return err
			}
			if sign.json {
				return printValue(command.OutOrStdout(), consents)
			}
			if len(consents) == 0 {
				_, err = fmt.Fprintf(command.OutOrStdout(), "no statement on call %s of PBX %s of %s is on the ledger\n", args[0], sign.pbx, sign.msp)
				return err
			}
			printConsents(command.OutOrStdout(), consents...)
			return nil
		},
	}
	sign.flags(command, ledger.RoleAuditor)
	return command
}

func consentStandingCommand() *cobra.Command {
	var sign callSigner
	var question ledger.ConsentQuestion
	var at string
	command := &cobra.Command{
		Use:   "standing LINKEDID",
		Short: "May this call be recorded?",
		Long: `May this call be recorded, or used for another purpose, at a time? What each
party's statement in force says, and what follows by the jurisdictions' rules in the
operators' policy, of which the strictest wins. A party named with --party-ref that
has stated nothing has not consented.

The exit status is 0 if it may and 1 if it may not.`,
		Example: "  callseal consent standing 1763712000.4 --party-ref 9c5d… --party-ref 01ab… --jurisdiction US-CA",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := sign.resolve(); err != nil {
				return err
			}
			var err error
			if question.At, err = flagTime("at", at); err != nil {
				return err
			}
			question.Parties, question.Jurisdictions = device.SortedOnce(question.Parties), device.SortedOnce(question.Jurisdictions)
			if err := question.Check(); err != nil {
				return plain(err)
			}
			wire, err := ledger.Canonical(&question)
			if err != nil {
				return err
			}
			var decision ledger.ConsentDecision
			if err := sign.evaluate(command.Context(), &decision, "consents:Standing", sign.msp, sign.pbx, args[0], string(wire)); err != nil {
				return err
			}
			if sign.json {
				err = printValue(command.OutOrStdout(), decision)
			} else {
				err = printDecision(command.OutOrStdout(), &decision)
			}
			if err == nil && !decision.Allowed {
				return exitCodeError(1)
			}
			return err
		},
	}
	sign.flags(command, ledger.RoleAuditor)
	set := command.Flags()
	set.StringVar(&question.Purpose, "purpose", ledger.PurposeRecording, "for what: "+strings.Join(ledger.ConsentPurposes, ", "))
	set.StringSliceVar(&question.Parties, "party-ref", nil, "pseudonym of a party of the call; may be given several times")
	set.StringSliceVar(&question.Jurisdictions, "jurisdiction", nil, "where a party is, ISO 3166, beside those the statements name")
	set.StringVar(&at, "at", "", "time asked about, RFC 3339 (default: now)")
	return command
}

func consentViolationsCommand() *cobra.Command {
	var sign callSigner
	command := &cobra.Command{
		Use:     "violations",
		Short:   "List the recordings that stand against a party's objection",
		Example: "  callseal consent violations\n  callseal consent violations --operator borealis --msp AtlasMSP --pbx atlas-pbx-1",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := sign.resolve(); err != nil {
				return err
			}
			var violations []ledger.Violation
			if err := sign.evaluate(command.Context(), &violations, "consents:Violations", sign.msp, sign.pbx); err != nil {
				return err
			}
			if sign.json {
				return printValue(command.OutOrStdout(), violations)
			}
			if len(violations) == 0 {
				_, err := fmt.Fprintf(command.OutOrStdout(), "no violation by PBX %s of %s is recorded\n", sign.pbx, sign.msp)
				return err
			}
			printViolations(command.OutOrStdout(), violations...)
			return nil
		},
	}
	sign.flags(command, ledger.RoleAuditor)
	return command
}

func consentReportCommand() *cobra.Command {
	var sign callSigner
	command := &cobra.Command{
		Use:   "report LINKEDID",
		Short: "Record which recordings of a call stand against a party's objection",
		Long: `Record which recordings of a call stand against a party's objection. Its operator's
gateway does so by itself after anchoring; anyone may, of any operator, because the
contract checks it.`,
		Example: "  callseal consent report 1763712000.4 --operator borealis --msp AtlasMSP --pbx atlas-pbx-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := sign.resolve(); err != nil {
				return err
			}
			var due []ledger.ViolationReport
			if err := sign.evaluate(command.Context(), &due, "consents:Violating", sign.msp, sign.pbx, args[0]); err != nil {
				return err
			}
			recorded := make([]ledger.Violation, len(due))
			for i := range due {
				wire, err := ledger.Canonical(&due[i])
				if err != nil {
					return err
				}
				if _, err := sign.submit(command.Context(), &recorded[i], fabric.Proposal{Function: "consents:Report", Args: []string{string(wire)}}); err != nil {
					return err
				}
			}
			if sign.json {
				return printValue(command.OutOrStdout(), recorded)
			}
			if len(recorded) == 0 {
				_, err := fmt.Fprintf(command.OutOrStdout(), "nothing of call %s remains to be reported\n", args[0])
				return err
			}
			printViolations(command.OutOrStdout(), recorded...)
			return nil
		},
	}
	sign.flags(command, ledger.RoleAuditor)
	return command
}

func printConsents(out io.Writer, consents ...ledger.Consent) {
	rows := newTable(out)
	rows.AppendHeader(table.Row{"party", "purpose", "n", "status", "method", "where", "given (UTC)", "until (UTC)", "by"})
	for i := range consents {
		s := &consents[i].Statement
		until := "-"
		if !s.ExpiresAt.IsZero() {
			until = s.ExpiresAt.Std().Format(time.DateTime)
		}
		rows.AppendRow(table.Row{
			s.PartyRef, s.Purpose, s.N, s.Status, s.Method, orDash(s.Jurisdiction), s.GivenAt.Std().Format(time.DateTime), until, consents[i].By,
		})
	}
	rows.Render()
}

func printDecision(out io.Writer, decision *ledger.ConsentDecision) error {
	if len(decision.Parties) > 0 {
		rows := newTable(out)
		rows.AppendHeader(table.Row{"party", "says", "where", "statement"})
		for _, one := range decision.Parties {
			rows.AppendRow(table.Row{one.PartyRef, one.Status, orDash(one.Jurisdiction), one.N})
		}
		rows.Render()
	}
	may := "is not allowed"
	if decision.Allowed {
		may = "is allowed"
	}
	_, err := fmt.Fprintf(out, "%s %s at %s (%s, policy version %d)\n", decision.Purpose, may, decision.At, decision.Rule, decision.PolicyVersion)
	return err
}

func printViolations(out io.Writer, violations ...ledger.Violation) {
	rows := newTable(out)
	rows.AppendHeader(table.Row{"linkedid", "recording", "revision", "party", "said", "objected (UTC)", "recorded until (UTC)", "reported by"})
	for i := range violations {
		v := &violations[i]
		rows.AppendRow(table.Row{
			v.LinkedID, v.Report.Recording.ID, v.Report.Recording.Revision, v.Report.PartyRef, v.Status,
			v.GivenAt.Std().Format(time.DateTime), v.ClosedAt.Std().Format(time.DateTime), v.ByMSP + " " + string(v.By),
		})
	}
	rows.Render()
}
