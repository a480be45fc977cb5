package adapter

import (
	"errors"
	"fmt"
	"time"

	"github.com/callseal/callseal/asterisk-adapter/consent"
	"github.com/callseal/callseal/chaincode/ledger"
)

// ControlConfig is an account of the manager interface that may mute and end
// recordings: for pauses and for consent. Absent means that the adapter only watches.
type ControlConfig struct {
	// Address is host:port; ami's when empty.
	Address string `yaml:"address"`
	// User is the account in manager.conf.
	User string `yaml:"user" example:"callseal-control"`
	// SecretFile holds the account's secret.
	SecretFile string `yaml:"secret_file" example:"control.secret"`
	// Secret is the secret itself, for tests.
	Secret string `yaml:"secret" example:"-"`
}

// ConsentConfig is about calls whose parties are asked whether they may be recorded.
type ConsentConfig struct {
	// ARI is the REST interface and a user that may act on the channels that the
	// dialplan sends; its application is callseal-consent when empty, and it has no
	// recordings of its own.
	ARI ARIConfig `yaml:"ari"`
	// Announcement is the sound file that is played, as Asterisk sees it.
	Announcement string `yaml:"announcement" example:"/var/lib/asterisk/sounds/callseal/consent.wav"`
	// Grant is the key for yes; 1 when empty.
	Grant string `yaml:"grant"`
	// Deny is the key for no; 2 when empty.
	Deny string `yaml:"deny"`
	// Tries is how often the announcement is played at most; 1 when it is 0.
	Tries int `yaml:"tries"`
	// Wait is how long a key is waited for after each time; 5s when empty.
	Wait string `yaml:"wait"`
	// Silence says what it means to stay and press nothing: policy (the default: granted
	// where the law wants one party's consent, denied elsewhere), granted or denied.
	Silence string `yaml:"silence"`
	// Jurisdiction is where callers are when the dialplan does not say, ISO 3166.
	Jurisdiction string `yaml:"jurisdiction" example:"PT"`
	// Evidence is the folder for evidence, right below Asterisk's folder for ARI's
	// recordings (astspooldir/recording); both Asterisk and the adapter write there.
	Evidence string `yaml:"evidence" example:"/var/spool/asterisk/recording/consent"`
	// Marks is the folder in which the dialplan leaves revocations.
	Marks string `yaml:"marks" example:"/var/spool/asterisk/callseal/revoked"`
	// StaffEvidence is a file, such as the works agreement, that proves that those who
	// are called have consented by contract; empty where nothing is stated for them.
	StaffEvidence string `yaml:"staff_evidence"`

	wait time.Duration
}

// What is meant where nothing is said.
const (
	defaultConsentApplication = "callseal-consent"
	defaultGrant              = "1"
	defaultDeny               = "2"
	defaultConsentWait        = "5s"
	defaultPauseAlarm         = "3m"
	maxTries                  = 5
)

func (c *ControlConfig) paths() []*string {
	if c == nil {
		return nil
	}
	return []*string{&c.SecretFile}
}

// check also fills in what was left out.
func (c *ControlConfig) check(manager *AMIConfig) error {
	if c == nil {
		return nil
	}
	if c.Address == "" && manager != nil {
		c.Address = manager.Address
	}
	if c.Address == "" || c.User == "" {
		return errors.New("control needs user, and address, such as 127.0.0.1:5038, where ami has none")
	}
	return nil
}

func (c *ConsentConfig) paths() []*string {
	if c == nil {
		return nil
	}
	return []*string{&c.ARI.PasswordFile, &c.Announcement, &c.Evidence, &c.Marks, &c.StaffEvidence}
}

// check also fills in what was left out.
func (c *ConsentConfig) check(control *ControlConfig) error {
	if c == nil {
		return nil
	}
	var wrong []error
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	orElse(&c.ARI.Application, defaultConsentApplication)
	orElse(&c.Grant, defaultGrant)
	orElse(&c.Deny, defaultDeny)
	if c.Tries == 0 {
		c.Tries = 1
	}
	if control == nil {
		complain("consent needs control: an account that can end a recording when consent is withdrawn")
	}
	if c.ARI.URL == "" || c.ARI.User == "" {
		complain("consent.ari needs url, such as http://127.0.0.1:8088/ari, and user")
	}
	for _, required := range []struct{ name, value string }{{"announcement", c.Announcement}, {"evidence", c.Evidence}, {"marks", c.Marks}} {
		if required.value == "" {
			complain("consent.%s is missing", required.name)
		}
	}
	if !isKey(c.Grant) || !isKey(c.Deny) || c.Grant == c.Deny {
		complain("consent.grant is %q and consent.deny %q: use two different keys of a telephone", c.Grant, c.Deny)
	}
	if c.Tries < 1 || c.Tries > maxTries {
		complain("consent.tries is %d, use 1 to %d", c.Tries, maxTries)
	}
	var err error
	if c.wait, err = time.ParseDuration(orElse(&c.Wait, defaultConsentWait)); err != nil || c.wait <= 0 {
		complain("consent.wait is %q, use a duration such as 5s", c.Wait)
	}
	switch orElse(&c.Silence, consent.SilenceByPolicy) {
	case consent.SilenceByPolicy, consent.SilenceGrants, consent.SilenceDenies:
	default:
		complain("consent.silence is %q, use policy, granted or denied", c.Silence)
	}
	if c.Jurisdiction != "" && ledger.CheckJurisdiction("jurisdiction", c.Jurisdiction) != nil {
		complain("consent.jurisdiction is %q, use an ISO 3166 code such as PT or US-CA", c.Jurisdiction)
	}
	return errors.Join(wrong...)
}

func isKey(key string) bool {
	return len(key) == 1 && (key[0] >= '0' && key[0] <= '9' || key == "*" || key == "#")
}

// consentFolders are those for evidence and marks; empty without consent.
func (c *Config) consentFolders() [2]string {
	if c.Consent == nil {
		return [2]string{}
	}
	return [2]string{c.Consent.Evidence, c.Consent.Marks}
}
