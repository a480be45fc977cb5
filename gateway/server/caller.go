package server

import (
	"context"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// caller is who calls: the holder of one of the operator's certificates, or a
// person by token.
type caller struct {
	// name is for logs: a certificate's common name, a token's reference.
	name string
	role ledger.Role
	pbx  string // for an adapter
	// fingerprint is that of the certificate; of a person by token it is a keyed
	// digest of issuer and subject, so that the ledger can name who asked.
	fingerprint string
	// issuer and subject are a token's.
	issuer, subject string
	// until is when a token ends, zero for a certificate.
	until time.Time
}

type callerKey struct{}

// callerFrom is the caller that the chain put into the context.
func callerFrom(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}

// key names the caller in the limits.
func (c caller) key() string { return c.fingerprint }

// bound ends the context with the caller's token: a stream does not outlive it.
func (c caller) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.until.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, c.until)
}
