package server

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// offered says by which method each function of the contracts can be called, or why
// it cannot.
var offered = map[string]string{
	"about:Version":  "AboutService/GetVersions",
	"adapters:Enrol": "AdapterService/EnrolAdapter", "adapters:Get": "AdapterService/GetAdapter", "adapters:List": "AdapterService/ListAdapters", "adapters:Revoke": "AdapterService/RevokeAdapter",
	"calls:Anchor": "AnchorService/AnchorSegment", "calls:AnchorLate": "AnchorService/AnchorLateSegment", "calls:ByLinkedID": "CallService/ListLegs",
	"calls:Chain": "LedgerService/GetChain", "calls:Conversation": "CallService/GetConversation", "calls:Correct": "CallService/CorrectCall",
	"calls:Corrections": "CallService/ListCorrections", "calls:Dispute": "CallService/RaiseDispute", "calls:Disputes": "CallService/ListDisputes",
	"calls:Erase": "ErasureService/Erase", "calls:Gaps": "LedgerService/ListGaps", "calls:Get": "CallService/GetCall", "calls:Incidents": "LedgerService/ListIncidents",
	"calls:List": "CallService/ListCalls", "calls:Omissions": "CallService/ListOmissions", "calls:Progress": "CallService/ListProgress", "calls:Reconcile": "CallService/ReconcileCall",
	"calls:Segment": "LedgerService/GetSegment", "calls:State": "CallService/GetCallState",
	"consents:Declare": "ConsentService/DeclareConsent", "consents:ForCall": "ConsentService/ListConsents", "consents:Get": "ConsentService/GetConsent",
	"consents:Report": "ConsentService/ReportViolation", "consents:Standing": "ConsentService/GetConsentStanding", "consents:Violating": "ConsentService/ListDueViolations",
	"consents:Violations": "ConsentService/ListViolations",
	"details:GetCall":     "CallService/GetCall", "details:GetDevice": "DeviceService/GetDevice", "details:GetRecording": "RecordingService/GetRecording",
	"details:Put":   "not offered, because the gateway stores details with the record they belong to, and seals them first",
	"details:Purge": "not offered, because the gateway purges once an erasure is stated: ErasureService/Erase, DeviceService/EraseDevice",
	"devices:ByAOR": "DeviceService/FindDevices", "devices:ByFingerprint": "DeviceService/FindDevices", "devices:Check": "DeviceService/CheckDevice",
	"devices:Erase": "DeviceService/EraseDevice", "devices:Get": "DeviceService/GetDevice", "devices:History": "DeviceService/ListDeviceVersions",
	"devices:List": "DeviceService/ListDevices", "devices:Register": "DeviceService/RegisterDevice", "devices:Reinstate": "DeviceService/ReinstateDevice",
	"devices:Revoke": "DeviceService/RevokeDevice", "devices:Rotate": "DeviceService/RotateDevice", "devices:Suspend": "DeviceService/SuspendDevice",
	"devices:Version":     "DeviceService/GetDeviceVersion",
	"recordings:BySHA256": "RecordingService/FindRecordings", "recordings:ByLinkedID": "RecordingService/ListRecordings", "recordings:Erase": "ErasureService/Erase",
	"recordings:Get": "RecordingService/GetRecording", "recordings:Hold": "RecordingService/HoldConversation", "recordings:Holds": "RecordingService/ListHolds",
	"recordings:Release": "RecordingService/ReleaseConversation", "recordings:Retain": "RecordingService/RetainRecording",
	"recordings:Retentions": "RecordingService/ListRetentions", "recordings:State": "RecordingService/GetRecordingState",
	"reputation:Allow": "GraceService/AllowSubject", "reputation:Appeal": "GraceService/AppealSubject", "reputation:Appeals": "GraceService/ListAppeals",
	"reputation:Carry":  "not offered, because the gateway carries over what it holds when it next has evidence",
	"reputation:Decide": "GraceService/DecideAppeal", "reputation:Disallow": "GraceService/DisallowSubject", "reputation:Get": "ReputationService/GetScore",
	"reputation:Opinion":  "not offered, because ReputationService/ListOpinions answers it among all",
	"reputation:Written":  "not offered, because the gateway asks it of its own opinions before it writes new ones",
	"reputation:Opinions": "ReputationService/ListOpinions", "reputation:Pardon": "GraceService/PardonSubject", "reputation:Record": "ReputationService/Report",
	"governance:Current": "PolicyService/GetPolicy", "governance:History": "PolicyService/ListPolicyVersions", "governance:Pending": "PolicyService/ListBallots",
	"governance:Propose": "PolicyService/ProposePolicy", "governance:Version": "PolicyService/GetPolicyVersion", "governance:Vote": "PolicyService/VotePolicy",
	"governance:Withdraw": "PolicyService/WithdrawVote",
}

// Every function of the contracts, as docs/chaincode.md lists them (which `make lint`
// holds to the code), can be called through a method that is served, or says why not.
func TestEveryFunctionOfTheLedgerIsOffered(t *testing.T) {
	page, err := os.ReadFile("../../docs/chaincode.md")
	require.NoError(t, err)
	functions := map[string]bool{}
	for _, found := range regexp.MustCompile("(?m)^#### `(\\w+:\\w+)\\(").FindAllSubmatch(page, -1) {
		functions[string(found[1])] = true
	}
	require.Greater(t, len(functions), 70)
	require.ElementsMatch(t, slices.Collect(maps.Keys(functions)), slices.Collect(maps.Keys(offered)))
	for function, method := range offered {
		if reason, no := regexp.MustCompile(`^not offered, because (.{20,})$`).FindStringSubmatch(method), allowed["/callseal.v1."+method]; reason == nil {
			require.NotEmpty(t, no.roles, "%s is said to be %s, which is not served", function, method)
		}
	}
}
