package lab

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/pbx"
)

// consentModules are loaded where calls are asked for consent or paused.
var consentModules = strings.Fields(`app_userevent app_system app_senddtmf func_timeout res_pjsip_dtmf_info`)

// ControlUser and ConsentUser are the AMI and ARI accounts of pbx that may act. Their
// password is Secret.
const (
	ControlUser = "callseal-control"
	ConsentUser = "callseal-consent"
)

// addConsent adds pbx's files for consent and pauses.
func (a *Asterisk) addConsent(files map[string]string) error {
	for _, name := range []string{pbx.ConsentARI, pbx.ConsentDialplan, pbx.Control, pbx.Features} {
		content, err := fs.ReadFile(pbx.Files, name)
		if err != nil {
			return err
		}
		files[name] = strings.ReplaceAll(string(content), pbx.Placeholder, a.secret)
	}
	// Time enough on a busy machine, and none to lose where an adapter hangs.
	files[pbx.ConsentDialplan] = strings.Replace(files[pbx.ConsentDialplan], "TIMEOUT(absolute)=30", "TIMEOUT(absolute)=12", 1)
	files["ari.conf"] += "#include " + pbx.ConsentARI + "\n"
	files["manager.conf"] += "#include " + pbx.Control + "\n"
	files["features.conf"] += "#include " + pbx.Features + "\n"
	files["extensions.conf"] += consentDialplan
	return writeTone(a.Announcement(), AnnouncementHz, announcementLength)
}

// AnnouncementHz is the tone that stands for an announcement.
const (
	AnnouncementHz     = 620
	announcementLength = time.Second
)

// Asks goes before a number, where Options say Consent: the caller is asked first.
const Asks = "9"

// consentDialplan asks the callers of numbers that begin with Asks.
const consentDialplan = `
#include extensions_callseal_consent.conf

[lab]
exten => _9XXXX,1,Goto(asked,${EXTEN:1},1)

[asked]
exten => _X.,1,Set(CDR(userfield)=${CHANNEL(pjsip,call-id)})
 same => n,Gosub(callseal-consent,s,1(,${EXTEN}))
 same => n,Dial(PJSIP/${EXTEN},30,b(callseal-called^s^1))
 same => n,Hangup()
`

// Announcement is the sound file that is played to those who are asked.
func (a *Asterisk) Announcement() string { return a.path("spool", "announcement.wav") }

// ConsentDir is where the dialplan leaves its marks, and EvidenceDir where evidence of
// consent lies.
func (a *Asterisk) ConsentDir() string {
	return a.path("spool", filepath.FromSlash(pbx.ConsentDir))
}

// EvidenceDir is where evidence of consent lies.
func (a *Asterisk) EvidenceDir() string {
	return a.path("spool", filepath.FromSlash(pbx.EvidenceDir))
}

// writeTone writes a sine as a WAV of 16 bits at 8 kHz.
func writeTone(path string, hz int, length time.Duration) error {
	samples := int(length.Milliseconds()) * 8
	le := binary.LittleEndian
	out := append([]byte("RIFF"), le.AppendUint32(nil, uint32(36+2*samples))...)                                         //nolint:gosec // seconds
	out = append(out, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data"...) // PCM, mono
	out = le.AppendUint32(out, uint32(2*samples))                                                                        //nolint:gosec // as above
	for n := range samples {
		out = le.AppendUint16(out, uint16(int16(8000*math.Sin(2*math.Pi*float64(hz)*float64(n)/8000)))) //nolint:gosec // two's complement
	}
	return os.WriteFile(path, out, 0o600)
}

// info presses a key (application/dtmf-relay in SIP INFO): RFC 4733 would take SIPp
// privileges.
const info = `  <pause milliseconds="PAUSE"/>
  <send retrans="500"><![CDATA[
INFO [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:[field0]@[remote_ip]>;tag=[pid]c[call_number]
[last_To:]
Call-ID: [call_id]
CSeq: %d INFO
Max-Forwards: 70
Content-Type: application/dtmf-relay
Content-Length: [len]

Signal=%c
Duration=100
]]></send>
  <recv response="200"/>
`

// presses are what is to be replaced in a scenario for a caller that presses keys.
func presses(call Call) ([]string, error) {
	if call.Press == "" {
		return nil, nil
	}
	if strings.Trim(call.Press, "0123456789*#") != "" {
		return nil, fmt.Errorf("%q are not keys of a telephone", call.Press)
	}
	const every = 500 * time.Millisecond
	var steps strings.Builder
	seq := 3
	for range max(1, int(call.Duration/every)) {
		for i, key := range call.Press {
			pause := 100 * time.Millisecond
			if i == 0 {
				pause = every - time.Duration(len(call.Press)-1)*pause
			}
			steps.WriteString(strings.ReplaceAll(fmt.Sprintf(info, seq, key), "PAUSE", fmt.Sprint(pause.Milliseconds())))
			seq++
		}
	}
	return []string{"  <pause/>\n", steps.String(), "CSeq: 9 BYE", fmt.Sprintf("CSeq: %d BYE", seq)}, nil
}
