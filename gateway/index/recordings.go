package index

import (
	"context"
	"fmt"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fault"
)

// RecordingState is one of the things a recording can be. All but Anchored may be
// true at once.
type RecordingState string

// The states.
const (
	// Anchored: none of the others.
	Anchored RecordingState = "anchored"
	// Gap: it has pauses, in which nothing was recorded on purpose.
	Gap RecordingState = "gap"
	// Retained: its owner gave it a term of its own.
	Retained RecordingState = "retained"
	// Held: a legal hold stands on its conversation.
	Held RecordingState = "held"
	// Erased: its details, its audio or both are.
	Erased RecordingState = "erased"
)

// RecordingFilter narrows a list of recordings; zero members narrow nothing.
type RecordingFilter struct {
	// MSP, PBX and LinkedID are as in CallFilter.
	MSP, PBX, LinkedID string
	// SHA256 is the file's.
	SHA256 string
	// State is one of the states.
	State RecordingState
	// Closed bounds when the file was closed.
	Closed Span
	// At is now, for Held.
	At ledger.Time
}

// Recording is a recording as the rows have it.
type Recording struct {
	MSP, PBX, ID               string
	Revision                   int64
	Leg                        ledger.LegID
	SHA256                     string
	Bytes                      int64
	MediaType, Method          string
	ClosedMS                   int64
	Gaps, Retained             int64
	UntilMS, HeldUntilMS       int64
	ErasedDetails, ErasedAudio bool
	erased                     int64
	// Value is the record, canonical JSON, if it was asked for.
	Value []byte
}

// States are what the recording is at a time.
func (r *Recording) States(at ledger.Time) []RecordingState {
	var states []RecordingState
	for _, one := range []struct {
		state RecordingState
		is    bool
	}{{Gap, r.Gaps > 0}, {Retained, r.Retained > 0}, {Held, r.HeldUntilMS > at.UnixMilli()}, {Erased, r.ErasedDetails || r.ErasedAudio}} {
		if one.is {
			states = append(states, one.state)
		}
	}
	if len(states) == 0 {
		return []RecordingState{Anchored}
	}
	return states
}

var recordings = &list[Recording]{
	name: "recordings", table: "recordings", sort: "closed_ms", tie: "ref",
	columns: "t.msp, t.pbx, t.id, t.revision, t.linkedid, t.uniqueid, t.sequence, t.sha256, t.bytes, t.media_type, t.method, t.closed_ms, t.gap, t.retained, t.until_ms, t.held_until_ms, t.erased",
	fields: func(r *Recording) []any {
		return []any{
			&r.MSP, &r.PBX, &r.ID, &r.Revision, &r.Leg.LinkedID, &r.Leg.UniqueID, &r.Leg.Sequence, &r.SHA256, &r.Bytes, &r.MediaType, &r.Method,
			&r.ClosedMS, &r.Gaps, &r.Retained, &r.UntilMS, &r.HeldUntilMS, &r.erased,
		}
	},
	value: func(r *Recording) *[]byte { return &r.Value },
}

// Recordings lists recordings by when their files were closed.
func (x *Index) Recordings(ctx context.Context, by RecordingFilter, page Page) (*Listed[Recording], error) {
	f, err := recordingFilter(&by)
	if err != nil {
		return nil, err
	}
	listed, err := recordings.run(ctx, x, page, f)
	if err != nil {
		return nil, err
	}
	for i := range listed.Rows {
		one := &listed.Rows[i]
		one.ErasedDetails, one.ErasedAudio = one.erased&erasedDetails != 0, one.erased&erasedAudio != 0
	}
	return listed, nil
}

func recordingFilter(by *RecordingFilter) (filter, error) {
	asked := *by
	asked.At = ledger.Time{}
	f := filter{question: fmt.Sprintf("%q", fmt.Sprint(asked))}
	f.between(by.Closed)
	now := by.At.UnixMilli()
	// Of the rare states there are few: their own indexes answer them.
	rare := &f.key
	owner := &f.rest
	switch {
	case by.SHA256 != "":
		f.with(&f.key, "sha256", by.SHA256)
		rare = &f.rest
	case by.LinkedID != "":
		if by.MSP == "" || by.PBX == "" {
			return f, fault.New(fault.Invalid, "a linkedid is named within its PBX: name msp and pbx too")
		}
		rare, owner = &f.rest, &f.key
	case by.State == "" || by.State == Anchored:
		owner = &f.key
	}
	if err := f.owner(owner, by.MSP, by.PBX); err != nil {
		return f, err
	}
	f.with(owner, "linkedid", by.LinkedID)
	switch by.State {
	case "":
	case Anchored:
		f.rest = append(f.rest, condition{"t.gap = 0 AND t.retained = 0 AND t.erased = 0 AND t.held_until_ms <= ?", now})
	case Gap:
		*rare = append(*rare, condition{text: "t.gap > 0"})
	case Retained:
		*rare = append(*rare, condition{text: "t.retained > 0"})
	case Held:
		*rare = append(*rare, condition{text: "t.held_until_ms > 0"})
		f.rest = append(f.rest, condition{"t.held_until_ms > ?", now})
	case Erased:
		*rare = append(*rare, condition{text: "t.erased > 0"})
	default:
		return f, fault.New(fault.Invalid, "the state of a recording is anchored, gap, retained, held or erased")
	}
	return f, nil
}
