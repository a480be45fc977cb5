// Package pbx holds the Asterisk configuration that a user copies to make
// Callseal see calls and recordings. The lab starts its Asterisk from these
// very files, so what is documented is what is tested.
package pbx

import "embed"

// Placeholder is the secret in the copied files that must be replaced.
const Placeholder = "CHANGE-ME"

// The file names in Files, by what they configure.
const (
	CDR        = "cdr.conf"
	CDRManager = "cdr_manager.conf"
	Manager    = "manager_callseal.conf"
	ARI        = "ari_callseal.conf"
	Dialplan   = "extensions_callseal.conf"

	// For consent and pauses alone.
	ConsentARI      = "ari_callseal_consent.conf"
	ConsentDialplan = "extensions_callseal_consent.conf"
	Control         = "manager_callseal_control.conf"
	Features        = "features_callseal.conf"
)

// ClosedDir is where the post-process command leaves its markers, relative to
// Asterisk's spool directory (astspooldir).
const ClosedDir = "callseal/closed"

// ConsentDir is where the dialplan leaves its marks of revocations, and EvidenceDir
// where evidence of consent lies, relative to Asterisk's spool directory.
const (
	ConsentDir  = "callseal/consent"
	EvidenceDir = "recording/callseal-consent"
)

// MonitorDir is where the dialplan puts recordings, relative to Asterisk's
// spool directory (astspooldir).
const MonitorDir = "monitor"

// Files holds the plain Asterisk files at its root and FreePBX's in "freepbx".
//
//go:embed *.conf freepbx/*.conf
var Files embed.FS
