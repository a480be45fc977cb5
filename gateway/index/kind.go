package index

import "github.com/callseal/callseal/chaincode/ledger"

// Kind is what a change is of.
type Kind string

// The kinds.
const (
	KindCall             Kind = "call"
	KindRecording        Kind = "recording"
	KindLink             Kind = "link"
	KindOmission         Kind = "omission"
	KindOpening          Kind = "opening"
	KindBeat             Kind = "beat"
	KindProgress         Kind = "progress"
	KindDisagreement     Kind = "disagreement"
	KindSegment          Kind = "segment"
	KindIncident         Kind = "incident"
	KindCorrection       Kind = "correction"
	KindDispute          Kind = "dispute"
	KindAdapter          Kind = "adapter"
	KindHold             Kind = "hold"
	KindHoldVersion      Kind = "hold_version"
	KindRetention        Kind = "retention"
	KindRetentionVersion Kind = "retention_version"
	KindErasure          Kind = "erasure"
	KindDevice           Kind = "device"
	KindDeviceVersion    Kind = "device_version"
	KindConsent          Kind = "consent"
	KindViolation        Kind = "violation"
	KindOpinion          Kind = "opinion"
	KindPardon           Kind = "pardon"
	KindAllowance        Kind = "allowance"
	KindAppeal           Kind = "appeal"
	KindPolicy           Kind = "policy"
	KindPolicyVersion    Kind = "policy_version"
	KindBallot           Kind = "ballot"
	KindAgenda           Kind = "agenda"
	// KindUnknown is a write under a key that this version knows no kind for: a
	// later version's.
	KindUnknown Kind = "unknown"
)

// kind says of a kind of key whose it is and how it becomes rows.
type kind struct {
	name Kind
	// msp and pbx are which parts of the key name the owner; -1 where none does.
	msp, pbx int
	// governance says that it stands in the governance chaincode's state.
	governance bool
	// table has a row for each key; nil where keys have none of their own.
	table *table
	// rows makes rows of a value, or says why it cannot be read.
	rows func(b *batch, w *write) error
}

// kinds are by the object type of the key. It is filled in by init: the functions
// need it themselves.
var kinds map[string]kind

func init() {
	kinds = map[string]kind{
		ledger.TypeCall:             {KindCall, 0, 1, false, callTable, callRows},
		ledger.TypeRecording:        {KindRecording, 0, 1, false, recordingTable, recordingRows},
		ledger.TypeLink:             {KindLink, 0, 1, false, linkTable, linkRows},
		ledger.TypeOmission:         {KindOmission, 0, 1, false, omissionTable, omissionRows},
		ledger.TypeOpening:          {KindOpening, 0, 1, false, openingTable, openingRows},
		ledger.TypeBeat:             {KindBeat, 0, 1, false, beatTable, beatRows},
		ledger.TypeProgress:         {KindProgress, 0, 1, false, progressTable, progressRows},
		ledger.TypeDisagreement:     {KindDisagreement, 0, 1, false, disagreementTable, disagreementRows},
		ledger.TypeSegment:          {KindSegment, 0, 1, false, segmentTable, segmentRows},
		ledger.TypeIncident:         {KindIncident, 0, 1, false, incidentTable, incidentRows},
		ledger.TypeCorrection:       {KindCorrection, 0, 1, false, correctionTable, correctionRows},
		ledger.TypeDispute:          {KindDispute, -1, -1, false, disputeTable, disputeRows},
		ledger.TypeAdapter:          {KindAdapter, 0, -1, false, adapterTable, adapterRows},
		ledger.TypeHold:             {KindHold, 0, 1, false, holdTable, holdRows},
		ledger.TypeHoldVersion:      {KindHoldVersion, 0, 1, false, nil, holdVersionRows},
		ledger.TypeRetention:        {KindRetention, 0, 1, false, retentionTable, retentionRows},
		ledger.TypeRetentionVersion: {KindRetentionVersion, 0, 1, false, nil, retentionVersionRows},
		ledger.TypeErasure:          {KindErasure, 0, -1, false, nil, erasureRows},
		ledger.TypeDevice:           {KindDevice, 0, -1, false, deviceTable, deviceRows},
		ledger.TypeDeviceVersion:    {KindDeviceVersion, 0, -1, false, deviceVersionTable, deviceVersionRows},
		ledger.TypeConsent:          {KindConsent, 0, 1, false, consentTable, consentRows},
		ledger.TypeViolation:        {KindViolation, 0, 1, false, violationTable, violationRows},
		ledger.TypeOpinion:          {KindOpinion, 2, -1, false, opinionTable, opinionRows},
		ledger.TypePardon:           {KindPardon, 2, -1, false, pardonTable, pardonRows},
		ledger.TypeAllowance:        {KindAllowance, 2, -1, false, allowanceTable, allowanceRows},
		ledger.TypeAppeal:           {KindAppeal, 3, -1, false, appealTable, appealRows},
		ledger.TypePolicy:           {KindPolicy, -1, -1, true, policyTable, policyRows},
		ledger.TypePolicyVersion:    {KindPolicyVersion, -1, -1, true, policyVersionTable, policyVersionRows},
		ledger.TypeBallot:           {KindBallot, -1, -1, true, ballotTable, ballotRows},
		ledger.TypeAgenda:           {KindAgenda, -1, -1, true, agendaTable, agendaRows},
	}
}

// pointers are keys that only lead readers to other keys: the database has indexes
// of its own.
var pointers = map[string]bool{
	ledger.TypeRecordingByCall: true, ledger.TypeRecordingByHash: true, ledger.TypeLinkTo: true, ledger.TypeCallByRef: true,
	ledger.TypeDeviceByAOR: true, ledger.TypeDeviceByFingerprint: true, ledger.TypeDisputeOf: true,
}

// Kinds are the names of all kinds, in the order of the documentation.
func Kinds() []Kind {
	return []Kind{
		KindCall, KindRecording, KindLink, KindOmission, KindOpening, KindBeat, KindProgress, KindDisagreement, KindSegment, KindIncident, KindCorrection, KindDispute,
		KindAdapter, KindHold, KindHoldVersion, KindRetention, KindRetentionVersion, KindErasure, KindDevice, KindDeviceVersion, KindConsent,
		KindViolation, KindOpinion, KindPardon, KindAllowance, KindAppeal, KindPolicy, KindPolicyVersion, KindBallot, KindAgenda, KindUnknown,
	}
}

// OfPBX says whether what is of a kind belongs to a PBX.
func OfPBX(name Kind) bool {
	if name == KindErasure || name == KindAdapter {
		return true
	}
	for _, one := range kinds {
		if one.name == name {
			return one.pbx >= 0
		}
	}
	return false
}
