package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
	arithmetic "github.com/callseal/callseal/chaincode/reputation"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/reputation"
)

func reputationCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "reputation",
		Short: "Report and read what operators hold on numbers, addresses and accounts",
		Long: `Report and read what operators hold on numbers, addresses and accounts.

A SUBJECT is written "tel:+351210000000", "ip:198.51.100.7" or "aor:user@host". On
the ledger it stands under a pseudonym, which may be given instead. A score is 5.000
for a subject nobody knows, up to 10 for good and down to 0 for bad behaviour; no
operator alone brings one below 5 where another holds evidence.

Evidence is reported, and scores are read, through the operator's gateway. Pardons,
allowlists and appeals are signed by a person, with the role compliance or admin.`,
		Example: `  callseal reputation report aor:221@pbx2.example.net --kind long_call
  callseal reputation get ip:198.51.100.7
  callseal reputation pardon tel:+351210000000 --for 720h --reason remedied`,
	}
	command.AddCommand(
		reputationReportCommand(), reputationGetCommand(), reputationOpinionsCommand(),
		reputationPardonCommand(), reputationAllowCommand(), reputationDisallowCommand(),
		reputationAppealCommand(), reputationDecideCommand(), reputationAppealsCommand(), reputationRotateCommand(),
	)
	return command
}

// standingOf is a standing as the policy calls it.
func standingOf(standing pb.Standing) string {
	return strings.ToLower(strings.TrimPrefix(standing.String(), "STANDING_"))
}

// askReputation has a gateway answer.
func askReputation(ctx context.Context, who *access, ask func(context.Context, pb.ReputationServiceClient) error) error {
	connection, _, err := who.connection()
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }()
	if err := ask(ctx, pb.NewReputationServiceClient(connection)); err != nil {
		return asked(err)
	}
	return nil
}

func reputationReportCommand() *cobra.Command {
	var who access
	var kind string
	var count, attempts int64
	var asJSON bool
	command := &cobra.Command{
		Use:   "report SUBJECT",
		Short: "Report evidence, as the operator's own gateway would",
		Long: `Report evidence, as the operator's own gateway would, and wait until it counts.

The kinds are those of the reputation policy in force. Built in are, for good:
auth_success, long_call; for bad: auth_failure, internal_from_outside, second_call,
short_call, unknown_account, unregistered_device.`,
		Example: "  callseal reputation report ip:198.51.100.7 --kind auth_failure --count 8",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			evidence := &pb.Evidence{Subject: args[0], Kind: kind, Count: count, Attempts: attempts}
			if !command.Flags().Changed("attempts") && negativeKind(kind) {
				evidence.Attempts = count
			}
			var response *pb.ReportResponse
			err := askReputation(command.Context(), &who, func(ctx context.Context, client pb.ReputationServiceClient) (err error) {
				response, err = client.Report(ctx, &pb.ReportRequest{Evidence: []*pb.Evidence{evidence}})
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(command.OutOrStdout(), response)
			}
			rows := newTable(command.OutOrStdout())
			rows.AppendHeader(table.Row{"subject", "opinion", "own score", "block", "transaction"})
			for _, receipt := range response.GetReceipts() {
				rows.AppendRow(table.Row{receipt.GetSubject(), receipt.GetSeq(), ledger.ScoreText(receipt.GetOwnScore()), receipt.GetCommit().GetBlock(), receipt.GetCommit().GetTransactionId()})
			}
			rows.Render()
			return nil
		},
	}
	who.flags(command, ledger.RoleGateway)
	command.Flags().StringVar(&kind, "kind", "", "kind of event")
	command.Flags().Int64Var(&count, "count", 1, "number of events, 1 to 1000")
	command.Flags().Int64Var(&attempts, "attempts", 0, "separate attempts in which negative events happened (default: as many as events)")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON for programs")
	_ = command.MarkFlagRequired("kind")
	return command
}

// negativeKind says whether the built-in policy counts a kind as bad: such events
// have attempts. Under another policy --attempts says it.
func negativeKind(name string) bool {
	standard, err := ledger.DefaultPolicy(ledger.PolicyReputation)
	if err != nil {
		return false
	}
	kind := standard.Policy.Reputation.Kind(name)
	return kind != nil && kind.Sign == ledger.SignNegative
}

func reputationGetCommand() *cobra.Command {
	var who access
	var asJSON bool
	command := &cobra.Command{
		Use:     "get SUBJECT",
		Short:   "Show a subject's reputation, merged over all operators",
		Example: "  callseal reputation get tel:+351210000000",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			var response *pb.GetScoreResponse
			err := askReputation(command.Context(), &who, func(ctx context.Context, client pb.ReputationServiceClient) (err error) {
				response, err = client.GetScore(ctx, &pb.GetScoreRequest{Subject: args[0]})
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(command.OutOrStdout(), response)
			}
			printReputation(command.OutOrStdout(), response.GetReputation())
			return nil
		},
	}
	who.flags(command, ledger.RoleAuditor)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON for programs")
	return command
}

func printReputation(out io.Writer, merged *pb.Reputation) {
	rows := newTable(out)
	rows.AppendHeader(table.Row{"score", "standing", "refuse its calls", "opinions", "alone", "until", "subject"})
	until, refuse := "", "no"
	if merged.GetUntil() != nil {
		until = ledger.TimeOf(merged.GetUntil().AsTime()).String()
	}
	if merged.GetBlocks() {
		refuse = "yes"
	}
	rows.AppendRow(table.Row{ledger.ScoreText(merged.GetScore()), standingOf(merged.GetStanding()), refuse, merged.GetHolders(), strings.Join(merged.GetAlone(), " "), until, merged.GetSubject()})
	rows.Render()
}

func reputationOpinionsCommand() *cobra.Command {
	var who access
	var asJSON bool
	command := &cobra.Command{
		Use:     "opinions SUBJECT",
		Short:   "Show what each operator holds on a subject",
		Example: "  callseal reputation opinions ip:198.51.100.7",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			var response *pb.ListOpinionsResponse
			err := askReputation(command.Context(), &who, func(ctx context.Context, client pb.ReputationServiceClient) (err error) {
				response, err = client.ListOpinions(ctx, &pb.ListOpinionsRequest{Subject: args[0]})
				return err
			})
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(command.OutOrStdout(), response)
			}
			rows := newTable(command.OutOrStdout())
			rows.AppendHeader(table.Row{"operator", "gateway", "opinion", "score", "good", "bad", "failures", "attempts", "as of", "pardoned"})
			for _, opinion := range response.GetOpinions() {
				pardoned := ""
				if opinion.GetPardoned() {
					pardoned = "yes"
				}
				rows.AppendRow(table.Row{
					opinion.GetMsp(), opinion.GetWriter(), opinion.GetSeq(), ledger.ScoreText(opinion.GetScore()), ledger.ScoreText(opinion.GetAlpha()), ledger.ScoreText(opinion.GetBeta()),
					ledger.ScoreText(opinion.GetFailures()), ledger.ScoreText(opinion.GetAttempts()), ledger.TimeOf(opinion.GetAt().AsTime()), pardoned,
				})
			}
			rows.Render()
			return nil
		},
	}
	who.flags(command, ledger.RoleAuditor)
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON for programs")
	return command
}

// subjectSigner is a signer that knows a subject's pseudonym.
type subjectSigner struct {
	signer
	consortiumKey string
}

func (s *subjectSigner) flags(command *cobra.Command) {
	s.signer.flags(command, ledger.RoleCompliance)
	command.Flags().StringVar(&s.consortiumKey, "consortium-key", os.Getenv("CALLSEAL_CONSORTIUM_KEY"), "file with the consortium's key, 32 bytes in hexadecimal (default: the development network's; $CALLSEAL_CONSORTIUM_KEY)")
}

// pseudonymRules are the documents that pseudonyms are made by.
func pseudonymRules(ctx context.Context, channel *fabric.Channel) (*ledger.PseudonymPolicy, *ledger.ReputationPolicy, error) {
	documents := map[string]*ledger.PolicyVersion{ledger.PolicyPseudonyms: {}, ledger.PolicyReputation: {}}
	for name, document := range documents {
		text, err := channel.In(ledger.GovernanceChaincode).Evaluate(ctx, "governance:Current", name)
		if err != nil {
			return nil, nil, sentence(err)
		}
		if err := ledger.DecodeStrict(text, document); err != nil {
			return nil, nil, err
		}
	}
	inForce, weighing := documents[ledger.PolicyPseudonyms].Policy.Pseudonyms, documents[ledger.PolicyReputation].Policy.Reputation
	if inForce == nil || weighing == nil {
		return nil, nil, errors.New("the peer answered with other policy documents than were asked for")
	}
	return inForce, weighing, nil
}

// pseudonym is the subject's in the epoch in force, and that epoch.
func (s *subjectSigner) pseudonym(ctx context.Context, channel *fabric.Channel, subject string) (epoch, pseudonym string, err error) {
	inForce, weighing, err := pseudonymRules(ctx, channel)
	if err != nil {
		return "", "", err
	}
	epoch = strconv.FormatInt(inForce.Epoch, 10)
	if ledger.CheckSubject(subject) == nil {
		return epoch, subject, nil
	}
	address, err := arithmetic.ParseAddress(subject, weighing.EmergencyNumbers)
	if err != nil {
		return "", "", err
	}
	key, err := s.key()
	if err != nil {
		return "", "", err
	}
	if commitment, err := arithmetic.Commitment(key); err != nil || inForce.Commitment != "" && commitment != inForce.Commitment {
		return "", "", errors.Join(fmt.Errorf("this is not the consortium's key of epoch %s: name the right file with --consortium-key", epoch), err)
	}
	pseudonym, err = address.Subject(key)
	return epoch, pseudonym, err
}

// key reads the consortium's key.
func (s *subjectSigner) key() ([]byte, error) {
	file := s.consortiumKey
	if file == "" {
		if s.connectionFile != "" {
			return nil, errors.New("name the file with the consortium's key with --consortium-key, or give the subject's pseudonym")
		}
		opened, member, err := s.member(s.operator)
		if err != nil {
			return nil, err
		}
		file = opened.Layout().Operator(member.Name).ConsortiumKeyFile()
	}
	return reputation.ReadKey(file)
}

// sign has a function called on a subject: its arguments begin with epoch and
// pseudonym.
func (s *subjectSigner) sign(ctx context.Context, answer any, function, subject string, more ...string) (fabric.Commit, error) {
	channel, err := s.open()
	if err != nil {
		return fabric.Commit{}, err
	}
	defer func() { _ = channel.Close() }()
	asking, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	epoch, pseudonym, err := s.pseudonym(asking, channel, subject)
	if err != nil {
		return fabric.Commit{}, err
	}
	return s.submitTo(ctx, channel, answer, fabric.Proposal{Function: function, Args: append([]string{epoch, pseudonym}, more...)})
}

// milliseconds renders a duration as a contract takes it.
func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func reputationPardonCommand() *cobra.Command {
	var who subjectSigner
	var length time.Duration
	var reason string
	command := &cobra.Command{
		Use:   "pardon SUBJECT",
		Short: "Disregard your operator's own negative evidence for a time",
		Long: `Disregard your operator's own negative evidence on a subject for a time, at most a
year. What other operators hold stands. --for 0s ends a pardon.`,
		Example: "  callseal reputation pardon ip:198.51.100.7 --for 720h --reason remedied",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			var pardon ledger.Pardon
			if _, err := who.sign(command.Context(), &pardon, "reputation:Pardon", args[0], milliseconds(length), reason); err != nil {
				return err
			}
			if who.json {
				return printValue(command.OutOrStdout(), &pardon)
			}
			rows := newTable(command.OutOrStdout())
			rows.AppendHeader(table.Row{"operator", "pardoned until", "reason", "subject"})
			rows.AppendRow(table.Row{pardon.MSP, pardon.Until, pardon.Reason, pardon.Subject})
			rows.Render()
			return nil
		},
	}
	who.flags(command)
	command.Flags().DurationVar(&length, "for", 0, "how long")
	command.Flags().StringVar(&reason, "reason", "", "appeal, court_order, false_positive, reassigned, remedied, shared_address or spoofed")
	_ = command.MarkFlagRequired("for")
	_ = command.MarkFlagRequired("reason")
	return command
}

func reputationAllowCommand() *cobra.Command {
	var reason string
	command := allowanceCommand("allow SUBJECT", "Put a subject on your operator's own allowlist",
		"  callseal reputation allow tel:+351800000000 --reason partner", func(who *subjectSigner, ctx context.Context, answer *ledger.Allowance, subject string) error {
			_, err := who.sign(ctx, answer, "reputation:Allow", subject, reason)
			return err
		})
	command.Flags().StringVar(&reason, "reason", "", "court_order, own_subscriber, partner, public_service or test_equipment")
	_ = command.MarkFlagRequired("reason")
	return command
}

func reputationDisallowCommand() *cobra.Command {
	return allowanceCommand("disallow SUBJECT", "Take a subject off your operator's own allowlist",
		"  callseal reputation disallow tel:+351800000000", func(who *subjectSigner, ctx context.Context, answer *ledger.Allowance, subject string) error {
			_, err := who.sign(ctx, answer, "reputation:Disallow", subject)
			return err
		})
}

// allowanceCommand is a command that changes an allowlist.
func allowanceCommand(use, short, example string, change func(*subjectSigner, context.Context, *ledger.Allowance, string) error) *cobra.Command {
	var who subjectSigner
	command := &cobra.Command{
		Use: use, Short: short, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			var allowance ledger.Allowance
			if err := change(&who, command.Context(), &allowance, args[0]); err != nil {
				return err
			}
			if who.json {
				return printValue(command.OutOrStdout(), &allowance)
			}
			rows := newTable(command.OutOrStdout())
			rows.AppendHeader(table.Row{"operator", "allowed since", "withdrawn", "reason", "subject"})
			rows.AppendRow(table.Row{allowance.MSP, allowance.At, allowance.WithdrawnAt, allowance.Reason, allowance.Subject})
			rows.Render()
			return nil
		},
	}
	who.flags(command)
	return command
}

func reputationAppealCommand() *cobra.Command {
	var who subjectSigner
	var against, reason, evidence, digest string
	command := &cobra.Command{
		Use:   "appeal SUBJECT",
		Short: "Object to what another operator holds on a subject",
		Long: `Object to what another operator holds on a subject. What proves it is handed over
outside the ledger, on which its digest stands.`,
		Example: "  callseal reputation appeal tel:+351210000000 --against CorvusMSP --reason spoofed --evidence trace.pcap",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) (err error) {
			if (evidence == "") == (digest == "") {
				return errors.New("name what proves it with --evidence, a file, or with --evidence-digest")
			}
			if evidence != "" {
				if digest, err = fileDigest(evidence); err != nil {
					return err
				}
			}
			var appeal ledger.Appeal
			if _, err := who.sign(command.Context(), &appeal, "reputation:Appeal", args[0], against, reason, digest); err != nil {
				return err
			}
			return printAppeals(command.OutOrStdout(), who.json, appeal)
		},
	}
	who.flags(command)
	command.Flags().StringVar(&against, "against", "", "MSP of the operator that holds the evidence")
	command.Flags().StringVar(&reason, "reason", "", "false_positive, reassigned, remedied, shared_address or spoofed")
	command.Flags().StringVar(&evidence, "evidence", "", "file that proves it, of which the ledger gets the SHA-256")
	command.Flags().StringVar(&digest, "evidence-digest", "", "SHA-256 of what proves it, in hexadecimal")
	_ = command.MarkFlagRequired("against")
	_ = command.MarkFlagRequired("reason")
	return command
}

func reputationDecideCommand() *cobra.Command {
	var who subjectSigner
	var appellant string
	var uphold bool
	var pardon time.Duration
	command := &cobra.Command{
		Use:   "decide SUBJECT",
		Short: "Decide an appeal against your operator's evidence",
		Example: "  callseal reputation decide tel:+351210000000 --appellant BorealisMSP --pardon 720h\n" +
			"  callseal reputation decide tel:+351210000000 --appellant BorealisMSP --uphold",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if uphold == (pardon > 0) {
				return errors.New("either --uphold the evidence or --pardon the subject for a time")
			}
			decision := ledger.AppealPardoned
			if uphold {
				decision = ledger.AppealUpheld
			}
			var appeal ledger.Appeal
			if _, err := who.sign(command.Context(), &appeal, "reputation:Decide", args[0], appellant, decision, milliseconds(pardon)); err != nil {
				return err
			}
			return printAppeals(command.OutOrStdout(), who.json, appeal)
		},
	}
	who.flags(command)
	command.Flags().StringVar(&appellant, "appellant", "", "MSP of the operator that appeals")
	command.Flags().BoolVar(&uphold, "uphold", false, "stand by the evidence")
	command.Flags().DurationVar(&pardon, "pardon", 0, "pardon the subject for this long")
	_ = command.MarkFlagRequired("appellant")
	return command
}

func reputationAppealsCommand() *cobra.Command {
	var who signer
	var against string
	command := &cobra.Command{
		Use:     "appeals --against MSP",
		Short:   "List the appeals against an operator's evidence",
		Example: "  callseal reputation appeals --against CorvusMSP",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			var appeals []ledger.Appeal
			if err := who.evaluate(command.Context(), &appeals, "reputation:Appeals", against, "0", ""); err != nil {
				return err
			}
			return printAppeals(command.OutOrStdout(), who.json, appeals...)
		},
	}
	who.flags(command, ledger.RoleAuditor)
	command.Flags().StringVar(&against, "against", "", "MSP of the operator")
	_ = command.MarkFlagRequired("against")
	return command
}

func printAppeals(out io.Writer, asJSON bool, appeals ...ledger.Appeal) error {
	if asJSON {
		return printValue(out, append([]ledger.Appeal{}, appeals...)) // none is a list too
	}
	rows := newTable(out)
	rows.AppendHeader(table.Row{"against", "by", "state", "reason", "appealed", "decided", "subject"})
	for _, appeal := range appeals {
		rows.AppendRow(table.Row{appeal.Against, appeal.MSP, appeal.State, appeal.Reason, appeal.At, appeal.DecidedAt, appeal.Subject})
	}
	rows.Render()
	return nil
}
