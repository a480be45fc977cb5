package server

import (
	"context"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
)

// caller is who holds the other end of the connection, by its certificate. TLS
// has checked that the operator's own CA issued it and that it is valid now.
type caller struct {
	name        string // common name, for logs
	role        ledger.Role
	pbx         string // for an adapter
	fingerprint string // of the certificate
}

type callerKey struct{}

// callerFrom is the caller that the interceptor put into the context.
func callerFrom(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}

// identify reads the caller off its TLS certificate.
func identify(ctx context.Context) (caller, error) {
	remote, found := peer.FromContext(ctx)
	if !found {
		return caller{}, fault.New(fault.Unauthenticated, "the connection has no peer")
	}
	info, isTLS := remote.AuthInfo.(credentials.TLSInfo)
	if !isTLS || len(info.State.VerifiedChains) == 0 {
		return caller{}, fault.New(fault.Unauthenticated, "the connection bears no client certificate: connect with one of the operator's")
	}
	certificate := info.State.VerifiedChains[0][0]
	attributes, err := ledger.Attributes(certificate)
	if err != nil {
		return caller{}, fault.Of(err)
	}
	who := caller{
		name: certificate.Subject.CommonName, role: ledger.Role(attributes[ledger.AttributeRole]), pbx: attributes[ledger.AttributePBX],
		fingerprint: ledger.Fingerprint(certificate.Raw),
	}
	if who.role == "" {
		return caller{}, fault.New(fault.Denied, "the certificate of %q has no role: issue one with the attribute %s", who.name, ledger.AttributeRole)
	}
	return who, nil
}
