package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
)

// SignersConfig says by which identities of the operator the gateway signs for its
// callers. The contracts demand the role of whoever signs, so each acts for callers
// of its own role and no others. A role that is left out signs at the operator's
// peer, with the command line.
type SignersConfig struct {
	// Admin signs for admins: devices, adapters, votes.
	Admin SignerConfig `yaml:"admin"`
	// Compliance signs for compliance: consents, holds, terms, corrections, grace.
	Compliance SignerConfig `yaml:"compliance"`
	// Auditor signs for auditors: disputes, violations.
	Auditor SignerConfig `yaml:"auditor"`
}

// SignerConfig is an identity, PEM.
type SignerConfig struct {
	// CertFile is its certificate, with the role as its attribute.
	CertFile string `yaml:"cert_file"`
	// KeyFile is the key of that certificate.
	KeyFile string `yaml:"key_file"`
}

// Check says what is wrong with it.
func (c *SignersConfig) Check() error {
	var problems []error
	for role, files := range c.byRole() {
		if (files.CertFile == "") != (files.KeyFile == "") {
			problems = append(problems, fmt.Errorf("%s names one of cert_file and key_file: name both or neither", role))
		}
	}
	return errors.Join(problems...)
}

func (c *SignersConfig) byRole() map[ledger.Role]SignerConfig {
	return map[ledger.Role]SignerConfig{ledger.RoleAdmin: c.Admin, ledger.RoleCompliance: c.Compliance, ledger.RoleAuditor: c.Auditor}
}

// Signers are the channel as identities of certain roles see it.
type Signers map[ledger.Role]*fabric.Channel

// OpenSigners opens the channel once for each role that is configured.
func OpenSigners(config SignersConfig, way fabric.Config, options ...fabric.Option) (Signers, error) {
	opened := Signers{}
	for role, files := range config.byRole() {
		if files.CertFile == "" {
			continue
		}
		as := way
		as.CertFile, as.KeyFile, as.PKCS11 = files.CertFile, files.KeyFile, fabric.PKCS11Config{}
		channel, err := fabric.Open(as, options...)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open the channel as the signer for %s: %w", role, err), opened.Close())
		}
		opened[role] = channel
	}
	return opened, nil
}

// Close ends the connections.
func (s Signers) Close() error {
	var failed []error
	for _, channel := range s {
		failed = append(failed, channel.Close())
	}
	return errors.Join(failed...)
}

// signer is the channel of the identity that signs for the caller: the gateway's own
// for its adapters, what people answer for by the signer of their role.
func (w *writer) signer(ctx context.Context) (*fabric.Channel, error) {
	role := callerFrom(ctx).role
	if role == ledger.RoleAdapter || role == ledger.RoleGateway {
		return w.channel, nil
	}
	if channel, found := w.signers[role]; found {
		return channel, nil
	}
	return nil, fault.New(fault.State,
		"this gateway has no identity that signs for the role %q: configure signers.%s, or sign at your operator's peer with the callseal command", role, role)
}
