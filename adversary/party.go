package adversary

import (
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"
)

// Party is someone who signs: a certificate, the MSP it claims to be of, and the
// key. Nothing checks that the claim is true.
type Party struct {
	MSP         string
	Certificate []byte // PEM
	sign        identity.Sign
}

// LoadParty reads a certificate and its key, PEM files.
func LoadParty(mspID, certFile, keyFile string) (*Party, error) {
	certificate, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	return NewParty(mspID, certificate, key)
}

// NewParty makes a party of a certificate and its key, PEM.
func NewParty(mspID string, certificate, key []byte) (*Party, error) {
	private, err := identity.PrivateKeyFromPEM(key)
	if err != nil {
		return nil, fmt.Errorf("parse the key: %w", err)
	}
	sign, err := identity.NewPrivateKeySign(private)
	if err != nil {
		return nil, fmt.Errorf("use the key: %w", err)
	}
	return &Party{MSP: mspID, Certificate: certificate, sign: sign}, nil
}

// As is the same certificate and key, claiming to be of another MSP.
func (p *Party) As(mspID string) *Party {
	other := *p
	other.MSP = mspID
	return &other
}

// Sign signs a message as Fabric expects it.
func (p *Party) Sign(message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	signature, err := p.sign(digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return signature, nil
}

// Serialized is the party as envelopes and endorsements name it.
func (p *Party) Serialized() ([]byte, error) {
	return marshal(&msp.SerializedIdentity{Mspid: p.MSP, IdBytes: p.Certificate})
}

func marshal(message proto.Message) ([]byte, error) {
	encoded, err := proto.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", message.ProtoReflect().Descriptor().Name(), err)
	}
	return encoded, nil
}

// SignDigest signs what was hashed already, for Fabric's own client.
func (p *Party) SignDigest(digest []byte) ([]byte, error) { return p.sign(digest) }
