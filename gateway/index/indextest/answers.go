// Package indextest asks indexes for tests.
package indextest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/index"
)

// pages asks for a list page by page, and writes down all it gets.
func pages[T any](t testing.TB, out *bytes.Buffer, name string, list func(index.Page) (*index.Listed[T], error)) []T {
	t.Helper()
	var all []T
	for _, ascending := range []bool{false, true} {
		fmt.Fprintf(out, "%s ascending=%t\n", name, ascending)
		page := index.Page{Size: 13, Ascending: ascending, Values: true}
		all = nil
		for turns := 0; ; turns++ {
			require.Less(t, turns, 10_000, "%s does not end", name)
			listed, err := list(page)
			require.NoError(t, err, name)
			for _, row := range listed.Rows {
				text, err := json.Marshal(row)
				require.NoError(t, err)
				fmt.Fprintf(out, "%s\n", text)
			}
			all = append(all, listed.Rows...)
			fmt.Fprintf(out, "page of %d at height %d, more %t\n", len(listed.Rows), listed.Height, listed.Next != "")
			if page.Token = listed.Next; page.Token == "" {
				break
			}
		}
	}
	return all
}

// Answers asks an index a suite of questions, as of a time, and writes down the
// answers: whatever database they come out of, they are the same bytes. The chain
// holds a call and a recording at least.
func Answers(t testing.TB, x *index.Index, at ledger.Time) string {
	t.Helper()
	var out bytes.Buffer
	ctx := t.Context()
	all := pages(t, &out, "all calls", func(page index.Page) (*index.Listed[index.Call], error) {
		return x.Calls(ctx, index.CallFilter{}, page)
	})
	require.NotEmpty(t, all)
	some := all[len(all)/2]
	from, to := ledger.TimeOf(time.UnixMilli(all[len(all)/4].StartMS)), ledger.TimeOf(time.UnixMilli(all[len(all)/2].StartMS))
	for i, by := range []index.CallFilter{
		{MSP: some.MSP}, {MSP: some.MSP, PBX: some.PBX}, {Disposition: "BUSY"}, {MSP: some.MSP, Disposition: "BUSY"}, {MSP: some.MSP, PBX: some.PBX, Disposition: some.Disposition},
		{Direction: "inbound"}, {MSP: some.MSP, PBX: some.PBX, LinkedID: some.Leg.LinkedID}, {PartyRef: some.CallerRef}, {PartyRef: some.CalleeRef, MSP: some.MSP, Disposition: "ANSWERED"},
		{CallRef: some.CallRef}, {Held: true, At: at}, {Erased: true}, {Corrected: true}, {Start: index.Span{From: from, To: to}}, {Start: index.Span{To: from}, MSP: some.MSP, PBX: some.PBX},
		{Disposition: "nothing is"}, {MSP: "émsp", PBX: "é"}, {Disposition: "CONGESTION", Direction: "internal", MSP: some.MSP, PBX: some.PBX},
	} {
		pages(t, &out, fmt.Sprintf("calls %d", i), func(page index.Page) (*index.Listed[index.Call], error) { return x.Calls(ctx, by, page) })
	}
	legs, cut, height, err := x.Legs(ctx, some.MSP, some.PBX, some.Leg.LinkedID)
	require.NoError(t, err)
	fmt.Fprintf(&out, "legs %d %t %d\n", len(legs), cut, height)
	recorded := pages(t, &out, "all recordings", func(page index.Page) (*index.Listed[index.Recording], error) {
		return x.Recordings(ctx, index.RecordingFilter{}, page)
	})
	one := recorded[len(recorded)/2]
	for _, by := range []index.RecordingFilter{
		{MSP: one.MSP}, {MSP: one.MSP, PBX: one.PBX}, {SHA256: one.SHA256}, {MSP: one.MSP, PBX: one.PBX, LinkedID: one.Leg.LinkedID}, {State: index.Anchored, At: at}, {State: index.Gap}, {State: index.Retained},
		{State: index.Held, At: at}, {State: index.Erased}, {State: index.Gap, MSP: one.MSP, PBX: one.PBX}, {State: index.Held, At: at, MSP: "AtlasMSP"}, {Closed: index.Span{From: from, To: to}},
	} {
		pages(t, &out, fmt.Sprintf("recordings %+v", by), func(page index.Page) (*index.Listed[index.Recording], error) {
			listed, err := x.Recordings(ctx, by, page)
			for i := 0; err == nil && i < len(listed.Rows); i++ {
				fmt.Fprintln(&out, listed.Rows[i].States(at))
			}
			return listed, err
		})
	}
	for _, by := range []index.SubjectFilter{{}, {Type: "ip"}, {Standing: "low"}, {Standing: "reported", Type: "tel"}, {MinScore: 4000, MaxScore: 6000}, {Epoch: 2}} {
		for _, subject := range pages(t, &out, fmt.Sprintf("subjects %+v", by), func(page index.Page) (*index.Listed[index.ScoredSubject], error) { return x.Subjects(ctx, by, page) }) {
			merged, _, err := x.Reputation(ctx, 0, subject.Subject, at)
			require.NoError(t, err)
			fmt.Fprintf(&out, "%+v\n", merged)
		}
	}
	device := index.EntryFilter{}
	for _, kind := range index.EntryKinds() {
		for _, by := range []index.EntryFilter{{}, {MSP: "AtlasMSP"}, {MSP: "AtlasMSP", PBX: "pbx1"}} {
			if kind == index.KindDevice || kind == index.KindDispute || kind == index.KindOpinion || kind == index.KindAppeal {
				by.PBX = ""
			}
			found := pages(t, &out, fmt.Sprintf("%s %+v", kind, by), func(page index.Page) (*index.Listed[index.Entry], error) { return x.Entries(ctx, kind, by, page) })
			if kind == index.KindDevice && len(found) > 0 && device.AORRef == "" {
				var read ledger.Device
				require.NoError(t, ledger.DecodeStrict(found[0].Value, &read))
				device.AORRef = read.Credentials.AORRefs[0]
			}
		}
	}
	if device.AORRef != "" {
		found := pages(t, &out, "device by address", func(page index.Page) (*index.Listed[index.Entry], error) {
			return x.Entries(ctx, index.KindDevice, device, page)
		})
		require.Len(t, found, 1)
	}
	for _, kind := range index.Kinds() {
		for cursor := (index.Cursor{}); ; {
			changes, next, err := x.Changes(ctx, cursor, 100, index.Filter{Kinds: []index.Kind{kind, index.KindSegment}, MSP: "AtlasMSP"})
			require.NoError(t, err)
			text, err := json.Marshal(changes)
			require.NoError(t, err)
			fmt.Fprintf(&out, "changes %s %s %+v\n", kind, text, next)
			if cursor = next; len(changes) == 0 {
				break
			}
		}
	}
	return out.String()
}
