package server

import (
	"slices"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/limit"
)

// rule says who may call a method, what it counts against and whether it changes
// anything.
type rule struct {
	// roles are those that may call it.
	roles []ledger.Role
	// class is what the call counts against in the limits.
	class limit.Class
	// mutates says that it changes the ledger or the gateway: then the audit trail
	// holds it, on disk, before it is done.
	mutates bool
}

// readers may read what all operators share.
var readers = []ledger.Role{ledger.RoleAuditor, ledger.RoleCompliance, ledger.RoleAdmin, ledger.RoleGateway, ledger.RoleAdapter}

// everyone is any caller of the operator's with a role.
var everyone = append([]ledger.Role{}, readers...)

// allowed is the one table of who may call what. A method that is not in it is
// refused; a test checks that every method served is in it, and that the page in
// docs/gateway.md says the same.
var allowed = map[string]rule{
	"/callseal.v1.AnchorService/AnchorSegment":  writes(ledger.RoleAdapter),
	"/callseal.v1.AnchorService/AnchorSegments": delivers(ledger.RoleAdapter),
	"/callseal.v1.AnchorService/Deliver":        delivers(ledger.RoleAdapter),

	"/callseal.v1.AnchorService/AnchorLateSegment": writes(ledger.RoleAdmin),

	"/callseal.v1.CallService/GetCall":   reads(readers...),
	"/callseal.v1.CallService/ListLegs":  lists(readers...),
	"/callseal.v1.CallService/ListCalls": lists(readers...),

	"/callseal.v1.CallService/GetConversation": reads(readers...),
	"/callseal.v1.CallService/GetCallState":    reads(readers...),
	"/callseal.v1.CallService/CorrectCall":     writes(ledger.RoleCompliance),
	"/callseal.v1.CallService/ListCorrections": lists(readers...),
	"/callseal.v1.CallService/ListOmissions":   lists(readers...),
	"/callseal.v1.CallService/ListProgress":    lists(readers...),
	"/callseal.v1.CallService/ReconcileCall":   lists(readers...),
	"/callseal.v1.CallService/RaiseDispute":    writes(ledger.RoleAuditor, ledger.RoleCompliance),
	"/callseal.v1.CallService/ListDisputes":    lists(readers...),

	"/callseal.v1.RecordingService/GetRecording":   reads(readers...),
	"/callseal.v1.RecordingService/ListRecordings": lists(readers...),
	"/callseal.v1.RecordingService/FindRecordings": lists(readers...),

	"/callseal.v1.RecordingService/GetRecordingState":   reads(readers...),
	"/callseal.v1.RecordingService/HoldConversation":    writes(ledger.RoleCompliance),
	"/callseal.v1.RecordingService/ReleaseConversation": writes(ledger.RoleCompliance),
	"/callseal.v1.RecordingService/ListHolds":           lists(readers...),
	"/callseal.v1.RecordingService/RetainRecording":     writes(ledger.RoleCompliance),
	"/callseal.v1.RecordingService/ListRetentions":      lists(readers...),

	"/callseal.v1.LedgerService/GetSegment":    reads(readers...),
	"/callseal.v1.LedgerService/ListIncidents": lists(readers...),
	"/callseal.v1.LedgerService/GetChain":      reads(readers...),
	"/callseal.v1.LedgerService/ListGaps":      lists(readers...),

	"/callseal.v1.ErasureService/Erase":      writes(ledger.RoleCompliance),
	"/callseal.v1.ErasureService/GetErasure": reads(ledger.RoleCompliance, ledger.RoleAuditor),

	"/callseal.v1.ReputationService/Report":       writes(ledger.RoleAdapter, ledger.RoleGateway),
	"/callseal.v1.ReputationService/GetScore":     reads(readers...),
	"/callseal.v1.ReputationService/ListOpinions": lists(readers...),

	"/callseal.v1.SearchService/SearchCalls":          lists(readers...),
	"/callseal.v1.SearchService/SearchRecordings":     lists(readers...),
	"/callseal.v1.SearchService/SearchSubjects":       lists(readers...),
	"/callseal.v1.SearchService/SearchEntries":        lists(readers...),
	"/callseal.v1.SearchService/ListConversationLegs": lists(readers...),
	"/callseal.v1.SearchService/ListOpenCalls":        lists(readers...),
	"/callseal.v1.SearchService/GetIndex":             reads(readers...),
	"/callseal.v1.WatchService/Watch":                 watches(readers...),

	"/callseal.v1.DeviceService/RegisterDevice":     writes(ledger.RoleAdmin),
	"/callseal.v1.DeviceService/RotateDevice":       writes(ledger.RoleAdmin),
	"/callseal.v1.DeviceService/SuspendDevice":      writes(ledger.RoleAdmin),
	"/callseal.v1.DeviceService/ReinstateDevice":    writes(ledger.RoleAdmin),
	"/callseal.v1.DeviceService/RevokeDevice":       writes(ledger.RoleAdmin),
	"/callseal.v1.DeviceService/EraseDevice":        writes(ledger.RoleCompliance, ledger.RoleAdmin),
	"/callseal.v1.DeviceService/GetDevice":          reads(readers...),
	"/callseal.v1.DeviceService/GetDeviceVersion":   reads(readers...),
	"/callseal.v1.DeviceService/ListDeviceVersions": lists(readers...),
	"/callseal.v1.DeviceService/ListDevices":        lists(readers...),
	"/callseal.v1.DeviceService/FindDevices":        lists(readers...),
	"/callseal.v1.DeviceService/CheckDevice":        reads(readers...),

	"/callseal.v1.ConsentService/DeclareConsent":     writes(ledger.RoleCompliance, ledger.RoleAdapter),
	"/callseal.v1.ConsentService/GetConsent":         reads(readers...),
	"/callseal.v1.ConsentService/ListConsents":       lists(readers...),
	"/callseal.v1.ConsentService/GetConsentStanding": reads(readers...),
	"/callseal.v1.ConsentService/ReportViolation":    writes(ledger.RoleAuditor, ledger.RoleCompliance),
	"/callseal.v1.ConsentService/ListViolations":     lists(readers...),
	"/callseal.v1.ConsentService/ListDueViolations":  lists(readers...),

	"/callseal.v1.PolicyService/ProposePolicy":      writes(ledger.RoleAdmin),
	"/callseal.v1.PolicyService/VotePolicy":         writes(ledger.RoleAdmin),
	"/callseal.v1.PolicyService/WithdrawVote":       writes(ledger.RoleAdmin),
	"/callseal.v1.PolicyService/GetPolicy":          reads(readers...),
	"/callseal.v1.PolicyService/GetPolicyVersion":   reads(readers...),
	"/callseal.v1.PolicyService/ListPolicyVersions": lists(readers...),
	"/callseal.v1.PolicyService/ListBallots":        lists(readers...),

	"/callseal.v1.AdapterService/EnrolAdapter":  writes(ledger.RoleAdmin),
	"/callseal.v1.AdapterService/RevokeAdapter": writes(ledger.RoleAdmin),
	"/callseal.v1.AdapterService/GetAdapter":    reads(readers...),
	"/callseal.v1.AdapterService/ListAdapters":  lists(readers...),

	"/callseal.v1.GraceService/AllowSubject":    writes(ledger.RoleCompliance, ledger.RoleAdmin),
	"/callseal.v1.GraceService/DisallowSubject": writes(ledger.RoleCompliance, ledger.RoleAdmin),
	"/callseal.v1.GraceService/PardonSubject":   writes(ledger.RoleCompliance, ledger.RoleAdmin),
	"/callseal.v1.GraceService/AppealSubject":   writes(ledger.RoleCompliance, ledger.RoleAdmin),
	"/callseal.v1.GraceService/DecideAppeal":    writes(ledger.RoleCompliance, ledger.RoleAdmin),
	"/callseal.v1.GraceService/ListAppeals":     lists(readers...),

	"/callseal.v1.OutboxService/ListEntries":   lists(ledger.RoleAuditor, ledger.RoleAdmin),
	"/callseal.v1.OutboxService/GetEntry":      reads(ledger.RoleAuditor, ledger.RoleAdmin),
	"/callseal.v1.OutboxService/ReplayEntries": writes(ledger.RoleAdmin),

	"/callseal.v1.AboutService/GetVersions": reads(everyone...),
	"/callseal.v1.StatusService/GetStatus":  reads(ledger.RoleAuditor, ledger.RoleAdmin),

	"/callseal.v1.ViewService/WatchAdmission": watches(ledger.RoleAdapter),

	"/grpc.health.v1.Health/Check": reads(everyone...),
	"/grpc.health.v1.Health/List":  reads(everyone...),
	"/grpc.health.v1.Health/Watch": watches(everyone...),

	"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      watches(everyone...),
	"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": watches(everyone...),
}

// reads is a query that answers one thing.
func reads(roles ...ledger.Role) rule { return rule{roles: roles, class: limit.Read} }

// lists is a query that answers many.
func lists(roles ...ledger.Role) rule { return rule{roles: roles, class: limit.List} }

// watches is a stream that only tells.
func watches(roles ...ledger.Role) rule { return rule{roles: roles, class: limit.Stream} }

// writes is a call that changes something.
func writes(roles ...ledger.Role) rule { return rule{roles: roles, class: limit.Write, mutates: true} }

// delivers is a stream that changes something.
func delivers(roles ...ledger.Role) rule {
	return rule{roles: roles, class: limit.Stream, mutates: true}
}

// detailsReaders may see their own operator's personal details.
var detailsReaders = []ledger.Role{ledger.RoleCompliance}

// authorize answers a fault unless the caller may call the method.
func authorize(who caller, method string) error {
	permitted, known := allowed[method]
	if !known || !slices.Contains(permitted.roles, who.role) {
		return fault.New(fault.Denied, "the role %q may not call %s, one of %q may", who.role, method, permitted.roles)
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
