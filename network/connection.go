package network

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/hyperledger/fabric-admin-sdk/pkg/identity"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// access is a member's administrator at work: its identity, its TLS client
// certificate and a connection to its peer.
type access struct {
	member      Member
	signer      identity.SigningIdentity
	certificate tls.Certificate
	roots       *x509.CertPool
	peer        *grpc.ClientConn
	http        *http.Client
	// further are the accesses to the member's further peers.
	further []*access
}

// everyPeer are the accesses to all peers of members.
func everyPeer(members []*access) []*access {
	var all []*access
	for _, member := range members {
		all = append(append(all, member), member.further...)
	}
	return all
}

// openAccess prepares a member's access to all its peers; nothing is dialled yet.
func openAccess(layout Layout, member Member) (*access, error) {
	first, err := openPeer(layout, member)
	if err != nil || member.seat != 0 {
		return first, err
	}
	for _, seat := range member.Peers()[1:] {
		one, err := openPeer(layout, seat)
		if err != nil {
			first.close()
			return nil, err
		}
		first.further = append(first.further, one)
	}
	return first, nil
}

// openPeer prepares the access to one peer.
func openPeer(layout Layout, member Member) (*access, error) {
	org := layout.Operator(member.Name)
	admin := org.Identity(roleAdmin)
	certificate, err := tls.LoadX509KeyPair(admin.TLSCertFile(), admin.TLSKeyFile())
	if err != nil {
		return nil, fmt.Errorf("TLS certificate of %s's admin: %w", member.Name, err)
	}
	roots, err := readPool(org.TLSCAFile())
	if err != nil {
		return nil, err
	}
	cert, err := identity.ReadCertificate(admin.CertFile())
	if err != nil {
		return nil, fmt.Errorf("certificate of %s's admin: %w", member.Name, err)
	}
	key, err := identity.ReadPrivateKey(admin.KeyFile())
	if err != nil {
		return nil, fmt.Errorf("key of %s's admin: %w", member.Name, err)
	}
	signer, err := identity.NewPrivateKeySigningIdentity(member.MSP, cert, key)
	if err != nil {
		return nil, fmt.Errorf("identity of %s's admin: %w", member.Name, err)
	}
	a := &access{member: member, signer: signer, certificate: certificate, roots: roots}
	a.peer, err = grpc.NewClient(member.Peer.Address,
		grpc.WithTransportCredentials(credentials.NewTLS(a.tls())),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)),
		grpc.WithConnectParams(impatient))
	if err != nil {
		return nil, fmt.Errorf("connect to %s's peer: %w", member.Name, err)
	}
	a.http = &http.Client{Transport: &http.Transport{TLSClientConfig: a.tls()}}
	return a, nil
}

func (a *access) close() {
	for _, one := range a.further {
		one.close()
	}
	a.http.CloseIdleConnections()
	_ = a.peer.Close()
}

func (a *access) tls() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: a.roots, Certificates: []tls.Certificate{a.certificate}}
}

// certificateHash is what discovery wants a mutual TLS client to repeat.
func (a *access) certificateHash() []byte {
	digest := sha256.Sum256(a.certificate.Certificate[0])
	return digest[:]
}

// get fetches from one of the member's HTTP endpoints; any status but 200 is an
// error.
func (a *access) get(ctx context.Context, address, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s%s: %w", address, path, err)
	}
	response, err := a.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s%s: %w", address, path, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	if err != nil {
		return nil, fmt.Errorf("ask %s%s: %w", address, path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, &statusError{code: response.StatusCode, text: string(bytes.TrimSpace(body))}
	}
	return body, nil
}

// statusError is an HTTP answer that is not what was asked for.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("HTTP status %d: %s", e.code, e.text) }

func readPool(file string) (*x509.CertPool, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}
