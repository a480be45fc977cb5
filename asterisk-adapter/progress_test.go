package adapter

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/networktest"
)

// testProgress has the ledger hear of calls when they are answered: a normal call is
// closed by its CDR; one whose Asterisk is killed, and the adapter too, comes to be told
// as cut; one that writes no CDR as ended.
func (s *scene) testProgress(t *testing.T) {
	t.Helper()
	asterisk, err := lab.Require(t).Start(t.Context(), lab.Options{Modules: []string{"app_forkcdr", "func_cdr"}, Files: map[string]string{
		"extensions.conf": "[lab]\nexten => 1002,1,Dial(PJSIP/1002,30)\nexten => 1009,1,Set(CDR_PROP(disable)=1)\n same => n,Dial(PJSIP/1002,30)\n",
	}})
	require.NoError(t, err)
	defer asterisk.Stop()
	require.NoError(t, asterisk.RegisterPhones(t.Context()))
	config := s.config(t, t.TempDir(), "csv", "ami", "ari")
	config.CDR.CSV, config.Recordings, config.AMI.Address, config.AMI.Secret = asterisk.CSV(), RecordingsConfig{Due: dueNone}, asterisk.AMI(), asterisk.Secret()
	config.ARI.URL, config.ARI.Password = asterisk.ARI(), asterisk.Secret()
	config.Progress, config.CutAfter, config.User = progressAnswered, "1s", me(t)
	require.NoError(t, config.check())
	text, err := yaml.Marshal(config)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "adapter.yaml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	program := filepath.Join(networktest.Build(t, "callseal-asterisk-adapter"), "callseal-asterisk-adapter")
	start := func() (*exec.Cmd, *logbook) {
		log := &logbook{}
		command := exec.Command(program, "--config", file)
		command.Stderr = log
		require.NoError(t, command.Start())
		t.Cleanup(func() {
			_ = command.Process.Kill() // it may have ended
			if t.Failed() {
				t.Logf("the adapter's log:\n%s", log)
			}
		})
		log.until(t, "ARI connected", 1)
		log.until(t, "AMI connected", 1)
		return command, log
	}
	calls, search := pb.NewCallServiceClient(s.auditor), pb.NewSearchServiceClient(s.auditor)
	began := time.Now().Add(-time.Minute)
	open := func() []string {
		found, err := search.ListOpenCalls(t.Context(), &pb.ListOpenCallsRequest{Pbx: config.PBX, Since: timestamppb.New(began)})
		require.NoError(t, err)
		ids := []string{}
		for _, call := range found.GetCalls() {
			ids = append(ids, call.GetUniqueid())
		}
		return ids
	}
	states := func(uniqueID string) []string {
		found, err := calls.ListProgress(t.Context(), &pb.ListProgressRequest{Pbx: config.PBX, Linkedid: uniqueID})
		require.NoError(t, err)
		var told []string
		for _, one := range found.GetProgress() {
			require.Equal(t, uniqueID, one.GetUniqueid(), "of the channel that was dialled nothing is told")
			told = append(told, one.GetState())
		}
		return told
	}
	until := func(so func() bool, what string) {
		t.Helper()
		require.Eventually(t, so, 2*patience, 50*time.Millisecond, what)
	}
	place := func(to string, lasts time.Duration) chan error {
		ended := make(chan error, 1)
		go func() {
			_, err := asterisk.PlaceCall(t.Context(), lab.Call{To: to, Duration: lasts})
			ended <- err
		}()
		return ended
	}
	legs := func(uniqueID string) int {
		found, err := calls.ListLegs(t.Context(), &pb.ListLegsRequest{Pbx: config.PBX, Linkedid: uniqueID})
		require.NoError(t, err)
		return len(found.GetCalls())
	}

	// A normal call: answered, then closed by its CDR.
	adapter, log := start()
	ended := place(lab.Answers, 3*time.Second)
	normal := caller(t, asterisk)
	until(func() bool { return len(open()) == 1 }, "the call is open while it lasts")
	require.Equal(t, []string{normal}, open())
	require.Equal(t, []string{ledger.ProgressAnswered}, states(normal))
	require.Zero(t, legs(normal))
	require.NoError(t, <-ended)
	until(func() bool { return len(open()) == 0 }, "its CDR closes it")
	require.Equal(t, 1, legs(normal))
	require.Equal(t, []string{ledger.ProgressAnswered}, states(normal))

	// A call that Asterisk writes no CDR of.
	require.NoError(t, <-place("1009", time.Second))
	told := log.until(t, "a call was answered and has ended, and no source has a CDR", 1)
	hidden, isText := told[0]["uniqueid"].(string)
	require.True(t, isText)
	until(func() bool { return len(states(hidden)) == 2 }, "the ledger hears that it ended")
	require.Equal(t, []string{ledger.ProgressAnswered, ledger.ProgressEnded}, states(hidden))
	require.Zero(t, legs(hidden))
	require.Empty(t, open())

	// A call that a crash of Asterisk cuts, while the adapter is killed as well.
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _, _ = asterisk.PlaceCall(ctx, lab.Call{Duration: time.Minute}) }()
	cut := caller(t, asterisk)
	until(func() bool { return len(open()) == 1 }, "it is open")
	require.NoError(t, adapter.Process.Kill())
	_ = adapter.Wait()
	asterisk.Kill()
	cancel()
	require.NoError(t, asterisk.Restart(t.Context()))
	require.Equal(t, []string{cut}, open(), "what a crash left stays on the ledger")
	adapter, log = start()
	require.Equal(t, cut, log.until(t, "a call was answered, and the Asterisk that carried it is gone", 1)[0]["uniqueid"])
	until(func() bool { return len(open()) == 0 }, "the ledger hears that it was cut")
	require.Equal(t, []string{ledger.ProgressAnswered, ledger.ProgressCut}, states(cut))
	require.Zero(t, legs(cut))

	// Once more with the adapter at work, and once with Asterisk told to stop, which
	// writes its CDRs.
	ctx, cancel = context.WithCancel(t.Context())
	go func() { _, _ = asterisk.PlaceCall(ctx, lab.Call{Duration: time.Minute}) }()
	second := caller(t, asterisk)
	until(func() bool { return len(open()) == 1 }, "it is open")
	asterisk.Kill()
	cancel()
	require.NoError(t, asterisk.Restart(t.Context()))
	until(func() bool { return len(states(second)) == 2 }, "the ledger hears that it was cut")
	require.Equal(t, []string{ledger.ProgressAnswered, ledger.ProgressCut}, states(second))
	ctx, cancel = context.WithCancel(t.Context())
	go func() { _, _ = asterisk.PlaceCall(ctx, lab.Call{Duration: time.Minute}) }()
	third := caller(t, asterisk)
	until(func() bool { return len(open()) == 1 }, "it is open")
	require.NoError(t, asterisk.Restart(t.Context()))
	cancel()
	until(func() bool { return len(open()) == 0 && legs(third) == 1 }, "its CDR closes it")
	require.Equal(t, []string{ledger.ProgressAnswered}, states(third))
	require.NoError(t, adapter.Process.Signal(os.Interrupt))
	require.NoError(t, adapter.Wait(), "%s", log)
}

// caller waits for a call that is up and answers its calling channel's uniqueid.
func caller(t *testing.T, asterisk *lab.Asterisk) string {
	t.Helper()
	var found string
	require.Eventually(t, func() bool {
		out, err := asterisk.Command(t.Context(), "core show channels concise")
		if err != nil {
			return false
		}
		for line := range strings.Lines(out) {
			if fields := strings.Split(line, "!"); len(fields) > 13 && fields[4] == "Up" && fields[5] == "Dial" {
				found = strings.TrimSpace(fields[13])
			}
		}
		return found != ""
	}, time.Minute, 20*time.Millisecond)
	return found
}
