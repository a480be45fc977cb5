package ledger

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

const (
	// saltBytes is the length of a details salt: 256 bits, so that nobody can
	// find a phone number by trying them all against the public digest.
	saltBytes = 32
	// partyRefBytes is the length of a party pseudonym, a truncated HMAC
	// (RFC 2104 §5).
	partyRefBytes = 16
	// MaxDetailsBytes bounds the canonical form of one record's details.
	MaxDetailsBytes = 64 << 10
)

// Details is what only the owner of a record sees. Its canonical form hashes to
// the record's DetailsDigest: whoever is shown it can check it against what the
// operators endorsed.
type Details struct {
	// Call is set for a CDR leg.
	Call *CallDetails `json:"call,omitzero"`
	// Device is set for a version of a device (version 2).
	Device *DeviceDetails `json:"device,omitzero"`
	// Recording is set for a recording.
	Recording *RecordingDetails `json:"recording,omitzero"`
	// Salt is 256 random bits in hexadecimal.
	Salt string `json:"salt"`
	// V is SchemaVersion.
	V int `json:"v"`
}

// RecordingDetails holds what a recording's file says of people: its name.
type RecordingDetails struct {
	// File is the path relative to the PBX's recording folder.
	File string `json:"file"`
}

// Digest is the value of the record's DetailsDigest.
func (d *Details) Digest() (string, error) {
	canonical, err := Canonical(d)
	if err != nil {
		return "", err
	}
	return Digest(canonical), nil
}

// Check answers CodeInvalid unless the details are well formed.
func (d *Details) Check() error {
	if err := CheckVersion("the details", d.V); err != nil {
		return err
	}
	kinds := 0
	for _, is := range []bool{d.Call != nil, d.Device != nil, d.Recording != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return Errorf(CodeInvalid, "details are those of either a call, a recording or a device")
	}
	if d.Call != nil {
		if err := d.Call.check(d.V); err != nil {
			return err
		}
	}
	if d.Device != nil {
		if d.V < 2 {
			return Errorf(CodeInvalid, "device is a member of version 2: write the details with v 2")
		}
		if err := d.Device.check(); err != nil {
			return err
		}
	}
	return CheckHex("salt", d.Salt, saltBytes)
}

// PartyRef is the pseudonym under which an operator finds its own calls by
// number: HMAC-SHA-256 under the operator's key, truncated to 128 bits. Party is
// "tel:+351…" for an E.164 number or "ext:600@pbx" for one of a PBX's own.
func PartyRef(operatorKey []byte, party string) string {
	mac := hmac.New(sha256.New, operatorKey)
	mac.Write([]byte(party))
	return hex.EncodeToString(mac.Sum(nil)[:partyRefBytes])
}

// Sealed is a record's Details as the owner's private collection holds them:
// encrypted under a key of that record alone, which stays outside the ledger,
// because Fabric's purge leaves plaintext on disk until a compaction. Destroying
// the key erases the details.
type Sealed struct {
	// Algorithm is "A256GCM": AES-256-GCM, the record's key as additional data.
	Algorithm string `json:"alg"`
	// Ciphertext includes the tag, base64.
	Ciphertext []byte `json:"ciphertext"`
	// KeyCommitment is the KeyCommitment of the record's key (version 2): an
	// erasure names it, so that what was destroyed is known.
	KeyCommitment string `json:"key_commitment,omitzero"`
	// Nonce is 96 bits, base64.
	Nonce []byte `json:"nonce"`
	// V is SchemaVersion.
	V int `json:"v"`
}

// SealAlgorithm is the one algorithm of Sealed.
const SealAlgorithm = "A256GCM"

// Check answers CodeInvalid or CodeTooLarge unless the shape is right.
func (s *Sealed) Check() error {
	if err := CheckVersion("the sealed details", s.V); err != nil {
		return err
	}
	switch {
	case s.Algorithm != SealAlgorithm:
		return Errorf(CodeInvalid, "details are sealed with %s", SealAlgorithm)
	case len(s.Nonce) != 12:
		return Errorf(CodeInvalid, "the nonce has %d bytes, AES-GCM takes 12", len(s.Nonce))
	case len(s.Ciphertext) < 16:
		return Errorf(CodeInvalid, "the ciphertext is shorter than its tag")
	case len(s.Ciphertext) > MaxDetailsBytes+16:
		return Errorf(CodeTooLarge, "the details have %d bytes, at most %d are allowed", len(s.Ciphertext)-16, MaxDetailsBytes)
	case s.KeyCommitment == "":
		return nil
	case s.V < 2:
		return Errorf(CodeInvalid, "key_commitment is a member of version 2: seal with v 2")
	}
	return CheckHex("key_commitment", s.KeyCommitment, sha256.Size)
}

// SealedRecord is one entry of the transient data of details:Put.
type SealedRecord struct {
	// Key is the key of the record the details belong to.
	Key    string `json:"key"`
	Sealed Sealed `json:"sealed"`
}
