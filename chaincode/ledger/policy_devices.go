package ledger

// Consequences of a verdict on a device.
const (
	// ConsequenceAllow: the call goes on.
	ConsequenceAllow = "allow"
	// ConsequenceFlag: the call goes on, and an alarm is raised.
	ConsequenceFlag = "flag"
	// ConsequenceReject: the call and the registration are refused. A call to an
	// emergency number never is, whatever the verdict.
	ConsequenceReject = "reject"
)

// DevicePolicy says what becomes of the calls of devices that are not registered,
// active and valid. Each member is ConsequenceFlag or ConsequenceReject.
type DevicePolicy struct {
	// Expired is for devices past their validity.
	Expired string `json:"expired"`
	// Revoked is for devices that were revoked.
	Revoked string `json:"revoked"`
	// Suspended is for devices that are suspended.
	Suspended string `json:"suspended"`
	// Unregistered is for devices that no operator registered: malicious, by P1
	// phase 1.
	Unregistered string `json:"unregistered"`
}

// Consequence is what follows from a verdict.
func (p *DevicePolicy) Consequence(verdict string) string {
	switch verdict {
	case VerdictRegistered:
		return ConsequenceAllow
	case VerdictExpired:
		return p.Expired
	case VerdictRevoked:
		return p.Revoked
	case VerdictSuspended:
		return p.Suspended
	default:
		return p.Unregistered
	}
}

func (p *DevicePolicy) check() error {
	for _, one := range []struct{ field, value string }{
		{"expired", p.Expired}, {"revoked", p.Revoked}, {"suspended", p.Suspended}, {"unregistered", p.Unregistered},
	} {
		if one.value != ConsequenceFlag && one.value != ConsequenceReject {
			return Errorf(CodeInvalid, "%s must be %s or %s", one.field, ConsequenceFlag, ConsequenceReject)
		}
	}
	return nil
}

// By default what an operator decided about a device is enforced, and what
// nobody has decided yet is only flagged: on a consortium's first day no device
// is registered, and rejecting would silence every phone. P1's strict rule is
// "unregistered": "reject", for the operators to vote once their devices are on
// the ledger.
func defaultDevicePolicy() *DevicePolicy {
	return &DevicePolicy{Expired: ConsequenceReject, Revoked: ConsequenceReject, Suspended: ConsequenceReject, Unregistered: ConsequenceFlag}
}
