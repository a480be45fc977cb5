package server

import (
	"slices"
	"strings"

	"google.golang.org/grpc"

	"github.com/callseal/callseal/gateway/health"
)

// needs says what each service stands on: it is SERVING while all of that is
// there. Accepting stands on the journal alone, so that it goes on while Fabric is
// away; what writes and answers only afterwards needs orderers too.
var needs = map[string][]string{
	"callseal.v1.AnchorService": {health.Journal},
	"callseal.v1.OutboxService": {health.Journal},

	"callseal.v1.CallService":      {health.Ledger, health.Index},
	"callseal.v1.RecordingService": {health.Ledger, health.Index},
	"callseal.v1.LedgerService":    {health.Ledger},

	"callseal.v1.ErasureService":    {health.Ledger, health.Orderer},
	"callseal.v1.ReputationService": {health.Ledger, health.Orderer},

	"callseal.v1.StatusService":                {},
	"grpc.health.v1.Health":                    {},
	"grpc.reflection.v1.ServerReflection":      {},
	"grpc.reflection.v1alpha.ServerReflection": {},
}

// serveHealth has the health service tell of every service that is registered.
// Those not named above read and write the ledger.
func serveHealth(monitor *health.Monitor, server *grpc.Server) {
	var names []string
	for name := range server.GetServiceInfo() {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	for _, name := range names {
		needed, named := needs[name]
		if !named {
			needed = []string{health.Ledger, health.Orderer}
		}
		if len(needed) == 1 && needed[0] == health.Journal && !monitor.Has(health.Journal) {
			needed = []string{health.Ledger, health.Orderer} // nothing is taken without them
		}
		monitor.Serve(name, needed...)
	}
}
