package inspection

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// soon is how long before its end a certificate is said to end soon.
const soon = 14 * 24 * time.Hour

// pair is a certificate and what is expected of it.
type pair struct {
	// key is empty where the key is not in a file.
	cert, key string
	// role is what the certificate must bear; empty where it needs none.
	role ledger.Role
	// issuers are who must have issued it; nil where anybody may.
	issuers *x509.CertPool
}

// readPair reads a certificate with its key, and answers until when it holds.
func readPair(p pair) (string, error) {
	text, err := os.ReadFile(p.cert)
	if err != nil {
		return "", fmt.Errorf("the certificate cannot be read: %w", err)
	}
	chain, err := parse(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.cert, err)
	}
	if p.key != "" {
		key, err := os.ReadFile(p.key)
		if err != nil {
			return "", fmt.Errorf("the key cannot be read: %w", err)
		}
		if _, err := tls.X509KeyPair(text, key); err != nil {
			return "", fmt.Errorf("the key in %s is not that of the certificate in %s: %w", p.key, p.cert, err)
		}
	}
	leaf := chain[0]
	says, err := dates(leaf)
	if err != nil {
		return "", err
	}
	if err := linked(chain, p.issuers); err != nil {
		return "", err
	}
	if p.role == "" {
		return says, nil
	}
	attributes, err := ledger.Attributes(leaf)
	if err != nil {
		return "", fmt.Errorf("the attributes of %q cannot be read: %w", leaf.Subject.CommonName, err)
	}
	if got := attributes[ledger.AttributeRole]; got != string(p.role) {
		return "", fmt.Errorf("the certificate of %q bears the role %q: %q is needed, issue one with the attribute %s", leaf.Subject.CommonName, got, p.role, ledger.AttributeRole)
	}
	return fmt.Sprintf("role %s, %s", p.role, says), nil
}

// linked sees that each certificate of the file is signed by the next, and that the
// issuers stand behind the first.
func linked(chain []*x509.Certificate, issuers *x509.CertPool) error {
	between := x509.NewCertPool()
	for at, one := range chain[1:] {
		if err := chain[at].CheckSignatureFrom(one); err != nil {
			return fmt.Errorf("the chain is broken: %q is not signed by %q, which follows it: %w", chain[at].Subject.CommonName, one.Subject.CommonName, err)
		}
		between.AddCert(one)
	}
	if issuers == nil {
		return nil
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: issuers, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return fmt.Errorf("the certificate of %q, issued by %q, is not of the authorities in server.client_ca_file: %w", chain[0].Subject.CommonName, chain[0].Issuer.CommonName, err)
	}
	return nil
}

// readAuthorities reads certificates of authorities.
func readAuthorities(file string) (*x509.CertPool, string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, "", fmt.Errorf("the authorities cannot be read: %w", err)
	}
	all, err := parse(text)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	pool, until := x509.NewCertPool(), ""
	for _, one := range all {
		if !one.IsCA {
			return nil, "", fmt.Errorf("%s: %q is no authority's certificate", file, one.Subject.CommonName)
		}
		if until, err = dates(one); err != nil {
			return nil, "", err
		}
		pool.AddCert(one)
	}
	return pool, until, nil
}

// dates answers until when a certificate holds, or that it does not.
func dates(one *x509.Certificate) (string, error) {
	name, now, until := one.Subject.CommonName, time.Now(), one.NotAfter.UTC().Format(time.RFC3339)
	switch {
	case now.After(one.NotAfter):
		return "", fmt.Errorf("the certificate of %q expired on %s: renew it", name, until)
	case now.Before(one.NotBefore):
		return "", fmt.Errorf("the certificate of %q is valid from %s: check the clock", name, one.NotBefore.UTC().Format(time.RFC3339))
	case one.NotAfter.Sub(now) < soon:
		return fmt.Sprintf("%q until %s, which is soon: renew it", name, until), nil
	}
	return fmt.Sprintf("%q until %s", name, until), nil
}

// parse reads all certificates of a PEM text.
func parse(text []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("a certificate cannot be read: %w", err)
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no PEM certificate in it")
	}
	return all, nil
}
