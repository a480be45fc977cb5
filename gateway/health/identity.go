package health

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Certificate is one that the gateway shows.
type Certificate struct {
	// Name says what it is for: "identity", "server", "fabric-tls".
	Name string
	// File is where it is, PEM.
	File string
}

// Expiry is when a certificate ends.
type Expiry struct {
	Name     string
	Subject  string
	NotAfter time.Time
}

// identityEvery is how often the files are read: they are replaced while the
// gateway runs.
const identityEvery = 5 * time.Second

// IdentityOf makes the dependency "identity": every certificate is valid now.
func IdentityOf(certificates []Certificate, config Config, metrics *Metrics) Dependency {
	return Dependency{Name: Identity, Every: max(identityEvery, config.Interval), Ask: func(context.Context) error {
		expiries, err := Expiries(certificates)
		for _, one := range expiries {
			metrics.expiry.WithLabelValues(one.Name).Set(float64(one.NotAfter.Unix()))
		}
		return err
	}}
}

// Expiries reads when certificates end; the error names those that are not valid
// now, and what to do.
func Expiries(certificates []Certificate) ([]Expiry, error) {
	var all []Expiry
	var problems []error
	now := time.Now()
	for _, one := range certificates {
		certificate, err := readCertificate(one.File)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", one.Name, err))
			continue
		}
		all = append(all, Expiry{Name: one.Name, Subject: certificate.Subject.CommonName, NotAfter: certificate.NotAfter})
		switch {
		case now.After(certificate.NotAfter):
			problems = append(problems, fmt.Errorf("the %s certificate in %s expired on %s: renew it", one.Name, one.File, certificate.NotAfter.UTC().Format(time.RFC3339)))
		case now.Before(certificate.NotBefore):
			problems = append(problems, fmt.Errorf("the %s certificate in %s is valid from %s: check the clock", one.Name, one.File, certificate.NotBefore.UTC().Format(time.RFC3339)))
		}
	}
	slices.SortFunc(all, func(a, b Expiry) int { return a.NotAfter.Compare(b.NotAfter) })
	return all, errors.Join(problems...)
}

func readCertificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", file, err)
	}
	return certificate, nil
}
