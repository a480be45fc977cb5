package contract

import (
	"crypto/sha256"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Adapters is the contract "adapters": which certificates may sign segments. A
// chaincode cannot read the channel's MSP definitions, so the operator's admin
// puts each adapter's certificate here, and withdraws it here.
type Adapters struct{ contractapi.Contract }

// maxCertificateBytes bounds an adapter's certificate, in PEM.
const maxCertificateBytes = 16 << 10

// GetEvaluateTransactions names the functions that only read.
func (*Adapters) GetEvaluateTransactions() []string { return []string{"Get", "List"} }

// Enrol puts an adapter's certificate (PEM) on the ledger. The caller is an admin
// of the operator; the certificate carries the attributes callseal.role=adapter
// and callseal.pbx. Enrolling the same certificate again changes nothing.
//
// Errors: INVALID_ARGUMENT, TOO_LARGE, PERMISSION_DENIED (caller, role or
// validity of the certificate), SIGNATURE_INVALID for a key that segments are not
// signed with, ALREADY_EXISTS for a certificate that was revoked.
func (*Adapters) Enrol(ctx contractapi.TransactionContextInterface, certificatePEM string) (string, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	if err := who.mayActFor(who.msp, ledger.RoleAdmin); err != nil {
		return "", err
	}
	if len(certificatePEM) > maxCertificateBytes {
		return "", ledger.Errorf(ledger.CodeTooLarge, "the certificate has %d bytes, at most %d are allowed", len(certificatePEM), maxCertificateBytes)
	}
	certificate, err := ledger.ParseCertificate([]byte(certificatePEM))
	if err != nil {
		return "", err
	}
	if _, err := ledger.SigningKey(certificate); err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	pbx, err := ledger.AdapterPBX(certificate, at.Std())
	if err != nil {
		return "", err
	}
	stub := ctx.GetStub()
	enrolment := &ledger.Enrolment{
		Certificate: certificate.Raw, EnrolledAt: at, Fingerprint: ledger.Fingerprint(certificate.Raw),
		MSP: who.msp, PBX: pbx, TxID: stub.GetTxID(), V: ledger.SchemaVersion,
	}
	key := ledger.AdapterKey(enrolment.MSP, enrolment.Fingerprint)
	stored, err := stub.GetState(key)
	if err != nil {
		return "", ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	if stored != nil {
		var before ledger.Enrolment
		if err := decodeStored(stored, &before); err != nil {
			return "", err
		}
		if !before.RevokedAt.IsZero() {
			return "", ledger.Errorf(ledger.CodeExists, "this certificate was revoked at %s: issue and enrol a new one", before.RevokedAt)
		}
		return string(stored), nil
	}
	return store(ctx, key, enrolment)
}

// Revoke withdraws an adapter's certificate, named by the SHA-256 of its DER
// (hexadecimal): segments it signed are refused from then on. The caller is an
// admin of the operator.
func (*Adapters) Revoke(ctx contractapi.TransactionContextInterface, fingerprint string) (string, error) {
	who, err := callerOf(ctx)
	if err != nil {
		return "", err
	}
	if err := who.mayActFor(who.msp, ledger.RoleAdmin); err != nil {
		return "", err
	}
	if err := ledger.CheckHex("fingerprint", fingerprint, sha256.Size); err != nil {
		return "", err
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	key := ledger.AdapterKey(who.msp, fingerprint)
	stored, err := get(ctx.GetStub(), key, "no such certificate is enrolled")
	if err != nil {
		return "", err
	}
	var enrolment ledger.Enrolment
	if err := decodeStored(stored, &enrolment); err != nil {
		return "", err
	}
	if !enrolment.RevokedAt.IsZero() {
		return string(stored), nil
	}
	enrolment.RevokedAt = at
	return store(ctx, key, &enrolment)
}

// Get answers one enrolment, a ledger.Enrolment, or NOT_FOUND.
func (*Adapters) Get(ctx contractapi.TransactionContextInterface, msp, fingerprint string) (string, error) {
	if err := ledger.CheckName("msp", msp); err != nil {
		return "", err
	}
	if err := ledger.CheckHex("fingerprint", fingerprint, sha256.Size); err != nil {
		return "", err
	}
	value, err := get(ctx.GetStub(), ledger.AdapterKey(msp, fingerprint), "no such certificate is enrolled")
	return string(value), err
}

// List answers an operator's enrolments as a JSON array of ledger.Enrolment.
func (*Adapters) List(ctx contractapi.TransactionContextInterface, msp string) (string, error) {
	if err := checkNames("msp", msp); err != nil {
		return "", err
	}
	var enrolments [][]byte
	err := scan(ctx.GetStub(), ledger.TypeAdapter, []string{msp}, func(_ string, value []byte) error {
		enrolments = append(enrolments, value)
		return nil
	})
	return listText(enrolments), err
}

// store writes one value and answers it.
func store(ctx contractapi.TransactionContextInterface, key string, v any) (string, error) {
	value, err := encode(v)
	if err != nil {
		return "", err
	}
	if err := put(ctx.GetStub(), []write{{key: key, value: value}}); err != nil {
		return "", err
	}
	return string(value), nil
}
