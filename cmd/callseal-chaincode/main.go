// Callseal-chaincode runs the contracts as a service that the operator's peer
// connects to over mutual TLS. It is configured by environment, as Fabric's
// external builders expect; see network/ for the variables.
package main

import (
	"fmt"
	"os"

	"github.com/callseal/callseal/chaincode/service"
)

func main() {
	if err := service.Run(service.FromEnvironment()); err != nil {
		fmt.Fprintln(os.Stderr, "callseal-chaincode:", err)
		os.Exit(1)
	}
}
