package network_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/callseal/callseal/network/ccbuilder"
	"github.com/callseal/callseal/network/networktest"
)

// TestMain lets the peers of these tests run this test program as their
// external builder, the way they run callseal otherwise.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "builder" {
		if err := ccbuilder.Run(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(networktest.Finish(m.Run()))
}
