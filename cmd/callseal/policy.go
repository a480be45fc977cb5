package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
)

func policyCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "policy",
		Short: "Read the consortium's policy documents, and vote on them",
		Long: `Read the consortium's policy documents, and vote on them.

The documents are ` + strings.Join(ledger.PolicyNames(), ", ") + `.
Each is versioned on the ledger. A new version is proposed by an operator's admin and
in force once the admins of enough operators have voted for it: the document
"consortium" says how many. Until then the version before holds; version 0 is the one
that is built in.`,
	}
	command.AddCommand(policyShowCommand(), policyHistoryCommand(), policyProposeCommand(), policyPendingCommand(),
		policyBallotCommand("vote", "Vote for a document that was proposed", "governance:Vote",
			"Vote for a document that was proposed, in the name of your operator. What it would\nchange is printed first."),
		policyBallotCommand("withdraw", "Take your operator's vote back", "governance:Withdraw",
			"Take your operator's vote back, as long as the document is not decided. One that\nnobody votes for any more is off the agenda."))
	return command
}

// council is a signer that speaks to the governance chaincode.
type council struct{ signer }

// open reaches the governance chaincode; closing the first channel closes both.
func (c *council) open() (governance *fabric.Channel, disconnect func(), err error) {
	channel, err := c.signer.open()
	if err != nil {
		return nil, nil, err
	}
	return channel.In(ledger.GovernanceChaincode), func() { _ = channel.Close() }, nil
}

// ask evaluates a function of governance.
func (c *council) ask(ctx context.Context, governance *fabric.Channel, answer any, function string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	result, err := governance.Evaluate(ctx, function, args...)
	if err != nil {
		return sentence(err)
	}
	return ledger.DecodeStrict(result, answer)
}

// inForce is the document in force by a name; nil for a consortium that is not
// founded.
func (c *council) inForce(ctx context.Context, governance *fabric.Channel, name string) (*ledger.Policy, error) {
	var history []ledger.Enactment
	if name == ledger.PolicyConsortium {
		if err := c.ask(ctx, governance, &history, "governance:History", name); err != nil || len(history) == 0 {
			return nil, err
		}
		return &history[len(history)-1].Policy, nil
	}
	var current ledger.PolicyVersion
	err := c.ask(ctx, governance, &current, "governance:Current", name)
	return &current.Policy, err
}

// changes says what a document would change of the one in force.
func (c *council) changes(ctx context.Context, governance *fabric.Channel, document *ledger.Policy) ([]string, error) {
	before, err := c.inForce(ctx, governance, document.Name())
	if err != nil {
		return nil, err
	}
	if before == nil {
		before = &ledger.Policy{V: document.V}
	}
	return difference(before, document)
}

func policyShowCommand() *cobra.Command {
	var who council
	version := int64(-1)
	command := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show the documents in force, or one of them",
		Long: `Show the documents in force, or one of them as YAML, which can be edited and given
to ` + "`callseal policy propose`" + `.`,
		Example: "  callseal policy show\n  callseal policy show devices > devices.yaml\n  callseal policy show devices --version 0",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			governance, disconnect, err := who.open()
			if err != nil {
				return err
			}
			defer disconnect()
			if len(args) == 0 {
				return who.showAll(command, governance)
			}
			var shown ledger.Enactment
			if version < 0 {
				var current ledger.PolicyVersion
				if err := who.ask(command.Context(), governance, &current, "governance:Current", args[0]); err != nil {
					return err
				}
				version = current.Version
			}
			if err := who.ask(command.Context(), governance, &shown, "governance:Version", args[0], strconv.FormatInt(version, 10)); err != nil {
				return err
			}
			if who.json {
				return printValue(command.OutOrStdout(), shown)
			}
			return printPolicy(command.OutOrStdout(), &shown)
		},
	}
	who.flags(command, ledger.RoleAuditor)
	command.Flags().Int64Var(&version, "version", -1, "a version other than the one in force; 0 is the built-in one")
	return command
}

// showAll lists the documents in force.
func (c *council) showAll(command *cobra.Command, governance *fabric.Channel) error {
	var all []ledger.PolicyVersion
	for _, name := range ledger.PolicyNames() {
		policy, err := c.inForce(command.Context(), governance, name)
		if err != nil {
			return err
		}
		if policy == nil {
			continue
		}
		var current ledger.PolicyVersion
		if err := c.ask(command.Context(), governance, &current, "governance:Current", name); err != nil {
			return err
		}
		all = append(all, current)
	}
	if c.json {
		return printValue(command.OutOrStdout(), all)
	}
	rows := newTable(command.OutOrStdout())
	rows.AppendHeader(table.Row{"document", "version", "digest"})
	for i := range all {
		digest, err := all[i].Policy.Digest()
		if err != nil {
			return err
		}
		rows.AppendRow(table.Row{all[i].Name, shownVersion(all[i].Version), digest})
	}
	rows.Render()
	return nil
}

func shownVersion(version int64) string {
	if version == 0 {
		return "built in"
	}
	return strconv.FormatInt(version, 10)
}

// printPolicy prints a document as YAML, and where it comes from as comments.
func printPolicy(out io.Writer, shown *ledger.Enactment) error {
	canonical, err := ledger.Canonical(&shown.Policy)
	if err != nil {
		return fmt.Errorf("print the document: %w", err)
	}
	text, err := yaml.JSONToYAML(canonical)
	if err != nil {
		return fmt.Errorf("print the document: %w", err)
	}
	from := "built in"
	if shown.Version > 0 {
		from = fmt.Sprintf("version %d, in force since %s by the votes of %s", shown.Version, shown.EnactedAt, strings.Join(voters(shown.Votes), ", "))
	}
	_, err = fmt.Fprintf(out, "# %s: %s\n# digest %s\n%s", shown.Name, from, shown.Digest, text)
	return err
}

func voters(votes []ledger.Vote) []string {
	names := make([]string, 0, len(votes))
	for _, vote := range votes {
		names = append(names, vote.MSP)
	}
	return names
}

func policyHistoryCommand() *cobra.Command {
	var who council
	command := &cobra.Command{
		Use:     "history NAME",
		Short:   "List a document's versions: when, and who voted for each",
		Example: "  callseal policy history reputation",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			governance, disconnect, err := who.open()
			if err != nil {
				return err
			}
			defer disconnect()
			var history []ledger.Enactment
			if err := who.ask(command.Context(), governance, &history, "governance:History", args[0]); err != nil {
				return err
			}
			if who.json {
				return printValue(command.OutOrStdout(), history)
			}
			rows := newTable(command.OutOrStdout())
			rows.AppendHeader(table.Row{"version", "in force since", "proposed by", "votes", "transaction", "digest"})
			for _, one := range history {
				rows.AppendRow(table.Row{one.Version, one.EnactedAt, one.Proposer, strings.Join(voters(one.Votes), ", "), one.TxID, one.Digest})
			}
			rows.Render()
			return nil
		},
	}
	who.flags(command, ledger.RoleAuditor)
	return command
}

// readPolicyFile reads a document in YAML or JSON; "-" is the standard input. The
// member v may be left out.
func readPolicyFile(file string, stdin io.Reader) (*ledger.Policy, error) {
	var content []byte
	var err error
	if file == "-" {
		content, err = io.ReadAll(io.LimitReader(stdin, 2*ledger.MaxPolicyBytes))
	} else {
		content, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	text, err := yaml.YAMLToJSON(content)
	if err != nil {
		return nil, fmt.Errorf("%s is neither YAML nor JSON: %w", file, err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return nil, fmt.Errorf("%s is no policy document: write it as `callseal policy show` does", file)
	}
	if _, found := members["v"]; !found {
		members["v"] = json.RawMessage(strconv.Itoa(ledger.SchemaVersion))
	}
	if text, err = json.Marshal(members); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	var policy ledger.Policy
	if err := ledger.DecodeStrict(text, &policy); err != nil {
		return nil, fmt.Errorf("%s: %s", file, ledger.AsError(err).Message)
	}
	if err := policy.Check(); err != nil {
		return nil, fmt.Errorf("%s: %s", file, ledger.AsError(err).Message)
	}
	return &policy, nil
}

func policyProposeCommand() *cobra.Command {
	var who council
	var dryRun bool
	command := &cobra.Command{
		Use:   "propose FILE",
		Short: "Propose a new version of a document, with your operator's vote",
		Long: `Propose a new version of a document, with your operator's vote. FILE is YAML or
JSON with the whole document, as ` + "`callseal policy show NAME`" + ` prints it; - is the
standard input. What it would change is printed first.`,
		Example: "  callseal policy propose devices.yaml --dry-run\n  callseal policy propose devices.yaml --operator atlas",
		Args:    cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			document, err := readPolicyFile(args[0], command.InOrStdin())
			if err != nil {
				return err
			}
			governance, disconnect, err := who.open()
			if err != nil {
				return err
			}
			defer disconnect()
			changes, err := who.changes(command.Context(), governance, document)
			if err != nil {
				return err
			}
			if len(changes) == 0 {
				return fmt.Errorf("%s changes nothing of the document %s that is in force", args[0], document.Name())
			}
			out := command.OutOrStdout()
			if dryRun {
				return printChanges(out, who.json, changes)
			}
			if !who.json {
				if err := printChanges(out, false, changes); err != nil {
					return err
				}
			}
			text, err := ledger.Canonical(document)
			if err != nil {
				return fmt.Errorf("encode the document: %w", err)
			}
			var state ledger.BallotState
			if _, err := who.submitTo(command.Context(), governance, &state, fabric.Proposal{Function: "governance:Propose", Args: []string{string(text)}}); err != nil {
				return err
			}
			return printBallot(out, who.json, &state)
		},
	}
	who.flags(command, ledger.RoleAdmin)
	command.Flags().BoolVar(&dryRun, "dry-run", false, "only print what it would change")
	return command
}

func printChanges(out io.Writer, asJSON bool, changes []string) error {
	if asJSON {
		return printValue(out, map[string]any{"changes": changes})
	}
	for _, line := range changes {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return fmt.Errorf("print changes: %w", err)
		}
	}
	return nil
}

// printBallot says how a ballot stands and what is to be done.
func printBallot(out io.Writer, asJSON bool, state *ledger.BallotState) error {
	if asJSON {
		return printValue(out, state)
	}
	ballot := &state.Ballot
	_, err := fmt.Fprintf(out, "version %d of %s, digest %s: votes of %s, needs %s\n",
		ballot.Version, ballot.Name, ballot.Digest, orNone(voters(state.Votes)), needs(state.Electorate))
	if err != nil {
		return fmt.Errorf("print the ballot: %w", err)
	}
	next := fmt.Sprintf("the others vote with `callseal policy vote %s %s`", ballot.Name, ballot.Digest)
	switch {
	case state.Enacted:
		next = "it is in force"
	case len(state.Votes) == 0:
		next = "it is off the agenda"
	}
	_, err = fmt.Fprintln(out, next)
	return err
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// needs says whose votes a document takes.
func needs(electorate ledger.Electorate) string {
	said := fmt.Sprintf("%d of %s", electorate.Needed, strings.Join(electorate.Operators, ", "))
	if len(electorate.Joining) > 0 {
		said += " and all that join: " + strings.Join(electorate.Joining, ", ")
	}
	return said
}

func policyPendingCommand() *cobra.Command {
	var who council
	command := &cobra.Command{
		Use:     "pending",
		Short:   "List what is put to the vote, and what it would change",
		Example: "  callseal policy pending",
		Args:    cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			governance, disconnect, err := who.open()
			if err != nil {
				return err
			}
			defer disconnect()
			pending, err := who.pending(command.Context(), governance)
			if err != nil {
				return err
			}
			out := command.OutOrStdout()
			if who.json {
				return printValue(out, pending)
			}
			if len(pending) == 0 {
				_, err := fmt.Fprintln(out, "nothing is put to the vote")
				return err
			}
			for i := range pending {
				changes, err := who.changes(command.Context(), governance, &pending[i].Ballot.Policy)
				if err != nil {
					return err
				}
				if err := errors.Join(printChanges(out, false, changes), printBallot(out, false, &pending[i])); err != nil {
					return err
				}
			}
			return nil
		},
	}
	who.flags(command, ledger.RoleAuditor)
	return command
}

func (c *council) pending(ctx context.Context, governance *fabric.Channel) ([]ledger.BallotState, error) {
	var pending []ledger.BallotState
	err := c.ask(ctx, governance, &pending, "governance:Pending")
	return pending, err
}

// shortestDigest is how much of a digest names a ballot.
const shortestDigest = 8

func policyBallotCommand(verb, short, function, long string) *cobra.Command {
	var who council
	command := &cobra.Command{
		Use:   verb + " NAME DIGEST",
		Short: short,
		Long: long + fmt.Sprintf(`

DIGEST is the document's, as whoever proposed it and `+"`callseal policy pending`"+` print
it; its first %d digits do.`, shortestDigest),
		Example: "  callseal policy " + verb + " devices 3fa1c09b --operator borealis",
		Args:    cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			governance, disconnect, err := who.open()
			if err != nil {
				return err
			}
			defer disconnect()
			pending, err := who.pending(command.Context(), governance)
			if err != nil {
				return err
			}
			ballot, err := findBallot(pending, args[0], args[1])
			if err != nil {
				return err
			}
			out := command.OutOrStdout()
			if !who.json {
				changes, err := who.changes(command.Context(), governance, &ballot.Policy)
				if err != nil {
					return err
				}
				if err := printChanges(out, false, changes); err != nil {
					return err
				}
			}
			var state ledger.BallotState
			_, err = who.submitTo(command.Context(), governance, &state, fabric.Proposal{
				Function: function, Args: []string{ballot.Name, strconv.FormatInt(ballot.Version, 10), ballot.Digest},
			})
			if err != nil {
				return err
			}
			return printBallot(out, who.json, &state)
		},
	}
	who.flags(command, ledger.RoleAdmin)
	return command
}

// findBallot finds the one that is meant. That the document is what its digest says
// is checked here: the peer's word is not enough to vote on.
func findBallot(pending []ledger.BallotState, name, digest string) (*ledger.Ballot, error) {
	if len(digest) < shortestDigest {
		return nil, fmt.Errorf("name the document by %d digits of its digest or more", shortestDigest)
	}
	matches := slices.DeleteFunc(slices.Clone(pending), func(state ledger.BallotState) bool {
		return state.Ballot.Name != name || !strings.HasPrefix(state.Ballot.Digest, strings.ToLower(digest))
	})
	switch len(matches) {
	case 0:
		return nil, fmt.Errorf("no document %s with that digest is put to the vote: see `callseal policy pending`", name)
	case 1:
	default:
		return nil, errors.New("several documents have a digest that begins so: write more of it")
	}
	ballot := &matches[0].Ballot
	own, err := ballot.Policy.Digest()
	if err != nil {
		return nil, err
	}
	if own != ballot.Digest {
		return nil, fmt.Errorf("the peer shows another document than the digest %s says: do not vote, and have the peer examined", ballot.Digest)
	}
	return ballot, nil
}
