package admission

import (
	"cmp"
	"maps"
	"slices"
	"time"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/chaincode/ledger"
)

// start takes what opens a stream.
func (v *View) start(message *pb.AdmissionStart) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if message.GetRestart() {
		v.forget()
	}
	v.judged++
	v.msp, v.newest, v.keys = message.GetMsp(), nil, map[string][]byte{}
	for _, key := range message.GetKeys() {
		v.keys[key.GetCommitment()], v.newest = key.GetKey(), key.GetKey()
	}
}

// mark takes word that all entries up to a block were sent.
func (v *View) mark(message *pb.AdmissionMark) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.complete {
		v.judged++
	}
	v.complete, v.cursor, v.height, v.heard = true, message.GetCursor(), message.GetHeight(), time.Now()
}

// apply takes entries. One that cannot be read is counted and otherwise passed
// over: the rest is worth having.
func (v *View) apply(entries []*pb.AdmissionEntry) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, entry := range entries {
		if err := v.put(entry.GetKey(), entry.GetValue()); err != nil {
			v.unreadable++
		}
	}
}

func (v *View) put(key string, value []byte) error {
	objectType, parts, err := ledger.SplitKey(key)
	if err != nil {
		return err
	}
	switch objectType {
	case ledger.TypePolicy:
		return v.putPolicy(value)
	case ledger.TypeDevice:
		return v.putDevice(parts, value)
	case ledger.TypeOpinion:
		return putHeld(v, parts, 4, value, func(held *ledger.Opinions) *[]ledger.Opinion { return &held.Opinions }, func(one *ledger.Opinion) (string, int64) { return one.MSP, one.Writer })
	case ledger.TypePardon:
		return putHeld(v, parts, 3, value, func(held *ledger.Opinions) *[]ledger.Pardon { return &held.Pardons }, func(one *ledger.Pardon) (string, int64) { return one.MSP, 0 })
	case ledger.TypeAllowance:
		return putHeld(v, parts, 3, value, func(held *ledger.Opinions) *[]ledger.Allowance { return &held.Allowances }, func(one *ledger.Allowance) (string, int64) { return one.MSP, 0 })
	}
	// A gateway that knows more may send more.
	return nil
}

func (v *View) putPolicy(value []byte) error {
	var version ledger.PolicyVersion
	if err := ledger.DecodeStrict(value, &version); err != nil {
		return err
	}
	if err := version.Policy.Check(); err != nil {
		return err
	}
	v.policies[version.Policy.Name()] = &version
	v.judged++
	if pseudonyms := version.Policy.Pseudonyms; pseudonyms != nil {
		// What is held under an earlier key decides nothing any more.
		maps.DeleteFunc(v.opinions, func(at place, _ *ledger.Opinions) bool { return at.epoch < pseudonyms.Epoch })
	}
	return nil
}

func (v *View) putDevice(parts []string, value []byte) error {
	if len(parts) != 2 {
		return ledger.Errorf(ledger.CodeInvalid, "the key names no device")
	}
	name := deviceName{parts[0], parts[1]}
	v.judged++
	if len(value) == 0 {
		v.unlist(name)
		delete(v.devices, name)
		return nil
	}
	device := &ledger.Device{}
	if err := ledger.DecodeStrict(value, device); err != nil {
		return err
	}
	v.unlist(name)
	v.devices[name] = device
	for _, ref := range device.Credentials.AORRefs {
		v.byAOR[ref] = append(v.byAOR[ref], name)
		// As the contract answers them.
		slices.SortFunc(v.byAOR[ref], func(a, b deviceName) int { return cmp.Or(cmp.Compare(a.msp, b.msp), cmp.Compare(a.id, b.id)) })
	}
	return nil
}

// unlist takes a device from the lists of the addresses it has.
func (v *View) unlist(name deviceName) {
	before := v.devices[name]
	if before == nil {
		return
	}
	for _, ref := range before.Credentials.AORRefs {
		v.byAOR[ref] = slices.DeleteFunc(v.byAOR[ref], func(other deviceName) bool { return other == name })
		if len(v.byAOR[ref]) == 0 {
			delete(v.byAOR, ref)
		}
	}
}

// putHeld replaces one of the things that are held on a subject, or adds or
// removes it. The parts of its key are epoch, subject, operator and, for an
// opinion, writer.
func putHeld[T any](v *View, parts []string, want int, value []byte, list func(*ledger.Opinions) *[]T, name func(*T) (string, int64)) error {
	if len(parts) != want {
		return ledger.Errorf(ledger.CodeInvalid, "the key names nothing that is held on a subject")
	}
	epoch, err := ledger.ParseKeyNumber(parts[0])
	if err != nil || epoch < v.policies[ledger.PolicyPseudonyms].Policy.Pseudonyms.Epoch {
		return err
	}
	writer := int64(0)
	if want == 4 {
		if writer, err = ledger.ParseKeyNumber(parts[3]); err != nil {
			return err
		}
	}
	var one T
	if len(value) > 0 {
		if err := ledger.DecodeStrict(value, &one); err != nil {
			return err
		}
		if opinion, is := any(&one).(*ledger.Opinion); is {
			// A merge takes the totals; the rest would be most of the memory.
			opinion.Carried, opinion.Evidence, opinion.PrevDigest, opinion.Previous = nil, nil, "", nil
		}
	}
	at := place{epoch, parts[1]}
	held := v.opinions[at]
	if held == nil {
		held = &ledger.Opinions{V: ledger.SchemaVersion}
	}
	// Whoever reads holds the lock, so the list may change in place.
	all := list(held)
	i, found := slices.BinarySearchFunc(*all, parts[2], func(each T, msp string) int {
		itsMSP, itsWriter := name(&each)
		return cmp.Or(cmp.Compare(itsMSP, msp), cmp.Compare(itsWriter, writer))
	})
	switch {
	case len(value) == 0 && found:
		*all = slices.Delete(*all, i, i+1)
	case len(value) == 0:
	case found:
		(*all)[i] = one
	default:
		*all = slices.Insert(*all, i, one)
	}
	if len(held.Opinions)+len(held.Pardons)+len(held.Allowances) == 0 {
		delete(v.opinions, at)
		return nil
	}
	v.opinions[at] = held
	return nil
}
