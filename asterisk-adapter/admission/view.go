// Package admission is what an adapter knows, in its own memory, of the ledger's
// scores and devices: enough to admit or refuse a call without asking anybody. It
// is a copy of the few records that decide, kept up to date by the gateway's
// stream, and judged by the very functions the contracts judge them with.
package admission

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/reputation"
)

// ErrNotReady says that no complete copy has been received yet, or none since the
// consortium's key changed: what a call gets then is the operator's choice, fail
// open or fail closed.
var ErrNotReady = errors.New("the view of the ledger is not complete yet: is the gateway there, and has it the consortium's key?")

// View answers from memory. It is safe for concurrent use; [View.Run] keeps it up
// to date.
type View struct {
	mu sync.RWMutex

	msp      string
	keys     map[string][]byte // of the consortium, by commitment
	newest   []byte            // the key to use while no policy commits to one
	complete bool
	cursor   string
	height   uint64
	heard    time.Time // when a mark came last, by this machine's clock
	policies map[string]*ledger.PolicyVersion

	opinions   map[place]*ledger.Opinions
	devices    map[deviceName]*ledger.Device
	byAOR      map[string][]deviceName
	unreadable int
	// judged counts what may change a device's verdict.
	judged uint64
}

// place names a subject of an epoch.
type place struct {
	epoch   int64
	subject string
}

type deviceName struct{ msp, id string }

// Freshness says how old a view may be.
type Freshness struct {
	// Complete says that a whole copy was received.
	Complete bool
	// Height is the number of blocks it includes.
	Height uint64
	// Heard is when the gateway last said so; it does every few seconds.
	Heard time.Time
	// Subjects and Devices are what it holds.
	Subjects, Devices int
	// Unreadable counts records that could not be read, as a newer version of the
	// contracts may write them: update the adapter.
	Unreadable int
}

// Problem says why a view does not answer as the ledger would; nil where it does.
// The error wraps ErrNotReady or ErrSilent.
func (f *Freshness) Problem(now time.Time) error {
	switch {
	case !f.Complete:
		return ErrNotReady
	case now.Sub(f.Heard) > silence:
		return fmt.Errorf("%w since %s", ErrSilent, f.Heard.UTC().Format(time.RFC3339))
	}
	return nil
}

// New makes an empty view.
func New() *View {
	view := &View{}
	view.forget()
	return view
}

// forget empties the view; the caller holds the lock, or is alone.
func (v *View) forget() {
	v.complete, v.cursor, v.height, v.unreadable = false, "", 0, 0
	v.opinions, v.devices, v.byAOR = map[place]*ledger.Opinions{}, map[deviceName]*ledger.Device{}, map[string][]deviceName{}
	v.policies = map[string]*ledger.PolicyVersion{}
	for _, name := range ledger.PolicyNames() {
		if standard, err := ledger.DefaultPolicy(name); err == nil {
			v.policies[name] = standard
		}
	}
}

// Freshness says how old the view may be.
func (v *View) Freshness() Freshness {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return Freshness{
		Complete: v.complete, Height: v.height, Heard: v.heard, Subjects: len(v.opinions), Devices: len(v.devices), Unreadable: v.unreadable,
	}
}

// Reputation is what reputation:Get would answer for an address in clear at an
// instant: "tel:+351…", "ip:…", "aor:…".
//
// Errors: ErrNotReady; reputation.ErrEmergency for a number that is never judged;
// reputation.ErrAddress and others of that package for what is no address.
func (v *View) Reputation(address string, at time.Time) (ledger.Reputation, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	policy, epoch := v.policies[ledger.PolicyReputation], v.policies[ledger.PolicyPseudonyms].Policy.Pseudonyms
	parsed, err := reputation.ParseAddress(address, policy.Policy.Reputation.EmergencyNumbers)
	if err != nil {
		return ledger.Reputation{}, err
	}
	key, err := v.key()
	if err != nil {
		return ledger.Reputation{}, err
	}
	subject, err := parsed.Subject(key)
	if err != nil {
		return ledger.Reputation{}, err
	}
	held := v.opinions[place{epoch.Epoch, subject}]
	if held == nil {
		held = &ledger.Opinions{}
	}
	return policy.Policy.Reputation.Merge(ledger.Question{
		At: ledger.TimeOf(at), Asker: v.msp, Epoch: epoch.Epoch, Exempt: slices.Contains(epoch.Exempt, subject), Subject: subject, Version: policy.Version,
	}, held), nil
}

// CallRef is the pseudonym of a trunk leg's SIP Call-ID under the consortium's key of
// the epoch in force (see [ledger.CallRef]).
//
// Errors: ErrNotReady.
func (v *View) CallRef(callID string) (string, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	key, err := v.key()
	if err != nil {
		return "", err
	}
	return ledger.CallRef(key, callID), nil
}

// AORRef is the pseudonym under which the ledger knows an address of record (see
// [ledger.AORRef]).
//
// Errors: ErrNotReady; INVALID_ARGUMENT for what is no address of record.
func (v *View) AORRef(aor string) (string, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	key, err := v.key()
	if err != nil {
		return "", err
	}
	return ledger.AORRef(key, aor)
}

// Device is what devices:Check would answer for an address of record of the
// adapter's own operator, now.
//
// Errors: ErrNotReady; INVALID_ARGUMENT for what is no address of record.
func (v *View) Device(aor string, at time.Time) (*ledger.DeviceVerdict, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	key, err := v.key()
	if err != nil {
		return nil, err
	}
	ref, err := ledger.AORRef(key, aor)
	if err != nil {
		return nil, err
	}
	moment := ledger.TimeOf(at)
	var standing []ledger.DeviceStanding
	for _, name := range v.byAOR[ref] {
		device := v.devices[name]
		standing = append(standing, ledger.DeviceStanding{ID: device.ID, Kind: device.Kind, MSP: device.MSP, N: device.N, Verdict: device.Verdict(moment)})
	}
	policy := v.policies[ledger.PolicyDevices]
	return ledger.Judge(standing, moment, policy.Policy.Devices, policy.Version), nil
}

// Judged grows whenever a device's verdict may have changed, other than by time.
func (v *View) Judged() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.judged
}

// key is the consortium's key of the epoch in force; the caller holds the lock.
func (v *View) key() ([]byte, error) {
	if !v.complete {
		return nil, ErrNotReady
	}
	commitment := v.policies[ledger.PolicyPseudonyms].Policy.Pseudonyms.Commitment
	key := v.newest
	if commitment != "" {
		key = v.keys[commitment]
	}
	if key == nil {
		return nil, ErrNotReady
	}
	return key, nil
}
