// Package stage is the real adapter beside a real Asterisk with phones that call each
// other, on a real network: what the adapter's measurements are made on.
package stage

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	adapter "github.com/callseal/callseal/asterisk-adapter"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/network/networktest"
)

// patience bounds what has to happen sooner or later.
const patience = 2 * time.Minute

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

// Mixed are the digits before a phone's number that have a call recorded into one mixed
// file, as the product's own dialplan does.
const Mixed = "11"

// Stage is an adapter beside an Asterisk, on a network.
type Stage struct {
	// Asterisk is the PBX.
	Asterisk *lab.Asterisk
	// Config is the adapter's, for its next start.
	Config *adapter.Config

	network *networktest.Network
	gateway string // the name of its node
	command *exec.Cmd
	log     *follower
}

// New starts a network and an Asterisk; both end with the test or benchmark.
func New(tb testing.TB) *Stage {
	tb.Helper()
	installed := lab.Require(tb)
	s := &Stage{network: networktest.Start(tb, networktest.WithGateways())}
	var err error
	s.Asterisk, err = installed.Start(tb.Context(), lab.Options{Files: map[string]string{"extensions.conf": dialplan}, Modules: []string{"format_sln"}})
	require.NoError(tb, err)
	tb.Cleanup(s.Asterisk.Stop)
	require.NoError(tb, s.Asterisk.RegisterPhones(tb.Context()))
	owner := s.network.Consortium().Operators[0]
	s.gateway = strings.ToLower(owner.Name) + "-gateway"
	org := s.network.Layout().Operator(owner.Name)
	identity := org.Identity(owner.PBXs[0])
	who, err := user.Current()
	require.NoError(tb, err)
	s.Config = &adapter.Config{
		MSP: owner.MSP, PBX: owner.PBXs[0], StateDir: tb.TempDir(), User: who.Username,
		Gateway:    adapter.GatewayConfig{Address: owner.Gateway.Address, CAFile: org.TLSCAFile()},
		Identity:   adapter.IdentityConfig{CertFile: identity.CertFile(), KeyFile: identity.KeyFile()},
		CDR:        adapter.CDRConfig{CSV: s.Asterisk.CSV()},
		AMI:        &adapter.AMIConfig{Address: s.Asterisk.AMI(), User: lab.User, Secret: s.Asterisk.Secret()},
		ARI:        &adapter.ARIConfig{URL: s.Asterisk.ARI(), User: lab.User, Password: s.Asterisk.Secret(), Recordings: s.Asterisk.ARIRecordingDir()},
		Recordings: adapter.RecordingsConfig{Folder: s.Asterisk.RecordingDir(), Closed: s.Asterisk.ClosedDir(), Due: "answered"},
		Contexts:   map[string]string{"lab": "internal", "call": "internal"}, LogLevel: "info",
	}
	return s
}

// Start starts the real program, which ends with the test or benchmark.
func (s *Stage) Start(tb testing.TB) {
	tb.Helper()
	text, err := yaml.Marshal(s.Config)
	require.NoError(tb, err)
	file := filepath.Join(tb.TempDir(), "adapter.yaml")
	require.NoError(tb, os.WriteFile(file, text, 0o600))
	s.command = exec.Command(filepath.Join(networktest.Build(tb, "callseal-asterisk-adapter"), "callseal-asterisk-adapter"), "--config", file) //nolint:noctx // it is interrupted, not killed
	out, in, err := os.Pipe()
	require.NoError(tb, err)
	s.command.Stderr = in
	require.NoError(tb, s.command.Start())
	require.NoError(tb, in.Close())
	s.log = follow(out)
	tb.Cleanup(func() {
		_ = s.command.Process.Signal(os.Interrupt)
		_ = s.command.Wait()
	})
	s.Wait(tb, func(lines []Line) bool { return has(lines, "AMI connected") && has(lines, "ARI connected") })
}

// Forget drops what the adapter's log has said.
func (s *Stage) Forget() { s.log.forget() }

// Wait waits until the adapter's log since the last Forget has said enough.
func (s *Stage) Wait(tb testing.TB, enough func([]Line) bool) []Line {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	lines, err := s.log.until(ctx, enough)
	if err != nil {
		tb.Fatalf("the adapter has not done within %s what it should: %v; its log: %+v", patience, err, lines)
	}
	return lines
}

func has(lines []Line, msg string) bool {
	for i := range lines {
		if lines[i].Msg == msg {
			return true
		}
	}
	return false
}
