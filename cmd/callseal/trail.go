package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/callseal/callseal/gateway/trail"
	"github.com/callseal/callseal/network"
)

// auditTrailCommand looks after a gateway's audit trail, on the gateway's machine.
func auditTrailCommand() *cobra.Command {
	command := &cobra.Command{Use: "audit", Short: "The gateway's audit trail: who did what that needs a privilege, and who was denied"}
	command.AddCommand(auditVerifyCommand())
	return command
}

func auditVerifyCommand() *cobra.Command {
	var operator, state, folder, head string
	var asJSON bool
	command := &cobra.Command{
		Use:   "verify",
		Short: "Is the trail as the gateway wrote it?",
		Long: `Is the trail as the gateway wrote it?

Every line carries the hash of the one before, so a line that was changed or taken
out shows. What was cut off at the end, and a trail that was written anew from the
beginning, show by --head: the gateway writes the hash of its last line into its log
every minute. Keep that log elsewhere, and compare.

Exit code 1 means that the trail was changed.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if folder == "" {
				if state == "" {
					var err error
					if state, err = network.DefaultState(); err != nil {
						return err
					}
				}
				folder = filepath.Join(network.LayoutAt(state).Operator(operator).GatewayState(), "audit")
			}
			verdict, err := trail.Verify(folder, strings.ToLower(strings.TrimSpace(head)))
			if err != nil {
				return err
			}
			altered := !verdict.Whole() || head != "" && !verdict.Witnessed
			if asJSON {
				text, err := json.Marshal(verdict, jsontext.WithIndent("  "))
				if err != nil {
					return err
				}
				_, _ = fmt.Fprintf(command.OutOrStdout(), "%s\n", text)
			} else {
				printTrail(command, verdict, head)
			}
			if altered {
				return exitCodeError(1)
			}
			return nil
		},
	}
	set := command.Flags()
	set.StringVar(&operator, "operator", "atlas", "operator of the development network whose gateway it is")
	set.StringVar(&state, "state", "", "state folder of the development network (default: $CALLSEAL_STATE, else below the home folder)")
	set.StringVar(&folder, "dir", "", "folder of the trail, instead of that of an operator of the development network")
	set.StringVar(&head, "head", "", "a head that was written down earlier: the trail must hold it")
	set.BoolVar(&asJSON, "json", false, "print JSON for programs")
	return command
}

func printTrail(command *cobra.Command, verdict *trail.Verdict, head string) {
	out := command.OutOrStdout()
	_, _ = fmt.Fprintf(out, "%d entries in %d files, %s to %s\n", verdict.Entries, verdict.Files, verdict.From.Format(time.RFC3339), verdict.To.Format(time.RFC3339))
	_, _ = fmt.Fprintf(out, "head %s\n", verdict.Head)
	if verdict.Unfinished > 0 {
		_, _ = fmt.Fprintf(out, "an unfinished line of %d bytes at the end: a gateway is writing, or was killed\n", verdict.Unfinished)
	}
	for _, one := range verdict.Breaks {
		_, _ = fmt.Fprintf(out, "CHANGED %s, line %d: %s\n", one.File, one.Line, one.What)
	}
	switch {
	case !verdict.Whole():
	case head != "" && !verdict.Witnessed:
		_, _ = fmt.Fprintln(out, "CHANGED: the head you named is not in it, so lines are missing at its end or it was written anew")
	default:
		_, _ = fmt.Fprintln(out, "whole: no line was changed or taken out")
	}
}
