package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	adapter "github.com/callseal/callseal/asterisk-adapter"
	"github.com/callseal/callseal/asterisk-adapter/device"
)

// devices lists the PBX's devices with the ledger's verdicts.
func devices(file *string) *cobra.Command {
	var asJSON, strangers bool
	command := &cobra.Command{
		Use:   "devices --config FILE",
		Short: "List the PBX's devices, and how they stand on the ledger",
		Long: "List the devices that Asterisk can reach, as the adapter saw them last, and the ledger's\n" +
			"verdict on each: registered, suspended, revoked, expired or unregistered. The list is in\n" +
			"clear and for the person at the PBX: run it as the adapter's user. REF is how the log and\n" +
			"/devices name a device.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := adapter.LoadConfig(*file)
			if err != nil {
				return err
			}
			found, err := adapter.ReadDevices(config)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
			if !asJSON {
				_, _ = fmt.Fprintln(table, "AOR\tVERDICT\tCONSEQUENCE\tSINCE\tREF\tCONTACTS")
			}
			for _, one := range found.Devices {
				if strangers && !device.Stranger(one.Verdict) {
					continue
				}
				if !asJSON {
					_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(one.AOR), one.Verdict, one.Consequence, one.Since.Local().Format(time.DateTime), one.Ref, printable(strings.Join(one.Contacts, " ")))
					continue
				}
				text, err := json.Marshal(one)
				if err != nil {
					return fmt.Errorf("print a device: %w", err)
				}
				if _, err := fmt.Fprintf(out, "%s\n", text); err != nil {
					return fmt.Errorf("print a device: %w", err)
				}
			}
			return table.Flush()
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON, one device a line")
	command.Flags().BoolVar(&strangers, "strangers", false, "only those that are not in good standing")
	return command
}

// printable leaves out what would steer a terminal: a contact is the phone's word.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
}
