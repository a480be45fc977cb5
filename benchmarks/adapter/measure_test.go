package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/benchmarks/adapter/stage"
	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
)

var (
	calls  = flag.Int("measure.calls", 100, "calls of each kind of recording")
	rounds = flag.Int("measure.rounds", 3, "how many times each of the concurrent callers calls")
	at     = flag.Int("measure.concurrent", 30, "calls at once")
	talk   = flag.Duration("measure.talk", 20*time.Second, "how long each of those lasts")
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// kinds are the ways to record, by the digits that ask for them.
var kinds = []struct {
	name, digits string
	recordings   int
	// application says that an ARI application records the channel.
	application bool
}{
	{"not-recorded", "10", 0, false}, {"mixed", stage.Mixed, 1, false}, {"mixed-and-both-directions", "12", 3, false}, {"stereo", "13", 1, false},
	{"mixed,-post-process-command", "14", 1, false}, {"by-an-ARI-application", "15", 1, true},
}

// BenchmarkAdapter measures everything on one network; it needs -benchtime 1x.
func BenchmarkAdapter(b *testing.B) {
	for _, fact := range machine.Facts(b.Context(), b.TempDir()) {
		fmt.Printf("%s: %s\n", strings.ReplaceAll(fact.Name, " ", "-"), fact.Value)
	}
	s := stage.New(b)
	s.Config.LogLevel = "debug"
	for _, kind := range kinds {
		b.Run("hang-up/"+kind.name, func(b *testing.B) {
			// What is never recorded must not be waited for.
			s.Config.Recordings.Due = map[bool]string{true: "answered", false: "none"}[kind.recordings > 0]
			s.Config.StateDir = b.TempDir()
			s.Start(b)
			hangUps(b, s, kind.digits, kind.recordings, kind.application)
		})
	}
	b.Run("concurrent", func(b *testing.B) {
		s.Config.Recordings.Due, s.Config.StateDir, s.Config.LogLevel = "answered", b.TempDir(), "info"
		s.Start(b)
		concurrent(b, s)
	})
}

// hangUps places calls of one kind, one after the other.
func hangUps(b *testing.B, s *stage.Stage, digits string, recordings int, application bool) {
	b.Helper()
	const warmUp = 3
	steps := map[string]*result.Recorder{}
	for _, step := range []string{"closed", "digested", "told", "sealed", "committed"} {
		steps[step] = result.NewRecorder()
	}
	for n := range warmUp + *calls {
		s.Forget()
		report := call(b, s, digits+lab.Answers, application)
		lines := s.Wait(b, func(lines []stage.Line) bool { return stage.Anchored(lines, recordings) })
		if n < warmUp {
			continue
		}
		for step, when := range way(lines) {
			steps[step].Record(when.Sub(report.HungUp))
		}
	}
	for step, latency := range steps {
		if latency.Count() == 0 {
			continue
		}
		for _, percentile := range []float64{50, 95, 99} {
			b.ReportMetric(float64(latency.At(percentile).Microseconds())/1000, fmt.Sprintf("%s-p%.0f-ms", step, percentile))
		}
	}
	b.ReportMetric(float64(*calls), "calls")
	b.ReportMetric(0, "ns/op")
}

// call places one call; an application records it where it is asked to.
func call(b *testing.B, s *stage.Stage, number string, application bool) lab.CallReport {
	b.Helper()
	one := lab.Call{To: number}
	recorded := make(chan error, 1)
	if application {
		one.Duration = 1500 * time.Millisecond
		go func() { recorded <- record(b.Context(), s.Asterisk) }()
	} else {
		recorded <- nil
	}
	report, err := s.Asterisk.PlaceCall(b.Context(), one)
	require.NoError(b, err)
	require.NoError(b, <-recorded)
	return report
}

// record waits for the one channel that is in the application, and has ARI record it.
func record(ctx context.Context, asterisk *lab.Asterisk) error {
	for {
		out, err := asterisk.Command(ctx, "core show channels concise")
		if err != nil {
			return err
		}
		if fields := strings.Split(out, "!"); len(fields) > 13 && fields[5] == "Stasis" {
			channel := strings.TrimSpace(fields[13])
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, asterisk.ARI()+"/channels/"+channel+"/record?format=wav&name="+channel, nil)
			if err != nil {
				return err
			}
			request.SetBasicAuth(asterisk.Control())
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			if response.StatusCode != http.StatusNotFound && response.StatusCode != http.StatusConflict {
				if response.StatusCode >= 300 {
					err = fmt.Errorf("ARI does not record the channel: %s", response.Status)
				}
				return errors.Join(err, response.Body.Close())
			}
			_ = response.Body.Close() // it is on its way into the application
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// way is when each step of a call was done, the last where there are several.
func way(lines []stage.Line) map[string]time.Time {
	when := map[string]time.Time{}
	later := func(step string, at time.Time) {
		if at.After(when[step]) {
			when[step] = at
		}
	}
	for i := range lines {
		switch one := &lines[i]; one.Msg {
		case "recording closed":
			later("closed", one.Noticed)
		case "recording digested":
			later("digested", one.Time)
		case "leg received":
			later("told", one.Time)
		case "segment closed":
			later("sealed", one.Time)
		case "call anchored":
			later("committed", one.Committed)
		}
	}
	return when
}

// concurrent keeps so many recorded calls up and measures what adapter, gateway and
// Asterisk take meanwhile.
func concurrent(b *testing.B, s *stage.Stage) {
	b.Helper()
	total := *at * *rounds
	used := s.Load(b, total, *at, *talk)
	for name, share := range used.Processor {
		b.ReportMetric(share, name+"-cpu-%")
	}
	b.ReportMetric(float64(used.Memory["adapter"])/1e6, "adapter-peak-MB")
	b.ReportMetric(float64(*at), "at-once")
	b.ReportMetric(float64(total), "calls")
	b.ReportMetric(0, "ns/op")
}

// The program's measurement, short, on a real Asterisk and a real network.
func TestMeasure(t *testing.T) {
	group := &result.Group{Name: "callseal-adapter", Title: "Adapter", Began: time.Now()}
	measure(t, plan{repetitions: 2, atOnce: 3, rounds: 1, talk: 2 * time.Second, idle: time.Second, alone: 2}, group)
	group.Ended = time.Now()
	require.NoError(t, group.Write(t.TempDir()))
	added := group.Find("cpu/calls=3").Values
	require.Len(t, added, 2)
	for i := range added {
		require.Positive(t, added[i])
		require.InEpsilon(t, added[i], group.Find("cpu/adapter/calls=3").Values[i]+group.Find("cpu/gateway/calls=3").Values[i], 1e-9)
	}
	for _, name := range []string{"cpu/asterisk/calls=3", "memory/adapter/calls=3", "memory/gateway/calls=3"} {
		require.Positive(t, group.Find(name).Values[0], name)
	}
	require.Len(t, group.Find("cpu/idle").Values, 2)
	require.Len(t, group.Find("hang-up").Latencies, 2)
	for _, latency := range group.Find("hang-up").Latencies {
		require.EqualValues(t, 2, latency.Count)
	}
}
