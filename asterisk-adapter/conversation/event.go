// Package conversation follows what becomes of calls while they live: transfers,
// forwards, pickups, parking, holds, queues and conferences. From events of AMI and ARI
// it makes, for each leg, its journey through the PBX and the features it used, and the
// links that join two linkedids to one conversation. What nobody told of is absent.
package conversation

import (
	"strings"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Channel names a channel as Asterisk does.
type Channel struct {
	Name     string `json:"name"`
	UniqueID string `json:"uniqueid"`
	// LinkedID is the one it had then; empty where the source does not tell (ARI).
	LinkedID string `json:"linkedid,omitempty"`
}

// Kinds of events. Those of steps are kinds of a ledger.JourneyStep too.
const (
	// KindExtension is an extension that the channel came to: EXTEN@CONTEXT.
	KindExtension = "extension"
	// KindDial is a channel that was called: TECHNOLOGY/ENDPOINT.
	KindDial = "dial"
	// KindBridge is that two or more began to talk.
	KindBridge = "bridge"
	// KindHold and KindResume are the two ends of a hold.
	KindHold   = "hold"
	KindResume = "resume"
	// KindBlindTransfer is a transfer to EXTEN@CONTEXT without asking.
	KindBlindTransfer = ledger.LinkBlindTransfer
	// KindAttendedTransfer is one after a talk.
	KindAttendedTransfer = ledger.LinkAttendedTransfer
	// KindForward is a phone that sent its call elsewhere.
	KindForward = ledger.LinkForward
	// KindPark and KindUnpark are a call's way into a parking place, LOT/SPACE, and out.
	KindPark   = ledger.LinkPark
	KindUnpark = "unpark"
	// KindPickup is a ringing call that another phone took.
	KindPickup = ledger.LinkPickup
	// KindQueue is a queue that the caller joined, KindAgent the member who answered.
	KindQueue = "queue"
	KindAgent = "agent"
	// KindConference is a room that was joined.
	KindConference = "conference"

	// kindFacts are what the dialplan told of a channel, kindEnd is its end.
	kindFacts = "facts"
	kindEnd   = "end"
)

// featureOf says which kinds are features of a leg, and what they are called.
var featureOf = map[string]string{
	KindHold: KindHold, KindBlindTransfer: KindBlindTransfer, KindAttendedTransfer: KindAttendedTransfer, KindForward: KindForward,
	KindPark: KindPark, KindUnpark: KindPark, KindPickup: KindPickup, KindQueue: KindQueue, KindConference: KindConference,
}

// done are the kinds that one party of a call does to it: they are told of the other's
// leg too.
var done = map[string]bool{
	KindHold: true, KindResume: true, KindBlindTransfer: true, KindAttendedTransfer: true, KindForward: true, KindPark: true, KindUnpark: true, KindPickup: true,
}

// Sources of events.
const (
	SourceAMI = "ami"
	SourceARI = "ari"
)

// Event is something that happened to channels.
type Event struct {
	// At is when, by Asterisk's clock where it says so.
	At     time.Time `json:"at"`
	Kind   string    `json:"kind"`
	Place  string    `json:"place,omitempty"`
	Source string    `json:"source"`
	// Channels are those concerned. Of a transfer, pickup or retrieval that may join two
	// conversations the first two are the ones that did.
	Channels []Channel `json:"channels"`
	// Joins says that the first two channels joined two conversations, if they had two.
	Joins bool `json:"joins,omitempty"`
	// Cause is the hang-up cause (ITU-T Q.850) of an end.
	Cause int64 `json:"cause,omitempty"`
	// Facts are set for what the dialplan told.
	Facts *Facts `json:"facts,omitempty"`
}

// Facts are what pbx/extensions_callseal.conf tells of a channel.
type Facts struct {
	// CallID is the SIP Call-ID.
	CallID string `json:"call_id,omitempty"`
	// Network is between which addresses its signalling goes.
	Network ledger.CallNetwork `json:"network,omitzero"`
	// Attestation and Verdict are of STIR, as the ledger has them.
	Attestation string `json:"attestation,omitempty"`
	Verdict     string `json:"verdict,omitempty"`
}

// Ends says that the event is the end of a channel: a source that tells it tells nothing
// of the channel any more.
func (e *Event) Ends() bool { return e.Kind == kindEnd }

// matters says that an event is a fact to be kept at once, and not a mere step.
func (e *Event) matters() bool {
	return featureOf[e.Kind] != "" || e.Kind == KindResume || e.Facts != nil || e.Joins
}

// maxPlace bounds a place, in bytes: callers choose what they dial.
const maxPlace = 200

func bounded(place string) string {
	place = strings.ToValidUTF8(place, "�")
	if len(place) > maxPlace {
		place = strings.ToValidUTF8(place[:maxPlace], "")
	}
	return place
}

// extension is EXTEN@CONTEXT; empty for what is no destination of a caller's.
func extension(exten, context string) string {
	if len(exten) < 2 && !strings.ContainsAny(exten, "0123456789*#") || strings.HasPrefix(context, "callseal-") || context == "" {
		return ""
	}
	return exten + "@" + context
}

// Endpoint is a channel's name without its number.
func Endpoint(channel string) string {
	if end := strings.LastIndexByte(channel, '-'); end > strings.IndexByte(channel, '/') {
		return channel[:end]
	}
	return channel
}
