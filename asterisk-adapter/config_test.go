package adapter

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/callseal/callseal/chaincode/ledger"
)

// wholeConfig has every member.
const wholeConfig = `msp: AtlasMSP
pbx: pbx1
state_dir: state
gateway:
  address: 127.0.0.1:7443
  server_name: gateway.atlas
  ca_file: tls/ca.pem
identity:
  cert_file: adapter.pem
  key_file: /keys/adapter.key
timezone: Europe/Lisbon
cdr:
  csv: log/Master.csv
  local_times: true
ami:
  address: 127.0.0.1:5038
  user: callseal
  secret_file: ami.secret
ari:
  url: http://127.0.0.1:8088/ari
  user: callseal
  password_file: ari.secret
  application: callseal2
  recordings: spool/recording
recordings:
  folder: spool/monitor
  closed: spool/closed
  due: answered
  pair_wait: 1500ms
control: {user: callseal-control, secret_file: control.secret}
consent:
  ari: {url: "http://127.0.0.1:8088/ari", user: callseal-consent, password_file: consent.secret}
  announcement: sounds/ask.wav
  jurisdiction: US-NY
  evidence: spool/recording/callseal-consent
  marks: spool/callseal/consent
  staff_evidence: agreement.pdf
contexts:
  from-trunk: inbound
  from-internal: outbound
  local: internal
trunks: [PJSIP/carrier, from-trunk]
locations:
  PJSIP/600: Lisboa
  10.0.0.0/8: Porto
party_key_file: party.key
devices:
  domain: PBX.Atlas.Example.
progress: answered
log_level: debug
`

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "adapter.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestLoadConfig(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, wholeConfig)
	config, err := LoadConfig(file)
	require.NoError(t, err)
	folder := filepath.Dir(file)
	require.Equal(t, filepath.Join(folder, "state"), config.StateDir, "paths are relative to the file's folder")
	require.Equal(t, "/keys/adapter.key", config.Identity.KeyFile)
	require.Equal(t, filepath.Join(folder, "ari.secret"), config.ARI.PasswordFile)
	require.Equal(t, filepath.Join(folder, "spool/recording"), config.ARI.Recordings)
	require.Equal(t, 1500*time.Millisecond, config.Recordings.pairWait)
	require.Equal(t, 10*time.Minute, config.Recordings.omissionAfter)
	require.Equal(t, 3*time.Minute, config.Recordings.pauseAlarm)
	require.Equal(t, &ControlConfig{Address: "127.0.0.1:5038", User: "callseal-control", SecretFile: filepath.Join(folder, "control.secret")}, config.Control)
	require.Equal(t, &ConsentConfig{
		ARI:          ARIConfig{URL: "http://127.0.0.1:8088/ari", User: "callseal-consent", PasswordFile: filepath.Join(folder, "consent.secret"), Application: "callseal-consent"},
		Announcement: filepath.Join(folder, "sounds/ask.wav"), Grant: "1", Deny: "2", Tries: 1, Wait: "5s", Silence: "policy", Jurisdiction: "US-NY",
		Evidence: filepath.Join(folder, "spool/recording/callseal-consent"), Marks: filepath.Join(folder, "spool/callseal/consent"),
		StaffEvidence: filepath.Join(folder, "agreement.pdf"), wait: 5 * time.Second,
	}, config.Consent)
	require.Equal(t, time.Hour, config.beat)
	require.Equal(t, "pbx.atlas.example", config.Devices.Domain, "as addresses of record are hashed")
	require.True(t, config.needsView())
	require.Equal(t, Trunks{"PJSIP/carrier", "from-trunk"}, config.Trunks)
	require.Equal(t, Locations{"PJSIP/600": "Lisboa", "10.0.0.0/8": "Porto"}, config.Locations)
	require.True(t, config.recordingDue(&ledger.Call{Disposition: ledger.Answered}))
	require.False(t, config.recordingDue(&ledger.Call{Disposition: "BUSY"}))

	file = writeConfig(t, strings.Replace(wholeConfig, "  local_times: true\n", "  local_times: true\n  table: {address: /run/mysqld/mysqld.sock, user: callseal, password_file: table.password}\n", 1))
	config, err = LoadConfig(file)
	require.NoError(t, err)
	require.Equal(t, &TableConfig{Address: "/run/mysqld/mysqld.sock", User: "callseal", PasswordFile: filepath.Join(filepath.Dir(file), "table.password"), Database: "asteriskcdrdb", Name: "cdr"}, config.CDR.Table)

	least := "msp: AtlasMSP\npbx: pbx1\nstate_dir: s\ngateway: {address: 'a:1', ca_file: c}\nidentity: {cert_file: c, key_file: k}\ncdr: {csv: m}\n"
	config, err = LoadConfig(writeConfig(t, least))
	require.NoError(t, err)
	require.Equal(t, dueNone, config.Recordings.Due)
	require.False(t, config.needsView())
	require.Equal(t, 2*time.Second, config.Recordings.pairWait)
	require.False(t, config.recordingDue(&ledger.Call{Disposition: ledger.Answered}))
	zone, err := config.location()
	require.NoError(t, err)
	require.Equal(t, time.Local, zone)
}

// TestEffectiveConfig prints what was left out, nothing secret, and what can be read
// again as the same.
func TestEffectiveConfig(t *testing.T) {
	t.Parallel()
	config, err := LoadConfig(writeConfig(t, strings.NewReplacer("secret_file: ami.secret", "secret: hidden1", "password_file: ari.secret", "password: hidden2").Replace(wholeConfig)))
	require.NoError(t, err)
	text, err := config.Effective()
	require.NoError(t, err)
	require.NotContains(t, string(text), "hidden")
	require.Contains(t, string(text), "secret: withheld")
	require.Contains(t, string(text), "disk_free: 256MiB")
	require.Equal(t, "hidden1", config.AMI.Secret)
	again, err := LoadConfig(writeConfig(t, string(text)))
	require.NoError(t, err)
	printed, err := again.Effective()
	require.NoError(t, err)
	require.Equal(t, string(text), string(printed))
}

func TestConfigRefusals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, old, changed string
		says               []string
	}{
		{"unknown member", "timezone:", "time_zone:", []string{`unknown field "time_zone"`}},
		{"unknown member within", "  due: answered", "  do: answered", []string{`unknown field "do"`}},
		{"no YAML", "msp: AtlasMSP", "msp: [", []string{"adapter.yaml"}},
		{"no source", "cdr:\n  csv: log/Master.csv\n  local_times: true\nami:\n  address: 127.0.0.1:5038\n  user: callseal\n  secret_file: ami.secret\n", "", []string{"there is no source of CDRs: set cdr.csv to Asterisk's Master.csv, or cdr.table, or ami, or several"}},
		{"zone", "Europe/Lisbon", "Lisbon time", []string{`timezone "Lisbon time" is not an IANA name such as Europe/Lisbon`}},
		{"context", "from-trunk: inbound", "from-trunk: incoming", []string{`contexts: "from-trunk" is mapped to "incoming", use inbound, outbound or internal`}},
		{"due", "due: answered", "due: always", []string{`recordings.due is "always", use answered or none`}},
		{"wait", "1500ms", "soon", []string{`recordings.pair_wait is "soon", use a duration such as 2s`}},
		{"negative wait", "1500ms", "-1s", []string{`recordings.pair_wait is "-1s"`}},
		{"omission", "1500ms", "1500ms\n  omission_after: soon", []string{`recordings.omission_after is "soon", use a duration such as 10m`}},
		{"negative omission", "1500ms", "1500ms\n  omission_after: -1s", []string{`recordings.omission_after is "-1s"`}},
		{"pause alarm", "1500ms", "1500ms\n  pause_alarm: soon", []string{`recordings.pause_alarm is "soon", use a duration such as 3m`}},
		{"consent without control", "control: {user: callseal-control, secret_file: control.secret}\n", "", []string{"consent needs control"}},
		{"control without user", "{user: callseal-control, ", "{", []string{"control needs user"}},
		{"one key for both", "jurisdiction: US-NY", "grant: '2'", []string{`consent.grant is "2" and consent.deny "2": use two different keys`}},
		{"no key", "jurisdiction: US-NY", "deny: no", []string{`consent.deny "no"`}},
		{"no jurisdiction", "US-NY", "New York", []string{`consent.jurisdiction is "New York", use an ISO 3166 code`}},
		{"silence", "jurisdiction: US-NY", "silence: golden", []string{`consent.silence is "golden", use policy, granted or denied`}},
		{"consent wait", "jurisdiction: US-NY", "wait: 0s", []string{`consent.wait is "0s"`}},
		{"tries", "jurisdiction: US-NY", "tries: 6", []string{"consent.tries is 6, use 1 to 5"}},
		{"no marks", "  marks: spool/callseal/consent\n", "", []string{"consent.marks is missing"}},
		{"beat", "log_level: debug", "beat: often", []string{`beat is "often", use a duration such as 1h, at least 1s, or 0s for none`}},
		{"hectic beat", "log_level: debug", "beat: 10ms", []string{`beat is "10ms"`}},
		{"due without a folder", "  folder: spool/monitor\n", "", []string{"recordings are due and recordings.folder is not set: where does MixMonitor put them?"}},
		{"table without user", "  local_times: true\n", "  local_times: true\n  table: {address: '127.0.0.1:3306'}\n", []string{"cdr.table needs address, such as 127.0.0.1:3306"}},
		{"no table's name", "  local_times: true\n", "  local_times: true\n  table: {address: /run/mysqld/mysqld.sock, user: callseal, name: 'cdr; DROP TABLE cdr'}\n", []string{`cdr.table.name is "cdr; DROP TABLE cdr"`}},
		{"AMI without address", "  address: 127.0.0.1:5038\n", "", []string{"ami needs address"}},
		{"ARI without user", "  application: callseal2\n", "", nil},
		{"ARI without URL", "  url: http://127.0.0.1:8088/ari\n", "", []string{"ari needs url"}},
		{"progress", "progress: answered", "progress: always", []string{`progress is "always", use answered or none`}},
		{"cut", "log_level: debug", "cut_after: soon", []string{`cut_after is "soon", use a duration such as 1m`}},
		{"domain", "PBX.Atlas.Example.", "sip:600@pbx", []string{`devices.domain is "sip:600@pbx", use the host`}},
		{"no host", "PBX.Atlas.Example.", "my pbx", []string{`devices.domain is "my pbx", use the host`}},
		{"progress without ARI", "ari:\n  url: http://127.0.0.1:8088/ari\n  user: callseal\n  password_file: ari.secret\n  application: callseal2\n  recordings: spool/recording\n", "", []string{"progress is answered and ari is missing"}},
		{"devices without ARI", "ari:\n  url: http://127.0.0.1:8088/ari\n  user: callseal\n  password_file: ari.secret\n  application: callseal2\n  recordings: spool/recording\n", "", []string{"devices.domain needs ari"}},
		{"disk", "log_level: debug", "disk_free: much", []string{`disk_free is "much", use a size such as 256MiB`}},
		{"several at once", "msp: AtlasMSP\npbx: pbx1\n", "", []string{"msp is missing", "pbx is missing"}},
		{"nothing", wholeConfig, "{}\n", []string{
			"msp is missing", "pbx is missing", "state_dir is missing", "gateway.address is missing", "gateway.ca_file is missing",
			"identity.cert_file is missing", "identity.key_file is missing", "there is no source of CDRs",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, wholeConfig, test.old)
			_, err := LoadConfig(writeConfig(t, strings.Replace(wholeConfig, test.old, test.changed, 1)))
			if test.says == nil {
				require.NoError(t, err)
			}
			for _, sentence := range test.says {
				require.ErrorContains(t, err, sentence)
			}
		})
	}
	_, err := LoadConfig(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorContains(t, err, "read the adapter's configuration")
}

func TestSecret(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("  from the file\n"), 0o600))
	for _, test := range []struct{ file, inline, want string }{{file, "inline", "from the file"}, {"", "inline", "inline"}, {"", "", ""}} {
		got, err := secret(test.file, test.inline)
		require.NoError(t, err)
		require.Equal(t, test.want, got)
	}
	_, err := secret(file+".none", "inline")
	require.ErrorContains(t, err, "read the secret")
}
