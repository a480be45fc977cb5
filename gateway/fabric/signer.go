package fabric

import (
	"fmt"
	"os"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
)

// signer is the identity in whose name the channel is used.
type signer struct {
	identity *identity.X509Identity
	sign     identity.Sign
}

// signer loads the identity from its files.
func (c *Config) signer() (*signer, error) {
	certificatePEM, err := os.ReadFile(c.CertFile)
	if err != nil {
		return nil, fmt.Errorf("read the identity's certificate: %w", err)
	}
	certificate, err := identity.CertificateFromPEM(certificatePEM)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", c.CertFile, err)
	}
	if now := time.Now(); now.After(certificate.NotAfter) {
		return nil, fmt.Errorf("the certificate in %s expired on %s: renew it", c.CertFile, certificate.NotAfter.UTC().Format(time.RFC3339))
	}
	id, err := identity.NewX509Identity(c.MSP, certificate)
	if err != nil {
		return nil, fmt.Errorf("identity from %s: %w", c.CertFile, err)
	}
	keyPEM, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the identity's key: %w", err)
	}
	key, err := identity.PrivateKeyFromPEM(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", c.KeyFile, err)
	}
	sign, err := identity.NewPrivateKeySign(key)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", c.KeyFile, err)
	}
	return &signer{identity: id, sign: sign}, nil
}

// signDigest signs what hashes to a digest by SHA-256.
func (s *signer) signDigest(digest []byte) ([]byte, error) {
	signature, err := s.sign(digest)
	if err != nil {
		return nil, fmt.Errorf("sign as %s: %w", s.identity.MspID(), err)
	}
	return signature, nil
}

// hash is what every signature is over.
var hashed = hash.SHA256

// creator is the serialized identity.
func (s *signer) creator() []byte {
	serialized, err := proto.Marshal(&msp.SerializedIdentity{Mspid: s.identity.MspID(), IdBytes: s.identity.Credentials()})
	if err != nil {
		// Marshalling two byte strings cannot fail.
		panic(err)
	}
	return serialized
}
