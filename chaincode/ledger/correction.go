package ledger

// TypeCorrection is the object type of corrections.
const TypeCorrection = "correction"

// MaxCorrections bounds the corrections of one leg.
const MaxCorrections = 20

// Reasons of a correction.
const (
	// CorrectClock: the PBX's clock was wrong.
	CorrectClock = "clock"
	// CorrectTimeZone: times were taken for another zone's.
	CorrectTimeZone = "time_zone"
	// CorrectSoftware: the PBX, or what read it, had a fault.
	CorrectSoftware = "software_fault"
	// CorrectLate: what was not known then is known now.
	CorrectLate = "late_information"
	// CorrectAgreed: the operators on the trunk agreed on it.
	CorrectAgreed = "agreed"
)

var correctionReasons = map[string]bool{CorrectClock: true, CorrectTimeZone: true, CorrectSoftware: true, CorrectLate: true, CorrectAgreed: true}

// Correction says that a leg was not as its record says. The record itself never
// changes: whoever reads it reads its corrections too.
type Correction struct {
	// Amends names what is corrected: the leg's record or, from the second
	// correction on, the one before.
	Amends Amended `json:"amends"`
	// Changes are the shared fields that were wrong; absent where only details were.
	Changes *Changes `json:"changes,omitzero"`
	// DetailsDigest is the digest of the details that hold from now on; absent where
	// they stay.
	DetailsDigest string `json:"details_digest,omitzero"`
	// EvidenceDigest is the SHA-256 of what shows it, which is kept elsewhere.
	EvidenceDigest string `json:"evidence_digest,omitzero"`
	// Leg is the leg that is corrected.
	Leg LegID  `json:"leg"`
	MSP string `json:"msp"`
	// N numbers the corrections of a leg from 1.
	N   int64  `json:"n"`
	PBX string `json:"pbx"`
	// Reason is one of the reasons above.
	Reason string `json:"reason"`
	// V is SchemaVersion.
	V int `json:"v"`
}

// Amended names what a correction amends, and what it said.
type Amended struct {
	// Digest is the record's ContentDigest or the earlier correction's Digest.
	Digest string `json:"digest"`
	// Key is its key.
	Key string `json:"key"`
}

// Changes are the fields of a leg that were wrong, with what they are. What is
// absent stays.
type Changes struct {
	Answer      Time   `json:"answer,omitzero"`
	BillsecMS   *int64 `json:"billsec_ms,omitzero"`
	Direction   string `json:"direction,omitzero"`
	Disposition string `json:"disposition,omitzero"`
	DurationMS  *int64 `json:"duration_ms,omitzero"`
	End         Time   `json:"end,omitzero"`
	HangupCause *int64 `json:"hangup_cause,omitzero"`
	Start       Time   `json:"start,omitzero"`
	// Unanswered says that the leg was not answered: its answer is taken away.
	Unanswered bool `json:"unanswered,omitzero"`
}

// AnchoredCorrection is a correction as the ledger stores it.
type AnchoredCorrection struct {
	// AnchoredAt is the transaction's time.
	AnchoredAt Time       `json:"anchored_at"`
	Correction Correction `json:"correction"`
	// TxID is the transaction that anchored it; it carries the signature of the
	// person who answers for it.
	TxID string `json:"tx_id"`
	V    int    `json:"v"`
}

// CorrectionKey is the key of a leg's n-th correction:
// correction ⟨msp, pbx, linkedid, uniqueid, sequence, n⟩.
func CorrectionKey(msp, pbx string, leg LegID, n int64) string {
	return CompositeKey(TypeCorrection, msp, pbx, leg.LinkedID, leg.UniqueID, keyNumber(leg.Sequence), keyNumber(n))
}

// Key is the key the correction is stored under.
func (c *Correction) Key() string { return CorrectionKey(c.MSP, c.PBX, c.Leg, c.N) }

// Digest is the digest of what the correction says: the next one names it.
func (c *Correction) Digest() (string, error) {
	canonical, err := Canonical(c)
	if err != nil {
		return "", err
	}
	return Digest(canonical), nil
}

// Check answers CodeInvalid unless the correction is well formed. Whether it fits
// its leg, Apply says.
func (c *Correction) Check() error {
	if err := CheckVersion("the correction", c.V); err != nil {
		return err
	}
	if err := CheckName("msp", c.MSP); err != nil {
		return err
	}
	if err := CheckName("pbx", c.PBX); err != nil {
		return err
	}
	if err := c.Leg.Check(); err != nil {
		return err
	}
	if c.N < 1 || c.N > MaxCorrections {
		return Errorf(CodeInvalid, "n is %d, it must lie between 1 and %d", c.N, MaxCorrections)
	}
	if !correctionReasons[c.Reason] {
		return Errorf(CodeInvalid, "the reason must be clock, time_zone, software_fault, late_information or agreed")
	}
	if err := CheckHex("amends.digest", c.Amends.Digest, 32); err != nil {
		return err
	}
	for _, digest := range []struct{ field, value string }{{"details_digest", c.DetailsDigest}, {"evidence_digest", c.EvidenceDigest}} {
		if digest.value == "" {
			continue
		}
		if err := CheckHex(digest.field, digest.value, 32); err != nil {
			return err
		}
	}
	switch {
	case c.Changes == nil && c.DetailsDigest == "":
		return Errorf(CodeInvalid, "the correction changes nothing: give changes or details_digest")
	case c.Changes != nil && *c.Changes == (Changes{}):
		return Errorf(CodeInvalid, "changes holds none: leave it out")
	case c.Changes != nil && c.Changes.Unanswered && !c.Changes.Answer.IsZero():
		return Errorf(CodeInvalid, "the leg cannot be unanswered and have an answer")
	}
	return nil
}

// Apply answers the leg as it is after the correction, or CodeInvalid where that
// would not be a leg, or nothing of it would change. The leg given stays as it is.
func (c *Correction) Apply(call *Call) (*Call, error) {
	after := *call
	if c.DetailsDigest != "" {
		after.DetailsDigest = c.DetailsDigest
	}
	if c.Changes != nil {
		c.Changes.apply(&after)
	}
	if after == *call {
		return nil, Errorf(CodeInvalid, "the correction changes nothing: the leg says so already")
	}
	if err := after.check(SchemaVersion); err != nil {
		return nil, err
	}
	return &after, nil
}

func (c *Changes) apply(call *Call) {
	setTime(&call.Answer, c.Answer)
	setTime(&call.End, c.End)
	setTime(&call.Start, c.Start)
	setText(&call.Direction, c.Direction)
	setText(&call.Disposition, c.Disposition)
	setNumber(&call.BillsecMS, c.BillsecMS)
	setNumber(&call.DurationMS, c.DurationMS)
	setNumber(&call.HangupCause, c.HangupCause)
	if c.Unanswered {
		call.Answer = Time{}
	}
}

func setTime(field *Time, value Time) {
	if !value.IsZero() {
		*field = value
	}
}

func setText(field *string, value string) {
	if value != "" {
		*field = value
	}
}

func setNumber(field *int64, value *int64) {
	if value != nil {
		*field = *value
	}
}

// Corrected answers the leg as it is after its corrections, in order of N.
func Corrected(call *Call, corrections []AnchoredCorrection) (*Call, error) {
	for i := range corrections {
		after, err := corrections[i].Correction.Apply(call)
		if err != nil {
			return nil, err
		}
		call = after
	}
	return call, nil
}

// Amend numbers the correction after those that stand and has it name what it
// amends: the last of them, or else the leg's record.
func (c *Correction) Amend(record *Record, before []AnchoredCorrection) (err error) {
	if n := len(before); n > 0 {
		last := &before[n-1].Correction
		c.N, c.Amends.Key = last.N+1, last.Key()
		c.Amends.Digest, err = last.Digest()
		return err
	}
	c.N, c.Amends.Key = 1, record.Key()
	c.Amends.Digest, err = record.ContentDigest()
	return err
}
