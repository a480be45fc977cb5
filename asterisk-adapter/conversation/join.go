package conversation

import (
	"strconv"
	"strings"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Join is that two channels joined what may have been two conversations. It becomes a
// link once both linkedids are known, and if they differ.
type Join struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	// One and Other are the channels that joined them: the transferer's two, or the one
	// that picked up or retrieved a call and that call's.
	One   Channel `json:"one"`
	Other Channel `json:"other"`
}

// JoinOf is the join that an event tells of; false where it is none.
func JoinOf(event *Event) (Join, bool) {
	if !event.Joins || len(event.Channels) < 2 {
		return Join{}, false
	}
	return Join{At: event.At, Kind: featureOf[event.Kind], One: event.Channels[0], Other: event.Channels[1]}, true
}

// Link is the join as the ledger has it, with the legs of both channels where they are
// known; false where it joined nothing, or the linkedids are not known.
//
// Asterisk goes on with the older linkedid: To is that one.
func (j *Join) Link(one, other []ledger.LegID) (ledger.Link, bool) {
	from, fromLeg := end(&j.One, one)
	to, toLeg := end(&j.Other, other)
	if from == "" || to == "" || from == to {
		return ledger.Link{}, false
	}
	if olderThan(from, to) {
		from, to, fromLeg, toLeg = to, from, toLeg, fromLeg
	}
	return ledger.Link{At: ledger.TimeOf(j.At), From: from, FromLeg: fromLeg, Kind: j.Kind, To: to, ToLeg: toLeg}, true
}

// end is the linkedid that a channel had, and its leg of it.
func end(channel *Channel, legs []ledger.LegID) (linkedID string, leg *ledger.LegID) {
	linkedID = channel.LinkedID
	if linkedID == "" && len(legs) > 0 {
		linkedID = legs[0].LinkedID
	}
	for i := range legs {
		if legs[i].LinkedID == linkedID && legs[i].UniqueID == channel.UniqueID {
			return linkedID, &legs[i]
		}
	}
	return linkedID, nil
}

// olderThan says whether one linkedid is older than another: each is SECONDS.NUMBER, after
// the systemname and a dash where there is one.
func olderThan(one, other string) bool {
	oneSeconds, oneNumber := parts(one)
	otherSeconds, otherNumber := parts(other)
	if oneSeconds != otherSeconds {
		return oneSeconds < otherSeconds
	}
	return oneNumber < otherNumber
}

func parts(linkedID string) (seconds, number uint64) {
	before, after, _ := strings.Cut(linkedID[strings.LastIndexByte(linkedID, '-')+1:], ".")
	seconds, _ = strconv.ParseUint(before, 10, 64) // 0 for what is none
	number, _ = strconv.ParseUint(after, 10, 64)
	return seconds, number
}

// Unknown says that a linkedid is not known yet.
func (j *Join) Unknown(one, other []ledger.LegID) bool {
	return j.One.LinkedID == "" && len(one) == 0 || j.Other.LinkedID == "" && len(other) == 0
}
