package server

import (
	"slices"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
)

// readers may read what all operators share.
var readers = []ledger.Role{ledger.RoleAuditor, ledger.RoleCompliance, ledger.RoleAdmin, ledger.RoleGateway, ledger.RoleAdapter}

// everyone is any certificate of the operator with a role.
var everyone = append([]ledger.Role{}, readers...)

// allowed is the one table of who may call what. A method that is not in it is
// refused; a test checks that every method served is in it.
var allowed = map[string][]ledger.Role{
	"/callseal.v1.AnchorService/AnchorSegment":  {ledger.RoleAdapter},
	"/callseal.v1.AnchorService/AnchorSegments": {ledger.RoleAdapter},
	"/callseal.v1.AnchorService/Deliver":        {ledger.RoleAdapter},

	"/callseal.v1.AnchorService/AnchorLateSegment": {ledger.RoleAdmin},

	"/callseal.v1.CallService/GetCall":   readers,
	"/callseal.v1.CallService/ListLegs":  readers,
	"/callseal.v1.CallService/ListCalls": readers,

	"/callseal.v1.CallService/GetConversation": readers,
	"/callseal.v1.CallService/GetCallState":    readers,
	"/callseal.v1.CallService/CorrectCall":     {ledger.RoleCompliance},
	"/callseal.v1.CallService/ListCorrections": readers,
	"/callseal.v1.CallService/ListOmissions":   readers,
	"/callseal.v1.CallService/ReconcileCall":   readers,
	"/callseal.v1.CallService/RaiseDispute":    {ledger.RoleAuditor, ledger.RoleCompliance},
	"/callseal.v1.CallService/ListDisputes":    readers,

	"/callseal.v1.RecordingService/GetRecording":   readers,
	"/callseal.v1.RecordingService/ListRecordings": readers,
	"/callseal.v1.RecordingService/FindRecordings": readers,

	"/callseal.v1.RecordingService/GetRecordingState":   readers,
	"/callseal.v1.RecordingService/HoldConversation":    {ledger.RoleCompliance},
	"/callseal.v1.RecordingService/ReleaseConversation": {ledger.RoleCompliance},
	"/callseal.v1.RecordingService/ListHolds":           readers,
	"/callseal.v1.RecordingService/RetainRecording":     {ledger.RoleCompliance},
	"/callseal.v1.RecordingService/ListRetentions":      readers,

	"/callseal.v1.LedgerService/GetSegment":    readers,
	"/callseal.v1.LedgerService/ListIncidents": readers,
	"/callseal.v1.LedgerService/GetChain":      readers,
	"/callseal.v1.LedgerService/ListGaps":      readers,

	"/callseal.v1.ErasureService/Erase":      {ledger.RoleCompliance},
	"/callseal.v1.ErasureService/GetErasure": {ledger.RoleCompliance, ledger.RoleAuditor},

	"/callseal.v1.ReputationService/Report":       {ledger.RoleAdapter, ledger.RoleGateway},
	"/callseal.v1.ReputationService/GetScore":     readers,
	"/callseal.v1.ReputationService/ListOpinions": readers,

	"/grpc.health.v1.Health/Check": everyone,
	"/grpc.health.v1.Health/List":  everyone,
	"/grpc.health.v1.Health/Watch": everyone,

	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      everyone,
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": everyone,
}

// detailsReaders may see their own operator's personal details.
var detailsReaders = []ledger.Role{ledger.RoleCompliance}

// authorize answers a fault unless the caller may call the method.
func authorize(who caller, method string) error {
	roles, known := allowed[method]
	if !known || !slices.Contains(roles, who.role) {
		return fault.New(fault.Denied, "the role %q may not call %s, one of %q may", who.role, method, roles)
	}
	return nil
}

// authorizePBX answers a fault when an adapter reaches beyond its own PBX.
func authorizePBX(who caller, pbx string) error {
	if who.role == ledger.RoleAdapter && who.pbx != pbx {
		return fault.New(fault.Denied, "the adapter of PBX %q may not touch PBX %q: its certificate's %s says which is its own", who.pbx, pbx, ledger.AttributePBX)
	}
	return nil
}

// authorizeDetails answers a fault unless the caller may see details of the MSP.
func authorizeDetails(who caller, ownMSP, msp string) error {
	if msp != ownMSP {
		return fault.New(fault.Denied, "the details of %s are that operator's alone: ask it to disclose them", msp)
	}
	if !slices.Contains(detailsReaders, who.role) {
		return fault.New(fault.Denied, "the role %q may not see details, one of %q may", who.role, detailsReaders)
	}
	return nil
}
