package fabric

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/hash"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
)

// signer is the identity in whose name the channel is used.
type signer struct {
	identity *identity.X509Identity
	sign     identity.Sign
	// certificate is the identity's.
	certificate *x509.Certificate
}

// signer loads the identity from its files; its key is in the token where there is
// one.
func (c *Config) signer(in hardwareKey) (*signer, error) {
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
	if in != nil {
		public, is := certificate.PublicKey.(*ecdsa.PublicKey)
		if !is || !public.Equal(in.Public()) {
			return nil, fmt.Errorf("the certificate in %s is not that of the key %q on the token %q: have it issued for that key", c.CertFile, c.PKCS11.KeyLabel, c.PKCS11.TokenLabel)
		}
		return &signer{identity: id, sign: in.Sign, certificate: certificate}, nil
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
	if err := matches(certificate, key); err != nil {
		return nil, fmt.Errorf("%s and %s: %w", c.CertFile, c.KeyFile, err)
	}
	return &signer{identity: id, sign: sign, certificate: certificate}, nil
}

// matches answers unless a key is that of a certificate: of two files one may have
// been replaced and the other not yet.
func matches(certificate *x509.Certificate, key crypto.PrivateKey) error {
	holder, is := key.(crypto.Signer)
	public, canCompare := certificate.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !is || !canCompare || !public.Equal(holder.Public()) {
		return errors.New("the key is not the certificate's")
	}
	return nil
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
