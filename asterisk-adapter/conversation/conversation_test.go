package conversation

import (
	"strings"
	"testing"
	"time"

	libari "github.com/CyCoreSystems/ari/v6"
	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/chaincode/ledger"
)

// heard is an AMI event of the given lines, as Asterisk 22 sends them.
func heard(name string, lines ...string) *ami.Event {
	event := &ami.Event{Name: name, Received: time.Date(2026, 11, 30, 4, 0, 0, 0, time.UTC)}
	for _, line := range lines {
		key, value, _ := strings.Cut(line, ": ")
		event.Headers = append(event.Headers, ami.Header{Name: key, Value: value})
	}
	return event
}

// channel are the headers of a channel.
func lines(prefix, name, uniqueID, linkedID string, more ...string) []string {
	return append([]string{prefix + "Channel: " + name, prefix + "Uniqueid: " + uniqueID, prefix + "Linkedid: " + linkedID}, more...)
}

// transferring is Asterisk's word.
const transferring = "Transferer" //nolint:misspell // it is

const (
	caller = "PJSIP/1001-00000001"
	callee = "PJSIP/1002-00000002"
	third  = "PJSIP/1008-00000004"
)

// tell enters what AMI tells, a second apart.
func tell(book *Book, events ...*ami.Event) []*Entry {
	var entered []*Entry
	for i, event := range events {
		event.Received = event.Received.Add(time.Duration(i) * time.Second)
		for _, one := range FromAMI(event) {
			entry, _ := book.Take(one, time.Now())
			entered = append(entered, entry)
		}
	}
	return entered
}

func stepsOf(leg Leg) string {
	var all []string
	for _, step := range leg.Journey {
		all = append(all, strings.TrimSpace(step.Kind+" "+step.Place))
	}
	return strings.Join(all, ", ")
}

var begun = []*ami.Event{
	heard("Newchannel", lines("", caller, "9.1", "9.1", "Context: lab", "Exten: 1002")...),
	heard("Newchannel", lines("", callee, "9.2", "9.1", "Context: lab", "Exten: s")...),
	heard("DialBegin", append(lines("", caller, "9.1", "9.1", "Context: lab", "Exten: 1002"), lines("Dest", callee, "9.2", "9.1")...)...),
	heard("BridgeEnter", lines("", callee, "9.2", "9.1", "BridgeType: basic", "Context: lab", "Exten: ")...),
	heard("BridgeEnter", lines("", caller, "9.1", "9.1", "BridgeType: basic", "Context: lab", "Exten: 1002")...),
}

func TestLegs(t *testing.T) {
	t.Parallel()
	hungUp := heard("Hangup", lines("", caller, "9.1", "9.1", "Cause: 16")...)
	for _, test := range []struct {
		name              string
		then              []*ami.Event
		features, journey string
	}{
		{"plain", []*ami.Event{hungUp}, "", "extension 1002@lab, dial PJSIP/1002, bridge"},
		{"hold by the caller", []*ami.Event{
			heard("Hold", lines("", caller, "9.1", "9.1")...), heard("Unhold", lines("", caller, "9.1", "9.1")...), hungUp,
		}, "hold", "extension 1002@lab, dial PJSIP/1002, bridge, hold, resume"},
		{"hold by the callee", []*ami.Event{
			heard("Hold", lines("", callee, "9.2", "9.1")...), hungUp, heard("Unhold", lines("", callee, "9.2", "9.1")...),
		}, "hold", "extension 1002@lab, dial PJSIP/1002, bridge, hold"},
		{"the end of no hold", []*ami.Event{heard("Unhold", lines("", caller, "9.1", "9.1")...), hungUp}, "", "extension 1002@lab, dial PJSIP/1002, bridge"},
		{"blind transfer", []*ami.Event{
			heard("BlindTransfer", append(lines(transferring, callee, "9.2", "9.1"), append(lines("Transferee", caller, "9.1", "9.1"), "Result: Success", "Context: lab", "Extension: 1008")...)...),
			heard("DialBegin", append(lines("", caller, "9.1", "9.1", "Context: lab", "Exten: 1008"), lines("Dest", third, "9.4", "9.1")...)...), hungUp,
		}, "blind_transfer", "extension 1002@lab, dial PJSIP/1002, bridge, blind_transfer 1008@lab, extension 1008@lab, dial PJSIP/1008"},
		{"a transfer that failed", []*ami.Event{
			heard("BlindTransfer", append(lines(transferring, callee, "9.2", "9.1"), "Result: Fail", "Context: lab", "Extension: 1")...), hungUp,
		}, "", "extension 1002@lab, dial PJSIP/1002, bridge"},
		{"forwarded", []*ami.Event{
			heard("DialEnd", append(lines("", caller, "9.1", "9.1"), append(lines("Dest", callee, "9.2", "9.1"), "Forward: 1003")...)...), hungUp,
		}, "forward", "extension 1002@lab, dial PJSIP/1002, bridge, forward 1003"},
		{"in a queue and a room", []*ami.Event{
			heard("QueueCallerJoin", lines("", caller, "9.1", "9.1", "Queue: sales", "Context: lab", "Exten: 600")...),
			heard("AgentConnect", lines("", caller, "9.1", "9.1", "Interface: PJSIP/1002")...),
			heard("ConfbridgeJoin", lines("", caller, "9.1", "9.1", "Conference: room", "Context: lab", "Exten: 600")...), hungUp,
		}, "conference queue", "extension 1002@lab, dial PJSIP/1002, bridge, extension 600@lab, queue sales, agent PJSIP/1002, conference room"},
		{"the callee's own room", []*ami.Event{
			heard("ConfbridgeJoin", lines("", callee, "9.2", "9.1", "Conference: room")...), hungUp,
		}, "", "extension 1002@lab, dial PJSIP/1002, bridge"},
		{"parked", []*ami.Event{
			heard("ParkedCall", lines("Parkee", callee, "9.2", "9.1", "Parkinglot: default", "ParkingSpace: 701")...), hungUp,
			heard("UnParkedCall", append(lines("Parkee", callee, "9.2", "9.1", "Parkinglot: default", "ParkingSpace: 701"), lines("Retriever", third, "9.9", "9.9")...)...),
		}, "park", "extension 1002@lab, dial PJSIP/1002, bridge, park default/701"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			book := NewBook(nil, 7)
			var events []*ami.Event
			for _, event := range append(append([]*ami.Event{}, begun...), test.then...) {
				again := *event
				events = append(events, &again)
			}
			entered := tell(book, events...)
			leg := book.Leg(caller, callee)
			require.Equal(t, test.features, strings.Join(leg.Features, " "))
			require.Equal(t, test.journey, stepsOf(leg))
			require.Equal(t, int64(16), leg.Cause)
			require.True(t, book.Await(t.Context(), caller, time.Minute))
			require.False(t, book.Await(t.Context(), "PJSIP/none", time.Millisecond))

			// What was kept says the same after a crash.
			var kept []Entry
			for _, entry := range entered {
				if entry != nil {
					kept = append(kept, *entry)
				}
			}
			require.Greater(t, kept[0].Number, uint64(7))
			require.Equal(t, leg, NewBook(kept, 7).Leg(caller, callee))
			require.Empty(t, book.Leg("PJSIP/none", "").Journey)
		})
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	book := NewBook(nil, 0)
	tell(book, heard("UserEvent", lines("", caller, "9.1", "9.1", "UserEvent: Callseal",
		"CallID: a%2Cb%40phone", "Local: 192.0.2.1:5061", "Remote: 192.0.2.9:40000", "Secure: 1", "Attestation: a", "Verdict: cert_not_trusted")...),
		heard("UserEvent", lines("", caller, "9.1", "9.1", "UserEvent: Other", "CallID: x")...))
	require.Equal(t, Facts{
		CallID: "a,b@phone", Network: ledger.CallNetwork{Local: "192.0.2.1:5061", Remote: "192.0.2.9:40000", Transport: "tls"},
		Attestation: "A", Verdict: ledger.VerdictFailed,
	}, book.Leg(caller, "").Facts)
	require.Equal(t, "a,b@phone", book.Leg(callee, caller).Other.CallID)
	for result, want := range map[string]string{
		"": "", "success": ledger.VerdictPassed, "none": ledger.VerdictNone, "disabled": ledger.VerdictNone, "signature_validation": ledger.VerdictFailed, ledger.VerdictPassed: ledger.VerdictPassed,
	} {
		require.Equal(t, want, Verdict(result), result)
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	received := heard("Hold").Received
	for stamp, want := range map[string]time.Time{
		"1796011199.250000": received.Add(-750 * time.Millisecond), "1e300": received, "-5": received, "12": received, "now": received, "": received,
	} {
		events := FromAMI(heard("Hold", lines("", caller, "9.1", "9.1", "Timestamp: "+stamp)...))
		require.Equal(t, want, events[0].At, stamp)
	}
}

func TestARITellsOnce(t *testing.T) {
	t.Parallel()
	book := NewBook(nil, 0)
	at := time.Date(2026, 11, 30, 4, 0, 0, 5e6, time.UTC)
	hold := &libari.ChannelHold{EventData: libari.EventData{Timestamp: libari.DateTime(at)}, Channel: libari.ChannelData{ID: "9.1", Name: caller}}
	for range 2 { // subscribed to all, it comes twice
		event, is := FromARI(hold)
		require.True(t, is)
		book.Take(event, time.Now())
	}
	tell(book, heard("Hold", lines("", caller, "9.1", "9.1")...))
	require.Equal(t, "hold", stepsOf(book.Leg(caller, "")))
	_, is := FromARI(&libari.BridgeBlindTransfer{Result: "Fail"})
	require.False(t, is)
}

func TestLinks(t *testing.T) {
	t.Parallel()
	transfer := FromAMI(heard("AttendedTransfer", append(append(lines("OrigTransferer", caller, "9.1", "9.1"), lines("SecondTransferer", third, "9.10", "9.10")...), "Result: Success")...))
	join, is := JoinOf(&transfer[0])
	require.True(t, is)
	first, second := ledger.LegID{LinkedID: "9.1", UniqueID: "9.1", Sequence: 3}, ledger.LegID{LinkedID: "9.10", UniqueID: "9.10", Sequence: 5}
	link, is := join.Link([]ledger.LegID{second}, []ledger.LegID{first})
	require.True(t, is)
	require.Equal(t, ledger.Link{At: ledger.TimeOf(transfer[0].At), Kind: ledger.LinkAttendedTransfer, From: "9.10", FromLeg: &second, To: "9.1", ToLeg: &first}, link)

	// ARI tells no linkedids: they come with the legs.
	unknown := Join{At: join.At, Kind: join.Kind, One: Channel{UniqueID: "9.10"}, Other: Channel{UniqueID: "9.1"}}
	require.True(t, unknown.Unknown(nil, []ledger.LegID{first}))
	_, is = unknown.Link(nil, []ledger.LegID{first})
	require.False(t, is)
	same, is := unknown.Link([]ledger.LegID{second}, []ledger.LegID{first})
	require.True(t, is)
	require.Equal(t, link, same)
	_, is = join.Link([]ledger.LegID{{LinkedID: "9.1", UniqueID: "9.10"}}, nil)
	require.True(t, is, "the linkedid that the channel had then counts")
	for older, newer := range map[string]string{"9.1": "9.2", "9.9": "9.10", "999.5": "1000.1", "pbx-a-9.9": "pbx-a-10.1"} {
		require.True(t, olderThan(older, newer))
		require.False(t, olderThan(newer, older))
	}
	one := Join{Kind: ledger.LinkPickup, One: Channel{LinkedID: "9.1"}, Other: Channel{LinkedID: "9.1"}}
	_, is = one.Link(nil, nil)
	require.False(t, is, "one conversation is joined with none")
}

func TestBounds(t *testing.T) {
	t.Parallel()
	book := NewBook(nil, 0)
	long := strings.Repeat("é", 5000)
	for i := range 3 * maxEvents {
		event := FromAMI(heard("DialBegin", lines("", caller, "9.1", "9.1", "Exten: "+long+string(rune('a'+i%26)), "Context: lab", "DestChannel: "+long)...))
		for _, one := range event {
			one.At = one.At.Add(time.Duration(i) * time.Minute)
			require.LessOrEqual(t, len(one.Place), maxPlace)
			book.Take(one, time.Now())
		}
	}
	leg := book.Leg(caller, callee)
	details := ledger.Details{Call: &ledger.CallDetails{Journey: leg.Journey}, Salt: strings.Repeat("01", 32), V: ledger.SchemaVersion}
	require.NoError(t, details.Check())
	text, err := ledger.Canonical(&details)
	require.NoError(t, err)
	require.Less(t, len(text), ledger.MaxDetailsBytes/2)

	tell(book, heard("Hangup", lines("", caller, "9.1", "9.1")...))
	require.Equal(t, uint64(1), book.Sweep(time.Now()))
	require.Equal(t, book.number+1, book.Sweep(time.Now().Add(time.Hour)), "nothing is needed any more")
	require.Empty(t, book.channels)
}

func FuzzFromAMI(f *testing.F) {
	f.Add("AttendedTransfer", "OrigTransfererChannel: a\nOrigTransfererUniqueid: 1.1\nSecondTransfererChannel: b\nSecondTransfererUniqueid: 1.2\nResult: Success")
	f.Add("UserEvent", "UserEvent: Callseal\nChannel: a\nUniqueid: 1.1\nCallID: %zz\nVerdict: passed")
	f.Add("Hangup", "Channel: a\nUniqueid: 1.1\nCause: 99999999999999999999\nTimestamp: 1e300")
	f.Fuzz(func(t *testing.T, name, text string) {
		book := NewBook(nil, 0)
		for _, event := range FromAMI(heard(name, strings.Split(text, "\n")...)) {
			require.NotEmpty(t, event.Channels)
			book.Take(event, time.Now())
			leg := book.Leg(event.Channels[0].Name, "")
			details := ledger.Details{Call: &ledger.CallDetails{Features: leg.Features, Journey: leg.Journey}, Salt: strings.Repeat("01", 32), V: ledger.SchemaVersion}
			if leg.Features != nil || leg.Journey != nil {
				require.NoError(t, details.Check())
			}
			if join, is := JoinOf(&event); is {
				join.Link(nil, nil)
			}
		}
	})
}
