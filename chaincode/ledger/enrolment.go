package ledger

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"time"
)

// Enrolment is an adapter's certificate on the ledger, put there by an admin of
// its operator. The contracts check segment signatures against it.
type Enrolment struct {
	// Certificate is X.509 in DER, base64.
	Certificate []byte `json:"certificate"`
	// EnrolledAt is the transaction's time.
	EnrolledAt  Time   `json:"enrolled_at"`
	Fingerprint string `json:"fingerprint"`
	MSP         string `json:"msp"`
	PBX         string `json:"pbx"`
	// RevokedAt is set once the operator withdrew the certificate.
	RevokedAt Time   `json:"revoked_at,omitzero"`
	TxID      string `json:"tx_id"`
	V         int    `json:"v"`
}

// attributesOID is where Fabric CA puts certificate attributes.
const attributesOID = "1.2.3.4.5.6.7.8.1"

// Fingerprint is the SHA-256 of a certificate's DER in hexadecimal.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// Attributes reads the certificate attributes of the extension Fabric CA uses.
// A certificate without the extension has none.
func Attributes(certificate *x509.Certificate) (map[string]string, error) {
	for _, extension := range certificate.Extensions {
		if extension.Id.String() != attributesOID {
			continue
		}
		var value struct {
			Attrs map[string]string `json:"attrs"`
		}
		if err := json.Unmarshal(extension.Value, &value); err != nil {
			return nil, Errorf(CodeInvalid, "the certificate's attribute extension is not JSON: %v", err)
		}
		return value.Attrs, nil
	}
	return map[string]string{}, nil
}

// ParseCertificate reads one PEM certificate.
func ParseCertificate(text []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, Errorf(CodeInvalid, "a PEM certificate was expected")
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, Errorf(CodeInvalid, "one PEM certificate was expected, and nothing after it")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, Errorf(CodeInvalid, "the certificate cannot be read: %v", err)
	}
	return certificate, nil
}

// AdapterPBX answers the PBX an adapter's certificate speaks for, or CodeDenied
// when the certificate is not an adapter's or was not valid at the given time.
func AdapterPBX(certificate *x509.Certificate, at time.Time) (string, error) {
	attributes, err := Attributes(certificate)
	if err != nil {
		return "", err
	}
	if Role(attributes[AttributeRole]) != RoleAdapter {
		return "", Errorf(CodeDenied, "the certificate's %s is %q, an adapter's is %q: issue it with that attribute", AttributeRole, attributes[AttributeRole], RoleAdapter)
	}
	pbx := attributes[AttributePBX]
	if err := CheckName(AttributePBX, pbx); err != nil {
		return "", err
	}
	if at.Before(certificate.NotBefore) || at.After(certificate.NotAfter) {
		return "", Errorf(CodeDenied, "the adapter's certificate is valid from %s to %s and not at %s: renew and enrol it",
			certificate.NotBefore.UTC().Format(time.RFC3339), certificate.NotAfter.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339))
	}
	return pbx, nil
}

// SigningKey is the key an adapter's certificate signs segments with, or
// CodeUnauthentic where it is of a kind that segments are not signed with.
func SigningKey(certificate *x509.Certificate) (*ecdsa.PublicKey, error) {
	public, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() && public.Curve != elliptic.P384() {
		return nil, Errorf(CodeUnauthentic, "the adapter's certificate holds no ECDSA key on P-256 or P-384: issue one that does")
	}
	return public, nil
}

// Verify answers unless the enrolled adapter may have signed the segment at the
// given time: the same PBX, not revoked, certificate valid, signature right.
func (e *Enrolment) Verify(segment *Segment, signature []byte, at Time) error {
	if !e.RevokedAt.IsZero() {
		return Errorf(CodeDenied, "the adapter's certificate %.12s… was revoked: enrol the new one", e.Fingerprint)
	}
	return e.verify(segment, signature, at)
}

// VerifyLate is Verify for a segment that comes when the certificate has ended: it
// was closed, by its own word, while the certificate was valid and not revoked.
// CodeState says that the certificate is good still, and the segment not late.
func (e *Enrolment) VerifyLate(segment *Segment, signature []byte, at Time) error {
	if !e.RevokedAt.IsZero() && !segment.ClosedAt.Before(e.RevokedAt) {
		return Errorf(CodeDenied, "segment %d was closed after the certificate %.12s… was revoked at %s", segment.FirstSeq, e.Fingerprint, e.RevokedAt)
	}
	if err := e.verify(segment, signature, segment.ClosedAt); err != nil {
		return err
	}
	if e.Verify(segment, signature, at) == nil {
		return Errorf(CodeState, "the certificate %.12s… is good still: the gateway anchors segment %d", e.Fingerprint, segment.FirstSeq)
	}
	return nil
}

// verify judges everything but the revocation.
func (e *Enrolment) verify(segment *Segment, signature []byte, at Time) error {
	certificate, err := x509.ParseCertificate(e.Certificate)
	if err != nil {
		return Errorf(CodeInternal, "the enrolled certificate cannot be read: %v", err)
	}
	pbx, err := AdapterPBX(certificate, at.Std())
	if err != nil {
		return err
	}
	if e.MSP != segment.MSP || pbx != segment.PBX {
		return Errorf(CodeDenied, "the signer's certificate speaks for PBX %s of %s, the segment is of PBX %s of %s", pbx, e.MSP, segment.PBX, segment.MSP)
	}
	return segment.VerifySignature(certificate, signature)
}
