package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/callseal/callseal/chaincode/ledger"
	"github.com/callseal/callseal/gateway/fabric"
	"github.com/callseal/callseal/gateway/fault"
)

// signer asks and signs at the own operator's peer, as a person of that operator:
// what people answer for carries their own signature, not their gateway's. On a
// development network the state folder knows all of it; elsewhere a file says it.
type signer struct {
	access
	connectionFile string
	timeout        time.Duration
	json           bool
}

func (s *signer) flags(command *cobra.Command, role ledger.Role) {
	set := command.Flags()
	set.StringVar(&s.operator, "operator", os.Getenv("CALLSEAL_OPERATOR"), "your operator (default: the first; $CALLSEAL_OPERATOR)")
	set.StringVar(&s.role, "role", string(role), "identity to sign with: gateway, auditor, compliance, admin")
	set.StringVar(&s.state, "state", "", "state folder of the network (as for `callseal network`)")
	set.StringVar(&s.connectionFile, "connection", os.Getenv("CALLSEAL_CONNECTION"), "file that says which peer to ask and as whom, for networks run elsewhere ($CALLSEAL_CONNECTION)")
	set.DurationVar(&s.timeout, "timeout", 30*time.Second, "give up after this long")
	set.BoolVar(&s.json, "json", false, "print JSON for programs")
}

// peerConnection is the file of --connection. Files are PEM, relative to its folder.
type peerConnection struct {
	MSP       string `yaml:"msp"`
	Channel   string `yaml:"channel"`
	Chaincode string `yaml:"chaincode"`
	Peer      struct {
		Address    string `yaml:"address"`
		ServerName string `yaml:"server_name"`
		CAFile     string `yaml:"ca_file"`
	} `yaml:"peer"`
	Identity struct {
		CertFile string `yaml:"cert_file"`
		KeyFile  string `yaml:"key_file"`
	} `yaml:"identity"`
	TLS struct {
		CertFile string `yaml:"cert_file"`
		KeyFile  string `yaml:"key_file"`
	} `yaml:"tls"`
}

// open reaches the peer.
func (s *signer) open() (*fabric.Channel, error) {
	if s.connectionFile != "" {
		config, err := readConnection(s.connectionFile)
		if err != nil {
			return nil, err
		}
		return fabric.Open(config)
	}
	opened, member, err := s.member(s.operator)
	if err != nil {
		return nil, err
	}
	if member.Chaincode == nil {
		return nil, fmt.Errorf("the peer of %s runs no contracts: ask as another member, with --operator", member.Name)
	}
	return openPeer(opened, member, s.role)
}

func readConnection(file string) (fabric.Config, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return fabric.Config{}, fmt.Errorf("read the connection: %w", err)
	}
	read := peerConnection{Channel: "calls", Chaincode: "callseal"}
	if err := yaml.UnmarshalWithOptions(content, &read, yaml.Strict()); err != nil {
		return fabric.Config{}, fmt.Errorf("the connection %s: %w", file, err)
	}
	missing := []error{}
	path := func(member, value string) string {
		if value == "" {
			missing = append(missing, fmt.Errorf("the connection %s lacks %s", file, member))
		}
		if value == "" || filepath.IsAbs(value) {
			return value
		}
		return filepath.Join(filepath.Dir(file), value)
	}
	config := fabric.Config{
		MSP: read.MSP, Channel: read.Channel, Chaincode: read.Chaincode,
		Peers:       []fabric.PeerConfig{{Address: read.Peer.Address, ServerName: read.Peer.ServerName, CAFile: path("peer.ca_file", read.Peer.CAFile)}},
		TLSCertFile: path("tls.cert_file", read.TLS.CertFile), TLSKeyFile: path("tls.key_file", read.TLS.KeyFile),
		CertFile: path("identity.cert_file", read.Identity.CertFile), KeyFile: path("identity.key_file", read.Identity.KeyFile),
	}
	for member, value := range map[string]string{"msp": read.MSP, "peer.address": read.Peer.Address} {
		if value == "" {
			missing = append(missing, fmt.Errorf("the connection %s lacks %s", file, member))
		}
	}
	return config, errors.Join(missing...)
}

// evaluate asks the peer and decodes its answer, which is strict JSON of the
// ledger's types, into answer.
func (s *signer) evaluate(ctx context.Context, answer any, function string, args ...string) error {
	channel, err := s.open()
	if err != nil {
		return err
	}
	defer func() { _ = channel.Close() }()
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	result, err := channel.Evaluate(ctx, function, args...)
	if err != nil {
		return sentence(err)
	}
	return ledger.DecodeStrict(result, answer)
}

// submit has a transaction endorsed and committed and decodes what the contract
// answered into answer, unless that is nil.
func (s *signer) submit(ctx context.Context, answer any, what fabric.Proposal) (fabric.Commit, error) {
	channel, err := s.open()
	if err != nil {
		return fabric.Commit{}, err
	}
	defer func() { _ = channel.Close() }()
	return s.submitTo(ctx, channel, answer, what)
}

// submitTo is submit for a channel that is open.
func (s *signer) submitTo(ctx context.Context, channel *fabric.Channel, answer any, what fabric.Proposal) (fabric.Commit, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	outcome, err := channel.Transact(ctx, what)
	if err != nil {
		return fabric.Commit{}, sentence(err)
	}
	if answer == nil {
		return outcome.Commit, nil
	}
	return outcome.Commit, ledger.DecodeStrict(outcome.Result, answer)
}

// sentence is what a person needs of an error on the way to the ledger; the cause,
// in Fabric's words, is for logs.
func sentence(err error) error {
	what := fault.Of(err)
	if what.Kind == fault.Internal {
		return err
	}
	return errors.New(what.Message)
}
