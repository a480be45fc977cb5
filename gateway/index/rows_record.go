package index

import (
	"context"
	"fmt"

	"github.com/callseal/callseal/chaincode/ledger"
)

// This file makes rows of what adapters signed.

// record reads a record and checks that it stands under its own key.
func record(w *write) (*ledger.Record, error) {
	read := &ledger.Record{}
	if err := ledger.DecodeStrict(w.Value, read); err != nil {
		return nil, err //nolint:wrapcheck // it is kept as it is
	}
	if err := read.Check(); err != nil {
		return nil, err //nolint:wrapcheck // it is kept as it is
	}
	if read.Key() != w.Key {
		return nil, errDifferentKey
	}
	return read, nil
}

// decode reads a value of a version that this code knows, and checks that it stands
// under its own key.
func decode[T any](w *write, read *T, version func(*T) int, key func(*T) string) error {
	if err := ledger.DecodeStrict(w.Value, read); err != nil {
		return err //nolint:wrapcheck // it is kept as it is
	}
	if err := ledger.CheckVersion("the value", version(read)); err != nil {
		return err //nolint:wrapcheck // it is kept as it is
	}
	if key(read) != w.Key {
		return errDifferentKey
	}
	return nil
}

func ms(t ledger.Time) int64 { return t.UnixMilli() }

func callRows(b *batch, w *write) error {
	r, err := record(w)
	if err != nil {
		return err
	}
	c := r.Call
	return b.put(callTable, r.MSP, r.PBX, c.Leg.LinkedID, c.Leg.UniqueID, c.Leg.Sequence, w.ref, ms(c.Start), ms(c.Answer), ms(c.End),
		c.DurationMS, c.BillsecMS, c.Disposition, c.Direction, c.Technology, c.HangupCause, flag(c.RecordingDue), c.CallerRef, c.CalleeRef,
		c.CallRef, r.Epoch, r.Seq, r.Segment, int64(0), int64(0), int64(0))
}

func recordingRows(b *batch, w *write) error {
	r, err := record(w)
	if err != nil {
		return err
	}
	c := r.Recording
	return b.put(recordingTable, r.MSP, r.PBX, c.ID, c.Revision, w.ref, c.Leg.LinkedID, c.Leg.UniqueID, c.Leg.Sequence, c.SHA256, c.Bytes,
		c.MediaType, c.Method, ms(c.ClosedAt), int64(len(c.Pauses)), int64(0), ms(c.RetentionUntil), int64(0), int64(0))
}

func linkRows(b *batch, w *write) error {
	r, err := record(w)
	if err != nil {
		return err
	}
	return b.put(linkTable, r.MSP, r.PBX, r.Link.From, r.Link.To, r.Link.Kind, ms(r.Link.At), w.ref)
}

func omissionRows(b *batch, w *write) error {
	r, err := record(w)
	if err != nil {
		return err
	}
	c := r.Omission
	return b.put(omissionTable, r.MSP, r.PBX, c.Leg.LinkedID, c.Leg.UniqueID, c.Leg.Sequence, w.ref, ms(c.At), c.Reason)
}

func openingRows(b *batch, w *write) error {
	r, err := record(w)
	if err != nil {
		return err
	}
	c := r.Opening
	return b.put(openingTable, r.MSP, r.PBX, r.Epoch, w.ref, ms(c.At), c.Why, c.PrevEpoch, c.PrevSeq)
}

func beatRows(b *batch, w *write) error {
	r, err := record(w)
	if err != nil {
		return err
	}
	return b.put(beatTable, r.MSP, r.PBX, r.Epoch, r.Seq, w.ref, ms(r.Beat.At), flag(r.Beat.Closing))
}

func progressRows(b *batch, w *write) error {
	r, err := record(w)
	if err != nil {
		return err
	}
	c := r.Progress
	return b.put(progressTable, r.MSP, r.PBX, c.LinkedID, c.UniqueID, c.State, w.ref, ms(c.At), c.Boot)
}

func disagreementRows(b *batch, w *write) error {
	r, err := record(w)
	if err != nil {
		return err
	}
	c := r.Disagreement
	return b.put(disagreementTable, r.MSP, r.PBX, c.Leg.LinkedID, c.Leg.UniqueID, c.Leg.Sequence, c.Second, w.ref, ms(c.At), c.First, int64(len(c.Differences)))
}

func segmentRows(b *batch, w *write) error {
	var a ledger.AnchoredSegment
	if err := decode(w, &a, func(a *ledger.AnchoredSegment) int { return a.V }, func(a *ledger.AnchoredSegment) string { return a.Segment.Key() }); err != nil {
		return err
	}
	s := &a.Segment
	return b.put(segmentTable, s.MSP, s.PBX, s.Epoch, s.FirstSeq, w.ref, s.Count, ms(a.AnchoredAt), a.LateMS, ms(s.ClosedAt),
		flag(s.Closing), ms(s.NextBy), int64(len(a.Absent)), flag(a.LateByAdmin), s.Root, s.Signer)
}

func incidentRows(b *batch, w *write) error {
	var i ledger.Incident
	digest := part(w.parts, 2) // of what was refused, which the value does not repeat
	err := decode(w, &i, func(i *ledger.Incident) int { return i.V }, func(i *ledger.Incident) string { return ledger.IncidentKey(i.MSP, i.PBX, digest) })
	if err != nil {
		return err
	}
	return b.put(incidentTable, i.MSP, i.PBX, digest, w.ref, ms(i.At), i.Kind, i.Signer)
}

func correctionRows(b *batch, w *write) error {
	var a ledger.AnchoredCorrection
	err := decode(w, &a, func(a *ledger.AnchoredCorrection) int { return a.V }, func(a *ledger.AnchoredCorrection) string { return a.Correction.Key() })
	if err != nil {
		return err
	}
	c := &a.Correction
	if err := b.put(correctionTable, c.MSP, c.PBX, c.Leg.LinkedID, c.Leg.UniqueID, c.Leg.Sequence, c.N, w.ref, ms(a.AnchoredAt), c.Reason); err != nil {
		return err
	}
	b.after("UPDATE calls SET corrections = $1 WHERE msp = $2 AND pbx = $3 AND linkedid = $4 AND uniqueid = $5 AND sequence = $6 AND corrections < $1",
		c.N, c.MSP, c.PBX, c.Leg.LinkedID, c.Leg.UniqueID, c.Leg.Sequence)
	return nil
}

func disputeRows(b *batch, w *write) error {
	var d ledger.Dispute
	err := decode(w, &d, func(d *ledger.Dispute) int { return d.V }, func(d *ledger.Dispute) string { return ledger.DisputeKey(d.CallRef, &d.A.Place, &d.B.Place) })
	if err != nil {
		return err
	}
	w.msp = d.RaisedBy
	return b.put(disputeTable, d.CallRef, part(w.parts, 1), w.ref, d.A.Place.MSP, d.B.Place.MSP, d.RaisedBy, ms(d.At))
}

func adapterRows(b *batch, w *write) error {
	var e ledger.Enrolment
	err := decode(w, &e, func(e *ledger.Enrolment) int { return e.V }, func(e *ledger.Enrolment) string { return ledger.AdapterKey(e.MSP, e.Fingerprint) })
	if err != nil {
		return err
	}
	w.pbx = e.PBX
	return b.put(adapterTable, e.MSP, e.Fingerprint, w.ref, e.PBX, ms(e.EnrolledAt), ms(e.RevokedAt))
}

// after runs a statement when the rows are written.
func (b *batch) after(text string, args ...any) {
	if storable(args) != nil {
		return
	}
	b.later = append(b.later, func(ctx context.Context, b *batch) error {
		if err := b.exec(ctx, text, args...); err != nil {
			return fmt.Errorf("write what follows: %w", err)
		}
		return nil
	})
}
