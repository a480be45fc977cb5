package ledger

import (
	"crypto/sha256"
	"encoding/hex"
)

// TypeErasure is the object type of erasures.
const TypeErasure = "erasure"

// ErasureKey is the key of a record's erasure, made of the record's own key:
// erasure ⟨msp, "cdr", "rec" or "device-version", the other parts of the record's
// key⟩. It answers CodeInvalid for another key.
func ErasureKey(recordKey string) (string, error) {
	objectType, parts, err := SplitKey(recordKey)
	if err != nil || objectType != TypeCall && objectType != TypeRecording && objectType != TypeDeviceVersion {
		return "", Errorf(CodeInvalid, "only calls, recordings and versions of devices are erased")
	}
	return CompositeKey(TypeErasure, append([]string{parts[0], objectType}, parts[1:]...)...), nil
}

// Reasons of an erasure.
const (
	// EraseCourtOrder: a court or an authority ordered it.
	EraseCourtOrder = "court_order"
	// EraseRetentionExpired: the record's term is over.
	EraseRetentionExpired = "retention_expired"
	// EraseSubjectRequest: the person concerned asked for it.
	EraseSubjectRequest = "subject_request"
)

// EraseReasons are the reasons of an erasure, sorted.
var EraseReasons = []string{EraseCourtOrder, EraseRetentionExpired, EraseSubjectRequest}

// RecordingID names one revision of a recording within one operator's PBX.
type RecordingID struct {
	ID       string `json:"id"`
	Revision int64  `json:"revision"`
}

// Check answers CodeInvalid unless the identifier can stand in a key.
func (r RecordingID) Check() error {
	if err := CheckHex("id", r.ID, 16); err != nil {
		return err
	}
	if err := CheckNumber("revision", r.Revision); err != nil {
		return err
	}
	if r.Revision == 0 {
		return Errorf(CodeInvalid, "revision is 0, it starts at 1")
	}
	return nil
}

// Erasure is the public proof that a record's owner erased what was personal of
// it. The record itself stays: its digests prove what was there without saying
// it. Details and audio are erased under keys of their own and so each has its
// entry, which is written once.
type Erasure struct {
	// Audio tells of the destruction of the recording's audio.
	Audio *Destruction `json:"audio,omitzero"`
	// Call names the CDR leg, where the record is one.
	Call *LegID `json:"call,omitzero"`
	// Details tells of the destruction of the record's details.
	Details *Destruction `json:"details,omitzero"`
	// Device names the version of a device, where the record is one.
	Device *DeviceVersionID `json:"device,omitzero"`
	MSP    string           `json:"msp"`
	// PBX is absent for a device.
	PBX string `json:"pbx,omitzero"`
	// Recording names the recording, where the record is one.
	Recording *RecordingID `json:"recording,omitzero"`
	V         int          `json:"v"`
}

// Destruction is what was destroyed, by whom and why. Destruction itself cannot
// be proven to those who were not there; the commitment makes its denial
// provable: whoever shows a key with this commitment shows that it was kept.
type Destruction struct {
	// At is the transaction's time.
	At Time `json:"at"`
	// By is the role that signed: RoleCompliance, or RoleGateway on behalf of a
	// person of that role, whom RequestedBy names.
	By Role `json:"by"`
	// EvidenceDigest is the SHA-256 of the request or order, kept elsewhere.
	EvidenceDigest string `json:"evidence_digest,omitzero"`
	// KeyCommitment is the KeyCommitment of the key that was destroyed; absent
	// where its holder no longer had it.
	KeyCommitment string `json:"key_commitment,omitzero"`
	Reason        string `json:"reason"`
	// RequestedBy is the fingerprint of the certificate of the person who asked,
	// by the word of the gateway.
	RequestedBy string `json:"requested_by,omitzero"`
	// SealedDigest is the SHA-256 of the sealed details, as every peer holds it
	// of the owner's collection: it ties the commitment in them to this entry.
	// Absent for audio, and where no details were stored.
	SealedDigest string `json:"sealed_digest,omitzero"`
	TxID         string `json:"tx_id"`
}

// ErasureRequest asks for an erasure of details, audio or both.
type ErasureRequest struct {
	// Audio is set where the audio is to be erased.
	Audio *DestroyedKey `json:"audio,omitzero"`
	// Details is set where the details are to be erased.
	Details *DestroyedKey `json:"details,omitzero"`
	// EvidenceDigest, Reason and RequestedBy are as in Destruction.
	EvidenceDigest string `json:"evidence_digest,omitzero"`
	Reason         string `json:"reason"`
	RequestedBy    string `json:"requested_by,omitzero"`
}

// DestroyedKey names the key whose destruction erases.
type DestroyedKey struct {
	// KeyCommitment is as in Destruction.
	KeyCommitment string `json:"key_commitment,omitzero"`
}

// Check answers CodeInvalid unless the request is well formed.
func (r *ErasureRequest) Check() error {
	if r.Audio == nil && r.Details == nil {
		return Errorf(CodeInvalid, "name what is erased: details, audio or both")
	}
	digests := []struct{ field, value string }{{"evidence_digest", r.EvidenceDigest}, {"requested_by", r.RequestedBy}}
	for _, key := range []*DestroyedKey{r.Audio, r.Details} {
		if key != nil {
			digests = append(digests, struct{ field, value string }{"key_commitment", key.KeyCommitment})
		}
	}
	for _, digest := range digests {
		if digest.value == "" {
			continue
		}
		if err := CheckHex(digest.field, digest.value, sha256.Size); err != nil {
			return err
		}
	}
	return checkCode("the reason of an erasure", r.Reason, EraseReasons)
}

// KeyCommitment is what can be said of a record's key without giving it away:
// SHA-256 over a label and the key, in hexadecimal. Keys are 256 random bits, so
// that it cannot be guessed back.
func KeyCommitment(key []byte) string {
	hash := sha256.New()
	hash.Write([]byte("callseal record key v1\x00"))
	hash.Write(key)
	return hex.EncodeToString(hash.Sum(nil))
}
