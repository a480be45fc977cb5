package adapter

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/asterisk-adapter/recording"
	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/chaincode/ledger"
)

// lines is how many calls are up at once.
const lines = 30

// Each line has two tones of its own, in hertz: the caller's and the voice's.
func callerTone(line int) int { return 300 + 100*line }
func voiceTone(line int) int  { return 350 + 100*line }

// concurrentPlan connects the caller of line NN, who dials 77NN, with a voice in that
// line's tone.
const concurrentPlan = `[general]
static = yes
#include extensions_callseal.conf
[lab]
exten => _77XX,1,Set(CDR(userfield)=${CHANNEL(pjsip,call-id)})
 same => n,Gosub(callseal-record,s,1)
 same => n,Dial(Local/${EXTEN:2}@voice/n)
[voice]
exten => _XX,1,Set(CDR_PROP(disable)=1)
 same => n,Answer()
 same => n,Playtones($[350 + 100 * ${EXTEN}])
 same => n,Wait(3600)
`

// concurrency is how concurrent calls are placed.
type concurrency struct {
	// for how long calls are placed, and how long one takes.
	lasts, shortest, longest time.Duration
	// settles is how long after the last is anchored the files are looked at again.
	settles time.Duration
}

// testConcurrentRecordings has thirty recorded calls up at once, each with two tones of
// its own: every recording holds its call's tones and no other's, whole, and what was
// anchored of it is what is still there later.
func (s *scene) testConcurrentRecordings(t *testing.T) {
	t.Helper()
	how := concurrency{lasts: time.Second, shortest: 6 * time.Second, longest: 9 * time.Second, settles: 5 * time.Second}
	if *long {
		how = concurrency{lasts: 10 * time.Minute, shortest: 20 * time.Second, longest: time.Minute, settles: time.Minute}
	}
	asterisk, err := lab.Require(t).Start(t.Context(), lab.Options{Files: map[string]string{"extensions.conf": concurrentPlan}})
	require.NoError(t, err)
	defer asterisk.Stop()
	require.NoError(t, asterisk.RegisterPhones(t.Context()))
	config := s.config(t, t.TempDir(), "csv", "ami", "ari")
	config.CDR.CSV, config.AMI.Address, config.AMI.Secret = asterisk.CSV(), asterisk.AMI(), asterisk.Secret()
	config.ARI.URL, config.ARI.Password = asterisk.ARI(), asterisk.Secret()
	config.Recordings.Folder, config.Recordings.Closed = asterisk.RecordingDir(), asterisk.ClosedDir()
	adapter := run(t, config)

	var mu sync.Mutex
	placed := map[string]int{} // the line, by SIP Call-ID
	var callers sync.WaitGroup
	began := time.Now()
	for line := range lines {
		callers.Go(func() {
			for time.Since(began) < how.lasts {
				report, err := asterisk.PlaceCall(t.Context(), lab.Call{
					To: fmt.Sprintf("77%02d", line), ToneHz: callerTone(line), Duration: how.shortest + rand.N(how.longest-how.shortest),
				})
				if err != nil {
					t.Errorf("line %d: %v", line, err)
					return
				}
				mu.Lock()
				placed[report.CallID] = line
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	require.False(t, t.Failed())
	require.GreaterOrEqual(t, len(placed), lines)
	adapter.until(t, "call anchored", len(placed))

	made := map[string]*ledger.Recording{} // by uniqueid
	var seconds float64
	for _, row := range s.rowsOf(t, asterisk.CSV()) {
		line, known := placed[row.UserField]
		require.True(t, known, "each call has one record, and the voice none")
		require.Equal(t, ledger.Answered, row.Disposition)
		var record ledger.Record
		require.Eventually(t, func() bool {
			found, err := pb.NewRecordingServiceClient(s.auditor).ListRecordings(t.Context(), &pb.ListRecordingsRequest{Msp: s.owner.MSP, Pbx: config.PBX, Linkedid: row.LinkedID})
			if err != nil || len(found.GetRecordings()) == 0 {
				return false
			}
			require.Len(t, found.GetRecordings(), 1)
			return ledger.DecodeStrict(found.GetRecordings()[0].GetRecordJson(), &record) == nil
		}, patience, 20*time.Millisecond)
		require.Equal(t, row.UniqueID, record.Recording.Leg.UniqueID)
		made[row.UniqueID] = record.Recording
		seconds += requireOwnTones(t, filepath.Join(asterisk.RecordingDir(), row.UniqueID+".wav"), line, row.BillSec)
	}
	require.Len(t, made, len(placed))
	time.Sleep(how.settles)
	for uniqueID, one := range made {
		now, err := recording.Digest(t.Context(), filepath.Join(asterisk.RecordingDir(), uniqueID+".wav"))
		require.NoError(t, err)
		require.Equal(t, hex.EncodeToString(now.SHA256[:]), one.SHA256, "it was final when it was digested")
		require.Equal(t, []any{now.Bytes, "mixmonitor", int64(1), ""}, []any{one.Bytes, one.Method, one.Revision, one.Recovered})
	}
	for _, never := range []string{"a recording was changed", "a recording was appended to", "a recording cannot be anchored", "its omission is anchored"} {
		require.Empty(t, adapter.lines(never))
	}
	require.NoError(t, adapter.stop())
	var text strings.Builder
	for _, fact := range machine.Facts(t.Context(), t.TempDir()) {
		fmt.Fprintf(&text, "%-16s %s\n", fact.Name, fact.Value)
	}
	fmt.Fprintf(&text, "\n%d recorded calls, %d at once for %s: %.0f s of audio, each with its own two tones and\nno other's; %d files looked at again %s after the last was anchored: each is what was anchored\n",
		len(made), lines, how.lasts, seconds, len(made), how.settles)
	t.Logf("\n%s", &text)
	if *out != "" {
		require.NoError(t, os.WriteFile(filepath.Join(*out, "adapter-concurrent.txt"), []byte(text.String()), 0o644))
	}
}

// requireOwnTones listens to a recording, second by second: the two tones of its line
// are there and no other line's is. It answers how many seconds it plays.
func requireOwnTones(t *testing.T, path string, line int, billed int64) float64 {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	header, err := recording.ReadWAVHeader(content, int64(len(content)))
	require.NoError(t, err)
	require.Equal(t, uint32(8000), header.SampleRate)
	require.InDelta(t, float64(billed), header.Length().Seconds(), 2.5, "the whole call")
	audio := content[header.DataOffset:]
	var heard, windows int
	// Not the first and the last second, in which one may be silent.
	for from := 8000; from+16000 <= len(audio)/2; from += 8000 {
		samples := make([]float64, 8000)
		for i := range samples {
			samples[i] = float64(int16(binary.LittleEndian.Uint16(audio[2*(from+i):])))
		}
		windows++
		own := min(goertzel(samples, callerTone(line)), goertzel(samples, voiceTone(line)))
		var others float64
		for other := range lines {
			if other != line {
				others = max(others, goertzel(samples, callerTone(other)), goertzel(samples, voiceTone(other)))
			}
		}
		const loud = 1e9 // a hundredth of what a tone has that is there for the whole second
		require.Less(t, others, loud, "another line's tone in second %d", from/8000)
		if own > loud && own > 10*others {
			heard++
		}
	}
	require.GreaterOrEqual(t, 2*heard, windows, "both tones in %d of %d seconds of line %d", heard, windows, line)
	require.Positive(t, heard)
	return header.Length().Seconds()
}

// goertzel is the power of one frequency per sample (Goertzel's algorithm).
func goertzel(samples []float64, hz int) float64 {
	k := 2 * math.Cos(2*math.Pi*float64(hz)/8000)
	var s1, s2 float64
	for _, x := range samples {
		s1, s2 = x+k*s1-s2, s1
	}
	return (s1*s1 + s2*s2 - k*s1*s2) / float64(len(samples))
}
