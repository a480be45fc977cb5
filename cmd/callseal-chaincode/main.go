// Callseal-chaincode runs the contracts as a service that the operator's peer
// connects to over mutual TLS. It is configured by environment, as Fabric's
// external builders expect; see network/ for the variables. With --version it
// prints the version of its contracts, which is what operators approve.
package main

import (
	"fmt"
	"os"

	"github.com/callseal/callseal/chaincode/contract"
	"github.com/callseal/callseal/chaincode/service"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println(contract.Version)
		return
	}
	if err := service.Run(service.FromEnvironment()); err != nil {
		fmt.Fprintln(os.Stderr, "callseal-chaincode:", err)
		os.Exit(1)
	}
}
