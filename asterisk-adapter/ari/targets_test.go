package ari

import (
	"testing"

	"github.com/CyCoreSystems/ari/v6"
	"github.com/stretchr/testify/require"
)

// TestTargets tells whose recordings are, whenever who enters a bridge.
func TestTargets(t *testing.T) {
	var told []Bound
	x := newTargets(func(b Bound) { told = append(told, b) })
	enter := func(bridge, channel, name string) {
		x.apply(&ari.ChannelEnteredBridge{Bridge: ari.BridgeData{ID: bridge}, Channel: ari.ChannelData{ID: channel, Name: name}})
	}
	leave := func(bridge, channel string) {
		x.apply(&ari.ChannelLeftBridge{Bridge: ari.BridgeData{ID: bridge}, Channel: ari.ChannelData{ID: channel}})
	}
	start := func(name, target string) Recording {
		data := ari.LiveRecordingData{Name: name, Format: "wav", TargetURI: target}
		x.apply(&ari.RecordingStarted{Recording: data})
		return Recording{Name: name, Format: "wav", Target: target}
	}
	expect := func(want ...Bound) {
		t.Helper()
		require.Equal(t, want, told)
		told = nil
	}
	x.reconcile([]Bridge{{ID: "old", Channels: []string{"1.0", "1.1"}}})
	start("a", "bridge:old")
	expect(Bound{"a.wav", "1.0", OfBridge})
	start("x/../b", "channel:1.7")
	expect(Bound{"b.wav", "1.7", OfChannel})
	// Nobody is there yet but what records.
	c := start("c", "bridge:new")
	expect(Bound{"c.wav", "", OfBridge})
	enter("new", "1.8", "Recorder/ARI-0001")
	enter("new", "1.9", "PJSIP/1001-00000001")
	enter("new", "1.9", "PJSIP/1001-00000001") // told twice
	expect(Bound{"c.wav", "1.9", OfBridge})
	enter("new", "1.10", "PJSIP/1002-00000001")
	leave("new", "1.9")
	leave("new", "1.10")
	x.finished(c)
	expect() // as it was bound
	x.finished(Recording{Name: "d", Format: "wav", Target: "bridge:new"})
	expect(Bound{"d.wav", "", OfBridge})
	enter("new", "1.11", "PJSIP/1002-00000002")
	expect() // d is over
	x.apply(&ari.BridgeDestroyed{Bridge: ari.BridgeData{ID: "new"}})
	x.apply(&ari.ChannelVarset{Variable: "MIXMONITOR_FILENAME", Value: "/monitor/x.wav", Channel: ari.ChannelData{ID: "1.12"}})
	x.apply(&ari.ChannelVarset{Variable: "OTHER", Value: "/monitor/x.wav", Channel: ari.ChannelData{ID: "1.12"}})
	expect(Bound{"/monitor/x.wav", "1.12", ByMixMonitor})
}
