package fabric

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
)

// hardwareKey is a key that never leaves a hardware security module.
type hardwareKey interface {
	Public() crypto.PublicKey
	// Sign signs a SHA-256 digest, ASN.1, low S.
	Sign(digest []byte) ([]byte, error)
	Close() error
}

// pin is the user's PIN.
func (p *PKCS11Config) pin() (string, error) {
	if p.PINFile == "" {
		return p.PIN.Reveal(), nil
	}
	file, err := os.Open(p.PINFile)
	if err != nil {
		return "", fmt.Errorf("read the PIN: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	if lines.Scan() && strings.TrimSpace(lines.Text()) != "" {
		return strings.TrimSpace(lines.Text()), nil
	}
	return "", errors.Join(fmt.Errorf("%s holds no PIN on its first line", p.PINFile), lines.Err())
}

// lowS is the smaller of the two equivalent signatures: Fabric refuses the larger.
func lowS(der []byte, public *ecdsa.PublicKey) ([]byte, error) {
	var signature struct{ R, S *big.Int }
	if rest, err := asn1.Unmarshal(der, &signature); err != nil || len(rest) > 0 {
		return nil, errors.Join(errors.New("the token's signature is not ASN.1"), err)
	}
	order := public.Params().N
	if signature.S.Cmp(new(big.Int).Rsh(order, 1)) <= 0 {
		return der, nil
	}
	signature.S.Sub(order, signature.S)
	low, err := asn1.Marshal(signature)
	if err != nil {
		return nil, fmt.Errorf("encode the signature: %w", err)
	}
	return low, nil
}
