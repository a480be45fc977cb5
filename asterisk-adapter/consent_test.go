package adapter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	pb "github.com/callseal/callseal/api/callseal/v1"
	"github.com/callseal/callseal/asterisk-adapter/ami"
	"github.com/callseal/callseal/asterisk-adapter/consent"
	"github.com/callseal/callseal/asterisk-adapter/lab"
	"github.com/callseal/callseal/asterisk-adapter/pbx"
	"github.com/callseal/callseal/asterisk-adapter/recording"
	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/network/networktest"
)

// TestConsent has a real Asterisk ask real phones whether their calls may be recorded,
// and holds what they said against the bytes on disk and what is on the ledger.
func TestConsent(t *testing.T) {
	s := newConsentScene(t)
	for _, story := range []struct {
		name string
		tell func(*testing.T)
	}{
		{"examined", s.testConsentExamined},
		{"nobody there", s.testNobodyAsks},
		{"denied", s.testDenied},
		{"granted, paused, revoked by the called party", s.testGranted},
		{"revoked on the ledger", s.testRevokedElsewhere},
		{"silent", s.testSilent},
		{"gateway stopped, adapter killed", s.testConsentSurvives},
		{"adapter hangs", s.testAskerHangs},
	} {
		if !t.Run(story.name, story.tell) {
			return
		}
	}
}

// consentScene is a scene whose Asterisk asks.
type consentScene struct {
	*scene
	staff string // the file that proves the called parties' consent

	control *ami.Session
}

func newConsentScene(t *testing.T) *consentScene {
	t.Helper()
	installation := lab.Require(t)
	s := &consentScene{scene: &scene{placed: map[string]placed{}}, staff: filepath.Join(t.TempDir(), "agreement.pdf")}
	require.NoError(t, os.WriteFile(s.staff, []byte("calls of the service desk are recorded"), 0o600))
	var err error
	var group sync.WaitGroup
	group.Go(func() {
		if s.asterisk, err = installation.Start(t.Context(), lab.Options{Consent: true}); err == nil {
			err = s.asterisk.RegisterPhones(t.Context())
		}
	})
	s.network = networktest.Start(t, networktest.WithGateways())
	group.Wait()
	require.NoError(t, err)
	t.Cleanup(s.asterisk.Stop)
	s.owner = s.network.Consortium().Operators[0]
	s.org = s.network.Layout().Operator(s.owner.Name)
	s.auditor, s.compliance = s.dial(t, "auditor"), s.dial(t, "compliance")
	s.control = ami.New(ami.Options{Address: s.asterisk.AMI(), User: lab.ControlUser, Secret: s.asterisk.Secret(), Events: "off"})
	connected := make(chan struct{}, 1)
	go func() {
		_ = s.control.Run(t.Context(), ami.Handler{Connected: func(int) {
			select {
			case connected <- struct{}{}:
			default:
			}
		}})
	}()
	<-connected
	return s
}

func (s *consentScene) config(t *testing.T, state string) *Config {
	t.Helper()
	config := s.scene.config(t, state, "csv", "ari")
	config.ARI.Recordings = s.asterisk.ARIRecordingDir()
	config.Contexts = map[string]string{"asked": "internal"}
	config.Recordings.PairWait, config.Recordings.OmissionAfter, config.Recordings.PauseAlarm = "1s", "1s", "300ms"
	config.Control = &ControlConfig{Address: s.asterisk.AMI(), User: lab.ControlUser, Secret: s.asterisk.Secret()}
	config.Consent = &ConsentConfig{
		ARI:          ARIConfig{URL: s.asterisk.ARI(), User: lab.ConsentUser, Password: s.asterisk.Secret()},
		Announcement: s.asterisk.Announcement(), Evidence: s.asterisk.EvidenceDir(), Marks: s.asterisk.ConsentDir(), StaffEvidence: s.staff,
	}
	require.NoError(t, config.check())
	return config
}

func (s *consentScene) run(t *testing.T, config *Config) *running {
	t.Helper()
	r := run(t, config)
	s.ready(t, r.logbook)
	return r
}

func (s *consentScene) ready(t *testing.T, log *logbook) {
	t.Helper()
	log.until(t, "ARI connected for consent", 1)
	log.until(t, "AMI connected for control", 1)
}

// call is a call that is up.
type call struct {
	*consentScene
	uniqueID       string // and linkedid
	caller, called string // the channels
	ended          chan error
}

// begin places a call and returns when its channel is there.
func (s *consentScene) begin(t *testing.T, of lab.Call) *call {
	t.Helper()
	before := s.channels(t)
	c := &call{consentScene: s, ended: make(chan error, 1)}
	of.To = lab.Asks + lab.Answers
	go func() {
		_, err := s.asterisk.PlaceCall(t.Context(), of)
		c.ended <- err
	}()
	require.Eventually(t, func() bool {
		for id, name := range s.channels(t) {
			if before[id] == "" && strings.HasPrefix(name, "PJSIP/"+lab.Caller+"-") {
				c.uniqueID, c.caller = id, name
			}
		}
		return c.uniqueID != ""
	}, patience, 10*time.Millisecond, "the call is there")
	return c
}

// up waits until the called phone has answered.
func (c *call) up(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, name := range c.channels(t) {
			if strings.HasPrefix(name, "PJSIP/"+lab.Answers+"-") {
				c.called = name
			}
		}
		return c.called != ""
	}, patience, 10*time.Millisecond, "the called phone has answered")
}

func (c *call) end(t *testing.T) {
	t.Helper()
	require.NoError(t, <-c.ended)
}

// hangUp ends a call whose caller waits for that.
func (c *call) hangUp(t *testing.T) {
	t.Helper()
	_, err := c.control.Action(t.Context(), "Hangup", ami.Header{Name: "Channel", Value: c.caller})
	require.NoError(t, err)
	c.end(t)
}

// channels are the names of those that are up, by uniqueid.
func (s *consentScene) channels(t *testing.T) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	listed, err := s.control.List(ctx, "Status")
	require.NoError(t, err)
	up := map[string]string{}
	for _, event := range listed {
		id, _ := event.Get("Uniqueid")
		up[id], _ = event.Get("Channel")
	}
	return up
}

// press has keys come in on a channel, as if its phone had sent them.
func (c *call) press(t *testing.T, channel, keys string) {
	t.Helper()
	for _, key := range keys {
		_, err := c.control.Action(t.Context(), "PlayDTMF", ami.Header{Name: "Channel", Value: channel}, ami.Header{Name: "Digit", Value: string(key)}, ami.Header{Name: "Duration", Value: "60"}, ami.Header{Name: "Receive", Value: "true"})
		require.NoError(t, err)
		time.Sleep(120 * time.Millisecond)
	}
}

// closed says whether the call's recording is whole.
func (c *call) closed() bool {
	content, err := os.ReadFile(c.file())
	if err != nil {
		return false
	}
	_, err = recording.ReadWAVHeader(content, int64(len(content)))
	return err == nil
}

func (c *call) file() string { return c.wav(c.uniqueID) }

// statements are those on the ledger, once there are so many.
func (c *call) statements(t *testing.T, count int) map[string]*pb.ConsentStatement {
	t.Helper()
	var found []*pb.Consent
	require.Eventually(t, func() bool {
		response, err := pb.NewConsentServiceClient(c.auditor).ListConsents(t.Context(), &pb.ListConsentsRequest{Pbx: c.owner.PBXs[0], Linkedid: c.uniqueID})
		found = response.GetConsents()
		return err == nil && len(found) >= count
	}, 2*patience, 20*time.Millisecond, "%d statements are on the ledger", count)
	require.Len(t, found, count)
	last := map[string]*pb.ConsentStatement{}
	for _, one := range found {
		last[one.GetStatement().GetPartyRef()] = one.GetStatement()
	}
	return last
}

// leg is the call's on the ledger.
func (c *call) leg(t *testing.T) *pb.Call {
	t.Helper()
	var leg *pb.Call
	require.Eventually(t, func() bool {
		listed, err := pb.NewCallServiceClient(c.auditor).ListLegs(t.Context(), &pb.ListLegsRequest{Msp: c.owner.MSP, Pbx: c.owner.PBXs[0], Linkedid: c.uniqueID})
		if err == nil && len(listed.GetCalls()) == 1 {
			leg = listed.GetCalls()[0]
		}
		return leg != nil
	}, 2*patience, 20*time.Millisecond, "the leg is on the ledger")
	require.Equal(t, ledger.Answered, leg.GetDisposition())
	require.True(t, leg.GetRecordingDue())
	return leg
}

// recorded is the call's recording on the ledger, which the file is.
func (c *call) recorded(t *testing.T) *pb.Recording {
	t.Helper()
	var found []*pb.Recording
	require.Eventually(t, func() bool {
		listed, err := pb.NewRecordingServiceClient(c.auditor).ListRecordings(t.Context(), &pb.ListRecordingsRequest{Msp: c.owner.MSP, Pbx: c.owner.PBXs[0], Linkedid: c.uniqueID})
		found = listed.GetRecordings()
		return err == nil && len(found) > 0
	}, 2*patience, 20*time.Millisecond, "the recording is on the ledger")
	require.Len(t, found, 1)
	c.requireRecording(t, c.file(), "mixmonitor", found[0])
	return found[0]
}

// requireUnrecorded checks that no byte of the call is on disk, and that the ledger
// says why.
func (c *call) requireUnrecorded(t *testing.T, reason string) {
	t.Helper()
	c.leg(t)
	require.Eventually(t, func() bool {
		listed, err := pb.NewCallServiceClient(c.auditor).ListOmissions(t.Context(), &pb.ListOmissionsRequest{Msp: c.owner.MSP, Pbx: c.owner.PBXs[0], Linkedid: c.uniqueID})
		if err != nil {
			return false
		}
		for _, one := range listed.GetOmissions() {
			if one.GetLeg().GetUniqueid() == c.uniqueID {
				return one.GetReason() == reason
			}
		}
		return false
	}, 2*patience, 20*time.Millisecond, "an omission says %s", reason)
	c.requireNoFile(t)
}

// requireNoFile looks for the call in every folder where recordings come to lie.
func (c *call) requireNoFile(t *testing.T) {
	t.Helper()
	for _, folder := range []string{c.asterisk.RecordingDir(), c.asterisk.ARIRecordingDir()} {
		files, err := filepath.Glob(filepath.Join(folder, "*"+c.uniqueID+"*"))
		require.NoError(t, err)
		require.Empty(t, files)
	}
}

// allowed is the ledger's word on the call now.
func (c *call) allowed(t *testing.T, parties ...string) bool {
	t.Helper()
	response, err := pb.NewConsentServiceClient(c.auditor).GetConsentStanding(t.Context(), &pb.GetConsentStandingRequest{Pbx: c.owner.PBXs[0], Linkedid: c.uniqueID, Purpose: ledger.PurposeRecording, Parties: parties})
	require.NoError(t, err)
	return response.GetDecision().GetAllowed()
}

// requireNoViolation checks that nothing was recorded against anybody's word.
func (c *call) requireNoViolation(t *testing.T) {
	t.Helper()
	client := pb.NewConsentServiceClient(c.auditor)
	due, err := client.ListDueViolations(t.Context(), &pb.ListDueViolationsRequest{Pbx: c.owner.PBXs[0], Linkedid: c.uniqueID})
	require.NoError(t, err)
	require.Empty(t, due.GetReports())
	stand, err := client.ListViolations(t.Context(), &pb.ListViolationsRequest{Pbx: c.owner.PBXs[0]})
	require.NoError(t, err)
	require.Empty(t, stand.GetViolations())
}

// requireEvidence finds the evidence of a statement by its digest, and its audio: the
// announcement, and nothing of the caller's tone.
func (s *consentScene) requireEvidence(t *testing.T, statement *pb.ConsentStatement) consent.Evidence {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.asterisk.EvidenceDir(), "*.json"))
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if ledger.Digest(text) != statement.GetEvidenceDigest() {
			continue
		}
		var evidence consent.Evidence
		require.NoError(t, ledger.DecodeStrict(text, &evidence))
		require.Equal(t, statement.GetStatus(), evidence.Status)
		require.Equal(t, statement.GetMethod(), evidence.Method)
		require.Equal(t, statement.GetPartyRef(), evidence.Party)
		require.Equal(t, statement.GetLinkedid(), evidence.LinkedID)
		if evidence.Announcement != "" {
			played, err := consent.FileDigest(s.asterisk.Announcement())
			require.NoError(t, err)
			require.Equal(t, played, evidence.Announcement)
			audio := strings.TrimSuffix(file, ".json") + ".wav"
			heard, err := consent.FileDigest(audio)
			require.NoError(t, err)
			require.Equal(t, heard, evidence.Audio)
			sound := listen(t, audio)
			require.Positive(t, sound.has(lab.AnnouncementHz), "the announcement is heard")
			require.Zero(t, sound.has(lab.CallerHz), "the caller is not")
		}
		return evidence
	}
	require.Fail(t, "there is no evidence of that digest")
	return consent.Evidence{}
}

// testConsentExamined has the doctor look: nothing is to be changed; then at one thing
// after the other that is not as it should be.
func (s *consentScene) testConsentExamined(t *testing.T) {
	found := Examine(t.Context(), s.config(t, t.TempDir()), s.asterisk.ConfigDir())
	for _, one := range found {
		require.NotEqual(t, Wrong, one.Verdict, "%+v", one)
	}
	for _, where := range []string{pbx.Control + ":", pbx.ConsentARI + ":", pbx.Features + ":", "extensions.conf", "logger.conf", "consent.announcement", "consent.evidence", "consent.marks", "AMI for control", "ARI for consent"} {
		require.True(t, verdictOf(found, Right, where, ""), "%s: %+v", where, found)
	}
	for _, c := range []struct{ file, old, changed, where, says string }{
		{pbx.Control, "read = call,user", "read = call", pbx.Control + ":", "add user to read"},
		{pbx.Control, "write = call", "write =", pbx.Control + ":", "add call to write"},
		{pbx.Control, "[callseal-control]", "[another]", "manager.conf", "set control.user"},
		{pbx.ConsentARI, "read_only = no", "read_only = yes", pbx.ConsentARI + ":", "the adapter cannot ask"},
		{pbx.ConsentARI, "type = user", "", "ari.conf", "set consent.ari.user"},
		{pbx.Features, "callseal-revoke =>", "other =>", "features.conf", "include asterisk-adapter/pbx/features_callseal.conf"},
		{pbx.ConsentDialplan, "[callseal-pause]", "[other]", "extensions.conf", "#include extensions_callseal_consent.conf"},
		{"logger.conf", "notice,warning", "notice,dtmf,warning", "logger.conf:", "take dtmf away"},
		{"modules.conf", "load=app_system.so", "", "modules.conf", "leaves no marks"},
	} {
		folder := filepath.Join(t.TempDir(), "etc")
		require.NoError(t, os.CopyFS(folder, os.DirFS(s.asterisk.ConfigDir())))
		file := filepath.Join(folder, c.file)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(text), c.old, c.file)
		require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), c.old, c.changed, 1)), 0o600))
		found := Examine(t.Context(), s.config(t, t.TempDir()), folder)
		require.True(t, verdictOf(found, Wrong, c.where, c.says), "%s without %q: %+v", c.file, c.old, found)
	}
	for where, change := range map[string]func(*Config){
		"AMI for control":      func(c *Config) { c.Control.Secret = "wrong" },
		"ARI for consent":      func(c *Config) { c.Consent.ARI.Password = "wrong" },
		"consent.announcement": func(c *Config) { c.Consent.Announcement += ".gone" },
		"consent.marks":        func(c *Config) { c.Consent.Marks = "/nowhere" },
	} {
		config := s.config(t, t.TempDir())
		change(config)
		require.True(t, verdictOf(Examine(t.Context(), config, s.asterisk.ConfigDir()), Wrong, where, ""), where)
	}
}

func (s *consentScene) testNobodyAsks(t *testing.T) {
	c := s.begin(t, lab.Call{Duration: 700 * time.Millisecond})
	c.end(t)
	c.requireNoFile(t)
	r := s.run(t, s.config(t, t.TempDir()))
	c.requireUnrecorded(t, ledger.OmissionMissing)
	require.NoError(t, r.stop())
}

// testDenied: the phone presses 2 by SIP INFO until it is heard.
func (s *consentScene) testDenied(t *testing.T) {
	r := s.run(t, s.config(t, t.TempDir()))
	c := s.begin(t, lab.Call{Duration: 3 * time.Second, Press: "2"})
	c.up(t)
	c.requireNoFile(t)
	c.end(t)
	c.requireUnrecorded(t, ledger.OmissionForbidden)
	leg := c.leg(t)
	statements := c.statements(t, 2)
	said := statements[leg.GetCallerRef()]
	require.Equal(t, []string{ledger.ConsentDenied, ledger.MethodDTMF}, []string{said.GetStatus(), said.GetMethod()})
	require.Equal(t, "2", s.requireEvidence(t, said).Digit)
	require.Equal(t, ledger.MethodContract, statements[leg.GetCalleeRef()].GetMethod())
	require.False(t, c.allowed(t))
	require.NoError(t, r.stop())
}

// testGranted: nothing is on disk before the caller presses 1; then the called phone
// pauses the recording, forgets to resume, resumes, and withdraws its consent.
func (s *consentScene) testGranted(t *testing.T) {
	r := s.run(t, s.config(t, t.TempDir()))
	c := s.begin(t, lab.Call{Waits: true})
	r.until(t, "a party is asked", 1)
	c.requireNoFile(t)
	time.Sleep(500 * time.Millisecond) // of the announcement
	c.press(t, c.caller, "5")          // means nothing
	c.requireNoFile(t)
	c.press(t, c.caller, "1")
	r.until(t, "a party was asked whether the call may be recorded", 1)
	c.up(t)
	require.Eventually(t, func() bool {
		_, err := os.Stat(c.file())
		return err == nil
	}, patience, 10*time.Millisecond)
	time.Sleep(time.Second) // of both tones
	c.press(t, c.called, "*7")
	r.until(t, "a recording is paused", 1)
	// The card's number is pressed, and nobody resumes.
	const card = "4929314159" // fewer digits come up in digests now and then
	c.press(t, c.caller, card)
	r.until(t, "a recording was paused and nobody lets it go on", 1)
	c.press(t, c.called, "*8")
	r.until(t, "a recording goes on after a pause", 1)
	time.Sleep(time.Second)
	c.press(t, c.called, "*9")
	r.until(t, "a party has withdrawn its consent", 1)
	ended := listen(t, c.file())
	time.Sleep(700 * time.Millisecond)
	require.Equal(t, ended.length, listen(t, c.file()).length, "nothing is written any more")
	c.hangUp(t)

	leg, recorded := c.leg(t), c.recorded(t)
	statements := c.statements(t, 3)
	granted, revoked := statements[leg.GetCallerRef()], statements[leg.GetCalleeRef()]
	require.Equal(t, []string{ledger.ConsentGranted, ledger.MethodDTMF}, []string{granted.GetStatus(), granted.GetMethod()})
	require.Equal(t, []string{ledger.ConsentRevoked, ledger.MethodDTMF}, []string{revoked.GetStatus(), revoked.GetMethod()})
	require.Equal(t, "1", s.requireEvidence(t, granted).Digit)
	s.requireEvidence(t, revoked)
	require.False(t, c.allowed(t, leg.GetCallerRef(), leg.GetCalleeRef()))
	before, err := pb.NewConsentServiceClient(c.auditor).GetConsentStanding(t.Context(), &pb.GetConsentStandingRequest{
		Pbx: c.owner.PBXs[0], Linkedid: c.uniqueID, Purpose: ledger.PurposeRecording, Parties: []string{leg.GetCallerRef(), leg.GetCalleeRef()}, At: granted.GetGivenAt(),
	})
	require.NoError(t, err)
	require.True(t, before.GetDecision().GetAllowed())
	c.requireNoViolation(t)

	sound := listen(t, c.file())
	require.Len(t, recorded.GetPauses(), 1)
	from, to := time.Duration(recorded.GetPauses()[0].GetFromMs())*time.Millisecond, time.Duration(recorded.GetPauses()[0].GetToMs())*time.Millisecond
	require.Greater(t, to-from, 600*time.Millisecond)
	require.True(t, sound.silent(from, to), "digital silence within the pause %s to %s", from, to)
	for _, hz := range []int{lab.CallerHz, lab.CalleeHz} {
		require.Positive(t, sound.within(0, from).has(hz), "%d Hz before the pause", hz)
		require.Positive(t, sound.within(to, sound.length).has(hz), "%d Hz after it", hz)
	}
	require.NotContains(t, r.String(), card)
	_, page := r.get(t, "/metrics")
	for _, line := range []string{
		`callseal_adapter_pauses_total{outcome="alarmed"} 1`, `callseal_adapter_pauses_total{outcome="begun"} 1`, `callseal_adapter_paused_recordings 0`,
		`callseal_adapter_consent_statements_total{method="dtmf",status="granted"} 1`, `callseal_adapter_consents_total{outcome="delivered"} 3`, `callseal_adapter_consent_outbox 0`,
	} {
		require.Contains(t, page, line)
	}
	r.requireHealth(t)
	require.NoError(t, r.stop())
}

// testRevokedElsewhere: the agent's application pauses the recording and lets it go on,
// by AMI as such applications do; then compliance puts a revocation on the ledger while the call is up.
func (s *consentScene) testRevokedElsewhere(t *testing.T) {
	r := s.run(t, s.config(t, t.TempDir()))
	c := s.begin(t, lab.Call{Waits: true})
	r.until(t, "a party is asked", 1)
	c.press(t, c.caller, "1")
	c.up(t)
	var caller *pb.ConsentStatement
	for _, one := range c.statements(t, 2) {
		if one.GetMethod() == ledger.MethodDTMF {
			caller = one
		}
	}
	time.Sleep(time.Second)
	for _, state := range []string{"1", "0"} {
		_, err := s.control.Action(t.Context(), "MixMonitorMute", ami.Header{Name: "Channel", Value: c.caller}, ami.Header{Name: "Direction", Value: "both"}, ami.Header{Name: "State", Value: state})
		require.NoError(t, err)
		time.Sleep(800 * time.Millisecond)
	}
	_, err := pb.NewConsentServiceClient(c.compliance).DeclareConsent(t.Context(), &pb.DeclareConsentRequest{
		Pbx: s.owner.PBXs[0], Linkedid: c.uniqueID, PartyRef: caller.GetPartyRef(), Purpose: ledger.PurposeRecording, Status: ledger.ConsentRevoked,
		Method: ledger.MethodPortal, EvidenceDigest: strings.Repeat("ab", 32),
	})
	require.NoError(t, err)
	r.until(t, "consent was withdrawn: the recording was ended", 1)
	require.NotEmpty(t, s.channels(t)[c.uniqueID], "the call goes on")
	ended := listen(t, c.file()).length
	require.Positive(t, ended)
	c.hangUp(t)
	require.Len(t, c.recorded(t).GetPauses(), 1)
	require.Equal(t, ended, listen(t, c.file()).length)
	c.requireNoViolation(t)
	require.NoError(t, r.stop())
}

// testSilent: who hears the announcement and presses nothing has denied where all must
// consent, and granted where one party is enough.
func (s *consentScene) testSilent(t *testing.T) {
	for _, at := range []struct {
		jurisdiction, status, method string
	}{{"PT", ledger.ConsentDenied, ledger.MethodDTMF}, {"US-NY", ledger.ConsentGranted, ledger.MethodAnnouncement}} {
		config := s.config(t, t.TempDir())
		config.Consent.Jurisdiction, config.Consent.Wait, config.Consent.StaffEvidence = at.jurisdiction, "300ms", ""
		require.NoError(t, config.check())
		r := s.run(t, config)
		c := s.begin(t, lab.Call{Duration: 4 * time.Second})
		c.up(t)
		c.end(t)
		said := c.statements(t, 1)[c.leg(t).GetCallerRef()]
		require.Equal(t, []string{at.status, at.method, at.jurisdiction}, []string{said.GetStatus(), said.GetMethod(), said.GetJurisdiction()})
		require.Empty(t, s.requireEvidence(t, said).Digit)
		if at.status == ledger.ConsentGranted {
			c.recorded(t)
			require.True(t, c.allowed(t))
		} else {
			c.requireUnrecorded(t, ledger.OmissionForbidden)
		}
		require.NoError(t, r.stop())
	}
}

// testConsentSurvives: no gateway while the party is asked, and the adapter is killed
// when it has answered. The next one sends the call on as was said, it is recorded, and
// the statement comes onto the ledger once.
func (s *consentScene) testConsentSurvives(t *testing.T) {
	start := s.program(t, s.config(t, t.TempDir()))
	command, log := start()
	s.network.Stop("atlas-gateway")
	c := s.begin(t, lab.Call{Waits: true})
	log.until(t, "a party is asked", 1)
	c.press(t, c.caller, "1")
	log.until(t, "a party was asked whether the call may be recorded", 1)
	kill := func(command *exec.Cmd) {
		require.NoError(t, command.Process.Kill())
		require.Error(t, command.Wait())
	}
	kill(command)
	command, _ = start()
	c.up(t)
	require.Eventually(t, func() bool {
		_, err := os.Stat(c.file())
		return err == nil
	}, patience, 10*time.Millisecond)
	kill(command) // with the call up
	// With nobody there to mute it, a pause ends the recording; what is withdrawn is
	// marked.
	c.press(t, c.called, "*7")
	require.Eventually(t, func() bool { return c.closed() }, patience, 10*time.Millisecond, "the recording has ended")
	for marked := false; !marked; { // keys are not heard while the pause ends
		c.press(t, c.caller, "*9")
		time.Sleep(300 * time.Millisecond)
		marks, err := os.ReadDir(s.asterisk.ConsentDir())
		require.NoError(t, err)
		marked = len(marks) == 1
	}
	ended := listen(t, c.file()).length
	c.hangUp(t)
	require.Equal(t, ended, listen(t, c.file()).length)
	s.network.StartNode("atlas-gateway")
	command, _ = start()
	c.statements(t, 3)
	kill(command) // it may not know yet that they were delivered
	command, log = start()
	c.recorded(t)
	require.Equal(t, ledger.ConsentRevoked, c.statements(t, 3)[c.leg(t).GetCallerRef()].GetStatus())
	c.requireNoViolation(t)
	require.NoError(t, command.Process.Signal(os.Interrupt))
	require.NoError(t, command.Wait(), "%s", log)
}

// testAskerHangs: an adapter that is connected and does nothing holds nobody up for
// longer than the dialplan says, and what it says later does not count.
func (s *consentScene) testAskerHangs(t *testing.T) {
	command, log := s.program(t, s.config(t, t.TempDir()))()
	require.NoError(t, command.Process.Signal(syscall.SIGSTOP))
	c := s.begin(t, lab.Call{Waits: true})
	c.up(t)
	require.NoError(t, command.Process.Signal(syscall.SIGCONT))
	c.requireNoFile(t)
	require.NoError(t, command.Process.Signal(os.Interrupt))
	require.NoError(t, command.Wait(), "%s", log)
	c.requireNoFile(t)
	c.hangUp(t)
}

// program answers how to start the adapter as a program of its own.
func (s *consentScene) program(t *testing.T, config *Config) func() (*exec.Cmd, *logbook) {
	t.Helper()
	config.User = me(t)
	text, err := yaml.Marshal(config)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "adapter.yaml")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	program := filepath.Join(networktest.Build(t, "callseal-asterisk-adapter"), "callseal-asterisk-adapter")
	return func() (*exec.Cmd, *logbook) {
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
		log.until(t, "adapter ready", 1)
		s.ready(t, log)
		return command, log
	}
}

// sound is a WAV's audio.
type sound struct {
	samples []float64
	length  time.Duration
}

// listen reads a WAV of 16 bits at 8 kHz.
func listen(t *testing.T, path string) sound {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	header, err := recording.ReadWAVHeader(content, int64(len(content)))
	if errors.Is(err, recording.ErrUnfinished) {
		require.Fail(t, "the recording goes on")
	}
	require.NoError(t, err)
	require.Equal(t, uint32(8000), header.SampleRate)
	audio := content[header.DataOffset : header.DataOffset+header.DataBytes]
	s := sound{samples: make([]float64, len(audio)/2)}
	for i := range s.samples {
		s.samples[i] = float64(int16(binary.LittleEndian.Uint16(audio[2*i:])))
	}
	s.length = time.Duration(len(s.samples)) * time.Second / 8000
	return s
}

func (s sound) within(from, to time.Duration) sound {
	at := func(d time.Duration) int { return min(len(s.samples), int(d*8000/time.Second)) }
	return sound{s.samples[at(from):at(to)], to - from}
}

// silent says whether every sample is 0.
func (s sound) silent(from, to time.Duration) bool {
	for _, sample := range s.within(from, to).samples {
		if sample != 0 {
			return false
		}
	}
	return true
}

// has counts the windows of 100 ms in which a tone is heard.
func (s sound) has(hz int) int {
	const window = 800
	found := 0
	for at := 0; at+window <= len(s.samples); at += window {
		k := 2 * math.Cos(2*math.Pi*float64(hz)/8000)
		var s1, s2, power float64
		for _, x := range s.samples[at : at+window] {
			s1, s2, power = x+k*s1-s2, s1, power+x*x
		}
		if level := (s1*s1 + s2*s2 - k*s1*s2) / window; power > 0 && level > 0.05*power {
			found++
		}
	}
	return found
}

// String is for a test's message.
func (s sound) String() string { return fmt.Sprintf("%d samples", len(s.samples)) }
