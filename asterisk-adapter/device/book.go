// Package device compares the devices that are registered with a PBX with those that are
// registered on the ledger (P1 phase 1), and tells of strangers. It reports only: who
// refuses a stranger is not decided here.
package device

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Registry says what the ledger knows, such as [admission.View].
type Registry interface {
	// Device judges an address of record at a time.
	Device(aor string, at time.Time) (*ledger.DeviceVerdict, error)
	// AORRef is an address of record's pseudonym.
	AORRef(aor string) (string, error)
	// Judged changes whenever a verdict may have changed.
	Judged() uint64
}

// Device is an address of record that the PBX can reach, and the ledger's verdict.
type Device struct {
	// AOR is user@host.
	AOR string `json:"aor"`
	// Contacts are the addresses under which it is reached.
	Contacts []string `json:"contacts"`
	// Ref is the beginning of the ledger's pseudonym, by which a log line can be
	// assigned.
	Ref string `json:"ref"`
	// Verdict and Consequence are the ledger's; empty before it was asked.
	Verdict     string `json:"verdict"`
	Consequence string `json:"consequence"`
	// Since is when the PBX was first seen to reach it.
	Since time.Time `json:"since"`
}

// Report is a verdict that is to be told.
type Report struct {
	AOR, Ref, Verdict, Consequence string
	// Before is the verdict that was told last; empty for none.
	Before string
}

// Stranger says whether a verdict is one on a stranger.
func Stranger(verdict string) bool { return verdict != "" && verdict != ledger.VerdictRegistered }

// refLength is how much of a pseudonym is told: enough to tell devices of one PBX apart.
const refLength = 12

// Book is which devices a PBX can reach, and how they stand. It is safe for concurrent
// use.
type Book struct {
	domain   string
	registry Registry

	mu      sync.Mutex
	devices map[string]*Device // by AOR
	told    map[string]string  // verdicts that were told, by AOR
	judged  uint64
	stale   bool // a device came
	changed bool // since it was last asked
}

// NewBook makes a book that knows what was told before. The domain follows the @ in
// addresses of record.
func NewBook(domain string, registry Registry, told map[string]string) *Book {
	b := &Book{domain: domain, registry: registry, devices: map[string]*Device{}, told: map[string]string{}}
	maps.Copy(b.told, told)
	return b
}

// AOR is the address of record of one that Asterisk calls name.
func (b *Book) AOR(name string) string {
	if strings.Contains(name, "@") {
		return name
	}
	return name + "@" + b.domain
}

// Set notes under which addresses an address of record is reached now; none means that it
// is not.
func (b *Book) Set(name string, contacts []string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(b.AOR(name), contacts, now)
}

func (b *Book) set(aor string, contacts []string, now time.Time) {
	device := b.devices[aor]
	switch {
	case device == nil && len(contacts) == 0:
		return
	case len(contacts) == 0:
		delete(b.devices, aor)
	case device == nil:
		b.devices[aor] = &Device{AOR: aor, Contacts: slices.Clone(contacts), Since: now}
		b.stale = true
	case slices.Equal(device.Contacts, contacts):
		return
	default:
		device.Contacts = slices.Clone(contacts)
	}
	b.changed = true
}

// Replace notes all there is, by Asterisk's names.
func (b *Book) Replace(all map[string][]string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	there := map[string]bool{}
	for name, contacts := range all {
		aor := b.AOR(name)
		there[aor] = len(contacts) > 0
		b.set(aor, contacts, now)
	}
	for aor := range b.devices {
		if !there[aor] {
			b.set(aor, nil, now)
		}
	}
}

// Stale says whether verdicts may be other than they were when Judge was last asked, but
// for the passing of time.
func (b *Book) Stale() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stale || b.registry.Judged() != b.judged
}

// Judge asks the ledger's verdict on each device, and answers what is to be told: each
// stranger once, again when its verdict changes, and when it is none any more. Pass the
// reports to Told once they are. The error is the registry's where it cannot answer.
func (b *Book) Judge(now time.Time) ([]Report, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	judged := b.registry.Judged()
	var reports []Report
	for _, aor := range slices.Sorted(maps.Keys(b.devices)) {
		device := b.devices[aor]
		verdict, err := b.verdict(aor, now)
		if err != nil {
			return nil, err
		}
		ref, err := b.ref(aor)
		if err != nil {
			return nil, err
		}
		if device.Verdict != verdict.Verdict || device.Consequence != verdict.Consequence || device.Ref != ref {
			device.Verdict, device.Consequence, device.Ref = verdict.Verdict, verdict.Consequence, ref
			b.changed = true
		}
		before := b.told[aor]
		if device.Verdict != before && (Stranger(device.Verdict) || Stranger(before)) {
			reports = append(reports, Report{AOR: aor, Ref: ref, Verdict: device.Verdict, Consequence: device.Consequence, Before: before})
		}
	}
	b.judged, b.stale = judged, false
	return reports, nil
}

// verdict is the ledger's. What cannot be an address of record cannot be on the ledger.
func (b *Book) verdict(aor string, now time.Time) (*ledger.DeviceVerdict, error) {
	verdict, err := b.registry.Device(aor, now)
	if refused := ledger.AsError(err); err != nil && refused != nil && refused.Code == ledger.CodeInvalid {
		return &ledger.DeviceVerdict{Verdict: ledger.VerdictUnregistered, Consequence: ledger.ConsequenceFlag}, nil
	}
	return verdict, err
}

func (b *Book) ref(aor string) (string, error) {
	ref, err := b.registry.AORRef(aor)
	if refused := ledger.AsError(err); err != nil && refused != nil && refused.Code == ledger.CodeInvalid {
		return "", nil
	}
	return ref[:min(len(ref), refLength)], err
}

// Told notes that a report was told.
func (b *Book) Told(report Report) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if Stranger(report.Verdict) {
		b.told[report.AOR] = report.Verdict
		return
	}
	delete(b.told, report.AOR)
}

// Verdict is the ledger's verdict on a call by an endpoint with these addresses of record
// (Asterisk's names): that of the one that stands best.
func (b *Book) Verdict(names []string, now time.Time) (Report, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var best Report
	for _, name := range names {
		aor := b.AOR(name)
		verdict, err := b.verdict(aor, now)
		if err != nil {
			return Report{}, err
		}
		if best.AOR != "" && Stranger(verdict.Verdict) {
			continue
		}
		ref, err := b.ref(aor)
		if err != nil {
			return Report{}, err
		}
		best = Report{AOR: aor, Ref: ref, Verdict: verdict.Verdict, Consequence: verdict.Consequence}
		if !Stranger(verdict.Verdict) {
			break
		}
	}
	return best, nil
}

// List are the devices, by address.
func (b *Book) List() []Device {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Device, 0, len(b.devices))
	for _, device := range b.devices {
		copied := *device
		copied.Contacts = slices.Clone(device.Contacts)
		all = append(all, copied)
	}
	slices.SortFunc(all, func(a, b Device) int { return cmp.Compare(a.AOR, b.AOR) })
	return all
}

// Changed says whether anything about them changed since it was last asked.
func (b *Book) Changed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	changed := b.changed
	b.changed = false
	return changed
}

// Count is how many devices there are by verdict, those that were not judged left out.
func (b *Book) Count() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	count := map[string]int{}
	for _, device := range b.devices {
		if device.Verdict != "" {
			count[device.Verdict]++
		}
	}
	return count
}
