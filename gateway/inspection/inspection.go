// Package inspection looks, before a gateway runs or beside it, whether what its
// configuration names is there and fits together. It changes nothing.
package inspection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway"
	"github.com/callseal/callseal/gateway/credential"
	"github.com/callseal/callseal/gateway/fault"
)

// Finding is one thing that was looked at.
type Finding struct {
	// Check names it, mostly as the configuration does: "server.cert_file".
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	// Says is what was found, and what to do where it is not OK.
	Says string `json:"says"`
}

// Of looks at everything that a valid configuration names. What is slow, such as a
// peer, is given config.Health.Timeout.
func Of(ctx context.Context, config *gateway.Config) []Finding {
	i := &inspector{ctx: ctx, config: config}
	i.certificates()
	i.folders()
	i.peers()
	i.services()
	return i.findings
}

// OK says whether all is well.
func OK(findings []Finding) bool {
	for _, one := range findings {
		if !one.OK {
			return false
		}
	}
	return true
}

type inspector struct {
	ctx      context.Context //nolint:containedctx // an inspector lives for one call
	config   *gateway.Config
	findings []Finding
}

// found notes a finding; says holds where there is no error.
func (i *inspector) found(check, says string, err error) {
	if err != nil {
		text := err.Error()
		var what *fault.Error
		if errors.As(err, &what) {
			text = what.Message
			if what.Err != nil {
				text += " (" + what.Err.Error() + ")"
			}
		}
		says = strings.Join(strings.Fields(text), " ")
	}
	i.findings = append(i.findings, Finding{Check: check, OK: err == nil, Says: says})
}

// certificates looks at every pair, and at the authorities.
func (i *inspector) certificates() {
	server, fabric, signers := &i.config.Server, &i.config.Fabric, &i.config.Signers
	authorities, says, err := readAuthorities(server.ClientCAFile)
	i.found("server.client_ca_file", says, err)
	says, notOwn := readPair(pair{cert: server.CertFile, key: server.KeyFile})
	i.found("server.cert_file", says, notOwn)
	if err == nil && notOwn == nil {
		i.found("server.revocation_dir", cmp.Or(server.RevocationDir, "none is configured"), i.lists())
	}

	says, err = readPair(pair{cert: fabric.TLSCertFile, key: fabric.TLSKeyFile})
	i.found("fabric.tls_cert_file", says, err)
	// A key in a hardware module is tried by opening the channel.
	says, err = readPair(pair{cert: fabric.CertFile, key: fabric.KeyFile, role: ledger.RoleGateway, issuers: authorities})
	i.found("fabric.cert_file", says, err)
	for at, peer := range fabric.Peers {
		_, says, err := readAuthorities(peer.CAFile)
		i.found(fmt.Sprintf("fabric.peers[%d].ca_file", at), says, err)
	}
	for _, one := range []struct {
		role      ledger.Role
		cert, key string
	}{
		{ledger.RoleAdmin, signers.Admin.CertFile, signers.Admin.KeyFile},
		{ledger.RoleCompliance, signers.Compliance.CertFile, signers.Compliance.KeyFile},
		{ledger.RoleAuditor, signers.Auditor.CertFile, signers.Auditor.KeyFile},
	} {
		if one.cert != "" {
			says, err := readPair(pair{cert: one.cert, key: one.key, role: one.role, issuers: authorities})
			i.found(fmt.Sprintf("signers.%s.cert_file", one.role), says, err)
		}
	}
}

// lists reads the revocation lists as the server would.
func (i *inspector) lists() error {
	server := &i.config.Server
	store, err := credential.Open(credential.Config{
		CertFile: server.CertFile, KeyFile: server.KeyFile, ClientCAFile: server.ClientCAFile, RevocationDir: server.RevocationDir, Poll: server.CredentialPoll,
	}, credential.NewMetrics(nil), silent)
	if err != nil {
		return fmt.Errorf("the revocation lists cannot be used: %w", err)
	}
	return store.Problem()
}

// folders looks at where the gateway keeps its state.
func (i *inspector) folders() {
	state := i.config.StateDir
	i.found("state_dir", state, writable(state))
	says, err := room(state, i.config.Health.DiskFree)
	i.found("health.disk_free", says, err)
	i.found("journal", filepath.Join(state, "journal"), writable(filepath.Join(state, "journal")))
	audit := cmp.Or(i.config.Audit.Dir, filepath.Join(state, "audit"))
	i.found("audit.dir", audit, writable(audit))
	if i.config.Index.Postgres.DSN == "" {
		index := filepath.Dir(cmp.Or(i.config.Index.SQLiteFile, filepath.Join(state, "index.db")))
		i.found("index.sqlite_file", index, writable(index))
	}
	if i.config.Reputation.KeyFile != "" {
		reputation := i.config.Reputation
		i.found("reputation.consortium_key_file", reputation.KeyFile, reputation.ReadKeys())
	}
}
