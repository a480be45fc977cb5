package ledger

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// TypeCallByRef is the object type of the index of trunk legs by their call_ref.
const TypeCallByRef = "call-by-ref"

const (
	// callRefBytes is the length of a call_ref, a truncated HMAC (RFC 2104 §5).
	callRefBytes = 16
	// callRefPrefix keeps a Call-ID's pseudonym apart from those of numbers and
	// addresses, which are made with the same key.
	callRefPrefix = "call-id:"
	// maxClockOffsetMS is a day: a clock that is further off is not set at all.
	maxClockOffsetMS = 24 * 3600 * 1000
)

// CallRef is the pseudonym of a trunk leg's SIP Call-ID: HMAC-SHA-256 under the
// consortium's key of the epoch, truncated to 128 bits. The operators at both ends
// of a trunk see the same Call-ID and so write the same call_ref, and can compare
// their records without telling anybody else who called whom.
func CallRef(epochKey []byte, callID string) string {
	mac := hmac.New(sha256.New, epochKey)
	mac.Write([]byte(callRefPrefix + callID))
	return hex.EncodeToString(mac.Sum(nil)[:callRefBytes])
}

// CallByRefKey lets the operators on a trunk find each other's leg:
// call-by-ref ⟨call_ref, msp, pbx, linkedid, uniqueid, sequence⟩.
func CallByRefKey(callRef, msp, pbx string, leg LegID) string {
	return CompositeKey(TypeCallByRef, callRef, msp, pbx, leg.LinkedID, leg.UniqueID, keyNumber(leg.Sequence))
}

// CheckCallRef answers CodeInvalid unless s is a call_ref.
func CheckCallRef(s string) error { return CheckHex("call_ref", s, callRefBytes) }

var attestations = map[string]bool{"": true, "A": true, "B": true, "C": true}

// The verdicts on a caller's STIR identity, as ATIS-1000074 names them.
const (
	VerdictPassed = "TN-Validation-Passed" //nolint:gosec // no credential: "Pass" is in the standard's word
	VerdictFailed = "TN-Validation-Failed"
	VerdictNone   = "No-TN-Validation"
)

var verdicts = map[string]bool{"": true, VerdictPassed: true, VerdictFailed: true, VerdictNone: true}

// checkAdded answers CodeInvalid unless the members that later versions added are
// well formed, and absent in a record of an earlier one.
func (c *Call) checkAdded(version int) error {
	if (c.ClockSetBack || c.Imported) && version < 3 {
		return Errorf(CodeInvalid, "clock_set_back and imported are members of version 3: write the record with v 3")
	}
	if c.Attestation == "" && c.Boot == 0 && c.CallRef == "" && c.ClockOffsetMS == 0 && c.Verdict == "" {
		return nil
	}
	if version < 2 {
		return Errorf(CodeInvalid, "attestation, boot, call_ref, clock_offset_ms and verdict are members of version 2: write the record with v 2")
	}
	if !attestations[c.Attestation] {
		return Errorf(CodeInvalid, "the attestation must be A, B or C, or left out")
	}
	if !verdicts[c.Verdict] {
		return Errorf(CodeInvalid, "the verdict must be %s, %s or %s, or left out", VerdictPassed, VerdictFailed, VerdictNone)
	}
	if c.Boot != 0 {
		if err := checkBoot(c.Boot); err != nil {
			return err
		}
	}
	if c.ClockOffsetMS < -maxClockOffsetMS || c.ClockOffsetMS > maxClockOffsetMS {
		return Errorf(CodeInvalid, "clock_offset_ms is %d, more than a day: set the PBX's clock", c.ClockOffsetMS)
	}
	if c.CallRef != "" {
		return CheckCallRef(c.CallRef)
	}
	return nil
}
