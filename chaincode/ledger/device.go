package ledger

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Object types of devices (P1 phase 1: a device is registered on chain before it
// may call).
const (
	TypeDevice              = "device"
	TypeDeviceVersion       = "device-version"
	TypeDeviceByAOR         = "device-by-aor"
	TypeDeviceByFingerprint = "device-by-fingerprint"
)

const (
	// deviceIDBytes is the length of a device's id: random, because an extension
	// or a serial number would say whose it is.
	deviceIDBytes = 16
	// deviceRefBytes is the length of a device's pseudonyms, a whole HMAC-SHA-256:
	// they are looked up across operators, so that two must never meet.
	deviceRefBytes = 32
	// maxDeviceRefs bounds the addresses, and the fingerprints, of one device.
	maxDeviceRefs = 20
	// maxAddressLength bounds an address of record in clear, in bytes.
	maxAddressLength = 256
)

// DeviceKey is the key of a device as it stands: device ⟨msp, id⟩.
func DeviceKey(msp, id string) string { return CompositeKey(TypeDevice, msp, id) }

// DeviceVersionKey is the key of one version of a device, from 1, where it stays:
// device-version ⟨msp, id, n⟩.
func DeviceVersionKey(msp, id string, n int64) string {
	return CompositeKey(TypeDeviceVersion, msp, id, keyNumber(n))
}

// DeviceByAORKey lets readers find the devices that have, or once had, an address
// of record: device-by-aor ⟨aor_ref, msp, id⟩. It is never removed, so that "was
// this address registered then" can be answered; whoever follows it looks at the
// version in force at the time.
func DeviceByAORKey(ref, msp, id string) string {
	return CompositeKey(TypeDeviceByAOR, ref, msp, id)
}

// DeviceByFingerprintKey is as DeviceByAORKey, for a fingerprint.
func DeviceByFingerprintKey(ref, msp, id string) string {
	return CompositeKey(TypeDeviceByFingerprint, ref, msp, id)
}

// The kinds of device.
const (
	DeviceAdapter    = "adapter" // an analogue telephone adapter
	DeviceConference = "conference"
	DeviceDECT       = "dect"
	DeviceGateway    = "gateway" // a media gateway
	DevicePBX        = "pbx"
	DevicePhone      = "phone"
	DeviceSoftphone  = "softphone"
	DeviceTrunk      = "trunk"
	DeviceWebRTC     = "webrtc"
)

// DeviceKinds are the kinds of device, sorted.
var DeviceKinds = []string{
	DeviceAdapter, DeviceConference, DeviceDECT, DeviceGateway, DevicePBX, DevicePhone, DeviceSoftphone, DeviceTrunk, DeviceWebRTC,
}

// The statuses of a device.
const (
	DeviceActive    = "active"
	DeviceSuspended = "suspended"
	// DeviceRevoked is final: the same thing comes back under a new id.
	DeviceRevoked = "revoked"
)

// What a version of a Device changed.
const (
	DeviceRegistered = "registered"
	DeviceReinstated = "reinstated"
	DeviceRotated    = "rotated"
	// A version may also say DeviceSuspended or DeviceRevoked.
)

// Reasons of a change of a device.
const (
	DeviceReasonCleared        = "cleared" // the suspicion did not hold
	DeviceReasonCompromised    = "compromised"
	DeviceReasonDecommissioned = "decommissioned"
	DeviceReasonFraud          = "fraud"
	DeviceReasonKeyEpoch       = "key_epoch" // the consortium's key changed
	DeviceReasonLost           = "lost"
	DeviceReasonMaintenance    = "maintenance"
	DeviceReasonMistake        = "mistake"
	DeviceReasonOwnerRequest   = "owner_request"
	DeviceReasonPayment        = "payment"
	DeviceReasonRecovered      = "recovered"
	DeviceReasonReplaced       = "replaced"
	DeviceReasonScheduled      = "scheduled"
	DeviceReasonStolen         = "stolen"
	DeviceReasonSuspicion      = "suspicion"
)

// deviceReasons are the reasons of each change, sorted.
var deviceReasons = map[string][]string{
	DeviceSuspended: {
		DeviceReasonFraud, DeviceReasonLost, DeviceReasonMaintenance, DeviceReasonOwnerRequest, DeviceReasonPayment, DeviceReasonStolen, DeviceReasonSuspicion,
	},
	DeviceReinstated: {
		DeviceReasonCleared, DeviceReasonMaintenance, DeviceReasonMistake, DeviceReasonOwnerRequest, DeviceReasonPayment, DeviceReasonRecovered,
	},
	DeviceRevoked: {
		DeviceReasonCompromised, DeviceReasonDecommissioned, DeviceReasonFraud, DeviceReasonLost, DeviceReasonMistake, DeviceReasonOwnerRequest,
		DeviceReasonReplaced, DeviceReasonStolen,
	},
	DeviceRotated: {
		DeviceReasonCompromised, DeviceReasonKeyEpoch, DeviceReasonMistake, DeviceReasonOwnerRequest, DeviceReasonScheduled,
	},
}

// DeviceReasons are the reasons that a change may have, sorted: of
// DeviceSuspended, DeviceReinstated, DeviceRevoked or DeviceRotated.
func DeviceReasons(change string) []string { return slices.Clone(deviceReasons[change]) }

// DeviceCredentials are what a device is known by. None of it is in clear.
type DeviceCredentials struct {
	// AORRefs are the AORRef of its addresses of record, sorted, at least one.
	AORRefs []string `json:"aor_refs"`
	// CredentialRef is the CredentialRef of its SIP account; absent where it has
	// none, as a trunk known by its network.
	CredentialRef string `json:"credential_ref,omitzero"`
	// DetailsDigest is the digest of the Details that say in clear what the refs
	// hide, under the DeviceVersionKey of DetailsN.
	DetailsDigest string `json:"details_digest"`
	// FingerprintRefs are the FingerprintRef of its certificates, sorted. They
	// count only where a TLS proxy supplies the certificate.
	FingerprintRefs []string `json:"fingerprint_refs,omitzero"`
	// KeyEpoch is the epoch of the consortium's key that made the refs, from 1.
	KeyEpoch int64 `json:"key_epoch"`
	// ValidFrom is since when the device counts.
	ValidFrom Time `json:"valid_from,omitzero"`
	// ValidUntil is until when it counts, that instant excluded; not set: without
	// end.
	ValidUntil Time `json:"valid_until,omitzero"`
}

// Device is one version of a device's registration (P1 phase 1). Only its owner
// changes it; every operator reads it.
type Device struct {
	// At is the time of the transaction that wrote this version.
	At Time `json:"at"`
	// By is the role that signed this version, of the operator MSP.
	By Role `json:"by"`
	// Change is DeviceRegistered, DeviceSuspended, DeviceReinstated, DeviceRevoked
	// or DeviceRotated.
	Change      string            `json:"change"`
	Credentials DeviceCredentials `json:"credentials"`
	// DetailsN is the version that brought the details in force.
	DetailsN int64 `json:"details_n"`
	// ID is 128 random bits in hexadecimal.
	ID string `json:"id"`
	// Kind is one of DeviceKinds.
	Kind string `json:"kind"`
	MSP  string `json:"msp"`
	// N counts the versions from 1.
	N int64 `json:"n"`
	// Reason is why this version was written; absent for the first.
	Reason       string `json:"reason,omitzero"`
	RegisteredAt Time   `json:"registered_at"`
	// Status is DeviceActive, DeviceSuspended or DeviceRevoked.
	Status string `json:"status"`
	TxID   string `json:"tx_id"`
	V      int    `json:"v"`
}

// DeviceRegistration is what devices:Register takes.
type DeviceRegistration struct {
	Credentials DeviceCredentials `json:"credentials"`
	ID          string            `json:"id"`
	Kind        string            `json:"kind"`
}

// DeviceRotation is what devices:Rotate takes: the credentials as they shall be
// from now on, whole, so that nothing stays by oversight.
type DeviceRotation struct {
	// After is the version this one follows: who acts on an old one is told so.
	After       int64             `json:"after"`
	Credentials DeviceCredentials `json:"credentials"`
	// Reason is one of DeviceReasons(DeviceRotated).
	Reason string `json:"reason"`
}

// CheckDeviceID answers CodeInvalid unless the id is one of a device.
func CheckDeviceID(id string) error { return CheckHex("id", id, deviceIDBytes) }

// CheckDeviceRef answers CodeInvalid unless ref is an AORRef or FingerprintRef.
func CheckDeviceRef(field, ref string) error { return CheckHex(field, ref, deviceRefBytes) }

// Check answers CodeInvalid unless the registration is well formed.
func (r *DeviceRegistration) Check() error {
	if err := CheckDeviceID(r.ID); err != nil {
		return err
	}
	if err := checkCode("the kind of a device", r.Kind, DeviceKinds); err != nil {
		return err
	}
	return r.Credentials.check()
}

// Check answers CodeInvalid unless the rotation is well formed.
func (r *DeviceRotation) Check() error {
	if err := CheckNumber("after", r.After); err != nil {
		return err
	}
	if err := checkCode("the reason of a rotation", r.Reason, deviceReasons[DeviceRotated]); err != nil {
		return err
	}
	return r.Credentials.check()
}

func (c *DeviceCredentials) check() error {
	if len(c.AORRefs) == 0 {
		return Errorf(CodeInvalid, "a device has at least one address of record: name it in aor_refs")
	}
	if c.FingerprintRefs != nil && len(c.FingerprintRefs) == 0 {
		return Errorf(CodeInvalid, "fingerprint_refs holds none: leave it out")
	}
	for _, refs := range []struct {
		field  string
		values []string
	}{{"aor_refs", c.AORRefs}, {"fingerprint_refs", c.FingerprintRefs}} {
		if err := checkDeviceRefs(refs.field, refs.values); err != nil {
			return err
		}
	}
	if c.CredentialRef != "" {
		if err := CheckHex("credential_ref", c.CredentialRef, deviceRefBytes); err != nil {
			return err
		}
	}
	if err := CheckHex("details_digest", c.DetailsDigest, sha256.Size); err != nil {
		return err
	}
	if err := CheckNumber("key_epoch", c.KeyEpoch); err != nil {
		return err
	}
	if c.KeyEpoch == 0 {
		return Errorf(CodeInvalid, "key_epoch is 0, epochs are counted from 1")
	}
	if !c.ValidUntil.IsZero() && !c.ValidFrom.Before(c.ValidUntil) {
		return Errorf(CodeInvalid, "valid_until must lie after valid_from")
	}
	return nil
}

func checkDeviceRefs(field string, refs []string) error {
	if len(refs) > maxDeviceRefs {
		return Errorf(CodeInvalid, "%s holds %d, at most %d are allowed", field, len(refs), maxDeviceRefs)
	}
	for i, ref := range refs {
		if err := CheckDeviceRef(field, ref); err != nil {
			return err
		}
		if i > 0 && refs[i-1] >= ref {
			return Errorf(CodeInvalid, "%s must be sorted and named once", field)
		}
	}
	return nil
}

// NewDevice is the first version of a device of the operator msp.
func NewDevice(registration *DeviceRegistration, msp string, by Role, at Time, txID string) *Device {
	device := &Device{
		At: at, By: by, Change: DeviceRegistered, Credentials: registration.Credentials, DetailsN: 1, ID: registration.ID, Kind: registration.Kind,
		MSP: msp, N: 1, RegisteredAt: at, Status: DeviceActive, TxID: txID, V: SchemaVersion,
	}
	if device.Credentials.ValidFrom.IsZero() {
		device.Credentials.ValidFrom = at
	}
	return device
}

// Next is the version of the device after a change for a reason, written by a
// role in a transaction. It answers CodeInvalid for a reason that the change does
// not have, and CodeState where another version came first (after is the one the
// caller knew) or the device's status does not allow it.
func (d *Device) Next(change, reason string, after int64, by Role, at Time, txID string) (*Device, error) {
	if err := checkCode("the reason", reason, deviceReasons[change]); err != nil {
		return nil, err
	}
	if d.N != after {
		return nil, Errorf(CodeState, "the device is at version %d, not %d: look at it and ask again", d.N, after)
	}
	if d.Status == DeviceRevoked {
		return nil, Errorf(CodeState, "the device was revoked at %s, which is final: register it anew under another id", d.At)
	}
	next := *d
	next.At, next.By, next.Change, next.N, next.Reason, next.TxID, next.V = at, by, change, d.N+1, reason, txID, SchemaVersion
	switch change {
	case DeviceSuspended:
		if d.Status == DeviceSuspended {
			return nil, Errorf(CodeState, "the device is suspended already, since %s", d.At)
		}
		next.Status = DeviceSuspended
	case DeviceReinstated:
		if d.Status != DeviceSuspended {
			return nil, Errorf(CodeState, "the device is not suspended: there is nothing to reinstate")
		}
		next.Status = DeviceActive
	case DeviceRevoked:
		next.Status = DeviceRevoked
	}
	return &next, nil
}

// Rotate is the version of the device with other credentials. A suspended device
// stays suspended.
func (d *Device) Rotate(rotation *DeviceRotation, by Role, at Time, txID string) (*Device, error) {
	next, err := d.Next(DeviceRotated, rotation.Reason, rotation.After, by, at, txID)
	if err != nil {
		return nil, err
	}
	if next.Credentials.DetailsDigest != rotation.Credentials.DetailsDigest {
		next.DetailsN = next.N
	}
	next.Credentials = rotation.Credentials
	if next.Credentials.ValidFrom.IsZero() {
		next.Credentials.ValidFrom = d.Credentials.ValidFrom
	}
	if until := next.Credentials.ValidUntil; !until.IsZero() && !next.Credentials.ValidFrom.Before(until) {
		return nil, Errorf(CodeInvalid, "valid_until must lie after valid_from, which stays %s unless given", next.Credentials.ValidFrom)
	}
	return next, nil
}

// Verdicts on a device at a time.
const (
	// VerdictRegistered: registered, active and within its validity.
	VerdictRegistered = "registered"
	VerdictSuspended  = "suspended"
	VerdictRevoked    = "revoked"
	VerdictExpired    = "expired"
	// VerdictUnregistered: not on the ledger, or not yet valid. Such a device is
	// malicious (P1 phase 1).
	VerdictUnregistered = "unregistered"
)

// Verdict is the verdict on the device, in the version in force at the time.
func (d *Device) Verdict(at Time) string {
	switch {
	case d.Status == DeviceRevoked:
		return VerdictRevoked
	case d.Status == DeviceSuspended:
		return VerdictSuspended
	case at.Before(d.Credentials.ValidFrom):
		return VerdictUnregistered
	case !d.Credentials.ValidUntil.IsZero() && !at.Before(d.Credentials.ValidUntil):
		return VerdictExpired
	default:
		return VerdictRegistered
	}
}

// DeviceStanding is one device that has an address of record at a time.
type DeviceStanding struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	MSP  string `json:"msp"`
	// N is the version in force at the time.
	N       int64  `json:"n"`
	Verdict string `json:"verdict"`
}

// DeviceVerdict answers whether an address of record may call at a time.
type DeviceVerdict struct {
	// At is the time asked for.
	At Time `json:"at"`
	// Consequence is ConsequenceAllow, ConsequenceFlag or ConsequenceReject.
	Consequence string `json:"consequence"`
	// Devices are those that have the address at the time, by operator and id.
	Devices []DeviceStanding `json:"devices,omitzero"`
	// PolicyVersion is the version of the policy "devices" that was applied.
	PolicyVersion int64 `json:"policy_version"`
	V             int   `json:"v"`
	// Verdict is VerdictRegistered if one of the devices is; otherwise the gravest
	// of theirs, revoked before suspended before expired.
	Verdict string `json:"verdict"`
}

// gravity orders verdicts; the last one that occurs holds.
var gravity = []string{VerdictUnregistered, VerdictExpired, VerdictSuspended, VerdictRevoked, VerdictRegistered}

// Judge is the verdict on an address that the devices given have at a time.
func Judge(devices []DeviceStanding, at Time, policy *DevicePolicy, policyVersion int64) *DeviceVerdict {
	verdict := &DeviceVerdict{At: at, Devices: devices, PolicyVersion: policyVersion, V: SchemaVersion, Verdict: VerdictUnregistered}
	for _, device := range devices {
		if slices.Index(gravity, device.Verdict) > slices.Index(gravity, verdict.Verdict) {
			verdict.Verdict = device.Verdict
		}
	}
	verdict.Consequence = policy.Consequence(verdict.Verdict)
	return verdict
}

// Labels that keep pseudonyms of different kinds, made under one key, apart from
// one another and from those of reputation.
const (
	aorLabel         = "callseal device aor v1\x00"
	fingerprintLabel = "callseal device fingerprint v1\x00"
	credentialLabel  = "callseal device credential v1\x00"
)

// AORRef is the pseudonym of an address of record: HMAC-SHA-256 under the
// consortium's key of the epoch, so that every operator's PBX can look it up and
// nobody outside the consortium can reverse it. The address is brought into the
// form of NormalizeAOR first.
func AORRef(consortiumKey []byte, aor string) (string, error) {
	normal, err := NormalizeAOR(aor)
	if err != nil {
		return "", err
	}
	return deviceRef(consortiumKey, aorLabel, normal), nil
}

// FingerprintRef is the pseudonym of a certificate, by the SHA-256 of its DER in
// hexadecimal, as AORRef.
func FingerprintRef(consortiumKey []byte, fingerprint string) (string, error) {
	normal := strings.ToLower(strings.ReplaceAll(fingerprint, ":", ""))
	if err := CheckHex("the fingerprint", normal, sha256.Size); err != nil {
		return "", err
	}
	return deviceRef(consortiumKey, fingerprintLabel, normal), nil
}

// CredentialRef commits to a SIP account's password without telling it. The key
// is the operator's own and not the consortium's: who holds the key can try
// passwords.
func CredentialRef(operatorKey []byte, account, realm, password string) string {
	return deviceRef(operatorKey, credentialLabel, account+"\x00"+realm+"\x00"+password)
}

func deviceRef(key []byte, label, text string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(label))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// NormalizeAOR brings an address of record into the one form that is hashed,
// user@host: without scheme, display name, port and parameters, the host in lower
// case. It takes "600@pbx.example", "sip:600@PBX.example:5061;transport=tls" and
// "<sips:600@pbx.example>". The error quotes nothing of the address.
func NormalizeAOR(aor string) (string, error) {
	bad := Errorf(CodeInvalid, "an address of record is written like sip:600@pbx.example")
	if len(aor) > maxAddressLength {
		return "", bad
	}
	address := aor
	if open := strings.IndexByte(address, '<'); open >= 0 {
		end := strings.IndexByte(address[open:], '>')
		if end < 0 {
			return "", bad
		}
		address = address[open+1 : open+end]
	}
	if scheme, rest, found := strings.Cut(address, ":"); found && (strings.EqualFold(scheme, "sip") || strings.EqualFold(scheme, "sips")) {
		address = rest
	}
	at := strings.LastIndexByte(address, '@')
	if at < 1 {
		return "", bad
	}
	user, _, _ := strings.Cut(address[:at], ":") // a password may follow
	host := address[at+1:]
	if end := strings.IndexAny(host, ";?"); end >= 0 {
		host = host[:end]
	}
	if bare, _, err := net.SplitHostPort(host); err == nil {
		host = bare
	}
	host, known := normalHost(host)
	if !known || CheckName("user", user) != nil || strings.ContainsAny(user, "@\"<>") {
		return "", bad
	}
	return user + "@" + host, nil
}

// normalHost is the one form of a host's name or IP address, and whether it is
// one.
func normalHost(host string) (string, bool) {
	if address, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return address.String(), address.Zone() == ""
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, label := range strings.Split(host, ".") {
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
				return "", false
			}
		}
		if label == "" {
			return "", false
		}
	}
	return host, true
}

// DeviceVersionID names one version of a device within one operator.
type DeviceVersionID struct {
	ID string `json:"id"`
	N  int64  `json:"n"`
}

// maxNetworks bounds the networks of one device.
const maxNetworks = 20

// DeviceDetails says in clear what a device's pseudonyms hide. Only its owner
// sees it, sealed, under the key of the version that brought it.
type DeviceDetails struct {
	// Account is the name of its SIP account.
	Account string `json:"account,omitzero"`
	// AORs are its addresses of record, as NormalizeAOR writes them, sorted.
	AORs []string `json:"aors"`
	// Fingerprints are the SHA-256 of its certificates in hexadecimal, sorted.
	Fingerprints []string `json:"fingerprints,omitzero"`
	// Label is what people call it.
	Label string `json:"label,omitzero"`
	// Networks are those it calls from, such as 192.0.2.0/24, sorted: what
	// identifies a device is its account and its network.
	Networks []string `json:"networks,omitzero"`
}

func (d *DeviceDetails) check() error {
	if len(d.AORs) == 0 {
		return Errorf(CodeInvalid, "aors is missing: a device has at least one address of record")
	}
	for _, label := range []struct{ field, value string }{{"account", d.Account}, {"label", d.Label}} {
		if err := checkLabel(label.field, label.value); err != nil {
			return err
		}
	}
	for _, list := range []struct {
		field  string
		values []string
		good   func(string) bool
	}{
		{"aors", d.AORs, func(s string) bool {
			normal, err := NormalizeAOR(s)
			return err == nil && normal == s
		}},
		{"fingerprints", d.Fingerprints, func(s string) bool { return CheckHex("", s, sha256.Size) == nil }},
		{"networks", d.Networks, func(s string) bool {
			network, err := netip.ParsePrefix(s)
			return err == nil && network.Masked().String() == s
		}},
	} {
		if list.values != nil && len(list.values) == 0 {
			return Errorf(CodeInvalid, "%s holds none: leave it out", list.field)
		}
		if len(list.values) > maxNetworks {
			return Errorf(CodeInvalid, "%s holds %d, at most %d are allowed", list.field, len(list.values), maxNetworks)
		}
		for i, value := range list.values {
			if !list.good(value) {
				return Errorf(CodeInvalid, "entry %d of %s is not written as it must be: addresses as 600@pbx.example, networks as 192.0.2.0/24, fingerprints as SHA-256 in hexadecimal", i+1, list.field)
			}
			if i > 0 && list.values[i-1] >= value {
				return Errorf(CodeInvalid, "%s must be sorted and named once", list.field)
			}
		}
	}
	return nil
}
