package credential

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/callseal/callseal/gateway/fault"
)

// material is what is in force: the server's certificate, the authorities and
// their revocation lists. It is never changed, only replaced.
type material struct {
	own         *tls.Certificate
	authorities []*x509.Certificate
	pool        *x509.CertPool
	lists       map[string]*x509.RevocationList // by the authority's public key
	withdrawn   map[withdrawnKey]time.Time
}

// withdrawnKey is a revoked certificate: its authority's public key and its serial
// number.
type withdrawnKey struct{ authority, serial string }

// with is the same material with other authorities and lists.
func (m material) with(authorities []*x509.Certificate, lists map[string]*x509.RevocationList) *material {
	m.authorities, m.lists = authorities, lists
	m.pool, m.withdrawn = x509.NewCertPool(), map[withdrawnKey]time.Time{}
	for _, one := range authorities {
		m.pool.AddCert(one)
	}
	for key, list := range lists {
		for _, entry := range list.RevokedCertificateEntries {
			m.withdrawn[withdrawnKey{key, string(entry.SerialNumber.Bytes())}] = entry.RevocationTime
		}
	}
	return &m
}

// same says whether two materials are the same.
func (m *material) same(other *material) bool {
	return m.own.Leaf.Equal(other.own.Leaf) && slices.EqualFunc(m.authorities, other.authorities, (*x509.Certificate).Equal) &&
		maps.EqualFunc(m.lists, other.lists, func(a, b *x509.RevocationList) bool { return bytes.Equal(a.Raw, b.Raw) })
}

// authorityKey is what a list or certificate is attributed to: authorities that
// share a name do not share revocations.
func authorityKey(certificate *x509.Certificate) string {
	return string(certificate.RawSubjectPublicKeyInfo)
}

func loadOwn(certFile, keyFile string) (*tls.Certificate, error) {
	own, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load the server's certificate: %w", err)
	}
	if now := time.Now(); now.After(own.Leaf.NotAfter) {
		return nil, fmt.Errorf("the server's certificate in %s expired on %s", certFile, own.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return &own, nil
}

func loadAuthorities(file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the callers' CA: %w", err)
	}
	var authorities []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read the callers' CA in %s: %w", file, err)
		}
		if !certificate.IsCA {
			return nil, fmt.Errorf("%s holds the certificate of %s, which is no authority", file, certificate.Subject.CommonName)
		}
		authorities = append(authorities, certificate)
	}
	if len(authorities) == 0 {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return authorities, nil
}

// loadLists reads the newest list of each authority. A list of nobody's, an older
// one than is in force and one that has gone are errors: what was revoked stays
// revoked until somebody starts the gateway anew.
func loadLists(folder string, authorities []*x509.Certificate, inForce map[string]*x509.RevocationList) (map[string]*x509.RevocationList, error) {
	found := map[string]*x509.RevocationList{}
	if folder == "" {
		return found, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the folder of revocation lists: %w", err)
	}
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		// What begins with a dot is a file being written, or Kubernetes' own.
		if info, err := os.Stat(path); entry.Name()[0] == '.' || err != nil || info.IsDir() {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read a revocation list: %w", err)
		}
		lists, err := parseLists(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, list := range lists {
			at := slices.IndexFunc(authorities, func(one *x509.Certificate) bool { return list.CheckSignatureFrom(one) == nil })
			if at < 0 {
				return nil, fmt.Errorf("%s: the list calls itself that of %q, but none of the authorities in force signed it", path, list.Issuer.CommonName)
			}
			key := authorityKey(authorities[at])
			if known := found[key]; known == nil || newer(list, known) {
				found[key] = list
			}
		}
	}
	for key, before := range inForce {
		switch now := found[key]; {
		case !slices.ContainsFunc(authorities, func(one *x509.Certificate) bool { return authorityKey(one) == key }):
			// The authority itself is gone, and with it all it issued.
		case now == nil:
			return nil, fmt.Errorf("the revocation list of %q has gone from %s", before.Issuer.CommonName, folder)
		case newer(before, now):
			return nil, fmt.Errorf("the revocation list of %q in %s has number %s, older than the one in force, %s", before.Issuer.CommonName, folder, now.Number, before.Number)
		}
	}
	return found, nil
}

func newer(a, b *x509.RevocationList) bool {
	return a.Number != nil && (b.Number == nil || a.Number.Cmp(b.Number) > 0)
}

func parseLists(content []byte) ([]*x509.RevocationList, error) {
	var lists []*x509.RevocationList
	if !bytes.Contains(content, []byte("-----BEGIN")) {
		list, err := x509.ParseRevocationList(content)
		if err != nil {
			return nil, fmt.Errorf("this is not a revocation list: %w", err)
		}
		return append(lists, list), nil
	}
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			break
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("this is not a revocation list: %w", err)
		}
		lists = append(lists, list)
	}
	if len(lists) == 0 || len(bytes.TrimSpace(content)) > 0 {
		return nil, errors.New("this is not a whole revocation list")
	}
	return lists, nil
}

// stale names the authorities whose lists say that a newer one is due.
func (m *material) stale(now time.Time) []string {
	var names []string
	for _, list := range m.lists {
		if !list.NextUpdate.IsZero() && now.After(list.NextUpdate) {
			names = append(names, list.Issuer.CommonName)
		}
	}
	slices.Sort(names)
	return names
}

// judge answers a fault unless the certificate is one of the operator's, valid now
// and not revoked.
func (m *material) judge(shown []*x509.Certificate, now time.Time) error {
	if len(shown) == 0 {
		return fault.New(fault.Unauthenticated, "the connection bears no client certificate: connect with one of the operator's")
	}
	leaf, between := shown[0], x509.NewCertPool()
	for _, one := range shown[1:] {
		between.AddCert(one)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: m.pool, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return unverified(leaf, now, err)
	}
	for _, chain := range chains {
		if at := m.revoked(chain); at != nil {
			err = fault.New(fault.Unauthenticated, "the certificate of %q was revoked on %s: have the operator issue another", at.certificate.Subject.CommonName, at.on.UTC().Format(time.RFC3339))
			continue
		}
		return nil
	}
	return err
}

type revocation struct {
	certificate *x509.Certificate
	on          time.Time
}

// revoked finds the certificate of a chain that its authority has withdrawn.
func (m *material) revoked(chain []*x509.Certificate) *revocation {
	for i, certificate := range chain[:len(chain)-1] {
		if on, withdrawn := m.withdrawn[withdrawnKey{authorityKey(chain[i+1]), string(certificate.SerialNumber.Bytes())}]; withdrawn {
			return &revocation{certificate: certificate, on: on}
		}
	}
	return nil
}

// unverified says in words why a certificate was not taken.
func unverified(leaf *x509.Certificate, now time.Time, err error) error {
	name, date := leaf.Subject.CommonName, func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	var unknown x509.UnknownAuthorityError
	var refusal *fault.Error
	switch {
	case now.After(leaf.NotAfter):
		refusal = fault.New(fault.Unauthenticated, "the certificate of %q expired on %s: have the operator renew it", name, date(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		refusal = fault.New(fault.Unauthenticated, "the certificate of %q is not valid before %s: check this machine's clock", name, date(leaf.NotBefore))
	case errors.As(err, &unknown):
		refusal = fault.New(fault.Unauthenticated, "the certificate of %q was issued by %q, which is not this operator's authority: connect with one of the operator's", name, leaf.Issuer.CommonName)
	default:
		refusal = fault.New(fault.Unauthenticated, "the certificate of %q does not authenticate a client: connect with one of the operator's", name)
	}
	refusal.Err = err
	return refusal
}
