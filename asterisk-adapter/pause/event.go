package pause

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Kind says what an event is about.
type Kind int

// The kinds.
const (
	// Started: a MixMonitor records a channel.
	Started Kind = iota + 1
	// Muted: its recordings were made mute, or not any more.
	Muted
	// Ended: a MixMonitor has stopped, or the channel has hung up.
	Ended
	// PauseKey and ResumeKey: somebody pressed the key for it.
	PauseKey
	ResumeKey
)

// What the dialplan calls the keys.
const (
	pauseEvent  = "CallsealPause"
	resumeEvent = "CallsealResume"
)

// Event is what Asterisk's manager interface tells of a recording.
type Event struct {
	Kind Kind
	// Channel is the channel's name.
	Channel            string
	UniqueID, LinkedID string
	// Read and Write say which directions are meant, and On whether they are mute now.
	Read, Write, On bool
	At              time.Time
}

// ParseEvent reads a manager event; false is of no interest. Get returns the value of
// a header and whether the event has it; received is when it came, which holds where
// Asterisk says no time (timestampevents).
func ParseEvent(name string, get func(header string) (string, bool), received time.Time) (Event, bool) {
	value := func(header string) string {
		text, _ := get(header)
		return text
	}
	event := Event{Channel: value("Channel"), UniqueID: value("Uniqueid"), LinkedID: value("Linkedid"), At: received}
	if ledger.CheckName("uniqueid", event.UniqueID) != nil || event.Channel == "" {
		return Event{}, false
	}
	if at, told := timestamp(value("Timestamp")); told {
		event.At = at
	}
	switch name {
	case "MixMonitorStart":
		event.Kind = Started
	case "MixMonitorStop", "Hangup":
		event.Kind = Ended
	case "MixMonitorMute":
		event.Kind, event.On = Muted, value("State") == "1"
		direction := strings.ToLower(value("Direction"))
		event.Read, event.Write = direction == "read" || direction == "both", direction == "write" || direction == "both"
		return event, event.Read || event.Write
	case "UserEvent":
		switch value("UserEvent") {
		case pauseEvent:
			event.Kind = PauseKey
		case resumeEvent:
			event.Kind = ResumeKey
		}
	}
	return event, event.Kind != 0
}

// timestamp reads seconds since 1970 with microseconds.
func timestamp(text string) (time.Time, bool) {
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0 && seconds < math.MaxInt32) {
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)).Round(time.Microsecond), true
}
