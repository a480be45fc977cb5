package server

import (
	"slices"
	"strings"

	"google.golang.org/grpc"

	"github.com/callseal/callseal/gateway/health"
)

// What services stand on, by what they do.
var (
	// reading asks the own peer.
	reading = []string{health.Ledger}
	// projected is answered from the index.
	projected = []string{health.Index}
	// accepting ends at the journal, so that it goes on while Fabric is away. Nothing
	// is taken that the audit trail does not have.
	accepting = []string{health.Journal, health.Audit}
	// writing answers only once it is on the ledger.
	writing = []string{health.Ledger, health.Orderer, health.Identity, health.Audit}
)

// needs says what each service stands on: it is SERVING while all of that is there.
// Services that are mostly read stand on what their queries need. A test checks that
// none that is served is missing.
var needs = map[string][]string{
	"callseal.v1.AnchorService": accepting,
	"callseal.v1.OutboxService": accepting,

	"callseal.v1.AboutService":     reading,
	"callseal.v1.CallService":      reading,
	"callseal.v1.RecordingService": reading,
	"callseal.v1.LedgerService":    reading,

	"callseal.v1.SearchService": projected,
	"callseal.v1.WatchService":  projected,
	"callseal.v1.ViewService":   projected,

	"callseal.v1.AdapterService":    writing,
	"callseal.v1.ConsentService":    writing,
	"callseal.v1.DeviceService":     writing,
	"callseal.v1.ErasureService":    writing,
	"callseal.v1.GraceService":      writing,
	"callseal.v1.PolicyService":     writing,
	"callseal.v1.ReputationService": writing,

	"callseal.v1.StatusService":                {},
	"grpc.health.v1.Health":                    {},
	"grpc.reflection.v1.ServerReflection":      {},
	"grpc.reflection.v1alpha.ServerReflection": {},
}

// serveHealth has the health service tell of every service that is registered.
func serveHealth(monitor *health.Monitor, server *grpc.Server) {
	var names []string
	for name := range server.GetServiceInfo() {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	for _, name := range names {
		needed, named := needs[name]
		if !named {
			needed = writing
		}
		monitor.Serve(name, needed...)
	}
}
