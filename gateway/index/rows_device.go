package index

import "github.com/callseal/callseal/chaincode/ledger"

func deviceRows(b *batch, w *write) error {
	var d ledger.Device
	if err := decode(w, &d, func(d *ledger.Device) int { return d.V }, func(d *ledger.Device) string { return ledger.DeviceKey(d.MSP, d.ID) }); err != nil {
		return err
	}
	c := &d.Credentials
	return b.put(deviceTable, d.MSP, d.ID, w.ref, d.N, d.Kind, d.Status, d.Change, d.Reason, ms(d.At), ms(d.RegisteredAt), ms(c.ValidFrom), ms(c.ValidUntil), c.KeyEpoch)
}

// Kinds of a device's pseudonyms.
const (
	refAOR         = "aor"
	refFingerprint = "fingerprint"
)

func deviceVersionRows(b *batch, w *write) error {
	var d ledger.Device
	err := decode(w, &d, func(d *ledger.Device) int { return d.V }, func(d *ledger.Device) string { return ledger.DeviceVersionKey(d.MSP, d.ID, d.N) })
	if err != nil {
		return err
	}
	for _, refs := range []struct {
		kind   string
		values []string
	}{{refAOR, d.Credentials.AORRefs}, {refFingerprint, d.Credentials.FingerprintRefs}} {
		for _, ref := range refs.values {
			if err := b.put(deviceRefTable, refs.kind, ref, d.MSP, d.ID, d.N); err != nil {
				return err
			}
		}
	}
	return b.put(deviceVersionTable, d.MSP, d.ID, d.N, w.ref, ms(d.At), d.Status)
}
