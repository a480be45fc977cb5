package main

import (
	"github.com/spf13/cobra"

	"github.com/callseal/callseal/demo"
)

func demoCommand() *cobra.Command {
	var options demo.Options
	var measure int
	command := &cobra.Command{
		Use:   "demo",
		Short: "Raise a network, record a real call, prove it, tamper with it, see the alarm",
		Long: `Raise a three-operator Fabric network on this machine, place a real call on a
real Asterisk, commit its CDR and its recording's digests, prove the recording,
then alter it in three ways and see each one found. Everything is stopped at the
end and nothing is left behind but caches.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			options.Out = command.OutOrStdout()
			if command.Flags().Changed("measure") {
				return demo.Measure(command.Context(), measure, options)
			}
			return demo.Run(command.Context(), options)
		},
	}
	command.Flags().BoolVar(&options.Bundled, "bundled", false, "use the bundled call even where an Asterisk is to be had")
	command.Flags().StringVar(&options.Keep, "keep", "", "keep the demo's folder here, to look at it afterwards")
	command.Flags().IntVar(&measure, "measure", 100, "instead of tampering, place this many calls and print how long each took from hang-up to commit")
	return command
}
