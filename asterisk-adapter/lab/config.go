package lab

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/callseal/callseal/asterisk-adapter/pbx"
)

// modules are all that recorded calls between two PJSIP phones, AMI, ARI and
// CDRs need. An explicit list boots in half the time of autoload.
var modules = strings.Fields(`
	res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb
	res_pjproject res_pjsip res_pjsip_session res_pjsip_sdp_rtp res_pjsip_pubsub
	res_pjsip_registrar res_pjsip_authenticator_digest res_pjsip_caller_id
	res_pjsip_endpoint_identifier_user res_pjsip_endpoint_identifier_ip
	res_rtp_asterisk chan_pjsip chan_bridge_media
	bridge_simple bridge_softmix bridge_native_rtp bridge_holding
	codec_ulaw codec_alaw format_wav format_pcm
	pbx_config app_dial app_mixmonitor app_stack app_verbose app_exec app_cdr app_echo app_playtones app_originate app_userevent
	func_callerid func_channel func_cdr func_logic func_strings func_hangupcause func_global func_env func_uri
	cdr_csv cdr_manager res_security_log res_clioriginate
	res_http_websocket res_websocket_client res_stasis res_stasis_answer res_stasis_playback
	res_stasis_recording res_stasis_snoop res_stasis_device_state app_stasis
	res_ari res_ari_model res_ari_applications res_ari_asterisk res_ari_bridges
	res_ari_channels res_ari_events res_ari_recordings res_ari_endpoints`)

// Numbers of the lab's phones.
const (
	// Caller places calls.
	Caller = "1001"
	// Answers picks up at once, in as many calls as there are.
	Answers = "1002"
	// Busy refuses with 486.
	Busy = "1003"
	// Rings is never picked up: after a second the dialplan gives up (480).
	Rings = "1004"
	// RingsLong is never picked up either, for 30 s: time to cancel.
	RingsLong = "1005"

	// The rest are there where Options.Phones names them.

	// Early plays something for 400 ms before it answers (183 with SDP).
	Early = "1006"
	// Forwards sends its calls to Answers (302).
	Forwards = "1007"
	// Second answers as Answers does.
	Second = "1008"
	// ALaw and Wide call, in PCMA and in G.722.
	ALaw = "1009"
	Wide = "1010"
	// Secure calls over TLS, with SDES-SRTP.
	Secure = "1011"
	// Transfers answers, and a second later transfers the caller to Second, blindly.
	Transfers = "1012"
	// Gone refuses with 404.
	Gone = "1013"
	// Failing refuses with 503.
	Failing = "1016"
	// Absent is a number whose phone is not registered.
	Absent = "1014"
)

// always are the phones that every lab has.
var always = []string{Caller, Answers, Busy, Rings, RingsLong}

// phones are those of this lab.
func (a *Asterisk) phones() []string { return slices.Concat(always, a.opts.Phones) }

// writeConfig renders Asterisk's configuration folder: pbx's files as they
// are, with secrets filled in, and around them what an existing PBX would
// already have.
func (a *Asterisk) writeConfig(opts Options) error {
	files := make(map[string]string)
	for _, name := range []string{pbx.CDR, pbx.CDRManager, pbx.Manager, pbx.ARI, pbx.Dialplan} {
		content, err := fs.ReadFile(pbx.Files, name)
		if err != nil {
			return err
		}
		files[name] = strings.ReplaceAll(string(content), pbx.Placeholder, a.secret)
	}
	if opts.LocalTimes {
		files[pbx.CDR] = strings.Replace(files[pbx.CDR], "usegmtime = yes", "usegmtime = no", 1)
	}
	if opts.NoCSV {
		before, _, _ := strings.Cut(files[pbx.CDR], "[csv]")
		files[pbx.CDR] = before
	}

	load := slices.Concat(modules, opts.Modules)
	if opts.Consent {
		load = append(load, consentModules...)
	}
	if opts.Table != nil {
		load = append(load, tableModules...)
		more, err := opts.Table.files(a.inst.driver())
		if err != nil {
			return err
		}
		maps.Copy(files, more)
	}
	if opts.NoCSV {
		load = slices.DeleteFunc(load, func(m string) bool { return m == "cdr_csv" })
	}
	var list strings.Builder
	list.WriteString("[modules]\nautoload=no\n")
	for _, m := range load {
		fmt.Fprintf(&list, "load=%s.so\n", m)
	}
	files["modules.conf"] = list.String()

	var dirs strings.Builder
	dirs.WriteString("[directories]\n")
	for _, d := range [][2]string{
		{"astetcdir", a.path("etc")}, {"astdbdir", a.path("db")}, {"astkeydir", a.path("db")},
		{"astspooldir", a.path("spool")}, {"astrundir", a.runDir}, {"astlogdir", a.path("log")},
		{"astcachedir", a.path("cache")},
	} {
		fmt.Fprintf(&dirs, "%s => %s\n", d[0], d[1])
	}
	if a.inst.tree != "" {
		fmt.Fprintf(&dirs, "astmoddir => %s\n", filepath.Join(a.inst.lib, "asterisk", "modules"))
		fmt.Fprintf(&dirs, "astvarlibdir => %s\n", filepath.Join(a.inst.tree, "var", "lib", "asterisk"))
		fmt.Fprintf(&dirs, "astdatadir => %s\n", filepath.Join(a.inst.tree, "usr", "share", "asterisk"))
	}
	fmt.Fprintf(&dirs, "[options]\nverbose = %d\n", opts.Verbose)
	files["asterisk.conf"] = dirs.String()

	// Asterisk complains of these when they are missing.
	for _, name := range []string{"acl.conf", "ccss.conf", "cel.conf", "features.conf", "indications.conf", "pjproject.conf", "udptl.conf", "websocket_client.conf"} {
		files[name] = "[general]\n"
	}
	files["logger.conf"] = "[general]\ndateformat=%F %T.%3q\n[logfiles]\nmessages.log => notice,warning,error,verbose\n"
	files["stasis.conf"] = "[threadpool]\ninitial_size = 5\n"
	files["rtp.conf"] = "[general]\nrtpstart=10000\nrtpend=19999\nstrictrtp=no\n"
	files["manager.conf"] = fmt.Sprintf("[general]\nenabled = %s\nbindaddr = %s\nport = %s\ntimestampevents = yes\n#include %s\n[%s]\nsecret = %s\nread = all\nwrite = all\n", yes(!opts.NoAMI), a.ip, amiPort, pbx.Manager, controlUser, a.secret)
	files["http.conf"] = fmt.Sprintf("[general]\nenabled = %s\nbindaddr = %s\nbindport = %s\n", yes(!opts.NoARI), a.ip, ariPort)
	files["ari.conf"] = "#include " + pbx.ARI + "\n" + a.controlUser()
	files["extensions.conf"] = dialplan
	files["pjsip.conf"] = a.pjsip()
	if slices.Contains(opts.Phones, Secure) {
		if err := a.certificate(); err != nil {
			return err
		}
	}

	if opts.Consent {
		if err := a.addConsent(files); err != nil {
			return err
		}
	}
	for name, content := range opts.Files {
		files[name] = content
	}
	for name, content := range files {
		if err := os.WriteFile(a.path("etc", name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// controlUser is a second account, for tests that have to act.
func (a *Asterisk) controlUser() string {
	return fmt.Sprintf("\n[%s]\ntype = user\nread_only = no\npassword = %s\n", controlUser, a.secret)
}

// dialplan records every call between the phones. The userfield carries the
// SIP Call-ID, so that a phone's call and its record can be matched.
const dialplan = `[general]
static = yes
writeprotect = yes
#include extensions_callseal.conf

[lab]
exten => _X.,1,Set(CDR(userfield)=${CHANNEL(pjsip,call-id)})
 same => n,Gosub(callseal-record,s,1)
 same => n,Dial(PJSIP/${EXTEN},${IF($["${EXTEN}" = "1004"]?1:30)})
 same => n,Hangup(${IF($["${DIALSTATUS}" = "NOANSWER"]?19:${HANGUPCAUSE})})
`

func contextOf(phone string) string {
	if phone == Trunk {
		return "from-trunk"
	}
	return "lab"
}

func (a *Asterisk) pjsip() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[udp]\ntype=transport\nprotocol=udp\nbind=%s:%s\n", a.ip, sipPort)
	if slices.Contains(a.opts.Phones, Secure) {
		fmt.Fprintf(&b, "\n[tls]\ntype=transport\nprotocol=tls\nbind=%s:%s\ncert_file=%s\npriv_key_file=%s\nmethod=tlsv1_2\n", a.ip, sipsPort, a.path("etc", certFile), a.path("etc", keyFile))
	}
	for _, phone := range a.phones() {
		transport, codec := "udp", mediaOf(phone).asterisk
		if phone == Secure {
			transport, codec = "tls", codec+"\nmedia_encryption=sdes"
		}
		fmt.Fprintf(&b, "\n[%[1]s]\ntype=endpoint\ntransport=%[4]s\ncontext=%[6]s\ndisallow=all\nallow=%[5]s\ndirect_media=no\nbind_rtp_to_media_address=yes\nmedia_address=%[3]s\nauth=%[1]s\naors=%[1]s\n"+
			"\n[%[1]s]\ntype=auth\nauth_type=userpass\nusername=%[1]s\npassword=%[2]s\n"+
			"\n[%[1]s]\ntype=aor\nmax_contacts=1\nremove_existing=yes\nqualify_frequency=0\n", phone, a.secret, a.ip, transport, codec, contextOf(phone))
	}
	return b.String()
}
