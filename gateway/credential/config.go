package credential

import (
	"time"
)

// Config says how the server proves itself and whose certificates it takes. Files
// are PEM, and may be replaced while the gateway runs.
type Config struct {
	// CertFile is the server's TLS certificate, with its chain.
	CertFile string
	// KeyFile is the key of that certificate.
	KeyFile string
	// ClientCAFile holds the operator's own enrolment authorities: they decide who
	// may call.
	ClientCAFile string
	// RevocationDir is a folder of the authorities' revocation lists, PEM or DER,
	// one or more to a file. It may be missing until there is one.
	RevocationDir string
	// Poll is how often the files are looked at even where the system told of no
	// change.
	Poll time.Duration
}
