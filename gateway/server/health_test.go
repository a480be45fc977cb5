package server

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/gateway/health"
)

// Every service that is served says what it stands on, and nothing else does; what
// is needed is something that health asks.
func TestEveryServiceSaysWhatItStandsOn(t *testing.T) {
	var served []string
	for name := range newServer(t).grpc.GetServiceInfo() {
		served = append(served, name)
	}
	require.ElementsMatch(t, served, slices.Collect(maps.Keys(needs)))
	asked := []string{
		health.Journal, health.Peer, health.Ledger, health.Index, health.Disk, health.Identity, health.Orderer, health.Audit, health.Credentials, health.Tokens,
	}
	for name, needed := range needs {
		require.Subset(t, asked, needed, name)
	}
}

// What changes something is refused without the audit trail, so a service whose
// methods all do stands on it.
func TestWhatOnlyWritesStandsOnTheAuditTrail(t *testing.T) {
	only := map[string]bool{}
	for method, rule := range allowed {
		service := method[1 : slices.Index([]byte(method[1:]), '/')+1]
		before, seen := only[service]
		only[service] = rule.mutates && (before || !seen)
	}
	for service, writes := range only {
		if writes {
			require.Contains(t, needs[service], health.Audit, service)
		}
	}
	require.True(t, only["callseal.v1.AnchorService"])
}
