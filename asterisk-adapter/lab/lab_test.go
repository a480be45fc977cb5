package lab_test

import (
	"context"
	"encoding/binary"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/asterisk-adapter/ari"
	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/asterisk-adapter/recording"
)

// TestEverySourceTellsTheSame places each kind of call on a PBX in New York that
// writes its file in local time, and holds AMI, CSV, ARI and the recordings
// against each other and against what the phone saw. Where this machine cannot
// give Asterisk another zone, its own has to do.
func TestEverySourceTellsTheSame(t *testing.T) {
	elsewhere, zone := "America/New_York", time.Local
	if lab.InOtherZones(t.Context()) {
		var err error
		zone, err = time.LoadLocation(elsewhere)
		require.NoError(t, err)
	} else {
		require.NotEqual(t, "true", os.Getenv("CI"), "user namespaces are needed for another time zone")
		elsewhere = ""
	}
	ast := start(t, lab.Options{Timezone: elsewhere, LocalTimes: true})
	f := follow(t, ast, zone, zone)

	type want struct {
		call        lab.Call
		disposition string
		status      int
		cause       int // Q.850
	}
	reports := make(map[string]want)
	for _, w := range []want{
		{lab.Call{Duration: 1200 * time.Millisecond, DisplayName: `Zé, "o Chefe", Lda`}, "ANSWERED", 200, 16},
		{lab.Call{To: lab.Busy, DisplayName: `a\b;c'd`}, "BUSY", 486, 17},
		{lab.Call{To: lab.Rings}, "NO ANSWER", 480, 19},
		{lab.Call{To: lab.RingsLong, Cancel: true}, "CANCEL", 487, 0},
	} {
		report, err := ast.PlaceCall(t.Context(), w.call)
		require.NoError(t, err, w.disposition)
		require.Equal(t, w.status, report.Status)
		require.False(t, report.HungUp.IsZero())
		reports[report.CallID] = w
	}
	f.until("each call has its row and its recording", func() bool {
		return len(f.byAMI) >= len(reports) && len(f.byCSV) >= len(f.byAMI) && len(f.closed) >= len(reports)
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Empty(t, f.lines)
	require.Len(t, f.byCSV, len(f.byAMI))
	found := make(map[string]bool)
	for key, live := range f.byAMI {
		written, ok := f.byCSV[key]
		require.True(t, ok, "%s is not in the file", key)
		require.Empty(t, live.Diff(&written))
		w, ok := reports[live.UserField]
		require.True(t, ok, "%v", live)
		require.WithinDuration(t, time.Now(), live.End, time.Minute, "local time was taken for UTC")
		if live.LastApp != "Dial" {
			continue // the dialplan's own Hangup after a failed Dial
		}
		found[live.UserField] = true
		require.Equal(t, w.disposition, live.Disposition)
		// Asterisk adds backslashes to SIP's own.
		require.Equal(t, strings.ReplaceAll(w.call.DisplayName, `\`, ""), strings.ReplaceAll(name(live.CLID), `\`, ""))

		times, ok := f.observer.Observe(t.Context(), live.UniqueID, live.End, patience)
		require.True(t, ok)
		require.Equal(t, "PJSIP", times.Technology)
		require.Equal(t, live.Channel, times.Name)
		require.Equal(t, live.UserField, times.ProtocolID)
		require.WithinDuration(t, live.Start, times.Created, 1500*time.Millisecond)
		require.WithinDuration(t, live.End, times.Destroyed, 1500*time.Millisecond)
		require.Equal(t, live.Disposition == "ANSWERED", !times.Answered.IsZero())
		if w.cause != 0 {
			require.Equal(t, w.cause, times.Cause, times.CauseText)
		}
	}
	require.Len(t, found, len(reports))

	for _, c := range f.closed {
		row := rowOf(f.byCSV, c.UniqueID)
		digests, err := recording.Digest(t.Context(), c.Path)
		if row.Disposition != "ANSWERED" {
			require.ErrorIs(t, err, recording.ErrNoAudio)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "audio/wav", digests.MediaType)
		require.Greater(t, digests.Audio, 900*time.Millisecond)
		requireTones(t, c.Path)
		require.FileExists(t, filepath.Join(ast.ClosedDir(), c.UniqueID))
		f.watcher.Acknowledge(c)
		require.NoFileExists(t, filepath.Join(ast.ClosedDir(), c.UniqueID))
	}
}

// name is the quoted part of a CLID.
func name(clid string) string {
	quoted := clid[:strings.LastIndexByte(clid, '<')]
	return strings.TrimSuffix(strings.TrimPrefix(quoted, `"`), `" `)
}

func rowOf(rows map[cdr.Key]cdr.Row, uniqueID string) cdr.Row {
	for _, row := range rows {
		if row.UniqueID == uniqueID && row.LastApp == "Dial" {
			return row
		}
	}
	return cdr.Row{}
}

// requireTones looks for both phones' tones in a recording, and for no third.
func requireTones(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	header, err := recording.ReadWAVHeader(content, int64(len(content)))
	require.NoError(t, err)
	require.Equal(t, uint32(8000), header.SampleRate)
	audio := content[header.DataOffset:]
	samples := make([]float64, len(audio)/2)
	for i := range samples {
		samples[i] = float64(int16(binary.LittleEndian.Uint16(audio[2*i:])))
	}
	// The middle second: both phones talk.
	middle := samples[len(samples)/2-2000 : len(samples)/2+2000]
	caller, callee, other := level(middle, lab.CallerHz), level(middle, lab.CalleeHz), level(middle, 1300)
	require.Greater(t, caller, 100*other, "the caller's tone")
	require.Greater(t, callee, 100*other, "the callee's tone")
}

// level is the power at one frequency (Goertzel's algorithm).
func level(samples []float64, hz float64) float64 {
	k := 2 * math.Cos(2*math.Pi*hz/8000)
	var s1, s2 float64
	for _, x := range samples {
		s1, s2 = x+k*s1-s2, s1
	}
	return (s1*s1 + s2*s2 - k*s1*s2) / float64(len(samples))
}

func TestManyCallsAtOnce(t *testing.T) {
	ast := start(t, lab.Options{})
	f := follow(t, ast, time.Local, time.UTC)
	const calls = 20
	reports, err := ast.PlaceCalls(t.Context(), lab.Call{Duration: 700 * time.Millisecond}, calls, calls)
	require.NoError(t, err)
	require.Len(t, reports, calls)
	f.until("every call is told of by every source", func() bool {
		return len(f.byAMI) == calls && len(f.byCSV) == calls && len(f.closed) == calls
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.closed {
		_, err := recording.Digest(t.Context(), c.Path)
		require.NoError(t, err)
	}
	for key, row := range f.byAMI {
		written := f.byCSV[key]
		require.Empty(t, row.Diff(&written))
	}
}

// TestSourcesComeBack kills Asterisk in the middle of a call: the sources say
// that they were cut off, come back, and what the crash left is refused.
func TestSourcesComeBack(t *testing.T) {
	ast := start(t, lab.Options{})
	f := follow(t, ast, time.Local, time.UTC)
	_, err := ast.PlaceCall(t.Context(), lab.Call{})
	require.NoError(t, err)
	f.until("the first call is there", func() bool { return len(f.byAMI) == 1 && len(f.byCSV) == 1 && len(f.closed) == 1 })

	f.mu.Lock()
	whole := f.closed[0].Path
	f.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cut := make(chan error, 1)
	go func() {
		_, err := ast.PlaceCall(ctx, lab.Call{Duration: time.Minute})
		cut <- err
	}()
	var broken string
	require.Eventually(t, func() bool {
		files, err := filepath.Glob(filepath.Join(ast.RecordingDir(), "*.wav"))
		for _, file := range files {
			if info, statErr := os.Stat(file); statErr == nil && info.Size() > 8000 && len(files) == 2 && file != whole {
				broken = file
			}
		}
		return err == nil && broken != ""
	}, patience, 50*time.Millisecond)
	_, err = recording.Digest(t.Context(), broken)
	require.ErrorIs(t, err, recording.ErrGrowing, "Asterisk has it open")
	ast.Kill()
	cancel()
	require.Error(t, <-cut)
	_, err = recording.Digest(t.Context(), broken)
	require.ErrorIs(t, err, recording.ErrUnfinished)

	require.NoError(t, ast.Restart(t.Context()))
	f.until("AMI and ARI are back", func() bool { return f.amiUp == 2 && f.ariUp == 2 })
	_, err = ast.PlaceCall(t.Context(), lab.Call{})
	require.NoError(t, err)
	f.until("a call after the crash is there", func() bool { return len(f.byAMI) == 2 && len(f.byCSV) == 2 })
}

func TestWrongPasswords(t *testing.T) {
	inst := lab.Require(t)
	ast, err := inst.Start(t.Context(), lab.Options{})
	require.NoError(t, err)
	defer ast.Stop()
	err = ami.New(ami.Options{Address: ast.AMI(), User: lab.User, Secret: "wrong"}).Run(t.Context(), ami.Handler{})
	require.ErrorIs(t, err, ami.ErrLogin)
	require.ErrorContains(t, err, "manager.conf")
	err = ari.New(ari.Options{URL: ast.ARI(), User: lab.User, Password: "wrong"}).Run(t.Context(), ari.Handler{})
	require.ErrorIs(t, err, ari.ErrLogin)
	require.ErrorContains(t, err, "ari.conf")
	require.NotContains(t, err.Error(), "wrong")
}

// TestBridgeRecording records a call as an ARI application would.
func TestBridgeRecording(t *testing.T) {
	ast := start(t, lab.Options{Files: map[string]string{"extensions.conf": `[lab]
exten => _X.,1,Answer()
 same => n,Stasis(callseal)
`}})
	f := follow(t, ast, time.Local, time.UTC)
	ended := make(chan error, 1)
	go func() {
		_, err := ast.PlaceCall(t.Context(), lab.Call{Duration: 4 * time.Second})
		ended <- err
	}()
	var channel string
	require.Eventually(t, func() bool {
		out, err := ast.Command(t.Context(), "core show channels concise")
		if fields := strings.Split(out, "!"); err == nil && len(fields) > 12 && fields[4] == "Up" {
			channel = strings.TrimSpace(fields[13])
		}
		return channel != ""
	}, patience, 20*time.Millisecond)
	act(t, ast, "/bridges/conference?type=mixing")
	act(t, ast, "/bridges/conference/addChannel?channel="+channel)
	name := "conference-" + channel
	act(t, ast, "/bridges/conference/record?name="+name+"&format=wav")
	file := filepath.Join(ast.ARIRecordingDir(), name+".wav")
	require.Eventually(t, func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() > 16_000
	}, patience, 20*time.Millisecond)
	act(t, ast, "/recordings/live/"+name+"/stop")
	f.until("ARI told of the recording", func() bool { return len(f.finished) == 1 })
	require.NoError(t, <-ended)
	require.Equal(t, "conference-"+channel+".wav", f.finished[0].File())
	digests, err := recording.Digest(t.Context(), file)
	require.NoError(t, err)
	require.GreaterOrEqual(t, digests.Audio, time.Second)
}

// act posts to ARI as the lab's own user, who may.
func act(t *testing.T, ast *lab.Asterisk, path string) {
	t.Helper()
	address, err := url.Parse(ast.ARI() + path)
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address.String(), nil)
	require.NoError(t, err)
	request.SetBasicAuth(ast.Control())
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Less(t, response.StatusCode, 300, response.Status)
}

// TestObserverMayNotAct proves that the account users copy is harmless.
func TestObserverMayNotAct(t *testing.T) {
	inst := lab.Require(t)
	ast, err := inst.Start(t.Context(), lab.Options{})
	require.NoError(t, err)
	defer ast.Stop()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, ast.ARI()+"/bridges", nil)
	require.NoError(t, err)
	request.SetBasicAuth(lab.User, ast.Secret())
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusForbidden, response.StatusCode)

	session := ami.New(ami.Options{Address: ast.AMI(), User: lab.User, Secret: ast.Secret()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	up, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- session.Run(ctx, ami.Handler{Connected: func(int) { close(up) }}) }()
	<-up
	_, err = session.Action(ctx, "Ping")
	require.NoError(t, err)
	_, err = session.Action(ctx, "Originate", ami.Header{Name: "Channel", Value: "PJSIP/1002"})
	require.ErrorIs(t, err, ami.ErrAction)
	_, err = session.Action(ctx, "Ping", ami.Header{Name: "X", Value: "a\r\nAction: Logoff"})
	require.ErrorContains(t, err, "line end")
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	_, err = session.Action(t.Context(), "Ping")
	require.ErrorIs(t, err, ami.ErrNotConnected)
}

// TestNothingIsLeft: the run directory's path stands in every command line of
// the lab's processes.
func TestNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	ast := start(t, lab.Options{Dir: dir})
	_, err := ast.PlaceCall(t.Context(), lab.Call{Duration: 100 * time.Millisecond})
	require.NoError(t, err)
	require.NotEmpty(t, processes(t, dir))
	ast.Stop()
	require.Empty(t, processes(t, dir))
	require.FileExists(t, ast.CSV(), "a directory of the caller's is kept")
}

func processes(t *testing.T, dir string) []string {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var found []string
	for _, line := range lines {
		content, err := os.ReadFile(line)
		if err == nil && strings.Contains(string(content), dir) {
			found = append(found, strings.ReplaceAll(string(content), "\x00", " "))
		}
	}
	return found
}
