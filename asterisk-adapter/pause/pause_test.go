package pause

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

var start = time.Now().Add(-time.Hour).Truncate(time.Millisecond)

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func openKeeper(t *testing.T, path string) *Keeper {
	t.Helper()
	keeper, err := Open(path, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { _ = keeper.Close() })
	return keeper
}

func mute(uniqueID string, ms int, on bool, directions string) *Event {
	return &Event{Kind: Muted, UniqueID: uniqueID, At: at(ms), On: on, Read: directions != "write", Write: directions != "read"}
}

// TestKeeper pauses and resumes, closes the book in the middle, and hangs up.
func TestKeeper(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pauses.db")
	keeper := openKeeper(t, path)
	take := func(event *Event) { require.NoError(t, keeper.Take(event)) }
	take(&Event{Kind: Started, UniqueID: "1.1", At: at(0)})
	take(mute("1.1", 1000, true, "both"))
	take(mute("1.1", 1100, true, "both")) // said twice
	take(mute("1.1", 2000, false, "both"))
	take(mute("1.1", 3000, true, "read")) // one direction is no pause
	require.Zero(t, keeper.Going())
	take(mute("1.1", 3500, true, "write"))
	require.Equal(t, 1, keeper.Going())
	_, err := Open(path, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "pauses")
	require.NoError(t, keeper.Close())

	keeper = openKeeper(t, path) // as a kill leaves it
	require.Equal(t, 1, keeper.Going())
	require.NoError(t, keeper.Live(map[string]bool{"1.1": true}))
	take(mute("1.1", 4000, false, "write"))
	take(mute("1.1", 5000, true, "both"))
	take(&Event{Kind: Ended, UniqueID: "1.1", At: at(6000)})
	require.Zero(t, keeper.Going())
	channel, err := keeper.Of("1.1")
	require.NoError(t, err)
	require.Len(t, channel.Spans, 3)
	for i, span := range []Span{{at(1000), at(2000)}, {at(3500), at(4000)}, {at(5000), at(6000)}} {
		require.True(t, span.From.Equal(channel.Spans[i].From) && span.To.Equal(channel.Spans[i].To), "%v", channel.Spans)
	}
	require.True(t, channel.Started.Equal(start))

	take(mute("1.2", 0, true, "both"))
	require.NoError(t, keeper.Live(nil)) // it hung up while nobody listened
	require.Zero(t, keeper.Going())
	channel, err = keeper.Of("1.2")
	require.NoError(t, err)
	require.True(t, channel.Ended)
	require.True(t, channel.Spans[0].To.IsZero())
	channel, err = keeper.Of("1.3")
	require.NoError(t, err)
	require.Nil(t, channel)
}

func TestAlarm(t *testing.T) {
	keeper := openKeeper(t, filepath.Join(t.TempDir(), "pauses.db"))
	var alarms atomic.Int64
	keeper.Alarm, keeper.Alarmed = time.Millisecond, func() { alarms.Add(1) }
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = keeper.Run(ctx) }()
	require.NoError(t, keeper.Take(mute("1.1", 0, true, "both")))
	require.Eventually(t, func() bool { return alarms.Load() == 1 }, time.Minute, time.Millisecond)
	keeper.alarm(time.Now())
	require.EqualValues(t, 1, alarms.Load(), "told once")
}

// piece is a stretch of a recording.
type piece struct {
	ms     int
	silent bool
}

// wav writes a recording of one channel or two.
func wav(t *testing.T, channels int, pieces ...piece) string {
	t.Helper()
	var audio []byte
	for _, one := range pieces {
		for n := range one.ms * 8 * channels {
			sample := uint16(1000 + n%7)
			if one.silent {
				sample = 0
			}
			audio = binary.LittleEndian.AppendUint16(audio, sample)
		}
	}
	path := filepath.Join(t.TempDir(), "1.1.wav")
	require.NoError(t, os.WriteFile(path, append(header(len(audio), channels), audio...), 0o600))
	return path
}

func header(length, channels int) []byte {
	le := binary.LittleEndian
	out := le.AppendUint32([]byte("RIFF"), uint32(36+length))
	out = append(out, "WAVEfmt "...)
	out = le.AppendUint32(out, 16)
	out = le.AppendUint16(out, 1)
	out = le.AppendUint16(out, uint16(channels))
	out = le.AppendUint32(out, 8000)
	out = le.AppendUint32(out, uint32(16000*channels))
	out = le.AppendUint16(out, uint16(2*channels))
	out = le.AppendUint16(out, 16)
	out = append(out, "data"...)
	return le.AppendUint32(out, uint32(length))
}

func TestLocate(t *testing.T) {
	talk, silence := func(ms int) piece { return piece{ms, false} }, func(ms int) piece { return piece{ms, true} }
	pause := func(from, to int64) ledger.Pause {
		return ledger.Pause{FromMS: from, Reason: ledger.PauseCard, ToMS: to}
	}
	for name, c := range map[string]struct {
		channel Channel
		file    []piece
		pauses  []ledger.Pause
		heard   bool
	}{
		"as the clock says": {
			Channel{Started: start, Spans: []Span{{at(2000), at(4000)}}}, []piece{talk(2000), silence(2000), talk(2000)}, []ledger.Pause{pause(2000, 4000)}, false,
		},
		"the recording is behind the clock": {
			Channel{Started: start, Spans: []Span{{at(2000), at(4000)}}}, []piece{talk(1400), silence(2020), talk(2000)}, []ledger.Pause{pause(1400, 3420)}, false,
		},
		"it was silent before and after too": {
			Channel{Started: start, Spans: []Span{{at(2000), at(4000)}}}, []piece{talk(500), silence(5000), talk(500)}, []ledger.Pause{pause(2000, 4000)}, false,
		},
		"the longer of two silences": {
			Channel{Started: start, Spans: []Span{{at(2000), at(4000)}}}, []piece{talk(1000), silence(300), talk(600), silence(1980), talk(2000)}, []ledger.Pause{pause(1900, 3880)}, false,
		},
		"somebody is heard": {
			Channel{Started: start, Spans: []Span{{at(2000), at(4000)}, {at(6000), at(7000)}}},
			[]piece{talk(2000), silence(900), talk(200), silence(900), talk(2000), silence(1000), talk(500)}, []ledger.Pause{pause(6000, 7000)}, true,
		},
		"nothing is silent": {Channel{Started: start, Spans: []Span{{at(2000), at(4000)}}}, []piece{talk(6000)}, nil, true},
		"the start was not seen": {
			Channel{Spans: []Span{{at(2000), at(4000)}}}, []piece{talk(2000), silence(2000), talk(2000)}, []ledger.Pause{pause(2000, 4000)}, false,
		},
		"to the end": {
			Channel{Started: start, Spans: []Span{{From: at(2000)}}}, []piece{talk(2000), silence(4000)}, []ledger.Pause{pause(2000, 6000)}, false,
		},
		"two that touch": {
			Channel{Started: start, Spans: []Span{{at(2000), at(3000)}, {at(3000), at(4000)}}}, []piece{talk(2000), silence(2000), talk(2000)}, []ledger.Pause{pause(2000, 4000)}, false,
		},
		"after the recording's end": {Channel{Started: start, Spans: []Span{{at(7000), at(9000)}}}, []piece{talk(6000)}, nil, false},
		"too short to be looked for": {
			Channel{Started: start, Spans: []Span{{at(2000), at(2100)}}}, []piece{talk(6000)}, []ledger.Pause{pause(2000, 2100)}, false,
		},
	} {
		for channels := 1; channels <= 2; channels++ {
			path := wav(t, channels, c.file...)
			require.NoError(t, os.Chtimes(path, at(6000), at(6000)))
			pauses, err := c.channel.Locate(path)
			require.Equal(t, c.heard, err != nil, "%s: %v", name, err)
			if c.heard {
				require.ErrorIs(t, err, ErrHeard)
			}
			require.Equal(t, c.pauses, pauses, name)
		}
	}
	// Of another format the clock tells, and a recording that is gone is an error.
	gsm := filepath.Join(t.TempDir(), "1.1.gsm")
	require.NoError(t, os.WriteFile(gsm, []byte("not a WAV"), 0o600))
	channel := Channel{Started: start, Spans: []Span{{at(2000), at(4000)}}}
	pauses, err := channel.Locate(gsm)
	require.NoError(t, err)
	require.Equal(t, []ledger.Pause{pause(2000, 4000)}, pauses)
	_, err = channel.Locate(gsm + ".gone")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestParseEvent(t *testing.T) {
	now := time.Now()
	event := func(name string, headers ...string) (Event, bool) {
		of := map[string]string{"Channel": "PJSIP/1001-1", "Uniqueid": "1.1", "Linkedid": "1.0"}
		for i := 0; i < len(headers); i += 2 {
			of[headers[i]] = headers[i+1]
		}
		return ParseEvent(name, func(header string) (string, bool) { value, found := of[header]; return value, found }, now)
	}
	for name, kind := range map[string]Kind{"MixMonitorStart": Started, "MixMonitorStop": Ended, "Hangup": Ended} {
		got, known := event(name)
		require.True(t, known)
		require.Equal(t, Event{Kind: kind, Channel: "PJSIP/1001-1", UniqueID: "1.1", LinkedID: "1.0", At: now}, got)
	}
	got, known := event("MixMonitorMute", "Direction", "both", "State", "1", "Timestamp", "1796010332.290860")
	require.True(t, known)
	require.True(t, got.Read && got.Write && got.On)
	require.Equal(t, time.UnixMicro(1796010332290860), got.At)
	got, known = event("MixMonitorMute", "Direction", "read", "State", "0")
	require.True(t, known)
	require.True(t, got.Read && !got.Write && !got.On)
	for key, kind := range map[string]Kind{pauseEvent: PauseKey, resumeEvent: ResumeKey} {
		got, known = event("UserEvent", "UserEvent", key)
		require.True(t, known)
		require.Equal(t, kind, got.Kind)
	}
	for _, headers := range [][]string{{"Uniqueid", ""}, {"Channel", ""}, {"Uniqueid", "a b"}} {
		_, known = event("Hangup", headers...)
		require.False(t, known, headers)
	}
	_, known = event("UserEvent", "UserEvent", "Another")
	require.False(t, known)
	_, known = event("MixMonitorMute", "Direction", "sideways")
	require.False(t, known)
	_, known = event("Newchannel")
	require.False(t, known)
}

func FuzzParseEvent(f *testing.F) {
	f.Add("MixMonitorMute", "1.1", "both", "1", "1796010332.290860")
	f.Add("UserEvent", "1.1", "", "", "1e400")
	f.Fuzz(func(t *testing.T, name, uniqueID, direction, state, timestamp string) {
		of := map[string]string{"Channel": "c", "Uniqueid": uniqueID, "Direction": direction, "State": state, "Timestamp": timestamp, "UserEvent": direction}
		event, known := ParseEvent(name, func(header string) (string, bool) { value, found := of[header]; return value, found }, start)
		if known {
			require.NoError(t, ledger.CheckName("uniqueid", event.UniqueID))
			require.NotZero(t, event.Kind)
			require.False(t, event.At.IsZero())
		}
	})
}

// FuzzLocate reads any file: what it answers is fit for a record.
func FuzzLocate(f *testing.F) {
	f.Add(append(header(3200, 1), make([]byte, 3200)...), 50, 150)
	f.Add(append(header(1<<30, 9), 1, 2, 3), 0, 1)
	f.Fuzz(func(t *testing.T, content []byte, from, to int) {
		path := filepath.Join(t.TempDir(), "a.wav")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		channel := Channel{Started: start, Spans: []Span{{at(from % 1e6), at(to % 1e6)}, {From: at(to % 1e6)}}}
		pauses, err := channel.Locate(path)
		if err != nil {
			require.ErrorIs(t, err, ErrHeard)
		}
		last := int64(0)
		for _, one := range pauses {
			require.GreaterOrEqual(t, one.FromMS, last)
			require.Greater(t, one.ToMS, one.FromMS)
			last = one.ToMS
		}
	})
}
