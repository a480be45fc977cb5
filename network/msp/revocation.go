package msp

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// revocationValidity is until when a revocation list calls itself current. Fabric
// does not look at it, other readers do.
const revocationValidity = 10 * 365 * 24 * time.Hour

// Revoke makes the authority's next revocation list, PEM: everything of the list
// before it, of the same authority, and the certificate. The list before is nil
// for the first.
func (i *Issuer) Revoke(before *x509.RevocationList, certificate *x509.Certificate) ([]byte, error) {
	if !bytes.Equal(certificate.RawIssuer, i.cert.RawSubject) || certificate.CheckSignatureFrom(i.cert) != nil {
		return nil, fmt.Errorf("%s did not issue the certificate of %s and cannot revoke it", i.cert.Subject.CommonName, certificate.Subject.CommonName)
	}
	now := time.Now()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(revocationValidity)}
	if before != nil {
		template.Number.Add(before.Number, template.Number)
		template.RevokedCertificateEntries = slices.Clone(before.RevokedCertificateEntries)
	}
	if !Revokes(before, certificate) {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: certificate.SerialNumber, RevocationTime: now,
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, template, i.cert, lowS{i.key})
	if err != nil {
		return nil, fmt.Errorf("sign the revocation list: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}

// Issued says whether the authority signed a revocation list.
func (i *Issuer) Issued(list *x509.RevocationList) bool {
	return list.CheckSignatureFrom(i.cert) == nil
}

// ParseRevocationList reads a revocation list, PEM or DER.
func ParseRevocationList(content []byte) (*x509.RevocationList, error) {
	if block, _ := pem.Decode(content); block != nil {
		content = block.Bytes
	}
	list, err := x509.ParseRevocationList(content)
	if err != nil {
		return nil, fmt.Errorf("parse revocation list: %w", err)
	}
	return list, nil
}

// Revokes says whether a list, or nil, names a certificate of its authority.
func Revokes(list *x509.RevocationList, certificate *x509.Certificate) bool {
	return list != nil && slices.ContainsFunc(list.RevokedCertificateEntries, func(entry x509.RevocationListEntry) bool {
		return entry.SerialNumber.Cmp(certificate.SerialNumber) == 0
	})
}
