package token

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/callseal/callseal/chaincode/ledger"
)

// Config says whose bearer tokens are taken, from people alone: adapters and
// programs show certificates.
type Config struct {
	// Issuer is the OpenID Connect issuer, an https URL; empty takes no tokens.
	Issuer string `yaml:"issuer" example:"https://login.atlas.example"`
	// Audience is what a token must be issued for.
	Audience string `yaml:"audience" example:"callseal"`
	// CAFile has the authorities that the issuer's TLS certificate is checked with,
	// PEM; empty takes the system's.
	CAFile string `yaml:"ca_file"`
	// RoleClaim is the claim with a person's groups: text, or a list of texts.
	RoleClaim string `yaml:"role_claim"`
	// Roles say which group has which role, as "group=role"; the first that a person
	// has counts. Roles are auditor, compliance and admin.
	Roles []string `yaml:"roles" example:"callseal-compliance=compliance"`
	// Algorithms are the signatures that are taken: asymmetric ones only.
	Algorithms []string `yaml:"algorithms"`
	// ClockSkew is how far the issuer's clock may be from ours.
	ClockSkew time.Duration `yaml:"clock_skew"`
	// Refresh is how often the issuer's keys are read anew.
	Refresh time.Duration `yaml:"refresh"`
	// KeepKeys is how long keys are trusted while the issuer does not answer.
	KeepKeys time.Duration `yaml:"keep_keys"`
	// ReferenceKeyFile holds the key of the names under which people who show tokens
	// stand on the ledger; empty is "callers.key" in the gateway's state_dir. It is
	// made when it is missing.
	ReferenceKeyFile string `yaml:"reference_key_file"`
}

// asymmetric are the algorithms that may be taken at all.
var asymmetric = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// personal are the roles that a token may give.
var personal = []ledger.Role{ledger.RoleAuditor, ledger.RoleCompliance, ledger.RoleAdmin}

// DefaultConfig is what holds where nothing else is said.
func DefaultConfig() Config {
	return Config{
		RoleClaim: "groups", Algorithms: []string{"RS256", "PS256", "ES256", "EdDSA"},
		ClockSkew: 30 * time.Second, Refresh: 5 * time.Minute, KeepKeys: 12 * time.Hour,
	}
}

// Check answers what is wrong with the configuration.
func (c *Config) Check() error {
	if c.Issuer == "" {
		return nil
	}
	var problems []error
	if at, err := url.Parse(c.Issuer); err != nil || at.Scheme != "https" || at.Host == "" {
		problems = append(problems, errors.New("issuer must be an https URL"))
	}
	if c.Audience == "" {
		problems = append(problems, errors.New("audience is missing"))
	}
	if c.RoleClaim == "" {
		problems = append(problems, errors.New("role_claim is missing"))
	}
	if len(c.Roles) == 0 {
		problems = append(problems, errors.New(`roles are missing: nobody would get in. Name them as "group=role"`))
	}
	if _, err := c.roles(); err != nil {
		problems = append(problems, err)
	}
	if len(c.Algorithms) == 0 {
		problems = append(problems, errors.New("algorithms are missing"))
	}
	for _, one := range c.Algorithms {
		if !slices.Contains(asymmetric, one) {
			problems = append(problems, fmt.Errorf("algorithms has %q, which is not one of %s", one, strings.Join(asymmetric, ", ")))
		}
	}
	if c.ClockSkew < 0 || c.ClockSkew > 5*time.Minute {
		problems = append(problems, errors.New("clock_skew must lie between 0 and 5m"))
	}
	if c.Refresh <= 0 || c.KeepKeys < c.Refresh {
		problems = append(problems, errors.New("refresh must be above 0, and keep_keys no less"))
	}
	return errors.Join(problems...)
}

// mapping is a group with its role.
type mapping struct {
	group string
	role  ledger.Role
}

func (c *Config) roles() ([]mapping, error) {
	var roles []mapping
	for _, one := range c.Roles {
		at := strings.LastIndexByte(one, '=')
		if at < 1 || !slices.Contains(personal, ledger.Role(one[at+1:])) {
			return nil, fmt.Errorf(`roles has %q: write "group=role", the role one of %q. Adapters and gateways show certificates`, one, personal)
		}
		roles = append(roles, mapping{one[:at], ledger.Role(one[at+1:])})
	}
	return roles, nil
}
