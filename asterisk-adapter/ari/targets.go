package ari

import (
	"slices"
	"strings"

	"github.com/CyCoreSystems/ari/v6"
)

// Ways to record.
const (
	ByMixMonitor = "mixmonitor"
	OfBridge     = "ari-bridge"
	OfChannel    = "ari-channel"
)

// Bound is a file that is being recorded into, and whose recording it is.
type Bound struct {
	// File is absolute for a MixMonitor's, and else below Asterisk's recording folder.
	File string
	// Channel is the uniqueid of the channel that is recorded; of a bridge it is that
	// of the channel that had been in it for the longest. Empty where nobody was.
	Channel string
	// Method is ByMixMonitor, OfBridge or OfChannel.
	Method string
}

// targets tells what the files that are recorded into are of.
type targets struct {
	tell func(Bound)
	// bridges are the channels in each, in the order in which they came.
	bridges map[string][]string
	// early are the recordings of bridges that nobody is in yet.
	early map[string][]Recording
	// bound are the recordings of bridges that are told of, by file.
	bound map[string]bool
}

func newTargets(tell func(Bound)) *targets {
	if tell == nil {
		tell = func(Bound) {}
	}
	return &targets{tell: tell, bridges: map[string][]string{}, early: map[string][]Recording{}, bound: map[string]bool{}}
}

// reconcile takes in the bridges that are there at a connection.
func (t *targets) reconcile(there []Bridge) {
	clear(t.bridges)
	clear(t.early)
	clear(t.bound)
	for _, bridge := range there {
		t.bridges[bridge.ID] = slices.Clone(bridge.Channels)
	}
}

func (t *targets) apply(event ari.Event) {
	switch e := event.(type) {
	case *ari.ChannelVarset:
		if e.Variable == "MIXMONITOR_FILENAME" && e.Channel.ID != "" && e.Value != "" {
			t.tell(Bound{File: e.Value, Channel: e.Channel.ID, Method: ByMixMonitor})
		}
	case *ari.ChannelEnteredBridge:
		t.entered(e.Bridge.ID, e.Channel)
	case *ari.ChannelLeftBridge:
		t.bridges[e.Bridge.ID] = slices.DeleteFunc(t.bridges[e.Bridge.ID], func(id string) bool { return id == e.Channel.ID })
	case *ari.BridgeDestroyed:
		delete(t.bridges, e.Bridge.ID)
		delete(t.early, e.Bridge.ID)
	case *ari.RecordingStarted:
		t.recording(Recording{Name: e.Recording.Name, Format: e.Recording.Format, Target: e.Recording.TargetURI})
	}
}

func (t *targets) entered(bridge string, channel ari.ChannelData) {
	// What records a bridge, or plays to it, sits in it as well.
	if strings.HasPrefix(channel.Name, "Recorder/") || strings.HasPrefix(channel.Name, "Announcer/") || slices.Contains(t.bridges[bridge], channel.ID) {
		return
	}
	t.bridges[bridge] = append(t.bridges[bridge], channel.ID)
	for _, waiting := range t.early[bridge] {
		t.recording(waiting)
	}
	delete(t.early, bridge)
}

// recording tells of a recording that began, or whose end is told.
func (t *targets) recording(r Recording) {
	kind, id, _ := strings.Cut(r.Target, ":")
	switch kind {
	case "channel":
		t.tell(Bound{File: r.File(), Channel: id, Method: OfChannel})
	case "bridge":
		if t.bound[r.File()] {
			return // whoever came first
		}
		there := t.bridges[id]
		if len(there) == 0 {
			t.early[id] = append(t.early[id], r)
			t.tell(Bound{File: r.File(), Method: OfBridge})
			return
		}
		t.bound[r.File()] = true
		t.tell(Bound{File: r.File(), Channel: there[0], Method: OfBridge})
	}
}

// finished tells of a recording whose beginning may have been missed.
func (t *targets) finished(r Recording) {
	t.recording(r)
	delete(t.bound, r.File())
	kind, id, _ := strings.Cut(r.Target, ":")
	if kind == "bridge" {
		t.early[id] = slices.DeleteFunc(t.early[id], func(one Recording) bool { return one.File() == r.File() })
	}
}
