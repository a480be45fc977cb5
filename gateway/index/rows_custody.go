package index

import (
	"context"
	"fmt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// This file makes rows of what is decided about records after they were anchored:
// holds, terms, erasures, consents and what stands against them.

// Bits of the column "erased".
const (
	erasedDetails = 1
	erasedAudio   = 2
)

func holdRows(b *batch, w *write) error {
	var h ledger.Hold
	err := decode(w, &h, func(h *ledger.Hold) int { return h.V }, func(h *ledger.Hold) string { return ledger.HoldKey(h.MSP, h.PBX, h.LinkedID) })
	if err != nil {
		return err
	}
	until := int64(0)
	for _, held := range h.Cases {
		if held.Until.IsZero() {
			until = ledger.MaxInteger
		}
		until = max(until, ms(held.Until))
	}
	if err := b.put(holdTable, h.MSP, h.PBX, h.LinkedID, w.ref, h.N, ms(h.At), int64(len(h.Cases)), until); err != nil {
		return err
	}
	for _, table := range []string{"calls", "recordings"} {
		b.after("UPDATE "+table+" SET held_until_ms = $1 WHERE msp = $2 AND pbx = $3 AND linkedid = $4", until, h.MSP, h.PBX, h.LinkedID)
	}
	return nil
}

// holdNew holds the batch's records whose conversations were held before.
func (b *batch) holdNew(ctx context.Context) error {
	for _, table := range []string{"calls", "recordings"} {
		err := b.exec(ctx, "UPDATE "+table+" SET held_until_ms = holds.until_ms FROM holds WHERE "+table+".ref >= $1 AND holds.msp = "+table+".msp AND holds.pbx = "+table+".pbx AND holds.linkedid = "+table+".linkedid AND "+table+".held_until_ms <> holds.until_ms",
			int64(b.from)<<refBits) //nolint:gosec // 2^39 blocks are far
		if err != nil {
			return fmt.Errorf("hold new %s: %w", table, err)
		}
	}
	return nil
}

func holdVersionRows(_ *batch, w *write) error {
	var h ledger.Hold
	return decode(w, &h, func(h *ledger.Hold) int { return h.V }, func(h *ledger.Hold) string { return ledger.HoldVersionKey(h.MSP, h.PBX, h.LinkedID, h.N) })
}

func retentionRows(b *batch, w *write) error {
	var r ledger.Retention
	err := decode(w, &r, func(r *ledger.Retention) int { return r.V }, func(r *ledger.Retention) string { return ledger.RetentionKey(r.MSP, r.PBX, r.ID, r.Revision) })
	if err != nil {
		return err
	}
	if err := b.put(retentionTable, r.MSP, r.PBX, r.ID, r.Revision, w.ref, r.N, ms(r.At), ms(r.Until)); err != nil {
		return err
	}
	b.after("UPDATE recordings SET retained = $1, until_ms = $2 WHERE msp = $3 AND pbx = $4 AND id = $5 AND revision = $6", r.N, ms(r.Until), r.MSP, r.PBX, r.ID, r.Revision)
	return nil
}

func retentionVersionRows(_ *batch, w *write) error {
	var r ledger.Retention
	return decode(w, &r, func(r *ledger.Retention) int { return r.V }, func(r *ledger.Retention) string {
		return ledger.RetentionVersionKey(r.MSP, r.PBX, r.ID, r.Revision, r.N)
	})
}

func erasureRows(b *batch, w *write) error {
	var e ledger.Erasure
	if err := decode(w, &e, func(e *ledger.Erasure) int { return e.V }, erasureKey); err != nil {
		return err
	}
	w.pbx = e.PBX
	erased, at, reason := int64(0), ledger.Time{}, ""
	for bit, entry := range map[int64]*ledger.Destruction{erasedDetails: e.Details, erasedAudio: e.Audio} {
		if entry == nil {
			continue
		}
		erased |= bit
		if !entry.At.Before(at) && (at.Before(entry.At) || entry.Reason > reason) {
			at, reason = entry.At, entry.Reason
		}
	}
	switch {
	case e.Call != nil:
		b.after("UPDATE calls SET erased = $1 WHERE msp = $2 AND pbx = $3 AND linkedid = $4 AND uniqueid = $5 AND sequence = $6",
			erased, e.MSP, e.PBX, e.Call.LinkedID, e.Call.UniqueID, e.Call.Sequence)
		return b.put(erasureTable, string(KindCall), e.MSP, e.PBX, e.Call.LinkedID, e.Call.UniqueID, e.Call.Sequence, w.ref, ms(at), erased, reason)
	case e.Recording != nil:
		b.after("UPDATE recordings SET erased = $1 WHERE msp = $2 AND pbx = $3 AND id = $4 AND revision = $5", erased, e.MSP, e.PBX, e.Recording.ID, e.Recording.Revision)
		return b.put(erasureTable, string(KindRecording), e.MSP, e.PBX, e.Recording.ID, "", e.Recording.Revision, w.ref, ms(at), erased, reason)
	default:
		return b.put(erasureTable, string(KindDeviceVersion), e.MSP, "", e.Device.ID, "", e.Device.N, w.ref, ms(at), erased, reason)
	}
}

// erasureKey is the key of an erasure; empty for one of nothing.
func erasureKey(e *ledger.Erasure) string {
	record := ""
	switch {
	case e.Call != nil:
		record = ledger.CallKey(e.MSP, e.PBX, *e.Call)
	case e.Recording != nil:
		record = ledger.RecordingKey(e.MSP, e.PBX, e.Recording.ID, e.Recording.Revision)
	case e.Device != nil:
		record = ledger.DeviceVersionKey(e.MSP, e.Device.ID, e.Device.N)
	}
	key, err := ledger.ErasureKey(record)
	if err != nil {
		return ""
	}
	return key
}

func consentRows(b *batch, w *write) error {
	var c ledger.Consent
	if err := decode(w, &c, func(c *ledger.Consent) int { return c.V }, (*ledger.Consent).Key); err != nil {
		return err
	}
	s := &c.Statement
	return b.put(consentTable, c.MSP, s.PBX, s.LinkedID, s.PartyRef, s.Purpose, s.N, w.ref, s.Status, s.Method, s.Jurisdiction, ms(s.GivenAt), ms(s.ExpiresAt), ms(c.At))
}

func violationRows(b *batch, w *write) error {
	var v ledger.Violation
	if err := decode(w, &v, func(v *ledger.Violation) int { return v.V }, func(v *ledger.Violation) string { return v.Report.Key() }); err != nil {
		return err
	}
	r := &v.Report
	return b.put(violationTable, r.MSP, r.PBX, r.Recording.ID, r.Recording.Revision, r.PartyRef, w.ref, v.LinkedID, v.Status, v.ByMSP, ms(v.At))
}
