package server

import (
	"context"
	"crypto/x509"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/credential"
	"github.com/callseal/callseal/gateway/fault"
	"github.com/callseal/callseal/gateway/token"
)

// identity finds out who calls. Nobody is let in for where they call from or for
// what a header says, other than a token.
type identity struct {
	tokens *token.Verifier // nil where no tokens are taken
	inner  *inner
}

// ofCall is the caller of a gRPC call.
func (i *identity) ofCall(ctx context.Context) (caller, error) {
	remote, found := peer.FromContext(ctx)
	if !found {
		return caller{}, fault.New(fault.Unauthenticated, "the connection has no peer")
	}
	switch connection := remote.AuthInfo.(type) {
	case innerInfo:
		return i.inner.callerOf(ctx)
	case *credential.Connection:
		who, err := i.of(ctx, connection.State.PeerCertificates, connection.Judge, bearerOf(metadata.ValueFromIncomingContext(ctx, "authorization")))
		if err != nil {
			connection.Fail()
			return who, err
		}
		connection.Vouch()
		return who, nil
	default:
		return caller{}, fault.New(fault.Unauthenticated, "the connection bears no client certificate: connect with one of the operator's")
	}
}

// of is the caller by certificate or token. A certificate that is shown must be
// good, also beside a token, and then it is the token that says who calls.
func (i *identity) of(ctx context.Context, shown []*x509.Certificate, judge func() error, bearer string) (caller, error) {
	if len(shown) > 0 || bearer == "" {
		if err := judge(); err != nil {
			return stranger(shown), err
		}
	}
	if bearer == "" {
		return certified(shown[0])
	}
	if i.tokens == nil {
		return caller{}, fault.New(fault.Unauthenticated, "this gateway takes no bearer tokens: connect with one of the operator's certificates")
	}
	person, err := i.tokens.Person(ctx, bearer)
	if person == nil {
		return caller{}, err
	}
	return caller{
		name: "person " + person.Reference[:12], role: person.Role, fingerprint: person.Reference,
		issuer: person.Issuer, subject: person.Subject, until: person.Until,
	}, err
}

// certified reads the caller off a certificate that was found good.
func certified(certificate *x509.Certificate) (caller, error) {
	who := stranger([]*x509.Certificate{certificate})
	attributes, err := ledger.Attributes(certificate)
	if err != nil {
		return who, fault.Of(err)
	}
	who.role, who.pbx = ledger.Role(attributes[ledger.AttributeRole]), attributes[ledger.AttributePBX]
	if who.role == "" {
		return who, fault.New(fault.Denied, "the certificate of %q has no role: issue one with the attribute %s", who.name, ledger.AttributeRole)
	}
	return who, nil
}

// stranger is who was not let in, as far as a certificate tells.
func stranger(shown []*x509.Certificate) caller {
	if len(shown) == 0 {
		return caller{}
	}
	return caller{name: shown[0].Subject.CommonName, fingerprint: ledger.Fingerprint(shown[0].Raw)}
}

// bearerOf is the token of an Authorization header, "" where there is none.
func bearerOf(headers []string) string {
	if len(headers) != 1 {
		return ""
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
