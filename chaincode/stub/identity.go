package stub

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
	"fmt"
	"math/big"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
)

// attributesOID is where Fabric CA puts certificate attributes.
var attributesOID = asn1.ObjectIdentifier{1, 2, 3, 4, 5, 6, 7, 8, 1}

// Authority issues the certificates of one organisation.
type Authority struct {
	// MSP is the organisation.
	MSP string
	// Certificate is the authority's own.
	Certificate *x509.Certificate

	key    *ecdsa.PrivateKey
	serial int64
}

// Request says what certificate to issue.
type Request struct {
	// Name is the subject's common name, "test" unless set.
	Name string
	// Attributes go into Fabric CA's extension, which is left out without any.
	Attributes map[string]string
	// Extension replaces the extension's content, to try a broken one.
	Extension []byte
	// NotBefore and NotAfter are a day around now unless set.
	NotBefore, NotAfter time.Time
	// Key is a new P-256 key unless set.
	Key crypto.Signer
}

// Identity is a certificate and its key.
type Identity struct {
	// MSP is the organisation that vouches for it.
	MSP         string
	Certificate *x509.Certificate
	// PEM is the certificate.
	PEM []byte
	Key crypto.Signer
}

// NewAuthority makes a certificate authority.
func NewAuthority(mspID string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: mspID + " CA"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the authority's certificate: %w", err)
	}
	return &Authority{MSP: mspID, Certificate: certificate, key: key, serial: 1}, nil
}

// Issue makes an identity.
func (a *Authority) Issue(request Request) (*Identity, error) {
	if request.Name == "" {
		request.Name = "test"
	}
	if request.NotBefore.IsZero() {
		request.NotBefore = time.Now().Add(-24 * time.Hour)
	}
	if request.NotAfter.IsZero() {
		request.NotAfter = time.Now().Add(24 * time.Hour)
	}
	if request.Key == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		request.Key = key
	}
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), Subject: pkix.Name{CommonName: request.Name, OrganizationalUnit: []string{"client"}},
		NotBefore: request.NotBefore, NotAfter: request.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	content := request.Extension
	if content == nil && request.Attributes != nil {
		var err error
		if content, err = json.Marshal(map[string]any{"attrs": request.Attributes}); err != nil {
			return nil, fmt.Errorf("encode attributes: %w", err)
		}
	}
	if content != nil {
		template.ExtraExtensions = []pkix.Extension{{Id: attributesOID, Value: content}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, request.Key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read the issued certificate: %w", err)
	}
	return &Identity{
		MSP: a.MSP, Certificate: certificate, Key: request.Key,
		PEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}, nil
}

// Creator is the identity as a proposal carries it.
func (i *Identity) Creator() []byte {
	creator, err := proto.Marshal(&msp.SerializedIdentity{Mspid: i.MSP, IdBytes: i.PEM})
	if err != nil {
		panic(err) // the MSP id is not UTF-8
	}
	return creator
}
