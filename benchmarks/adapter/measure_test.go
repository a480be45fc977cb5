package adapter_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/shirou/gopsutil/v4/process"
	"github.com/stretchr/testify/require"

	adapter "github.com/callseal/callseal/asterisk-adapter"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/benchmarks/machine"
	"github.com/callseal/callseal/benchmarks/result"
	"github.com/callseal/callseal/network/networktest"
)

var (
	calls    = flag.Int("measure.calls", 100, "calls of each kind of recording")
	rounds   = flag.Int("measure.rounds", 3, "how many times each of the concurrent callers calls")
	at       = flag.Int("measure.concurrent", 30, "calls at once")
	talk     = flag.Duration("measure.talk", 20*time.Second, "how long each of those lasts")
	patience = 2 * time.Minute
)

func TestMain(m *testing.M) { os.Exit(networktest.Finish(m.Run())) }

// dialplan records a call in the way that its number's first digits name. The phone
// that answers is dialled by what follows.
const dialplan = `
[lab]
exten => _10X.,1,Goto(call,${EXTEN:2},1)
exten => _11X.,1,Gosub(callseal-record,s,1)
 same => n,Goto(call,${EXTEN:2},1)
exten => _12X.,1,Set(CHANNEL(hangup_handler_push)=callseal-stop,s,1)
 same => n,MixMonitor(${ASTSPOOLDIR}/monitor/${UNIQUEID}.wav,i(CALLSEAL_MIXID)r(${ASTSPOOLDIR}/monitor/${UNIQUEID}-received.wav)t(${ASTSPOOLDIR}/monitor/${UNIQUEID}-transmitted.wav))
 same => n,Goto(call,${EXTEN:2},1)
exten => _13X.,1,Set(CHANNEL(hangup_handler_push)=callseal-stop,s,1)
 same => n,MixMonitor(${ASTSPOOLDIR}/monitor/${UNIQUEID}-stereo.raw,Di(CALLSEAL_MIXID))
 same => n,Goto(call,${EXTEN:2},1)
exten => _14X.,1,MixMonitor(${ASTSPOOLDIR}/monitor/${UNIQUEID}.wav,,: > ${ASTSPOOLDIR}/callseal/closed/${UNIQUEID})
 same => n,Goto(call,${EXTEN:2},1)
exten => _15X.,1,Answer()
 same => n,Stasis(callseal)
 same => n,Hangup()
#include extensions_callseal.conf

[call]
exten => _X.,1,Set(CDR(userfield)=${CHANNEL(pjsip,call-id)})
 same => n,Dial(PJSIP/${EXTEN},30)
 same => n,Hangup()
`

// kinds are the ways to record, by the digits that ask for them.
var kinds = []struct {
	name, digits string
	recordings   int
	// application says that an ARI application records the channel.
	application bool
}{
	{"not-recorded", "10", 0, false}, {"mixed", "11", 1, false}, {"mixed-and-both-directions", "12", 3, false}, {"stereo", "13", 1, false},
	{"mixed,-post-process-command", "14", 1, false}, {"by-an-ARI-application", "15", 1, true},
}

// stage is an adapter beside an Asterisk, on a network.
type stage struct {
	asterisk *lab.Asterisk
	network  *networktest.Network
	gateway  string // the name of its node
	config   *adapter.Config

	command *exec.Cmd
	log     *follower
}

func newStage(b *testing.B) *stage {
	b.Helper()
	s := &stage{network: networktest.Start(b, networktest.WithGateways())}
	var err error
	s.asterisk, err = lab.Require(b).Start(b.Context(), lab.Options{Files: map[string]string{"extensions.conf": dialplan}, Modules: []string{"format_sln"}})
	require.NoError(b, err)
	b.Cleanup(s.asterisk.Stop)
	require.NoError(b, s.asterisk.RegisterPhones(b.Context()))
	owner := s.network.Consortium().Operators[0]
	s.gateway = strings.ToLower(owner.Name) + "-gateway"
	org := s.network.Layout().Operator(owner.Name)
	identity := org.Identity(owner.PBXs[0])
	who, err := user.Current()
	require.NoError(b, err)
	s.config = &adapter.Config{
		MSP: owner.MSP, PBX: owner.PBXs[0], StateDir: b.TempDir(), User: who.Username,
		Gateway:    adapter.GatewayConfig{Address: owner.Gateway.Address, CAFile: org.TLSCAFile()},
		Identity:   adapter.IdentityConfig{CertFile: identity.CertFile(), KeyFile: identity.KeyFile()},
		CDR:        adapter.CDRConfig{CSV: s.asterisk.CSV()},
		AMI:        &adapter.AMIConfig{Address: s.asterisk.AMI(), User: lab.User, Secret: s.asterisk.Secret()},
		ARI:        &adapter.ARIConfig{URL: s.asterisk.ARI(), User: lab.User, Password: s.asterisk.Secret(), Recordings: s.asterisk.ARIRecordingDir()},
		Recordings: adapter.RecordingsConfig{Folder: s.asterisk.RecordingDir(), Closed: s.asterisk.ClosedDir(), Due: "answered"},
		Contexts:   map[string]string{"lab": "internal", "call": "internal"}, LogLevel: "debug",
	}
	return s
}

// start starts the real program; it ends with the benchmark.
func (s *stage) start(b *testing.B) {
	b.Helper()
	text, err := yaml.Marshal(s.config)
	require.NoError(b, err)
	file := filepath.Join(b.TempDir(), "adapter.yaml")
	require.NoError(b, os.WriteFile(file, text, 0o600))
	s.command = exec.Command(filepath.Join(networktest.Build(b, "callseal-asterisk-adapter"), "callseal-asterisk-adapter"), "--config", file)
	out, in, err := os.Pipe()
	require.NoError(b, err)
	s.command.Stderr = in
	require.NoError(b, s.command.Start())
	require.NoError(b, in.Close())
	s.log = follow(out)
	b.Cleanup(func() {
		_ = s.command.Process.Signal(os.Interrupt)
		_ = s.command.Wait()
	})
	s.wait(b, func(lines []line) bool { return has(lines, "AMI connected") && has(lines, "ARI connected") })
}

func (s *stage) wait(b *testing.B, enough func([]line) bool) []line {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	lines, err := s.log.until(ctx, enough)
	require.NoError(b, err, "the adapter's log: %+v", lines)
	return lines
}

func has(lines []line, msg string) bool {
	for i := range lines {
		if lines[i].Msg == msg {
			return true
		}
	}
	return false
}

// BenchmarkAdapter measures everything on one network; it needs -benchtime 1x.
func BenchmarkAdapter(b *testing.B) {
	for _, fact := range machine.Facts(b.Context(), b.TempDir()) {
		fmt.Printf("%s: %s\n", strings.ReplaceAll(fact.Name, " ", "-"), fact.Value)
	}
	s := newStage(b)
	for _, kind := range kinds {
		b.Run("hang-up/"+kind.name, func(b *testing.B) {
			// What is never recorded must not be waited for.
			s.config.Recordings.Due = map[bool]string{true: "answered", false: "none"}[kind.recordings > 0]
			s.config.StateDir = b.TempDir()
			s.start(b)
			s.hangUps(b, kind.digits, kind.recordings, kind.application)
		})
	}
	b.Run("concurrent", func(b *testing.B) {
		s.config.Recordings.Due, s.config.StateDir, s.config.LogLevel = "answered", b.TempDir(), "info"
		s.start(b)
		s.concurrent(b)
	})
}

// hangUps places calls of one kind, one after the other.
func (s *stage) hangUps(b *testing.B, digits string, recordings int, application bool) {
	b.Helper()
	const warmUp = 3
	steps := map[string]*result.Recorder{}
	for _, step := range []string{"closed", "digested", "told", "sealed", "committed"} {
		steps[step] = result.NewRecorder()
	}
	for n := range warmUp + *calls {
		s.log.forget()
		report := s.call(b, digits+lab.Answers, application)
		lines := s.wait(b, func(lines []line) bool { return anchored(lines, recordings) })
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
func (s *stage) call(b *testing.B, number string, application bool) lab.CallReport {
	b.Helper()
	call := lab.Call{To: number}
	recorded := make(chan error, 1)
	if application {
		call.Duration = 1500 * time.Millisecond
		go func() { recorded <- s.record(b.Context()) }()
	} else {
		recorded <- nil
	}
	report, err := s.asterisk.PlaceCall(b.Context(), call)
	require.NoError(b, err)
	require.NoError(b, <-recorded)
	return report
}

// record waits for the one channel that is in the application, and has ARI record it.
func (s *stage) record(ctx context.Context) error {
	for {
		out, err := s.asterisk.Command(ctx, "core show channels concise")
		if err != nil {
			return err
		}
		if fields := strings.Split(out, "!"); len(fields) > 13 && fields[5] == "Stasis" {
			channel := strings.TrimSpace(fields[13])
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.asterisk.ARI()+"/channels/"+channel+"/record?format=wav&name="+channel, nil)
			if err != nil {
				return err
			}
			request.SetBasicAuth(s.asterisk.Control())
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

// anchored says whether a leg and so many recordings are on the ledger.
func anchored(lines []line, recordings int) bool {
	leg, found := false, 0
	for i := range lines {
		if lines[i].Msg == "call anchored" {
			leg, found = leg || lines[i].CDR, found+len(lines[i].Recordings)
		}
	}
	return leg && found >= recordings
}

// way is when each step of a call was done, the last where there are several.
func way(lines []line) map[string]time.Time {
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
func (s *stage) concurrent(b *testing.B) {
	b.Helper()
	nodes, err := s.network.Status(b.Context())
	require.NoError(b, err)
	watched := map[string]*process.Process{"adapter": watch(b, s.command.Process.Pid), "asterisk": watch(b, s.asterisk.PID())}
	for _, node := range nodes {
		if node.Node == s.gateway {
			watched["gateway"] = watch(b, node.PID)
		}
	}
	require.Len(b, watched, 3)
	s.log.forget()
	before, began := map[string]float64{}, time.Now()
	for name, one := range watched {
		before[name] = seconds(b, one)
	}
	most, stop := peak(b, watched["adapter"])
	total := *at * *rounds
	_, err = s.asterisk.PlaceCalls(b.Context(), lab.Call{To: "11" + lab.Answers, Duration: *talk}, total, *at)
	require.NoError(b, err)
	s.wait(b, func(lines []line) bool {
		found := 0
		for i := range lines {
			if lines[i].Msg == "call anchored" {
				found += len(lines[i].Recordings)
			}
		}
		return found >= total
	})
	took := time.Since(began).Seconds()
	stop()
	for name, one := range watched {
		b.ReportMetric(100*(seconds(b, one)-before[name])/took, name+"-cpu-%")
	}
	b.ReportMetric(float64(*most)/1e6, "adapter-peak-MB")
	b.ReportMetric(float64(*at), "at-once")
	b.ReportMetric(float64(total), "calls")
	b.ReportMetric(0, "ns/op")
}

func watch(b *testing.B, pid int) *process.Process {
	b.Helper()
	one, err := process.NewProcess(int32(pid))
	require.NoError(b, err)
	return one
}

// seconds is the processor time that a process has taken.
func seconds(b *testing.B, one *process.Process) float64 {
	b.Helper()
	times, err := one.Times()
	require.NoError(b, err)
	return times.User + times.System
}

// peak follows a process's resident memory, in bytes, until it is stopped.
func peak(b *testing.B, one *process.Process) (most *uint64, stop func()) {
	b.Helper()
	most = new(uint64)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if memory, err := one.MemoryInfo(); err == nil {
				*most = max(*most, memory.RSS)
			}
			select {
			case <-ctx.Done():
			case <-time.After(250 * time.Millisecond):
			}
		}
	}()
	return most, func() {
		cancel()
		<-done
	}
}
