package main

import "github.com/spf13/cobra"

func gatewayCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "gateway",
		Short: "Look after an operator's gateway",
		Long:  `Look after an operator's gateway.`,
	}
	command.AddCommand(outboxCommand(), indexCommand(), gatewayHealthCommand(), gatewayStatusCommand(), auditTrailCommand())
	return command
}
