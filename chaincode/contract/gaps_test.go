package contract_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/chaincode/stub"
)

const (
	// promise is how long a told adapter promises to be silent at most.
	promise = 2 * time.Hour
	// started is when the told Asterisk was started.
	started = 1_772_366_000_000
)

// history tells what an adapter of Atlas's pbx1 sees, segment by segment.
type history struct {
	epoch    int64
	next     int64
	before   int64
	root     string
	clock    time.Time
	sequence int64 // of the next leg
	boot     int64
	signer   *stub.Identity
	told     []*ledger.SignedSegment
}

// newHistory begins with an opening. Its epoch is its clock, as in life.
func newHistory(t testing.TB, clock time.Time, opening ledger.Opening) *history {
	h := &history{epoch: clock.UnixMilli(), next: 1, clock: clock, boot: started, signer: operators()[atlas].adapter}
	opening.At = ledger.TimeOf(clock)
	h.close(t, ledger.Record{Opening: &opening})
	return h
}

// close closes records into the next segment.
func (h *history) close(t testing.TB, records ...ledger.Record) *ledger.SignedSegment {
	t.Helper()
	last := records[len(records)-1].Beat
	signed := &ledger.SignedSegment{Records: records, Segment: ledger.Segment{
		Boots: ledger.BootsOf(records), ClosedAt: ledger.TimeOf(h.clock), Closing: last != nil && last.Closing, Count: int64(len(records)),
		Epoch: h.epoch, FirstSeq: h.next, MSP: atlas, PBX: "pbx1", PrevFirstSeq: h.before, PrevRoot: h.root, V: ledger.SchemaVersion,
	}}
	if !signed.Segment.Closing {
		signed.Segment.NextBy = ledger.TimeOf(h.clock.Add(promise))
	}
	h.sign(t, signed)
	h.before, h.next, h.root = h.next, h.next+int64(len(records)), signed.Segment.Root
	h.told = append(h.told, signed)
	return signed
}

// sign signs as resign does, in version 2.
func (h *history) sign(t testing.TB, signed *ledger.SignedSegment) {
	t.Helper()
	resignAs(t, h.signer, signed, ledger.SchemaVersion)
}

// legs closes n legs of Asterisk's sequence.
func (h *history) legs(t testing.TB, n int) *ledger.SignedSegment {
	t.Helper()
	records := make([]ledger.Record, n)
	for i := range records {
		records[i] = h.leg()
	}
	return h.close(t, records...)
}

func (h *history) leg() ledger.Record {
	id := fmt.Sprintf("pbx1-%d.%d", h.boot, h.sequence)
	record := callRecord(ledger.LegID{LinkedID: id, UniqueID: id, Sequence: h.sequence})
	record.Call.Boot, record.Call.Observed = h.boot, nil
	// It began half a minute ago, and is just over.
	record.Call.Start, record.Call.Answer, record.Call.End = ledger.TimeOf(h.clock.Add(-31*time.Second)), ledger.TimeOf(h.clock.Add(-29*time.Second)), ledger.TimeOf(h.clock.Add(-time.Second))
	h.sequence++
	return record
}

// reboot starts Asterisk anew.
func (h *history) reboot() { h.boot, h.sequence = h.clock.Add(-40*time.Second).UnixMilli(), 0 }

func (h *history) beat(t testing.TB, closing bool) *ledger.SignedSegment {
	t.Helper()
	return h.close(t, ledger.Record{Beat: &ledger.Beat{At: ledger.TimeOf(h.clock), Closing: closing}})
}

// wait lets time pass.
func (h *history) wait(d time.Duration) { h.clock = h.clock.Add(d) }

// succeed begins the next epoch of the same adapter.
func (h *history) succeed(t testing.TB, why string) *history {
	t.Helper()
	successor := newHistory(t, h.clock, ledger.Opening{PrevEpoch: h.epoch, PrevRoot: h.root, PrevSeq: h.next - 1, Why: why})
	successor.sequence, successor.boot = h.sequence, h.boot
	return successor
}

// clone is the adapter with its journal, as a restored backup makes.
func (h *history) clone() *history {
	other := *h
	other.told = slices.Clone(h.told)
	return &other
}

// put anchors segments, each a second after it was closed.
func (c *channel) put(segments ...*ledger.SignedSegment) {
	c.t.Helper()
	for _, segment := range segments {
		call := anchor(c.t, atlas, segment)
		call.Time = segment.Segment.ClosedAt.Std().Add(time.Second)
		c.do(call)
	}
}

// gaps walks the history of Atlas's pbx1 in pages, as Borealis.
func (c *channel) gaps(at time.Time, limit int) *ledger.Gaps {
	c.t.Helper()
	var all *ledger.Gaps
	place := ledger.GapsPlace{}
	for {
		var page ledger.Gaps
		call := as(borealis, ledger.RoleAuditor, "calls:Gaps", atlas, "pbx1", number(place.Epoch), number(place.From), fmt.Sprint(limit))
		call.Time = at
		c.ask(call, &page)
		if all == nil {
			all = &page
		} else {
			all.Add(&page)
		}
		if page.Next == nil {
			all.Conclude()
			return all
		}
		place = *page.Next
	}
}

// walked walks in pages of several sizes, which must find the same.
func (c *channel) walked(at time.Time) *ledger.Gaps {
	c.t.Helper()
	whole := c.gaps(at, 1000)
	for _, limit := range []int{1, 2, 3, 7} {
		require.Equal(c.t, whole, c.gaps(at, limit), "pages of %d", limit)
	}
	return whole
}

// kinds are the kinds of the findings, notes in brackets.
func kinds(gaps *ledger.Gaps) []string {
	found := []string{}
	for i := range gaps.Findings {
		if gaps.Findings[i].Alarm {
			found = append(found, gaps.Findings[i].Kind)
		} else {
			found = append(found, "("+gaps.Findings[i].Kind+")")
		}
	}
	return found
}

var first = ledger.Opening{Why: ledger.OpeningFirst}

func TestAnHonestHistoryHasNoFindings(t *testing.T) {
	c := enrolled(t)
	h := newHistory(t, noon, first)
	for range 3 {
		h.wait(time.Hour)
		h.legs(t, 4)
		h.wait(time.Hour)
		h.beat(t, false)
	}
	h.beat(t, true)
	h.wait(5 * time.Hour) // switched off
	next := h.succeed(t, ledger.OpeningPlanned)
	next.wait(time.Minute)
	next.legs(t, 2)
	c.put(append(h.told, next.told...)...)
	gaps := c.walked(next.clock.Add(promise))
	require.Empty(t, gaps.Findings)
	require.True(t, gaps.Complete)
	require.Len(t, gaps.Epochs, 2)
	require.Equal(t, ledger.EpochSummary{
		Boots:   []ledger.BootRange{{Boot: started, Count: 12, Highest: 11, Latest: ledger.TimeOf(noon.Add(5*time.Hour - 31*time.Second)), Lowest: 0}},
		Closing: true, Count: 17, Epoch: h.epoch, FirstClosed: ledger.TimeOf(noon), FirstSeq: 1, LastClosed: ledger.TimeOf(h.told[7].Segment.ClosedAt.Std()),
		LastRoot: h.root, LastSeq: 17, Segments: 8, Signers: []ledger.SignerRun{{From: 1, Signer: ledger.Fingerprint(h.signer.Certificate.Raw)}}, Why: ledger.OpeningFirst,
	}, gaps.Epochs[0])

	var chain ledger.Chain
	c.ask(as(borealis, ledger.RoleAuditor, "calls:Chain", atlas, "pbx1"), &chain)
	require.Equal(t, ledger.Chain{Epoch: next.epoch, LastRoot: next.root, LastSeq: 3, V: ledger.SchemaVersion}, chain)
	// The later epoch by itself, judged by how the one before ended.
	var page ledger.Gaps
	call := as(borealis, ledger.RoleAuditor, "calls:Gaps", atlas, "pbx1", number(next.epoch), "0", "10")
	call.Time = next.clock
	c.ask(call, &page)
	require.Empty(t, page.Findings)
	require.Len(t, page.Epochs, 1)
	require.False(t, page.Complete)

	c.refuse(ledger.CodeNotFound, as(borealis, ledger.RoleAuditor, "calls:Chain", corvus, "pbx1"))
	var none ledger.Gaps
	c.ask(as(borealis, ledger.RoleAuditor, "calls:Gaps", corvus, "pbx1", "0", "0", "5"), &none)
	require.Empty(t, none.Epochs)
	require.Empty(t, none.Findings)
}

func TestWhatIsWrongWithAHistoryIsFound(t *testing.T) {
	lost := func(h *history) ledger.Opening {
		return ledger.Opening{PrevEpoch: h.epoch, PrevRoot: h.root, PrevSeq: h.next - 1, Why: ledger.OpeningLost}
	}
	for name, tell := range map[string]struct {
		tell func(t *testing.T, c *channel, h *history)
		want []string
	}{
		"a segment removed before it was anchored": {func(t *testing.T, c *channel, h *history) {
			h.legs(t, 2)
			h.legs(t, 3)
			h.legs(t, 4)
			c.put(h.told[0], h.told[1], h.told[3])
		}, []string{"(sequence_hole)", "missing"}},
		"the first segment removed": {func(t *testing.T, c *channel, h *history) {
			h.legs(t, 2)
			c.put(h.told[1])
		}, []string{"missing"}},
		"a record removed, the rest signed anew": {func(t *testing.T, c *channel, h *history) {
			h.close(t, h.leg(), h.leg())
			h.sequence++
			h.legs(t, 1)
			c.put(h.told...)
		}, []string{"(sequence_hole)"}},
		"a segment replaced before it was anchored": {func(t *testing.T, c *channel, h *history) {
			other := h.clone()
			h.legs(t, 2)
			h.legs(t, 2)
			other.sequence = 40
			c.put(h.told[0], other.legs(t, 2), h.told[2])
		}, []string{"(sequence_hole)", "chain_broken"}},
		"the tail cut off": {func(t *testing.T, c *channel, h *history) {
			h.wait(time.Hour)
			h.legs(t, 2)
			h.wait(time.Hour)
			h.beat(t, false)
			h.wait(90 * time.Minute)
			h.beat(t, false)
			c.put(h.told[:2]...)
		}, []string{"quiet"}},
		"a long silence": {func(t *testing.T, c *channel, h *history) {
			h.wait(promise + time.Second)
			h.legs(t, 2)
			c.put(h.told...)
		}, []string{"quiet"}},
		"a fork": {func(t *testing.T, c *channel, h *history) {
			twin := h.clone()
			h.legs(t, 2)
			h.legs(t, 1)
			twin.sequence = 30
			c.put(h.told...)
			c.put(twin.legs(t, 2))
		}, []string{"forked"}},
		"a clone with its journal": {func(t *testing.T, c *channel, h *history) {
			h.legs(t, 2)
			twin := h.clone()
			h.legs(t, 3)
			h.legs(t, 3)
			twin.sequence, twin.boot = 0, started+1000
			twin.legs(t, 2)
			twin.legs(t, 2)
			c.put(h.told...)
			c.put(twin.told[2:]...)
		}, []string{"two_histories", "forked", "overlapping", "overlapping", "chain_broken"}},
		"a clone that was taken at first": {func(t *testing.T, c *channel, h *history) {
			twin := h.clone()
			h.legs(t, 2)
			h.legs(t, 2)
			twin.legs(t, 3)
			twin.legs(t, 2)
			c.put(h.told[0], h.told[1])
			c.put(twin.told[2])
			c.put(h.told[2])
		}, []string{"overlapping", "chain_broken", "sequence_reused"}},
		"a lost journal": {func(t *testing.T, c *channel, h *history) {
			h.legs(t, 2)
			h.wait(time.Minute)
			c.put(h.told...)
			c.put(newHistory(t, h.clock, lost(h)).told...)
		}, []string{"lost_journal"}},
		"a lost journal, and the end of it cut off": {func(t *testing.T, c *channel, h *history) {
			h.legs(t, 2)
			h.wait(time.Minute)
			c.put(h.told[0])
			c.put(newHistory(t, h.clock, lost(h)).told...)
		}, []string{"lost_epoch"}},
		"an epoch that denies the one before": {func(t *testing.T, c *channel, h *history) {
			h.wait(time.Minute)
			c.put(h.told...)
			c.put(newHistory(t, h.clock, first).told...)
		}, []string{"lost_epoch"}},
		"an epoch cut off whole": {func(t *testing.T, c *channel, h *history) {
			h.beat(t, true)
			h.wait(time.Minute)
			c.put(h.succeed(t, ledger.OpeningPlanned).told...)
		}, []string{"lost_epoch"}},
		"a planned epoch after one that was never closed": {func(t *testing.T, c *channel, h *history) {
			h.wait(time.Minute)
			c.put(h.told...)
			c.put(h.succeed(t, ledger.OpeningPlanned).told...)
		}, []string{"unclosed"}},
		"an epoch of version 1 after another": {func(t *testing.T, c *channel, h *history) {
			h.wait(time.Minute)
			c.put(h.told...)
			old := &history{epoch: h.clock.UnixMilli(), next: 1, clock: h.clock, signer: h.signer}
			signed := &ledger.SignedSegment{Records: []ledger.Record{callRecord(leg("pbx1-1.1", 0))}, Segment: ledger.Segment{
				ClosedAt: ledger.TimeOf(old.clock), Count: 1, Epoch: old.epoch, FirstSeq: 1, MSP: atlas, PBX: "pbx1", V: 1,
			}}
			resign(t, old.signer, signed)
			c.put(signed)
		}, []string{"lost_epoch"}},
		"two histories, epoch beside epoch": {func(t *testing.T, c *channel, h *history) {
			h.legs(t, 1)
			h.wait(time.Minute)
			c.put(h.told...)
			other := newHistory(t, h.clock, lost(h))
			other.sequence = h.sequence
			c.put(other.told...)
			h.wait(time.Minute)
			c.put(h.legs(t, 1))
		}, []string{"two_histories", "lost_epoch"}},
		"two Asterisks at once": {func(t *testing.T, c *channel, h *history) {
			h.legs(t, 2)
			h.wait(time.Minute)
			h.reboot()
			h.legs(t, 1)
			h.boot, h.sequence = started, 2
			h.legs(t, 1)
			c.put(h.told...)
		}, []string{"two_histories"}},
		"more legs than numbers": {func(t *testing.T, c *channel, h *history) {
			h.legs(t, 2)
			again := h.leg()
			again.Call.Leg.Sequence = 0 // of another channel
			h.close(t, again)
			c.put(h.told...)
		}, []string{"sequence_reused"}},
		"signers that take turns": {func(t *testing.T, c *channel, h *history) {
			member := operators()[atlas]
			second, err := member.authority.Issue(adapterRequest("pbx1"))
			require.NoError(t, err)
			c.do(as(atlas, ledger.RoleAdmin, "adapters:Enrol", string(second.PEM)))
			h.signer = second
			h.legs(t, 1)
			h.signer = member.adapter
			h.legs(t, 1)
			c.put(h.told...)
		}, []string{"two_histories"}},
		"a renewed certificate": {func(t *testing.T, c *channel, h *history) {
			second, err := operators()[atlas].authority.Issue(adapterRequest("pbx1"))
			require.NoError(t, err)
			c.do(as(atlas, ledger.RoleAdmin, "adapters:Enrol", string(second.PEM)))
			h.signer = second
			h.legs(t, 1)
			h.legs(t, 1)
			c.put(h.told...)
		}, []string{}},
		"a refused record": {func(t *testing.T, c *channel, h *history) {
			signed := h.legs(t, 1)
			altered := *signed.Records[0].Call
			altered.HangupCause = 1
			altered.Boot = 0
			h.close(t, ledger.Record{Call: &altered})
			c.put(h.told...)
		}, []string{"refused"}},
		"a late segment": {func(t *testing.T, c *channel, h *history) {
			h.legs(t, 1)
			call := anchor(t, atlas, h.told...)
			call.Time = noon.Add(90 * time.Minute)
			c.do(call)
		}, []string{"(late)", "(late)"}},
		"a clock set back": {func(t *testing.T, c *channel, h *history) {
			h.wait(-time.Minute)
			h.legs(t, 1)
			c.put(h.told...)
		}, []string{"(clock_back)"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := enrolled(t)
			h := newHistory(t, noon, first)
			tell.tell(t, c, h)
			gaps := c.walked(h.clock.Add(time.Minute))
			require.ElementsMatch(t, tell.want, kinds(gaps))
			for i := range gaps.Findings {
				require.NotEqual(t, gaps.Findings[i].Kind, gaps.Findings[i].Sentence(), "there are words for it")
			}
		})
	}
}

// TestAMutationIsFound tells random honest histories, which have no findings, and
// changes each once, which always shows.
func TestAMutationIsFound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		honest := randomHistory(t, rt)
		end := honest[len(honest)-1].clock
		c := enrolled(t)
		for _, h := range honest {
			c.put(h.told...)
		}
		require.Empty(rt, c.walked(end).Findings)

		c = enrolled(t)
		mutate(t, rt, c, honest)
		gaps := c.walked(end)
		require.Positive(rt, gaps.Alarms(), "%v", gaps.Findings)
	})
}

// randomHistory is one to three epochs of an honest adapter.
func randomHistory(t *testing.T, rt *rapid.T) []*history {
	h := newHistory(t, noon, first)
	all := []*history{h}
	for range rapid.IntRange(3, 12).Draw(rt, "segments") {
		h.wait(time.Duration(rapid.IntRange(1, 100).Draw(rt, "minutes")) * time.Minute)
		switch rapid.SampledFrom([]string{"legs", "legs", "legs", "beat", "boot", "stop"}).Draw(rt, "what") {
		case "legs":
			h.legs(t, rapid.IntRange(1, 5).Draw(rt, "legs"))
		case "beat":
			h.beat(t, false)
		case "boot":
			h.reboot()
			h.legs(t, 1)
		case "stop":
			h.beat(t, true)
			h.wait(time.Duration(rapid.IntRange(1, 100).Draw(rt, "off")) * time.Minute)
			if rapid.Bool().Draw(rt, "anew") {
				h = h.succeed(t, ledger.OpeningPlanned)
				all = append(all, h)
			} else {
				h.beat(t, false)
			}
		}
	}
	h.wait(time.Minute)
	h.legs(t, 1)
	return all
}

// mutate anchors a history with one thing changed.
func mutate(t *testing.T, rt *rapid.T, c *channel, honest []*history) {
	h := honest[rapid.IntRange(0, len(honest)-1).Draw(rt, "epoch")]
	last := h == honest[len(honest)-1]
	place := rapid.IntRange(0, len(h.told)-1).Draw(rt, "place")
	what := rapid.SampledFrom([]string{"drop", "replace", "fork", "overlap", "deny", "epoch"}).Draw(rt, "mutation")
	if last && place == len(h.told)-1 && (what == "drop" || what == "replace") {
		// Within the promised time nobody can know; see the tail cut off.
		what = "fork"
	}
	other := []ledger.Record{callRecord(leg("pbx1-7.7", 7))}
	told := func(h *history, skip int) {
		for i, segment := range h.told {
			if i != skip {
				c.put(segment)
			}
		}
	}
	stranger := func(segment *ledger.SignedSegment, first int64) *ledger.SignedSegment {
		header := segment.Segment
		header.FirstSeq, header.Count, header.Boots, header.Closing, header.V = first, 1, nil, false, 1
		header.NextBy = ledger.Time{}
		forged := &ledger.SignedSegment{Records: slices.Clone(other), Segment: header}
		resign(t, h.signer, forged)
		return forged
	}
	for _, epoch := range honest {
		if epoch != h {
			c.put(epoch.told...)
			continue
		}
		switch what {
		case "drop":
			told(h, place)
		case "replace":
			// As many records, or the numbers would tell.
			forged := stranger(h.told[place], h.told[place].Segment.FirstSeq)
			for int64(len(forged.Records)) < h.told[place].Segment.Count {
				forged.Records = append(forged.Records, callRecord(leg("pbx1-7.8", len(forged.Records))))
			}
			forged.Segment.Count = int64(len(forged.Records))
			resign(t, h.signer, forged)
			told(h, place)
			c.put(forged)
		case "fork":
			c.put(h.told...)
			c.put(stranger(h.told[place], h.told[place].Segment.FirstSeq))
		case "overlap":
			c.put(h.told...)
			at := slices.IndexFunc(h.told, func(s *ledger.SignedSegment) bool { return s.Segment.Count > 1 })
			if at < 0 {
				c.put(stranger(h.told[place], h.told[place].Segment.FirstSeq))
				break
			}
			forged := stranger(h.told[at], h.told[at].Segment.FirstSeq+1)
			forged.Segment.PrevFirstSeq, forged.Segment.PrevRoot = h.told[at].Segment.FirstSeq, hexOf(32)
			resign(t, h.signer, forged)
			c.put(forged)
		case "deny":
			// The epoch is said to be another, and the end of the one before is cut.
			anew := newHistory(t, h.clock.Add(time.Second), first)
			c.put(h.told...)
			c.put(anew.told...)
		case "epoch":
			// A clone begins a journal of its own while the first goes on.
			at := h.told[place].Segment.ClosedAt.Std().Add(time.Millisecond)
			c.put(h.told...)
			c.put(newHistory(t, at, ledger.Opening{PrevEpoch: h.epoch, PrevRoot: h.told[place].Segment.Root, PrevSeq: h.told[place].Segment.FirstSeq, Why: ledger.OpeningLost}).told...)
		}
	}
}

func TestBadQuestionsAboutGapsAreRefused(t *testing.T) {
	c := enrolled(t)
	h := newHistory(t, noon, first)
	h.legs(t, 3)
	c.put(h.told...)
	ask := func(args ...string) stub.Call {
		return as(borealis, ledger.RoleAuditor, append([]string{"calls:Gaps"}, args...)...)
	}
	for _, args := range [][]string{
		{"", "pbx1", "0", "0", "5"}, {atlas, "a\x00b", "0", "0", "5"}, {atlas, "pbx1", "-1", "0", "5"}, {atlas, "pbx1", "0", "-1", "5"},
		{atlas, "pbx1", "0", "2", "5"}, {atlas, "pbx1", "0", "0", "0"}, {atlas, "pbx1", "0", "0", "1001"}, {atlas, "pbx1", "9007199254740993", "0", "1"},
		{atlas, "pbx1", "0", "0", "x"},
	} {
		c.refuse(ledger.CodeInvalid, ask(args...))
	}
	c.refuse(ledger.CodeNotFound, ask(atlas, "pbx1", number(h.epoch), "3", "5"))
	c.refuse(ledger.CodeNotFound, ask(atlas, "pbx1", "77", "1", "5"))
	c.refuse(ledger.CodeInvalid, as(borealis, ledger.RoleAuditor, "calls:Chain", "", "pbx1"))
}

// TestTheEndOfALongEpochIsFound checks the search by halves, over epochs of many
// lengths.
func TestTheEndOfALongEpochIsFound(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 40} {
		c := enrolled(t)
		h := newHistory(t, noon, first)
		for i := range n {
			h.legs(t, 1+(i*37)%120)
		}
		c.put(h.told...)
		var chain ledger.Chain
		call := as(borealis, ledger.RoleAuditor, "calls:Chain", atlas, "pbx1")
		c.ask(call, &chain)
		require.Equal(t, h.next-1, chain.LastSeq)
		require.Equal(t, h.root, chain.LastRoot)
	}
}

func BenchmarkHistory(b *testing.B) {
	c := enrolled(b)
	h := newHistory(b, noon, first)
	for range 999 {
		h.legs(b, 1)
	}
	c.put(h.told...)
	for name, call := range map[string]stub.Call{
		"gaps of 1000 segments":  as(borealis, ledger.RoleAuditor, "calls:Gaps", atlas, "pbx1", "0", "0", "1000"),
		"gaps of 100, last page": as(borealis, ledger.RoleAuditor, "calls:Gaps", atlas, "pbx1", number(h.epoch), "900", "100"),
		"chain":                  as(borealis, ledger.RoleAuditor, "calls:Chain", atlas, "pbx1"),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				response, _ := c.Invoke(operators()[borealis].chaincode, call)
				require.EqualValues(b, shim.OK, response.GetStatus(), response.GetMessage())
			}
		})
	}
}
