package conversation

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/chaincode/ledger"
)

// AMIClasses are the classes of events that FromAMI reads.
const AMIClasses = "call,agent,user"

// UserEvent is the name of the event by which the dialplan tells Facts.
const UserEvent = "Callseal"

// FromAMI reads an event of Asterisk's manager interface: nothing, one, or two where the
// channel also came to an extension.
func FromAMI(event *ami.Event) []Event {
	m := message{event.Headers}
	read := readers[event.Name]
	if read == nil {
		return nil
	}
	events := read(m)
	for i := range events {
		events[i].At, events[i].Source, events[i].Place = m.at(event.Received), SourceAMI, bounded(events[i].Place)
	}
	return events
}

// message is an event's headers.
type message struct{ ami.Headers }

func (m message) get(name string) string {
	value, _ := m.Get(name)
	return value
}

// apart is by how much Asterisk's clock may differ from when an event came: the clock
// may be set, and the event may have waited.
const apart = 24 * time.Hour

// at is Asterisk's time (timestampevents in manager.conf), or when the event came.
func (m message) at(received time.Time) time.Time {
	if stamp, err := strconv.ParseFloat(m.get("Timestamp"), 64); err == nil && stamp > 0 && stamp < 1<<40 {
		if at := time.UnixMicro(int64(stamp * 1e6)).UTC(); at.Sub(received).Abs() < apart {
			return at
		}
	}
	return received.UTC()
}

// channel reads the channel whose headers begin with the prefix.
func (m message) channel(prefix string) Channel {
	return Channel{Name: m.get(prefix + "Channel"), UniqueID: m.get(prefix + "Uniqueid"), LinkedID: m.get(prefix + "Linkedid")}
}

// channels are those that are there.
func (m message) channels(prefixes ...string) []Channel {
	var found []Channel
	for _, prefix := range prefixes {
		if channel := m.channel(prefix); channel.Name != "" && channel.UniqueID != "" {
			found = append(found, channel)
		}
	}
	return found
}

// one is an event of the named channels; none where the first is not there.
func (m message) one(kind, place string, prefixes ...string) []Event {
	channels := m.channels(prefixes...)
	if len(channels) == 0 {
		return nil
	}
	return []Event{{Kind: kind, Place: place, Channels: channels}}
}

// at which extension the channel is that acts in the dialplan.
func (m message) extension() []Event {
	if place := extension(m.get("Exten"), m.get("Context")); place != "" {
		return m.one(KindExtension, place, "")
	}
	return nil
}

var readers = map[string]func(message) []Event{
	"Newchannel": message.extension,
	"DialBegin": func(m message) []Event {
		if len(m.channels("")) == 0 {
			return nil // originated: nobody dials
		}
		return append(m.extension(), m.one(KindDial, Endpoint(m.get("DestChannel")), "")...)
	},
	"DialEnd": func(m message) []Event {
		if to := m.get("Forward"); to != "" {
			return m.one(KindForward, to, "", "Dest")
		}
		return nil
	},
	"BridgeEnter": func(m message) []Event {
		if m.get("BridgeType") != "basic" {
			return nil // rooms and parking places are told of otherwise
		}
		return m.one(KindBridge, "", "")
	},
	"Hold":   func(m message) []Event { return m.one(KindHold, "", "") },
	"Unhold": func(m message) []Event { return m.one(KindResume, "", "") },
	"BlindTransfer": func(m message) []Event {
		if m.get("Result") != "Success" {
			return nil
		}
		return m.one(KindBlindTransfer, m.get("Extension")+"@"+m.get("Context"), "Transferer", "Transferee") //nolint:misspell // Asterisk's word
	},
	"AttendedTransfer": func(m message) []Event {
		if m.get("Result") != "Success" {
			return nil
		}
		return joins(m.one(KindAttendedTransfer, "", "SecondTransferer", "OrigTransferer", "Transferee", "TransferTarget"))
	},
	"ParkedCall": func(m message) []Event {
		return m.one(KindPark, m.get("Parkinglot")+"/"+m.get("ParkingSpace"), "Parkee")
	},
	"UnParkedCall": func(m message) []Event {
		return joins(m.one(KindUnpark, m.get("Parkinglot")+"/"+m.get("ParkingSpace"), "Retriever", "Parkee"))
	},
	"Pickup": func(m message) []Event {
		return joins(m.one(KindPickup, Endpoint(m.get("TargetChannel")), "", "Target"))
	},
	"QueueCallerJoin": func(m message) []Event { return append(m.extension(), m.one(KindQueue, m.get("Queue"), "")...) },
	"AgentConnect":    func(m message) []Event { return m.one(KindAgent, m.get("Interface"), "") },
	"ConfbridgeJoin": func(m message) []Event {
		return append(m.extension(), m.one(KindConference, m.get("Conference"), "")...)
	},
	"Hangup": func(m message) []Event {
		events := m.one(kindEnd, "", "")
		for i := range events {
			// Asterisk also knows causes of its own beyond Q.850.
			if cause, err := strconv.ParseInt(m.get("Cause"), 10, 64); err == nil && cause > 0 && cause < 128 {
				events[i].Cause = cause
			}
		}
		return events
	},
	"UserEvent": func(m message) []Event {
		if m.get("UserEvent") != UserEvent {
			return nil
		}
		events := m.one(kindFacts, "", "")
		for i := range events {
			events[i].Facts = facts(m.get)
		}
		return events
	},
}

func joins(events []Event) []Event {
	for i := range events {
		events[i].Joins = len(events[i].Channels) >= 2
	}
	return events
}

// maxFact bounds one fact, in bytes.
const maxFact = 300

// facts reads what the dialplan told. What a far end chose is percent-encoded there.
func facts(get func(string) string) *Facts {
	short := func(name string) string {
		value, err := url.PathUnescape(get(name))
		if err != nil || len(value) > maxFact {
			return ""
		}
		return value
	}
	told := &Facts{
		CallID:  short("CallID"),
		Network: ledger.CallNetwork{Local: short("Local"), Remote: short("Remote")},
		Verdict: Verdict(get("Verdict")),
	}
	if get("Secure") == "1" {
		told.Network.Transport = "tls"
	}
	if attestation := strings.ToUpper(get("Attestation")); attestation == "A" || attestation == "B" || attestation == "C" {
		told.Attestation = attestation
	}
	return told
}

// Verdict is what the ledger calls the result of STIR_SHAKEN(…,verify_result); empty
// where the dialplan asked for none.
func Verdict(result string) string {
	switch strings.ToLower(strings.TrimSpace(result)) {
	case "":
		return ""
	case "success", "passed", strings.ToLower(ledger.VerdictPassed):
		return ledger.VerdictPassed
	case "none", "disabled", "not_set", "internal_error", strings.ToLower(ledger.VerdictNone):
		return ledger.VerdictNone // nothing was validated
	default:
		return ledger.VerdictFailed
	}
}
