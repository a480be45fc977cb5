// Package msp issues the X.509 identities a Fabric membership service provider
// recognises: certificate authorities, people and services with roles in their
// certificates' attributes, and TLS certificates for nodes and clients.
package msp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"
)

// Validity periods of what an issuer makes when the request names none. A
// development network is rebuilt at will; production renews leaves yearly.
const (
	authorityValidity = 10 * 365 * 24 * time.Hour
	leafValidity      = 365 * 24 * time.Hour
	// backdated keeps a new certificate valid on a machine whose clock is a
	// little behind.
	backdated = 5 * time.Minute
)

// Organisational units Fabric's NodeOUs tell kinds of identities apart by.
const (
	UnitClient  = "client"
	UnitAdmin   = "admin"
	UnitPeer    = "peer"
	UnitOrderer = "orderer"
)

// Names of the certificate attributes Callseal reads.
const (
	AttributeRole = "callseal.role"
	AttributePBX  = "callseal.pbx"
)

// attributeExtension is the extension Fabric's client identity library reads
// attributes from.
var attributeExtension = asn1.ObjectIdentifier{1, 2, 3, 4, 5, 6, 7, 8, 1}

// Pair is a certificate with its private key, both PEM.
type Pair struct {
	CertPEM []byte
	KeyPEM  []byte
}

// Issuer is a certificate authority whose key is at hand.
type Issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pair Pair
}

// Request says what certificate to issue. The zero value of every field but
// CommonName has a sensible meaning.
type Request struct {
	// CommonName is the subject's common name.
	CommonName string
	// Unit is the NodeOU, one of the Unit constants. Empty makes a certificate
	// for TLS only, which no peer takes for an identity.
	Unit string
	// Attributes become Fabric's attribute extension when there are any.
	Attributes map[string]string
	// Hosts are the DNS names and IP addresses a server answers to. Without
	// any the certificate is for clients only.
	Hosts []string
	// NotBefore and NotAfter bound the validity; zero means from a few minutes
	// ago for a year.
	NotBefore, NotAfter time.Time
}

// NewIssuer makes a self-signed certificate authority for an organisation.
func NewIssuer(commonName, organisation string) (*Issuer, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName, Organization: []string{organisation}},
		NotBefore:             now.Add(-backdated),
		NotAfter:              now.Add(authorityValidity),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	certPEM, cert, err := sign(template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	return &Issuer{cert: cert, key: key, pair: Pair{CertPEM: certPEM, KeyPEM: keyPEM}}, nil
}

// ParseIssuer restores an authority from what [Issuer.Pair] returned. It fails
// when either part is not PEM, the key is not ECDSA or the two do not match.
func ParseIssuer(pair Pair) (*Issuer, error) {
	cert, err := ParseCertificate(pair.CertPEM)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(pair.KeyPEM)
	if block == nil {
		return nil, errors.New("the authority's key is not PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the authority's key: %w", err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("the authority's key does not belong to its certificate")
	}
	return &Issuer{cert: cert, key: key, pair: pair}, nil
}

// Pair returns the authority's own certificate and key.
func (i *Issuer) Pair() Pair { return i.pair }

// Issue makes a key and a certificate for it. With a Unit it is an identity that
// signs transactions and may authenticate a TLS client; without, a TLS client's
// certificate and, with Hosts, a TLS server's as well.
func (i *Issuer) Issue(request Request) (Pair, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	certPEM, err := i.Certify(request, &key.PublicKey)
	if err != nil {
		return Pair{}, err
	}
	return Pair{CertPEM: certPEM, KeyPEM: keyPEM}, nil
}

// Certify makes a certificate, PEM, for a key that its holder keeps, such as one
// that never leaves a hardware security module.
func (i *Issuer) Certify(request Request, public *ecdsa.PublicKey) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: request.CommonName, Organization: i.cert.Subject.Organization},
		NotBefore:             request.NotBefore,
		NotAfter:              request.NotAfter,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-backdated)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(leafValidity)
	}
	if request.Unit != "" {
		// No extended key usage: Fabric refuses identities that are restricted to
		// one, and without any they authenticate TLS clients as well.
		template.Subject.OrganizationalUnit = []string{request.Unit}
	} else {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		if len(request.Hosts) > 0 {
			template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		}
	}
	for _, host := range request.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if len(request.Attributes) > 0 {
		value, err := json.Marshal(map[string]any{"attrs": request.Attributes})
		if err != nil {
			return nil, fmt.Errorf("encode certificate attributes: %w", err)
		}
		template.ExtraExtensions = []pkix.Extension{{Id: attributeExtension, Value: value}}
	}
	certPEM, _, err := sign(template, i.cert, public, i.key)
	return certPEM, err
}

// ParseCertificate reads the first PEM certificate of a file's content.
func ParseCertificate(certPEM []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("this is not a PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse certificate: %w", err)
	}
	return cert, nil
}

func newKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("generate serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}

func sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) ([]byte, *x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, lowS{key})
	if err != nil {
		return nil, nil, fmt.Errorf("sign certificate of %s: %w", template.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("parse certificate of %s: %w", template.Subject.CommonName, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), cert, nil
}

// lowS signs with the smaller of the two equivalent ECDSA signatures. Fabric
// rewrites certificates that carry the larger, so their digest would differ
// between what we issued and what a peer remembers.
type lowS struct{ *ecdsa.PrivateKey }

// Sign implements [crypto.Signer].
func (s lowS) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	der, err := s.PrivateKey.Sign(random, digest, opts)
	if err != nil {
		return nil, err
	}
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &signature); err != nil {
		return nil, fmt.Errorf("decode signature: %w", err)
	}
	order := s.Curve.Params().N
	if half := new(big.Int).Rsh(order, 1); signature.S.Cmp(half) <= 0 {
		return der, nil
	}
	signature.S.Sub(order, signature.S)
	return asn1.Marshal(signature)
}
