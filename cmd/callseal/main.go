// Callseal is the one tool people type: it runs the network, reads the ledger,
// verifies recordings and shows all of it in a demo.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// exitCodeError carries a result that is not a failure of the tool: the altered
// file of `callseal verify`.
type exitCodeError int

func (e exitCodeError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	var code exitCodeError
	switch {
	case err == nil:
	case errors.As(err, &code):
		os.Exit(int(code))
	default:
		fmt.Fprintln(os.Stderr, "callseal:", err)
		// 1 is the verdict "altered" of `callseal verify`; a failure is not one.
		os.Exit(2)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "callseal",
		Short: "Call recordings and call detail records that nobody can quietly change",
		Long: `Callseal commits the CDR and the digests of the recording of every call to a
Hyperledger Fabric network that several telephone operators run together. Anyone
who holds a recording can prove that it is the one that was made.

  callseal demo            see all of it work, on this machine, in a minute
  callseal network up      raise the consortium's network and leave it running
  callseal call get ID     what the operators endorsed of a call
  callseal verify FILE     is this the recording that was made?`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(networkCommand(), callCommand(), deviceCommand(), consentCommand(), policyCommand(), recordingCommand(), gatewayCommand(), compactCommand(), reputationCommand(), verifyCommand(), importCommand(), demoCommand())
	return root
}
