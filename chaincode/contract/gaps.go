package contract

import (
	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"

	"github.com/callseal/callseal/chaincode/ledger"
)

// maxIncidents bounds the incidents that one walk tells of.
const maxIncidents = 500

// Gaps walks a PBX's signed segments in order and answers what is missing, forked,
// overlapping, out of a lost journal or of two histories: a ledger.Gaps. Epoch and
// from say where to go on, as the page before answered them; both are 0 at first.
// An epoch with from 0 begins there. Limit is the number of segments to walk, 1 to
// 1000; a page's findings are the same wherever the page begins.
//
// Headers, openings and incidents are judged, not the records under each root:
// those were checked when they were anchored, and one operator alone cannot take
// them away.
//
// Errors: INVALID_ARGUMENT, NOT_FOUND for a place that no segment begins at,
// TOO_LARGE for a PBX of more than 1000 epochs.
func (*Calls) Gaps(ctx contractapi.TransactionContextInterface, msp, pbx string, epoch, from int64, limit int32) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("epoch", epoch); err != nil {
		return "", err
	}
	if err := ledger.CheckNumber("from", from); err != nil {
		return "", err
	}
	if epoch == 0 && from != 0 {
		return "", ledger.Errorf(ledger.CodeInvalid, "from is a place within an epoch: name the epoch too")
	}
	if limit < 1 || limit > maxListed {
		return "", ledger.Errorf(ledger.CodeInvalid, "the limit is %d, it must lie between 1 and %d", limit, maxListed)
	}
	at, err := now(ctx)
	if err != nil {
		return "", err
	}
	policy, err := policyOf(ctx.GetStub(), ledger.PolicyReconciliation)
	if err != nil {
		return "", err
	}
	w := &walk{
		shelf: &shelf{stub: ctx.GetStub(), msp: msp, pbx: pbx}, at: at, late: policy.Policy.Reconciliation.LateMS,
		gaps: &ledger.Gaps{Epochs: []ledger.EpochSummary{}, Findings: []ledger.Finding{}, MSP: msp, PBX: pbx, V: ledger.SchemaVersion},
	}
	if err := w.run(epoch, from, limit); err != nil {
		return "", err
	}
	if epoch == 0 && w.gaps.Next == nil {
		w.gaps.Conclude()
	}
	w.gaps.Sort()
	return text(w.gaps)
}

// Chain answers how a PBX's history ends, a ledger.Chain, or NOT_FOUND where it has
// none: an adapter that begins an epoch names it in its opening.
func (*Calls) Chain(ctx contractapi.TransactionContextInterface, msp, pbx string) (string, error) {
	if err := checkNames("msp", msp, "pbx", pbx); err != nil {
		return "", err
	}
	s := &shelf{stub: ctx.GetStub(), msp: msp, pbx: pbx}
	epochs, err := s.epochs(ledger.MaxInteger + 1)
	if err != nil {
		return "", err
	}
	if len(epochs) == 0 {
		return "", ledger.Errorf(ledger.CodeNotFound, "the PBX has no history on the ledger")
	}
	end, err := s.tailOf(epochs[len(epochs)-1])
	if err != nil {
		return "", err
	}
	return text(&ledger.Chain{Closing: end.closing, Epoch: end.epoch, LastRoot: end.root, LastSeq: end.last, V: ledger.SchemaVersion})
}

// walk is one page of calls:Gaps.
type walk struct {
	*shelf
	at   ledger.Time
	late int64
	gaps *ledger.Gaps

	before *ledger.AnchoredSegment // the segment before, of the same epoch
	end    tail                    // how far the epoch, or the one before, reaches
	// following is the first segment of the next epoch, nil where there is none.
	following *ledger.AnchoredSegment
	doubled   bool // told of this epoch that another ran beside it
}

func (w *walk) run(epoch, from int64, limit int32) error {
	if err := w.resume(epoch, from); err != nil {
		return err
	}
	start := from
	if from > 0 {
		start++
	}
	found, more, err := w.page(epoch, start, false, limit)
	if err != nil {
		return err
	}
	for i := range found {
		if err := w.segment(&found[i]); err != nil {
			return err
		}
	}
	if n := len(found); more && n > 0 {
		last := &found[n-1].Segment
		w.gaps.Next = &ledger.GapsPlace{Epoch: last.Epoch, From: last.FirstSeq}
		return nil
	}
	return w.finish()
}

// resume learns what the page before knew.
func (w *walk) resume(epoch, from int64) error {
	if epoch == 0 {
		return nil
	}
	if from == 0 {
		epochs, err := w.epochs(epoch)
		if err != nil || len(epochs) == 0 {
			return err
		}
		end, err := w.tailOf(epochs[len(epochs)-1])
		if err != nil {
			return err
		}
		w.end = *end
		return nil
	}
	err := w.near(epoch, from, func(anchored *ledger.AnchoredSegment) {
		w.end.take(anchored)
		w.before = anchored
	})
	if err != nil {
		return err
	}
	if w.before == nil || w.before.Segment.FirstSeq != from {
		return ledger.Errorf(ledger.CodeNotFound, "no segment begins at this place: go on where the page before said")
	}
	return w.lookAhead(epoch)
}

// lookAhead finds the next epoch.
func (w *walk) lookAhead(epoch int64) (err error) {
	w.following, err = w.first(epoch+1, 0, false)
	return err
}

// segment judges one segment by what came before it.
func (w *walk) segment(anchored *ledger.AnchoredSegment) error {
	segment := &anchored.Segment
	if n := len(w.gaps.Epochs); n == 0 || w.gaps.Epochs[n-1].Epoch != segment.Epoch {
		w.gaps.Epochs = append(w.gaps.Epochs, ledger.EpochSummary{})
	}
	summary := &w.gaps.Epochs[len(w.gaps.Epochs)-1]
	summary.Take(anchored)
	if w.before == nil || w.before.Segment.Epoch != segment.Epoch {
		if err := w.begin(anchored, summary); err != nil {
			return err
		}
	} else if err := w.follow(anchored); err != nil {
		return err
	}
	w.judge(anchored)
	w.end.take(anchored)
	w.before = anchored
	return nil
}

// report adds a finding about a segment.
func (w *walk) report(kind string, anchored *ledger.AnchoredSegment) {
	segment := &anchored.Segment
	w.gaps.Report(ledger.Finding{Kind: kind, Epoch: segment.Epoch, First: segment.FirstSeq, Last: segment.FirstSeq + segment.Count - 1})
}

// begin judges the first segment of an epoch: does the epoch follow from the one
// before?
func (w *walk) begin(anchored *ledger.AnchoredSegment, summary *ledger.EpochSummary) error {
	segment := &anchored.Segment
	w.doubled = false
	if err := w.lookAhead(segment.Epoch); err != nil {
		return err
	}
	if segment.FirstSeq > 1 {
		w.missing(segment.Epoch, 1, segment.FirstSeq-1)
	}
	stored, err := w.stub.GetState(ledger.OpeningKey(w.msp, w.pbx, segment.Epoch))
	if err != nil {
		return ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	var opening *ledger.Opening
	if stored != nil {
		var record ledger.Record
		if err := decodeStored(stored, &record); err != nil {
			return err
		}
		opening = record.Opening
		summary.Why = opening.Why
	}
	if kind := judgeOpening(opening, &w.end); kind != "" {
		w.report(kind, anchored)
	}
	return nil
}

// judgeOpening says what is wrong with the way an epoch begins, given how the one
// before ends; "" for nothing. The first epoch of version 1 has no opening.
func judgeOpening(opening *ledger.Opening, before *tail) string {
	switch {
	case opening == nil && before.epoch == 0:
		return ""
	case opening == nil:
		return ledger.FindingLostEpoch
	case opening.PrevEpoch != before.epoch || opening.PrevSeq != before.last || opening.PrevRoot != before.root:
		return ledger.FindingLostEpoch
	case opening.Why == ledger.OpeningLost:
		return ledger.FindingLostJournal
	case opening.Why == ledger.OpeningPlanned && !before.closing:
		return ledger.FindingUnclosed
	default:
		return ""
	}
}

func (w *walk) missing(epoch, first, last int64) {
	w.gaps.Report(ledger.Finding{Kind: ledger.FindingMissing, Count: last - first + 1, Epoch: epoch, First: first, Last: last})
}

// follow judges a segment by the one before it in the same epoch.
func (w *walk) follow(anchored *ledger.AnchoredSegment) error {
	segment, before := &anchored.Segment, &w.before.Segment
	next := w.end.last + 1
	switch {
	case segment.FirstSeq > next:
		w.missing(segment.Epoch, next, segment.FirstSeq-1)
	case segment.FirstSeq < next:
		last := min(w.end.last, segment.FirstSeq+segment.Count-1)
		w.gaps.Report(ledger.Finding{Kind: ledger.FindingOverlapping, Count: last - segment.FirstSeq + 1, Epoch: segment.Epoch, First: segment.FirstSeq, Last: last})
	}
	if segment.ClosedAt.Before(before.ClosedAt) {
		w.report(ledger.FindingClockBack, anchored)
	}
	if !before.NextBy.IsZero() && before.NextBy.Before(segment.ClosedAt) {
		w.gaps.Report(ledger.Finding{
			Kind: ledger.FindingQuiet, Epoch: segment.Epoch, First: segment.FirstSeq, Last: segment.FirstSeq, Since: before.ClosedAt, Until: segment.ClosedAt,
		})
	}
	return w.followRoot(anchored, next)
}

// followRoot judges which segment this one names as the one before it.
func (w *walk) followRoot(anchored *ledger.AnchoredSegment, next int64) error {
	segment, before := &anchored.Segment, &w.before.Segment
	if segment.PrevFirstSeq == before.FirstSeq && segment.PrevRoot == before.Root && before.FirstSeq+before.Count == segment.FirstSeq {
		return nil
	}
	stored, err := w.stub.GetState(ledger.SegmentKey(w.msp, w.pbx, segment.Epoch, segment.PrevFirstSeq))
	if err != nil {
		return ledger.Errorf(ledger.CodeInternal, "read state: %v", err)
	}
	if stored == nil {
		// Where records are missing, so is the segment that held them.
		if segment.FirstSeq <= next {
			w.report(ledger.FindingBroken, anchored)
		}
		return nil
	}
	var named ledger.AnchoredSegment
	if err := decodeStored(stored, &named); err != nil {
		return err
	}
	// Of two histories that overlap, each goes on from its own.
	if named.Segment.Root != segment.PrevRoot || named.Segment.FirstSeq+named.Segment.Count != segment.FirstSeq {
		w.report(ledger.FindingBroken, anchored)
	}
	return nil
}

// judge says what a segment tells by itself.
func (w *walk) judge(anchored *ledger.AnchoredSegment) {
	segment := &anchored.Segment
	for i := range anchored.Absent {
		if absent := &anchored.Absent[i]; absent.Outcome == ledger.OutcomeConflict {
			w.gaps.Report(ledger.Finding{Kind: ledger.FindingRefused, Count: 1, Epoch: segment.Epoch, First: absent.Seq, Last: absent.Seq})
		}
	}
	if anchored.LateMS > w.late {
		w.report(ledger.FindingLate, anchored)
	}
	if anchored.LateByAdmin {
		w.report(ledger.FindingLateByAdmin, anchored)
	}
	if w.following == nil || w.doubled {
		return
	}
	began := w.following
	if began.Segment.ClosedAt.Before(segment.ClosedAt) || !anchored.LateByAdmin && began.AnchoredAt.Before(anchored.AnchoredAt) {
		w.doubled = true
		w.gaps.Report(ledger.Finding{
			Kind: ledger.FindingTwoHistories, Epoch: segment.Epoch, First: segment.FirstSeq, Last: segment.FirstSeq + segment.Count - 1, Since: began.AnchoredAt,
		})
	}
}

// finish judges the end of the history, and what was refused on the way.
func (w *walk) finish() error {
	if w.before != nil {
		last := &w.before.Segment
		if !last.NextBy.IsZero() && last.NextBy.Before(w.at) {
			w.gaps.Report(ledger.Finding{Kind: ledger.FindingQuiet, Epoch: last.Epoch, First: w.end.last, Last: w.end.last, Since: last.ClosedAt})
		}
	}
	iterator, _, err := w.stub.GetStateByPartialCompositeKeyWithPagination(ledger.TypeIncident, []string{w.msp, w.pbx}, maxIncidents, "")
	if err != nil {
		return ledger.Errorf(ledger.CodeInternal, "scan state: %v", err)
	}
	defer func() { _ = iterator.Close() }()
	for iterator.HasNext() {
		entry, err := iterator.Next()
		if err != nil {
			return ledger.Errorf(ledger.CodeInternal, "scan state: %v", err)
		}
		if err := w.incident(entry.GetValue()); err != nil {
			return err
		}
	}
	return nil
}

// incident tells of a fork; a refused record is told of where its segment is.
func (w *walk) incident(stored []byte) error {
	var incident ledger.Incident
	if err := decodeStored(stored, &incident); err != nil {
		return err
	}
	if incident.Kind != ledger.IncidentFork {
		return nil
	}
	_, parts, err := ledger.SplitKey(incident.Key)
	if err != nil || len(parts) != 4 {
		return ledger.Errorf(ledger.CodeInternal, "an incident names a key that is none of a segment")
	}
	epoch, err := ledger.ParseKeyNumber(parts[2])
	if err != nil {
		return ledger.Errorf(ledger.CodeInternal, "%v", err)
	}
	seq, err := ledger.ParseKeyNumber(parts[3])
	if err != nil {
		return ledger.Errorf(ledger.CodeInternal, "%v", err)
	}
	w.gaps.Report(ledger.Finding{Kind: ledger.FindingForked, Epoch: epoch, First: seq, Last: seq, Since: incident.At})
	return nil
}
