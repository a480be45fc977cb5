package ledger

// TypeOmission is the object type of omissions.
const TypeOmission = "omission"

// Reasons of an omission: why a recording that was due never came.
const (
	// OmissionMissing: no file appeared.
	OmissionMissing = "file_missing"
	// OmissionEmpty: the file holds no audio.
	OmissionEmpty = "empty"
	// OmissionUnreadable: the file is there and cannot be read.
	OmissionUnreadable = "unreadable"
	// OmissionCrashed: the PBX or its machine stopped during the call.
	OmissionCrashed = "crashed"
	// OmissionNoSpace: the disk was full.
	OmissionNoSpace = "no_space"
	// OmissionForbidden: the law or a party forbade to record.
	OmissionForbidden = "forbidden"
)

var omissionReasons = map[string]bool{
	OmissionMissing: true, OmissionEmpty: true, OmissionUnreadable: true, OmissionCrashed: true, OmissionNoSpace: true, OmissionForbidden: true,
}

// Omission says that an answered leg has no recording although one was due.
type Omission struct {
	// At is when the adapter gave the recording up, by the PBX's clock.
	At Time `json:"at"`
	// Leg is the leg that should have been recorded.
	Leg LegID `json:"leg"`
	// Reason is one of the reasons above.
	Reason string `json:"reason"`
}

// OmissionKey is the key of an omission: omission ⟨msp, pbx, linkedid, uniqueid,
// sequence⟩.
func OmissionKey(msp, pbx string, leg LegID) string {
	return CompositeKey(TypeOmission, msp, pbx, leg.LinkedID, leg.UniqueID, keyNumber(leg.Sequence))
}

type omissionContent struct{ *Omission }

func (c omissionContent) key(r *Record) string     { return OmissionKey(r.MSP, r.PBX, c.Leg) }
func (c omissionContent) indexes(*Record) []string { return nil }
func (c omissionContent) moment() Time             { return c.At }
func (c omissionContent) leg() LegID               { return c.Leg }

func (c omissionContent) check(*Record) error {
	if err := c.Leg.Check(); err != nil {
		return err
	}
	if !omissionReasons[c.Reason] {
		return Errorf(CodeInvalid, "the reason of an omission must be file_missing, empty, unreadable, crashed, no_space or forbidden")
	}
	return checkMoment("at", c.At)
}
