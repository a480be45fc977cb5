package adapter

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/goccy/go-yaml"

	"github.com/callseal/callseal/asterisk-adapter/cdr"
	"github.com/callseal/callseal/asterisk-adapter/rate"
	"github.com/callseal/callseal/chaincode/ledger"
)

// Config is one adapter's configuration, read from YAML. Paths may be relative to
// the file's folder. Unknown members are errors. What is tagged reload takes effect while
// the adapter runs, on SIGHUP; the tag example says what adapter.example.yaml says,
// where that is not the default, and "-" that it leaves the member out.
type Config struct {
	// MSP is the operator that the adapter speaks for.
	MSP string `yaml:"msp" example:"AtlasMSP"`
	// PBX is the PBX that it speaks for, as its certificate says.
	PBX string `yaml:"pbx" example:"atlas-pbx-1"`
	// User is whom the adapter becomes when root starts it; it does not run as root
	// unless this says root. Whoever else starts it must be this user, where one is named.
	User string `yaml:"user" example:"callseal"`
	// StateDir holds the journal and, unless configured, the party key.
	StateDir string `yaml:"state_dir" example:"/var/lib/callseal/adapter"`
	// Gateway is the operator's gateway.
	Gateway GatewayConfig `yaml:"gateway"`
	// Identity is the adapter's certificate and key (role "adapter"), PEM.
	Identity IdentityConfig `yaml:"identity"`
	// Timezone is the PBX's, an IANA name: AMI and, without usegmtime, the CSV
	// write local times. Empty means this machine's, which the adapter shares with it.
	Timezone string `yaml:"timezone" example:"Europe/Lisbon"`
	// CDR says where CDRs are: the file, a table, or both; ami alone will do as well.
	CDR CDRConfig `yaml:"cdr"`
	// AMI says how to reach Asterisk's manager interface; absent means that it is not used.
	AMI *AMIConfig `yaml:"ami"`
	// ARI says how to reach Asterisk's REST interface, which tells times to the
	// millisecond and causes; absent means that it is not used.
	ARI *ARIConfig `yaml:"ari"`
	// Recordings says where recordings come to lie.
	Recordings RecordingsConfig `yaml:"recordings"`
	// Control is for recordings that are paused, or ended when consent is withdrawn; absent
	// means that the adapter acts on none.
	Control *ControlConfig `yaml:"control"`
	// Consent is for calls whose parties are asked; absent means that none are.
	Consent *ConsentConfig `yaml:"consent"`
	// Contexts maps dialplan contexts to "inbound", "outbound" or "internal".
	Contexts map[string]string `yaml:"contexts" reload:"true" example:"{from-internal: outbound, from-trunk: inbound}"`
	// Trunks are the lines to other operators: endpoints such as PJSIP/carrier, and
	// contexts such as from-trunk that calls from them come into. A leg over one has a
	// call_ref, by which both operators find it.
	Trunks Trunks `yaml:"trunks" example:"[PJSIP/carrier, from-trunk]"`
	// Locations maps endpoints such as PJSIP/1001, networks such as 10.1.0.0/16 and
	// contexts to places: labels, or ISO 3166 codes.
	Locations Locations `yaml:"locations" reload:"true" example:"{PJSIP/600: Lisboa, from-trunk: ES, 10.20.0.0/16: Porto}"`
	// Rates is a file of rates (see package rate): what answered calls to international
	// numbers cost; empty means that no cost is told.
	Rates string `yaml:"rates" reload:"true"`
	// PartyKeyFile holds the operator's 256-bit key for party pseudonyms in
	// hexadecimal: the same for all its adapters.
	PartyKeyFile string `yaml:"party_key_file" example:"party.key"`
	// Beat is how often the adapter says that it is there though it has nothing to
	// tell, such as 1h, which is meant when it is empty; 0s for never. A history that
	// falls silent for twice as long shows.
	Beat string `yaml:"beat" reload:"true"`
	// DiskFree is how much must be free where the journal is, such as 256MiB, which is
	// meant when it is empty: with less the adapter says so, and goes on.
	DiskFree string `yaml:"disk_free" reload:"true"`
	// Devices says how the PBX's devices are compared with the ledger's.
	Devices DevicesConfig `yaml:"devices"`
	// Progress says which calls the ledger hears of before they end: "answered" or
	// "none" (the default). A call that a crash of Asterisk cut then leaves a trace. It
	// needs ari.
	Progress string `yaml:"progress"`
	// CutAfter is how long after an answered call's channel is gone its CDR may still
	// come, before the ledger hears that there is none; 1m when empty.
	CutAfter string `yaml:"cut_after"`
	// Metrics says where the adapter tells how it is.
	Metrics MetricsConfig `yaml:"metrics"`
	// LogLevel is debug, info, warn or error; info when empty.
	LogLevel string `yaml:"log_level" reload:"true"`

	cutAfter time.Duration
	beat     time.Duration
	diskFree uint64
	rates    *rate.Table
}

// DevicesConfig is about the devices that register with the PBX.
type DevicesConfig struct {
	// Domain is what follows the @ in the PBX's addresses of record as they are
	// registered on the ledger: with pbx.atlas.example, the account 600 is
	// sip:600@pbx.atlas.example. Empty means that devices are not compared. It needs
	// ari, where Asterisk tells its contacts to a user who may only read.
	Domain string `yaml:"domain" example:"pbx.atlas.example"`
}

// check brings the domain into the form in which addresses of record are hashed.
func (d *DevicesConfig) check() error {
	if d.Domain == "" {
		return nil
	}
	normal, err := ledger.NormalizeAOR("a@" + d.Domain)
	if err != nil || strings.ContainsAny(d.Domain, "@;?<>") {
		return fmt.Errorf("devices.domain is %q, use the host of the PBX's addresses of record, such as pbx.atlas.example", d.Domain)
	}
	d.Domain = strings.TrimPrefix(normal, "a@")
	return nil
}

// needsView says whether something needs the ledger's scores, devices or keys in
// memory.
func (c *Config) needsView() bool { return c.Devices.Domain != "" || len(c.Trunks) > 0 }

// MetricsConfig is about Prometheus metrics and health.
type MetricsConfig struct {
	// Listen is host:port for /metrics and /healthz over HTTP; empty means neither.
	Listen string `yaml:"listen" example:"127.0.0.1:9641"`
}

// GatewayConfig says where the gateway is.
type GatewayConfig struct {
	// Address is host:port.
	Address string `yaml:"address" example:"gateway.atlas.example:7081"`
	// ServerName is the name in its certificate, where it is not the host.
	ServerName string `yaml:"server_name"`
	// CAFile is the TLS CA of the operator, PEM.
	CAFile string `yaml:"ca_file" example:"tls-ca.pem"`
}

// IdentityConfig is a certificate and its key.
type IdentityConfig struct {
	// CertFile is the certificate that the operator's admin issued and enrolled.
	CertFile string `yaml:"cert_file" example:"adapter.pem"`
	// KeyFile is its key, which nobody else should be able to read.
	KeyFile string `yaml:"key_file" example:"adapter.key"`
}

// CDRConfig says where Asterisk leaves CDRs that stay: a file, a table, or both.
type CDRConfig struct {
	// CSV is the path of Master.csv; empty means that it is not used.
	CSV string `yaml:"csv" example:"/var/log/asterisk/cdr-csv/Master.csv"`
	// LocalTimes says that the file's times are in Timezone: set it where
	// cdr.conf lacks usegmtime = yes.
	LocalTimes bool `yaml:"local_times"`
	// Table is a table that cdr_adaptive_odbc fills; absent means that it is not used.
	Table *TableConfig `yaml:"table"`
}

// TableConfig is about a table of CDRs in MariaDB or MySQL, such as FreePBX's.
type TableConfig struct {
	// Address is host:port, or the path of the server's socket.
	Address string `yaml:"address" example:"/run/mysqld/mysqld.sock"`
	// User needs SELECT on the table and nothing else.
	User string `yaml:"user" example:"callseal"`
	// PasswordFile holds the password.
	PasswordFile string `yaml:"password_file" example:"table.password"`
	// Password is the password itself, for tests.
	Password string `yaml:"password" example:"-"`
	// Database is where the table is; asteriskcdrdb when empty.
	Database string `yaml:"database"`
	// Name is the table's; cdr when empty.
	Name string `yaml:"name"`
	// CAFile is the CA of the server's certificate, PEM; without it the connection is
	// not encrypted.
	CAFile string `yaml:"ca_file"`
	// UTCTimes says that cdr_adaptive_odbc.conf has usegmtime = yes: otherwise the
	// table's times are in Timezone.
	UTCTimes bool `yaml:"utc_times"`
}

// AMIConfig is about the manager interface.
type AMIConfig struct {
	// Address is host:port.
	Address string `yaml:"address" example:"127.0.0.1:5038"`
	// User is the account in manager.conf: it reads cdr, and writes nothing.
	User string `yaml:"user" example:"callseal"`
	// SecretFile holds the account's secret.
	SecretFile string `yaml:"secret_file" example:"ami.secret"`
	// Secret is the secret itself, for tests.
	Secret string `yaml:"secret" example:"-"`
}

// ARIConfig is about the REST interface.
type ARIConfig struct {
	// URL is where http.conf has it, with /ari behind it.
	URL string `yaml:"url" example:"http://127.0.0.1:8088/ari"`
	// User is the account in ari.conf, which may be read-only.
	User string `yaml:"user" example:"callseal"`
	// PasswordFile holds the account's password.
	PasswordFile string `yaml:"password_file" example:"ari.secret"`
	// Password is the password itself, for tests.
	Password string `yaml:"password" example:"-"`
	// Application is the Stasis application's name; "callseal" when empty.
	Application string `yaml:"application"`
	// Recordings is the folder of ARI recordings (astspooldir/recording).
	Recordings string `yaml:"recordings" example:"/var/spool/asterisk/recording"`
}

// RecordingsConfig is about MixMonitor's files.
type RecordingsConfig struct {
	// Folder is watched with its subfolders; empty means no recordings.
	Folder string `yaml:"folder" example:"/var/spool/asterisk/monitor"`
	// Closed is the folder for markers of the post-process command.
	Closed string `yaml:"closed" example:"/var/spool/asterisk/callseal/closed"`
	// Due says which legs must be recorded: "answered" or "none" (the default).
	Due string `yaml:"due" reload:"true"`
	// PairWait is how long a leg whose recording is due waits for it, so that
	// both share a transaction; 2s when empty. Then it goes alone.
	PairWait string `yaml:"pair_wait" reload:"true"`
	// OmissionAfter is how long after its leg a recording that is due may come before
	// its omission is anchored; 10m when empty, 0s for never.
	OmissionAfter string `yaml:"omission_after" reload:"true"`
	// PauseAlarm is how long a recording may be paused before the adapter says that
	// nobody lets it go on; 3m when empty, 0s for never.
	PauseAlarm string `yaml:"pause_alarm"`

	pairWait, omissionAfter, pauseAlarm time.Duration
}

// The values of RecordingsConfig.Due.
const (
	dueAnswered = "answered"
	dueNone     = "none"
)

// What is meant where nothing is said.
const (
	defaultPairWait      = "2s"
	defaultOmissionAfter = "10m"
	defaultBeat          = "1h"
	defaultCutAfter      = "1m"
	defaultDiskFree      = "256MiB"
	defaultLogLevel      = "info"
)

// Defaults are what is meant where nothing is said, with all sections there.
func Defaults() *Config {
	config := &Config{CDR: CDRConfig{Table: &TableConfig{}}, AMI: &AMIConfig{}, ARI: &ARIConfig{}, Control: &ControlConfig{}, Consent: &ConsentConfig{}}
	_ = config.check() // what has no default is missing
	return config
}

// minBeat is how often the adapter may say that it is there.
const minBeat = time.Second

// orElse fills in what was left out.
func orElse(value *string, otherwise string) string {
	if *value == "" {
		*value = otherwise
	}
	return *value
}

// withheld stands for a secret.
const withheld = "withheld"

// Effective is the configuration as it takes effect, as YAML: with what was left out,
// and without secrets.
func (c *Config) Effective() ([]byte, error) {
	shown := *c
	if shown.CDR.Table != nil {
		table := *shown.CDR.Table
		hide(&table.Password)
		shown.CDR.Table = &table
	}
	if shown.AMI != nil {
		manager := *shown.AMI
		hide(&manager.Secret)
		shown.AMI = &manager
	}
	if shown.ARI != nil {
		rest := *shown.ARI
		hide(&rest.Password)
		shown.ARI = &rest
	}
	if shown.Control != nil {
		control := *shown.Control
		hide(&control.Secret)
		shown.Control = &control
	}
	if shown.Consent != nil {
		asks := *shown.Consent
		hide(&asks.ARI.Password)
		shown.Consent = &asks
	}
	text, err := yaml.Marshal(&shown)
	if err != nil {
		return nil, fmt.Errorf("print the configuration: %w", err)
	}
	return text, nil
}

func hide(secret *string) {
	if *secret != "" {
		*secret = withheld
	}
}

// LoadConfig reads and checks a configuration file.
func LoadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the adapter's configuration: %w", err)
	}
	config := &Config{}
	if err := yaml.UnmarshalWithOptions(text, config, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	config.resolve(filepath.Dir(path))
	if err := config.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return config, nil
}

// resolve makes paths absolute.
func (c *Config) resolve(folder string) {
	paths := []*string{
		&c.StateDir, &c.Gateway.CAFile, &c.Identity.CertFile, &c.Identity.KeyFile, &c.CDR.CSV,
		&c.Recordings.Folder, &c.Recordings.Closed, &c.PartyKeyFile, &c.Rates,
	}
	if table := c.CDR.Table; table != nil {
		paths = append(paths, &table.PasswordFile, &table.CAFile)
	}
	if c.AMI != nil {
		paths = append(paths, &c.AMI.SecretFile)
	}
	if c.ARI != nil {
		paths = append(paths, &c.ARI.PasswordFile, &c.ARI.Recordings)
	}
	paths = append(paths, c.Control.paths()...)
	paths = append(paths, c.Consent.paths()...)
	for _, path := range paths {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(folder, *path)
		}
	}
}

// check names everything that is wrong, at once.
func (c *Config) check() error {
	var wrong []error
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	for _, required := range []struct{ name, value string }{
		{"msp", c.MSP}, {"pbx", c.PBX}, {"state_dir", c.StateDir}, {"gateway.address", c.Gateway.Address}, {"gateway.ca_file", c.Gateway.CAFile},
		{"identity.cert_file", c.Identity.CertFile}, {"identity.key_file", c.Identity.KeyFile},
	} {
		if required.value == "" {
			complain("%s is missing", required.name)
		}
	}
	if c.CDR.CSV == "" && c.CDR.Table == nil && c.AMI == nil {
		complain("there is no source of CDRs: set cdr.csv to Asterisk's Master.csv, or cdr.table, or ami, or several")
	}
	if err := checkLevel(orElse(&c.LogLevel, defaultLogLevel)); err != nil {
		wrong = append(wrong, err)
	}
	wrong = append(wrong, c.checkInterfaces(), c.Recordings.check(), c.Devices.check(), c.Locations.check())
	if _, err := c.location(); err != nil {
		complain("timezone %q is not an IANA name such as Europe/Lisbon", c.Timezone)
	}
	beat, err := time.ParseDuration(orElse(&c.Beat, defaultBeat))
	if err != nil || beat < 0 || beat > 0 && beat < minBeat {
		complain("beat is %q, use a duration such as 1h, at least %s, or 0s for none", c.Beat, minBeat)
	}
	c.beat = beat
	wrong = append(wrong, c.checkProgress())
	if c.diskFree, err = humanize.ParseBytes(orElse(&c.DiskFree, defaultDiskFree)); err != nil {
		complain("disk_free is %q, use a size such as %s", c.DiskFree, defaultDiskFree)
	}
	if c.Rates != "" {
		if c.rates, err = rate.Read(c.Rates); err != nil {
			wrong = append(wrong, err)
		}
	}
	for context, direction := range c.Contexts {
		if direction != "inbound" && direction != "outbound" && direction != "internal" {
			complain("contexts: %q is mapped to %q, use inbound, outbound or internal", context, direction)
		}
	}
	return errors.Join(wrong...)
}

// The values of Config.Progress.
const (
	progressAnswered = "answered"
	progressNone     = "none"
)

func (c *Config) checkProgress() error {
	var err error
	if c.cutAfter, err = time.ParseDuration(orElse(&c.CutAfter, defaultCutAfter)); err != nil || c.cutAfter < 0 {
		return fmt.Errorf("cut_after is %q, use a duration such as 1m", c.CutAfter)
	}
	switch orElse(&c.Progress, progressNone) {
	case progressNone:
	case progressAnswered:
		if c.ARI == nil {
			return errors.New("progress is answered and ari is missing: Asterisk says there when a call is answered")
		}
	default:
		return fmt.Errorf("progress is %q, use answered or none", c.Progress)
	}
	return nil
}

func (c *Config) checkInterfaces() error {
	var wrong []error
	if c.AMI != nil && (c.AMI.Address == "" || c.AMI.User == "") {
		wrong = append(wrong, errors.New("ami needs address, such as 127.0.0.1:5038, and user"))
	}
	if c.ARI != nil && (c.ARI.URL == "" || c.ARI.User == "") {
		wrong = append(wrong, errors.New("ari needs url, such as http://127.0.0.1:8088/ari, and user"))
	}
	if c.Devices.Domain != "" && c.ARI == nil {
		wrong = append(wrong, errors.New("devices.domain needs ari: Asterisk tells its contacts there"))
	}
	return errors.Join(append(wrong, c.CDR.Table.check(), c.Control.check(c.AMI), c.Consent.check(c.Control))...)
}

// What FreePBX calls them.
const (
	defaultDatabase = "asteriskcdrdb"
	defaultTable    = "cdr"
)

// check also fills in what was left out.
func (t *TableConfig) check() error {
	if t == nil {
		return nil
	}
	if t.Database == "" {
		t.Database = defaultDatabase
	}
	if t.Name == "" {
		t.Name = defaultTable
	}
	switch {
	case t.Address == "" || t.User == "":
		return errors.New("cdr.table needs address, such as 127.0.0.1:3306 or /run/mysqld/mysqld.sock, and user")
	case !cdr.TableName.MatchString(t.Name):
		return fmt.Errorf("cdr.table.name is %q, which is no table's name", t.Name)
	}
	return nil
}

// check also fills in what was left out.
func (r *RecordingsConfig) check() error {
	var wrong []error
	switch r.Due {
	case "":
		r.Due = dueNone
	case dueAnswered, dueNone:
	default:
		wrong = append(wrong, fmt.Errorf("recordings.due is %q, use answered or none", r.Due))
	}
	var err error
	if r.pairWait, err = time.ParseDuration(orElse(&r.PairWait, defaultPairWait)); err != nil || r.pairWait < 0 {
		wrong = append(wrong, fmt.Errorf("recordings.pair_wait is %q, use a duration such as 2s", r.PairWait))
	}
	if r.omissionAfter, err = time.ParseDuration(orElse(&r.OmissionAfter, defaultOmissionAfter)); err != nil || r.omissionAfter < 0 {
		wrong = append(wrong, fmt.Errorf("recordings.omission_after is %q, use a duration such as 10m", r.OmissionAfter))
	}
	if r.pauseAlarm, err = time.ParseDuration(orElse(&r.PauseAlarm, defaultPauseAlarm)); err != nil || r.pauseAlarm < 0 {
		wrong = append(wrong, fmt.Errorf("recordings.pause_alarm is %q, use a duration such as 3m", r.PauseAlarm))
	}
	if r.Folder == "" && r.Due == dueAnswered {
		wrong = append(wrong, errors.New("recordings are due and recordings.folder is not set: where does MixMonitor put them?"))
	}
	return errors.Join(wrong...)
}

// Location is the PBX's time zone.
func (c *Config) Location() (*time.Location, error) { return c.location() }

func (c *Config) location() (*time.Location, error) {
	if c.Timezone == "" {
		return time.Local, nil
	}
	return time.LoadLocation(c.Timezone)
}

// secret reads a secret from its file, or takes it as it stands.
func secret(file, inline string) (string, error) {
	if file == "" {
		return inline, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// recordingDue applies the operator's rule to a leg.
func (c *Config) recordingDue(call *ledger.Call) bool {
	return c.Recordings.Due == dueAnswered && call.Disposition == ledger.Answered
}
