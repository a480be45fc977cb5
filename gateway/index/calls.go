package index

import (
	"context"
	"fmt"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
)

// CallFilter narrows a list of calls; zero members narrow nothing.
type CallFilter struct {
	// MSP and PBX own the call. A PBX needs its MSP.
	MSP, PBX string
	// LinkedID names a conversation of that PBX.
	LinkedID string
	// PartyRef is the caller's or the callee's.
	PartyRef string
	// CallRef is a trunk leg's.
	CallRef string
	// Disposition and Direction are the record's words.
	Disposition, Direction string
	// Held, Erased and Corrected want only what is held now, erased, corrected.
	Held, Erased, Corrected bool
	// Start bounds when the leg began.
	Start Span
	// At is now, for Held.
	At ledger.Time
}

// Call is a leg as the rows have it.
type Call struct {
	MSP, PBX                                                     string
	Leg                                                          ledger.LegID
	StartMS, AnswerMS, EndMS, DurationMS, BillsecMS, HangupCause int64
	Disposition, Direction, Technology                           string
	RecordingDue                                                 bool
	CallerRef, CalleeRef, CallRef                                string
	Epoch, Seq, Segment                                          int64
	// Corrections is how many there are, HeldUntilMS until when it is held (2^53-1:
	// without end), Erased whether its details are.
	Corrections, HeldUntilMS int64
	Erased                   bool
	// Value is the record, canonical JSON, if it was asked for.
	Value []byte
}

const callColumns = "t.msp, t.pbx, t.linkedid, t.uniqueid, t.sequence, t.answer_ms, t.end_ms, t.duration_ms, t.billsec_ms, t.hangup_cause, t.disposition, t.direction, t.technology, t.recording_due, t.caller_ref, t.callee_ref, t.call_ref, t.epoch, t.seq, t.segment, t.corrections, t.held_until_ms, t.erased, t.start_ms"

var calls = &list[Call]{
	name: "calls", table: "calls", sort: "start_ms", tie: "ref", columns: callColumns,
	fields: func(c *Call) []any {
		return []any{
			&c.MSP, &c.PBX, &c.Leg.LinkedID, &c.Leg.UniqueID, &c.Leg.Sequence, &c.AnswerMS, &c.EndMS, &c.DurationMS, &c.BillsecMS, &c.HangupCause,
			&c.Disposition, &c.Direction, &c.Technology, truth{&c.RecordingDue}, &c.CallerRef, &c.CalleeRef, &c.CallRef, &c.Epoch, &c.Seq, &c.Segment,
			&c.Corrections, &c.HeldUntilMS, truth{&c.Erased}, &c.StartMS,
		}
	},
	value: func(c *Call) *[]byte { return &c.Value },
}

// truth scans a flag.
type truth struct{ is *bool }

// Scan implements sql.Scanner.
func (t truth) Scan(value any) error {
	n, is := value.(int64)
	if !is {
		return fmt.Errorf("a flag is %T", value)
	}
	*t.is = n != 0
	return nil
}

// owner adds whose records are wanted, as far as an index of the table takes it.
func (f *filter) owner(to *[]condition, msp, pbx string) error {
	if pbx != "" && msp == "" {
		return fault.New(fault.Invalid, "a PBX is named within its operator: name the msp too")
	}
	f.with(to, "msp", msp)
	f.with(to, "pbx", pbx)
	return nil
}

// Calls lists legs by when they began.
func (x *Index) Calls(ctx context.Context, by CallFilter, page Page) (*Listed[Call], error) {
	filters, err := callFilters(&by)
	if err != nil {
		return nil, err
	}
	return calls.run(ctx, x, page, filters...)
}

// rareCalls is what an index of few calls is made by.
func rareCalls(by *CallFilter) string {
	switch {
	case by.Erased:
		return "t.erased > 0"
	case by.Corrected:
		return "t.corrections > 0"
	default:
		return "t.held_until_ms > 0"
	}
}

func callFilters(by *CallFilter) ([]filter, error) {
	asked := *by
	asked.At = ledger.Time{}
	f := filter{question: fmt.Sprintf("%q", fmt.Sprint(asked))}
	f.between(by.Start)
	var party []string
	switch {
	case by.PartyRef != "":
		party = []string{"caller_ref", "callee_ref"}
		f.with(&f.rest, "linkedid", by.LinkedID)
		if err := f.owner(&f.rest, by.MSP, by.PBX); err != nil {
			return nil, err
		}
		f.with(&f.rest, "disposition", by.Disposition)
		f.with(&f.rest, "call_ref", by.CallRef)
	case by.CallRef != "":
		f.key = append(f.key, condition{text: "t.call_ref <> ''"})
		f.with(&f.key, "call_ref", by.CallRef)
		f.with(&f.rest, "linkedid", by.LinkedID)
		if err := f.owner(&f.rest, by.MSP, by.PBX); err != nil {
			return nil, err
		}
		f.with(&f.rest, "disposition", by.Disposition)
	case by.LinkedID != "":
		if by.MSP == "" || by.PBX == "" {
			return nil, fault.New(fault.Invalid, "a linkedid is named within its PBX: name msp and pbx too")
		}
		f.with(&f.key, "msp", by.MSP)
		f.with(&f.key, "pbx", by.PBX)
		f.with(&f.key, "linkedid", by.LinkedID)
		f.few = true
		f.with(&f.rest, "disposition", by.Disposition)
	case by.Held || by.Erased || by.Corrected:
		// Of these there are few: their own indexes answer them.
		f.key = append(f.key, condition{text: rareCalls(by)})
		if err := f.owner(&f.rest, by.MSP, by.PBX); err != nil {
			return nil, err
		}
		f.with(&f.rest, "disposition", by.Disposition)
	case by.MSP != "" && by.PBX == "" && by.Disposition != "":
		f.with(&f.key, "disposition", by.Disposition)
		f.with(&f.rest, "msp", by.MSP)
	default:
		if err := f.owner(&f.key, by.MSP, by.PBX); err != nil {
			return nil, err
		}
		f.with(&f.key, "disposition", by.Disposition)
	}
	by.sort(&f)
	if party == nil {
		return []filter{f}, nil
	}
	var filters []filter
	for _, column := range party {
		one := f
		one.key = append([]condition{{text: "t." + column + " <> ''"}}, condition{"t." + column + " = ?", by.PartyRef})
		filters = append(filters, one)
	}
	return filters, nil
}

// sort adds what sort of call is asked for.
func (by *CallFilter) sort(f *filter) {
	f.with(&f.rest, "direction", by.Direction)
	if by.Held {
		f.rest = append(f.rest, condition{"t.held_until_ms > ?", by.At.UnixMilli()})
	}
	if by.Erased {
		f.rest = append(f.rest, condition{text: "t.erased > 0"})
	}
	if by.Corrected {
		f.rest = append(f.rest, condition{text: "t.corrections > 0"})
	}
}

// Legs lists the legs of the conversation that a linkedid belongs to, over
// transfers, pickups and parking, in the order of their leg's names. Cut says that
// there are more linkedids than ledger.MaxConversation.
func (x *Index) Legs(ctx context.Context, msp, pbx, linkedID string) (legs []Call, cut bool, height uint64, err error) {
	linkedIDs, cut, err := x.conversation(ctx, msp, pbx, linkedID)
	if err != nil {
		return nil, false, 0, err
	}
	for _, one := range linkedIDs {
		page := Page{Size: MaxPageSize, Ascending: true, Values: true}
		for {
			some, err := x.Calls(ctx, CallFilter{MSP: msp, PBX: pbx, LinkedID: one}, page)
			if err != nil {
				return nil, false, 0, err
			}
			legs, height = append(legs, some.Rows...), some.Height
			if page.Token = some.Next; page.Token == "" {
				break
			}
		}
	}
	return legs, cut, height, nil
}

// conversation walks the links of a linkedid, both ways.
func (x *Index) conversation(ctx context.Context, msp, pbx, linkedID string) (found []string, cut bool, err error) {
	if storable([]any{msp, pbx, linkedID}) != nil || linkedID == "" {
		return nil, false, fault.New(fault.Invalid, "a conversation is named by msp, pbx and a linkedid")
	}
	found, known := []string{linkedID}, map[string]bool{linkedID: true}
	for i := 0; i < len(found); i++ {
		rows, err := x.db.reader.QueryContext(ctx, "SELECT to_id FROM links WHERE msp = $1 AND pbx = $2 AND from_id = $3 UNION SELECT from_id FROM links WHERE msp = $1 AND pbx = $2 AND to_id = $3 ORDER BY 1 LIMIT 65", msp, pbx, found[i])
		if err != nil {
			return nil, false, unread(ctx, fmt.Errorf("read links: %w", err))
		}
		next, err := collect(rows, func(id *string) []any { return []any{id} })
		if err != nil {
			return nil, false, err
		}
		for _, id := range next {
			switch {
			case known[id]:
			case len(found) >= ledger.MaxConversation:
				return found, true, nil
			default:
				known[id] = true
				found = append(found, id)
			}
		}
	}
	return found, false, nil
}
