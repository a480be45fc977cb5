package adapter

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/conversation"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network"
	"github.com/callseal/callseal/verify"
)

// talk is long enough for billsec to be 1 and shorter than 2.
const talk = 1100 * time.Millisecond

// watchers are the adapters that listen to the book, each for a PBX of its own: every
// source of records alone, and all that there are.
var watchers = []struct {
	pbx     string
	sources []string
}{
	{"book-csv", []string{"csv"}},
	{"book-table", []string{"table"}},
	{"book-ami", []string{"ami"}},
	{"book-all", []string{"csv", "table", "ami", "ari"}},
}

// book is the scenario book while it is played.
type book struct {
	*scene
	running []*running
	// plays are the rows that Asterisk wrote for each, in order of sequence.
	plays map[string][]cdr.Row
}

// leg is one leg of a scenario as it should be on the ledger.
type leg struct {
	src string
	// dst and disposition name, with | between, what Asterisk may write: it changes its
	// mind by a hair's breadth.
	dst, disposition string
	billed           billed
	// recorded says that its channel was recorded: the recording is bound to the first
	// of its legs that was answered.
	recorded  bool
	direction string
	// features and journey are as the adapters tell them that hear AMI: the journey's
	// kinds without dialling and bridging, sorted.
	features, journey string
}

// billed says whether a leg was billed for a second or more.
type billed int

const (
	unbilled billed = iota
	seconds
	either // it lasts about a second
)

// scenario is one page of the book.
type scenario struct {
	name string
	play func(t *testing.T, b *book)
	legs []leg
	// link is the kind of the one link between two linkedids; empty for none.
	link string
}

func placing(call lab.Call) func(*testing.T, *book) {
	return func(t *testing.T, b *book) {
		t.Helper()
		_, err := b.asterisk.PlaceCall(t.Context(), call)
		require.NoError(t, err)
	}
}

// begin begins a call and returns once it was answered.
func (b *book) begin(t *testing.T, call lab.Call) *lab.Ongoing {
	t.Helper()
	ongoing, err := b.asterisk.BeginCall(t.Context(), call)
	require.NoError(t, err)
	_, err = ongoing.Answered(t.Context())
	require.NoError(t, err)
	return ongoing
}

func (b *book) ended(t *testing.T, calls ...*lab.Ongoing) {
	t.Helper()
	for _, ongoing := range calls {
		_, err := ongoing.Wait(t.Context())
		require.NoError(t, err)
	}
}

// hangUp ends what is still up, from the side of the PBX.
func (b *book) hangUp(t *testing.T) {
	t.Helper()
	time.Sleep(talk)
	_, err := b.asterisk.Command(t.Context(), "channel request hangup all")
	require.NoError(t, err)
}

// plain is a leg of a call from the caller that was answered and recorded.
func plain(dst, features, journey string) []leg {
	return []leg{{lab.Caller, dst, "ANSWERED", seconds, true, "internal", features, journey}}
}

// failed is a leg of a call from the caller that was not answered.
func failed(dst, disposition string) leg {
	return leg{lab.Caller, dst, disposition, unbilled, false, "internal", "", "extension"}
}

var scenarios = []scenario{
	{"answered", placing(lab.Call{Duration: talk}), plain(lab.Answers, "", "extension"), ""},
	{"busy", placing(lab.Call{To: lab.Busy}), []leg{failed(lab.Busy, "BUSY")}, ""},
	{"unanswered", placing(lab.Call{To: lab.Rings}), []leg{failed(lab.Rings, "NO ANSWER")}, ""},
	{"cancelled", placing(lab.Call{To: lab.RingsLong, Cancel: true}), []leg{failed(lab.RingsLong, "CANCEL")}, ""},
	{"not found", placing(lab.Call{To: lab.Gone}), []leg{failed(lab.Gone, "NO ANSWER")}, ""},
	// Asterisk writes a second record for the dialplan's own Hangup.
	{"out of order", placing(lab.Call{To: lab.Failing}), []leg{failed(lab.Failing, "CONGESTION"), failed(lab.Failing, "CONGESTION")}, ""},
	// It writes none of a call that reached no phone.
	{"not there", placing(lab.Call{To: lab.Absent, Refused: 404}), nil, ""},
	{"early media of the dialplan", placing(lab.Call{To: lab.Announces, Refused: 603}), nil, ""},
	{"0 seconds", placing(lab.Call{To: lab.Closes, Waits: true}), []leg{{lab.Caller, lab.Closes, "ANSWERED", unbilled, true, "internal", "", "extension"}}, ""},
	{"early media of a phone", placing(lab.Call{To: lab.Early, Duration: talk}), plain(lab.Early, "", "extension"), ""},
	{"forwarded by a phone", placing(lab.Call{To: lab.Forwards, Duration: talk}), []leg{
		{lab.Caller, lab.Forwards, "CANCEL", unbilled, true, "internal", "forward", "extension forward"},
		{lab.Caller, lab.Answers, "ANSWERED", seconds, true, "internal", "", "extension"},
		{lab.Caller, lab.Forwards, "ANSWERED", seconds, true, "internal", "forward", "extension forward"},
	}, ""},
	{"forwarded by the dialplan", placing(lab.Call{To: lab.Diverted, Duration: talk}), []leg{
		{lab.Caller, lab.Diverted, "ANSWERED", seconds, true, "internal", "", "extension"},
		// Nobody configured which way that context's calls go, nor recorded them.
		{lab.Caller, lab.Answers, "ANSWERED", seconds, false, "", "", "extension"},
	}, ""},
	{"ring group", placing(lab.Call{To: lab.Group, Duration: talk}), append([]leg{
		{lab.Caller, lab.Group, "CANCEL", unbilled, true, "internal", "", "extension"},
	}, plain(lab.Group, "", "extension")...), ""},
	{"queue", placing(lab.Call{To: lab.Queue, Duration: talk}), plain(lab.Queue, "queue", "agent extension queue"), ""},
	{"hold and resume", placing(lab.Call{Hold: true, Duration: talk / 2}), plain(lab.Answers, "hold", "extension hold resume"), ""},
	{"PCMA", placing(lab.Call{From: lab.ALaw, Duration: talk}), []leg{{lab.ALaw, lab.Answers, "ANSWERED", seconds, true, "internal", "", "extension"}}, ""},
	{"G.722", placing(lab.Call{From: lab.Wide, Duration: talk}), []leg{{lab.Wide, lab.Answers, "ANSWERED", seconds, true, "internal", "", "extension"}}, ""},
	{"TLS and SDES-SRTP", placing(lab.Call{From: lab.Secure, Duration: talk}), []leg{{lab.Secure, lab.Answers, "ANSWERED", seconds, true, "internal", "", "extension"}}, ""},
	{"from a trunk", placing(lab.Call{From: lab.Trunk, Duration: talk}), []leg{{lab.Trunk, lab.Answers, "ANSWERED", seconds, true, "inbound", "", "extension"}}, ""},
	{"out over a trunk", placing(lab.Call{To: abroad, Duration: talk}), plain(abroad, "", "extension"), ""},
	{"attested", placing(lab.Call{To: lab.Attested, Duration: talk}), plain(lab.Attested, "", "extension"), ""},
	{"conference", func(t *testing.T, b *book) {
		t.Helper()
		first := b.begin(t, lab.Call{To: lab.Conference, Duration: 3 * talk})
		second := b.begin(t, lab.Call{From: lab.Second, To: lab.Conference, Duration: talk})
		b.ended(t, second, first)
	}, []leg{
		{lab.Caller, lab.Conference, "ANSWERED", seconds, true, "internal", "conference", "conference extension"},
		{lab.Second, lab.Conference, "ANSWERED", either, true, "internal", "conference", "conference extension"},
	}, ""},
	{"blind transfer by the callee", placing(lab.Call{To: lab.Transfers, Duration: 3 * talk}), []leg{
		// Its recording goes on through the transfer.
		{lab.Caller, lab.Transfers + "|" + lab.Second, "ANSWERED", seconds, true, "internal", "blind_transfer", "blind_transfer 2×extension"},
		{lab.Caller, lab.Second, "ANSWERED", seconds, true, "internal", "blind_transfer", "blind_transfer 2×extension"},
	}, ""},
	{"blind transfer by the caller", func(t *testing.T, b *book) {
		t.Helper()
		first := b.begin(t, lab.Call{Transfers: true})
		time.Sleep(talk)
		require.NoError(t, first.Transfer(t.Context(), lab.Second))
		b.ended(t, first)
		b.hangUp(t)
	}, []leg{
		{lab.Caller, lab.Answers, "ANSWERED", seconds, true, "internal", "blind_transfer", "blind_transfer extension"},
		{lab.Answers, lab.Second, "ANSWERED", seconds, true, "internal", "blind_transfer", "blind_transfer extension"},
	}, ""},
	{"attended transfer", func(t *testing.T, b *book) {
		t.Helper()
		first := b.begin(t, lab.Call{Transfers: true})
		time.Sleep(talk)
		second := b.begin(t, lab.Call{To: lab.Second, Waits: true})
		time.Sleep(talk)
		require.NoError(t, first.TransferTo(t.Context(), second))
		b.ended(t, first, second)
		b.hangUp(t)
	}, []leg{
		{lab.Caller, lab.Answers, "ANSWERED", seconds, true, "internal", "attended_transfer", "attended_transfer extension"},
		{lab.Caller, lab.Second, "ANSWERED", seconds, true, "internal", "attended_transfer", "attended_transfer extension"},
		// The two that were left: no dialplan ran that could have recorded them.
		{lab.Answers, "", "ANSWERED", seconds, false, "internal", "attended_transfer", "attended_transfer"},
	}, ledger.LinkAttendedTransfer},
	{"parked and retrieved", func(t *testing.T, b *book) {
		t.Helper()
		first := b.begin(t, lab.Call{Transfers: true})
		time.Sleep(talk)
		require.NoError(t, first.Transfer(t.Context(), lab.Slots))
		b.ended(t, first)
		_, err := b.asterisk.PlaceCall(t.Context(), lab.Call{From: lab.Second, To: lab.Slot, Duration: talk})
		require.NoError(t, err)
	}, []leg{
		{lab.Caller, lab.Answers, "ANSWERED", seconds, true, "internal", "blind_transfer park", "blind_transfer extension park"},
		{lab.Answers, "", "ANSWERED", either, false, "internal", "blind_transfer park", "blind_transfer park unpark"},
		{lab.Second, lab.Slot, "ANSWERED", either, false, "internal", "park", "extension unpark"},
		{lab.Answers, "", "ANSWERED", seconds, false, "internal", "blind_transfer park", "blind_transfer park unpark"},
	}, ledger.LinkPark},
	{"picked up", func(t *testing.T, b *book) {
		t.Helper()
		first, err := b.asterisk.BeginCall(t.Context(), lab.Call{To: lab.RingsLong, Waits: true})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			out, err := b.asterisk.Command(t.Context(), "core show channels concise")
			return err == nil && strings.Contains(out, "!Ringing!")
		}, patience, 20*time.Millisecond)
		_, err = b.asterisk.PlaceCall(t.Context(), lab.Call{From: lab.Second, To: lab.PickUp + lab.RingsLong, Duration: talk})
		require.NoError(t, err)
		b.ended(t, first)
	}, []leg{
		{lab.Caller, lab.RingsLong, "NO ANSWER|ANSWERED", unbilled, true, "internal", "pickup", "extension pickup"},
		{lab.Caller, lab.RingsLong, "ANSWERED", either, true, "internal", "pickup", "extension pickup"},
	}, ledger.LinkPickup},
	{"originated", func(t *testing.T, b *book) {
		t.Helper()
		_, err := b.asterisk.Command(t.Context(), "channel originate PJSIP/"+lab.Answers+" extension "+lab.Second+"@lab")
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			out, err := b.asterisk.Command(t.Context(), "core show channels concise")
			return err == nil && strings.Count(out, "!Up!") == 2
		}, patience, 20*time.Millisecond)
		b.hangUp(t)
	}, []leg{{"", lab.Second, "ANSWERED", seconds, true, "internal", "", "extension"}}, ""},
}

// abroad is a number that costs.
const abroad = lab.Outside + "351210000001"

// TestScenarios plays the book once, while an adapter for each source alone and one with
// all of them listen. They have to agree, leg by leg.
func TestScenarios(t *testing.T) {
	consortium := network.Development()
	consortium.Operators[0].PBXs = nil
	for _, watcher := range watchers {
		consortium.Operators[0].PBXs = append(consortium.Operators[0].PBXs, watcher.pbx)
	}
	b := &book{scene: newSceneOf(t, lab.Exchange(), consortium), plays: map[string][]cdr.Row{}}
	for _, watcher := range watchers {
		b.running = append(b.running, run(t, b.configOf(t, watcher.pbx, watcher.sources...)))
	}
	for _, one := range b.running {
		one.requireHealth(t)
	}
	for _, s := range scenarios {
		if !t.Run("play "+s.name, func(t *testing.T) { b.play(t, &s) }) {
			return
		}
	}
	found := map[string]*bookOnLedger{}
	for _, watcher := range watchers {
		found[watcher.pbx] = b.readBook(t, watcher.pbx)
	}
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			for _, watcher := range watchers {
				for i := range b.plays[s.name] {
					b.requireLeg(t, watcher.pbx, s.name, &b.plays[s.name][i], &s.legs[i], found[watcher.pbx], found[whole])
				}
				b.requireLink(t, watcher.pbx, &s, found[watcher.pbx], found[whole])
			}
		})
	}
	b.requireKnown(t, found)
	for i, one := range b.running {
		for _, never := range []string{"two sources disagree", "call refused", "a recording was changed", "a record is not fit", "did not tell a channel's end"} {
			require.Empty(t, one.lines(never), watchers[i].pbx)
		}
		require.NoError(t, one.stop())
	}
}

// whole is the watcher with all sources.
const whole = "book-all"

func hears(pbx string) bool { return pbx == "book-ami" || pbx == whole }

// requireLeg holds what a watcher brought of a leg against what Asterisk wrote, against
// the book, and against what the watcher with all sources brought.
func (b *book) requireLeg(t *testing.T, pbx, name string, row *cdr.Row, want *leg, found, all *bookOnLedger) {
	t.Helper()
	id := ledger.LegID{LinkedID: row.LinkedID, UniqueID: row.UniqueID, Sequence: row.Sequence}
	call, other := found.records[id], all.records[id]
	details, otherDetails := found.details[id].Call, all.details[id].Call
	require.Empty(t, verify.CDR(row.Columns(), call, details), pbx)
	require.Contains(t, strings.Split(want.disposition, "|"), call.Disposition, pbx)
	require.Equal(t, want.src, details.Src, pbx)
	require.Contains(t, strings.Split(want.dst, "|"), details.Dst, pbx)
	switch want.billed {
	case seconds:
		require.GreaterOrEqual(t, call.BillsecMS, int64(1000), pbx)
	case unbilled:
		require.Zero(t, call.BillsecMS, pbx)
	case either:
	}
	require.Equal(t, want.direction, call.Direction, pbx)
	require.Equal(t, call.Disposition == ledger.Answered, call.RecordingDue, pbx)
	if want.recorded && firstAnswered(b.plays[name], row) {
		require.Len(t, found.recordings[id], 1, "%s: %s", pbx, id.UniqueID)
		b.requireRecording(t, b.wav(id.UniqueID), "mixmonitor", found.recordings[id][0])
	} else {
		require.Empty(t, found.recordings[id], pbx)
	}
	require.Equal(t, details.Cost, otherDetails.Cost)
	if !hears(pbx) {
		// The last application tells of some features; of the rest nobody told.
		require.Subset(t, otherDetails.Features, details.Features, pbx)
		require.Nil(t, details.Journey, pbx)
		require.Nil(t, details.Network, pbx)
		require.Zero(t, call.HangupCause, pbx)
		return
	}
	require.Equal(t, want.features, strings.Join(details.Features, " "), pbx)
	require.Equal(t, want.journey, kindsOf(details.Journey), "%s: %v", pbx, details.Journey)
	require.Equal(t, steps(otherDetails.Journey), steps(details.Journey))
	require.Equal(t, other.HangupCause, call.HangupCause)
	require.Equal(t, otherDetails.Network, details.Network)
	require.Equal(t, otherDetails.Location, details.Location)
	require.Equal(t, other.Attestation+other.Verdict, call.Attestation+call.Verdict)
}

// firstAnswered says whether a row is the first of its channel that was answered.
func firstAnswered(rows []cdr.Row, row *cdr.Row) bool {
	for i := range rows {
		if rows[i].UniqueID == row.UniqueID && rows[i].Disposition == ledger.Answered {
			return rows[i].Sequence == row.Sequence
		}
	}
	return false
}

// kindsOf are those of the steps that the book names.
func kindsOf(journey []ledger.JourneyStep) string {
	var named []string
	for _, step := range journey {
		if step.Kind != conversation.KindDial && step.Kind != conversation.KindBridge {
			named = append(named, step.Kind)
		}
	}
	slices.Sort(named)
	var counted []string
	for _, kind := range slices.Compact(slices.Clone(named)) {
		if times := len(slices.DeleteFunc(slices.Clone(named), func(other string) bool { return other != kind })); times > 1 {
			kind = strconv.Itoa(times) + "×" + kind
		}
		counted = append(counted, kind)
	}
	return strings.Join(counted, " ")
}

// steps are a journey's without their times: AMI's and ARI's differ by milliseconds.
func steps(journey []ledger.JourneyStep) []string {
	var all []string
	for _, step := range journey {
		all = append(all, step.Kind+" "+step.Place)
	}
	slices.Sort(all)
	return all
}

// requireLink looks for the one link between two linkedids that a scenario makes.
func (b *book) requireLink(t *testing.T, pbx string, s *scenario, found, all *bookOnLedger) {
	t.Helper()
	if s.link == "" || !hears(pbx) {
		return
	}
	link, same := found.linkOf(s.link), all.linkOf(s.link)
	require.NotNil(t, link, pbx)
	require.Equal(t, b.plays[s.name][0].LinkedID, link.GetTo(), "the older linkedid goes on")
	require.NotEqual(t, link.GetFrom(), link.GetTo())
	require.Equal(t, []string{same.GetFrom(), same.GetTo()}, []string{link.GetFrom(), link.GetTo()})
	if s.link == ledger.LinkAttendedTransfer {
		require.Equal(t, b.plays[s.name][1].UniqueID, link.GetFromLeg().GetUniqueid(), "the consultation")
		require.Equal(t, b.plays[s.name][0].UniqueID, link.GetToLeg().GetUniqueid(), "the first call")
	}
}

// requireKnown checks what single scenarios are there for.
func (b *book) requireKnown(t *testing.T, found map[string]*bookOnLedger) {
	t.Helper()
	for _, watcher := range watchers {
		of := func(name string) (*ledger.Call, *ledger.CallDetails) {
			row := b.plays[name][0]
			id := ledger.LegID{LinkedID: row.LinkedID, UniqueID: row.UniqueID, Sequence: row.Sequence}
			return found[watcher.pbx].records[id], found[watcher.pbx].details[id].Call
		}
		call, details := of("out over a trunk")
		require.Equal(t, &ledger.CallCost{Currency: "EUR", Micros: 10_000 + call.BillsecMS, Rate: "PT"}, details.Cost)
		require.Equal(t, "Lisboa", details.Location.Origin)
		_, details = of("from a trunk")
		require.Equal(t, "ES", details.Location.Origin)
		require.Nil(t, details.Cost)
		require.Zero(t, found[watcher.pbx].incidents)
		require.Len(t, found[watcher.pbx].links, map[bool]int{true: 3}[hears(watcher.pbx)])
		if !hears(watcher.pbx) {
			continue
		}
		for name, cause := range map[string]int64{"answered": 16, "busy": 17, "unanswered": 19, "not found": 1} {
			call, _ := of(name)
			require.Equal(t, cause, call.HangupCause, name)
		}
		call, _ = of("attested")
		require.Equal(t, []string{"A", ledger.VerdictPassed}, []string{call.Attestation, call.Verdict})
		_, details = of("TLS and SDES-SRTP")
		require.Equal(t, "tls", details.Network.Transport)
		require.Equal(t, b.asterisk.IP()+":5061", details.Network.Local)
		_, details = of("answered")
		require.Empty(t, details.Network.Transport, "the dialplan knows only whether it is secure")
		for _, trunk := range []string{"from a trunk", "out over a trunk"} {
			call, _ = of(trunk)
			require.Regexp(t, "^[0-9a-f]{32}$", call.CallRef, trunk)
			row := b.plays[trunk][0]
			require.Equal(t, found[whole].records[ledger.LegID{LinkedID: row.LinkedID, UniqueID: row.UniqueID, Sequence: row.Sequence}].CallRef, call.CallRef)
		}
		call, _ = of("answered")
		require.Empty(t, call.CallRef)
	}
}

// configOf is the configuration of a watcher.
func (b *book) configOf(t *testing.T, pbx string, sources ...string) *Config {
	t.Helper()
	config := b.config(t, t.TempDir(), sources...)
	identity := b.org.Identity(pbx)
	config.PBX, config.Identity = pbx, IdentityConfig{CertFile: identity.CertFile(), KeyFile: identity.KeyFile()}
	// Each finds the recordings by itself: a marker is removed by who took it.
	config.Recordings.Closed, config.Recordings.PairWait = "", "1s"
	config.Contexts = map[string]string{"lab": "internal", "from-trunk": "inbound"}
	config.Trunks = Trunks{"PJSIP/" + lab.Trunk, "PJSIP/" + lab.Second}
	config.Locations = Locations{"PJSIP/" + lab.Caller: "Lisboa", "from-trunk": "ES", "127.0.0.0/8": "loopback"}
	config.Rates = filepath.Join(t.TempDir(), "rates.csv")
	require.NoError(t, os.WriteFile(config.Rates, []byte("prefix,name,currency,setup_micros,per_minute_micros,first_seconds,next_seconds\n351,PT,EUR,10000,60000,1,1\n"), 0o600))
	require.NoError(t, config.check())
	return config
}

// play plays a scenario and waits until Asterisk has written what it has of it.
func (b *book) play(t *testing.T, s *scenario) {
	t.Helper()
	before := len(b.truth(t))
	s.play(t, b)
	require.Eventually(t, func() bool {
		out, err := b.asterisk.Command(t.Context(), "core show channels count")
		return err == nil && strings.HasPrefix(out, "0 active channels") && len(b.truth(t)) >= before+len(s.legs)
	}, patience, 20*time.Millisecond, "all have hung up")
	rows := b.truth(t)[before:]
	slices.SortFunc(rows, func(x, y cdr.Row) int { return int(x.Sequence - y.Sequence) })
	require.Len(t, rows, len(s.legs))
	b.plays[s.name] = rows
}

// bookOnLedger is what the ledger has of one watcher.
type bookOnLedger struct {
	*onLedger
	records map[ledger.LegID]*ledger.Call
	details map[ledger.LegID]*ledger.Details
	links   []*pb.Link
}

// linkOf is the link of a kind; nil where there is none.
func (f *bookOnLedger) linkOf(kind string) *pb.Link {
	for _, link := range f.links {
		if link.GetKind() == kind {
			return link
		}
	}
	return nil
}

// recorded counts the legs that have a recording.
func (b *book) recorded() (legs int) {
	for _, s := range scenarios {
		for i, row := range b.plays[s.name] {
			if s.legs[i].recorded && firstAnswered(b.plays[s.name], &row) {
				legs++
			}
		}
	}
	return legs
}

// readBook waits until all is on the ledger that a watcher has to bring there.
func (b *book) readBook(t *testing.T, pbx string) *bookOnLedger {
	t.Helper()
	rows := b.truth(t)
	found := &bookOnLedger{details: map[ledger.LegID]*ledger.Details{}, records: map[ledger.LegID]*ledger.Call{}}
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var err error
		found.onLedger, err = b.readOf(ctx, pbx)
		return err == nil && len(found.calls) >= len(rows) && len(found.recordings) >= b.recorded()
	}, patience, 100*time.Millisecond, "%s has every leg and every recording on the ledger", pbx)
	require.Len(t, found.calls, len(rows), "each once")
	asked := map[string]bool{}
	for i := range rows {
		linkedID := rows[i].LinkedID
		if asked[linkedID] {
			continue
		}
		asked[linkedID] = true
		listed, err := pb.NewCallServiceClient(b.compliance).ListLegs(t.Context(), &pb.ListLegsRequest{Msp: b.owner.MSP, Pbx: pbx, Linkedid: linkedID, IncludeDetails: true})
		require.NoError(t, err)
		for _, one := range listed.GetCalls() {
			var record ledger.Record
			require.NoError(t, ledger.DecodeStrict(one.GetRecordJson(), &record))
			details, err := verify.Details(one.GetDetailsJson(), &record)
			require.NoError(t, err)
			found.details[record.Call.Leg], found.records[record.Call.Leg] = details, record.Call
		}
		conversation, err := pb.NewCallServiceClient(b.auditor).GetConversation(t.Context(), &pb.GetConversationRequest{Msp: b.owner.MSP, Pbx: pbx, Linkedid: linkedID})
		require.NoError(t, err)
		for _, link := range conversation.GetConversation().GetLinks() {
			if !slices.ContainsFunc(found.links, func(known *pb.Link) bool { return known.GetPlace().GetSeq() == link.GetPlace().GetSeq() }) {
				found.links = append(found.links, link)
			}
		}
	}
	return found
}
