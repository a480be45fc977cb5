package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/callseal/callseal/gateway/inspection"
	"github.com/callseal/callseal/gateway/setting"
)

func checkCommand(called *invocation) *cobra.Command {
	var asJSON bool
	check := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Look whether what the configuration names is there and fits together",
		Long: "Look whether what the configuration names is there and fits together: files,\n" +
			"certificates, folders, peers, the database, the tokens' issuer. A line for each;\n" +
			"the exit code is 0 when all is well. Nothing is changed, and the gateway may run.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			called.command = cmd
			var findings []inspection.Finding
			config, _, err := called.load()
			var problems *setting.Problems
			switch {
			case errors.As(err, &problems):
				for _, one := range problems.List() {
					findings = append(findings, inspection.Finding{Check: "configuration", Says: one})
				}
			case err != nil:
				findings = append(findings, inspection.Finding{Check: "configuration", Says: err.Error()})
			default:
				findings = append([]inspection.Finding{{Check: "configuration", OK: true, Says: called.file}}, inspection.Of(cmd.Context(), config)...)
			}
			if err := printFindings(cmd.OutOrStdout(), findings, asJSON); err != nil {
				return err
			}
			if !inspection.OK(findings) {
				return errors.New("the check found what has to be mended")
			}
			return nil
		},
	}
	check.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return check
}

// printFindings prints a line for each, aligned, or all as JSON.
func printFindings(out io.Writer, findings []inspection.Finding, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(findings); err != nil {
			return fmt.Errorf("print JSON: %w", err)
		}
		return nil
	}
	rows := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, one := range findings {
		mark := "ok"
		if !one.OK {
			mark = "FAILS"
		}
		_, _ = fmt.Fprintf(rows, "%s\t%s\t%s\n", mark, one.Check, one.Says)
	}
	if err := rows.Flush(); err != nil {
		return fmt.Errorf("print the findings: %w", err)
	}
	return nil
}
