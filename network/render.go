package network

import (
	"bytes"
	"embed"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/goccy/go-yaml"
)

//go:embed templates/*.tmpl
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"host": func(address string) (string, error) { host, _, err := splitAddress(address); return host, err },
	"port": func(address string) (int, error) { _, port, err := splitAddress(address); return port, err },
}).ParseFS(templateFiles, "templates/*.tmpl"))

func renderTo(file, name string, data any) error {
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, name, data); err != nil {
		return fmt.Errorf("render %s: %w", filepath.Base(file), err)
	}
	return writeFile(file, text.Bytes(), 0o600)
}

// renderNodes writes the configuration of a member's peers and orderer.
func renderNodes(layout Layout, consortium *Consortium, member Member) error {
	render := func(seat Member, kind, file string, more map[string]any) error {
		org := layout.Operator(member.Name)
		folder := org.node(kind)
		values := map[string]any{
			"Member":  seat,
			"Node":    nodeName(member, kind),
			"Network": consortium.Name,
			"MSP":     filepath.Join(folder, "msp"),
			"Data":    filepath.Join(folder, "data"),
			"TLS":     org.Server(kind),
			"TLSCA":   org.TLSCAFile(),
			"Builder": layout.builder(),
		}
		maps.Copy(values, more)
		return renderTo(filepath.Join(folder, file), file+".tmpl", values)
	}
	seats := member.Peers()
	siblings := make([]string, len(seats))
	for i, seat := range seats {
		siblings[i] = seat.Peer.Address
	}
	for _, seat := range seats {
		more := map[string]any{"Siblings": strings.Join(siblings, " "), "Others": len(seats) - 1}
		if err := render(seat, seat.peerKind(), "core.yaml", more); err != nil {
			return err
		}
	}
	return render(member, kindOrderer, "orderer.yaml", nil)
}

const (
	// writePolicy is the channel policy that guards what the chaincode writes.
	writePolicy = "CallsealWrite"
	// governPolicy is the stricter one that guards what the governance chaincode
	// writes.
	governPolicy = "CallsealGovern"
)

// governors is how many of the operators must endorse what changes the rules: one
// more than a majority, and of three all.
func governors(operators int) int { return min(operators, operators/2+2) }

// configtxMember is one organisation as the configtx template sees it.
type configtxMember struct {
	ID       int
	Member   Member
	Operator bool
	MSP      string
	Identity string
	TLS      Server
}

func renderChannel(layout Layout, consortium *Consortium) error {
	entry := func(id int, member Member) configtxMember {
		org := layout.Operator(member.Name)
		return configtxMember{
			ID: id, Member: member, Operator: member.Gateway != nil, MSP: org.MSPDir(),
			Identity: filepath.Join(org.node(kindOrderer), "msp", "signcerts", "cert.pem"),
			TLS:      org.Server(kindOrderer),
		}
	}
	var members, orderers []configtxMember
	for _, member := range consortium.Members() {
		members = append(members, entry(0, member))
	}
	for n, member := range consortium.orderingMembers() {
		orderers = append(orderers, entry(n+1, member))
	}
	ordererType := map[Consensus]string{BFT: "BFT", Raft: "etcdraft"}[consortium.Consensus]
	return renderTo(filepath.Join(layout.channelFolder(), "configtx.yaml"), "configtx.yaml.tmpl", map[string]any{
		"BFT":              consortium.Consensus == BFT,
		"OrdererType":      ordererType,
		"Blocks":           consortium.Cutting(),
		"AbsoluteMaxBytes": absoluteMaxBytes,
		"Members":          members,
		"Orderers":         orderers,
		"Write":            writePolicy,
		"Govern":           governPolicy,
		"Governors":        outOf(governors(len(consortium.Operators)), "peer", consortium.Operators),
		"TwoPeers":         outOf(2, "peer", consortium.Operators),
		"TwoAdmins":        outOf(2, "admin", consortium.Operators),
		"AnyOperator":      outOf(1, "member", consortium.Operators),
	})
}

// outOf writes a signature policy: n of the operators, each by a holder of role.
func outOf(n int, role string, operators []Member) string {
	principals := make([]string, 0, len(operators))
	for _, operator := range operators {
		principals = append(principals, fmt.Sprintf("'%s.%s'", operator.MSP, role))
	}
	return fmt.Sprintf("OutOf(%d, %s)", n, strings.Join(principals, ", "))
}

// renderGateway writes the configuration of an operator's gateway.
func renderGateway(layout Layout, consortium *Consortium, member Member) error {
	org := layout.Operator(member.Name)
	var peers []yaml.MapSlice
	for _, seat := range member.Peers() {
		host, _, err := splitAddress(seat.Peer.Address)
		if err != nil {
			return err
		}
		peers = append(peers, yaml.MapSlice{
			{Key: "address", Value: seat.Peer.Address},
			{Key: "server_name", Value: host},
			{Key: "ca_file", Value: org.TLSCAFile()},
		})
	}
	identity, server := org.Identity(roleGateway), org.Server(kindGateway)
	// Each gateway begins with the operator after its own: the load spreads.
	var partners []string
	at := slices.IndexFunc(consortium.Operators, func(operator Member) bool { return operator.MSP == member.MSP })
	for n := 1; n < len(consortium.Operators); n++ {
		partners = append(partners, consortium.Operators[(at+n)%len(consortium.Operators)].MSP)
	}
	// In development the operator's people lend their identities to its gateway.
	var signers yaml.MapSlice
	for _, role := range []string{roleAdmin, roleCompliance, roleAuditor} {
		person := org.Identity(role)
		signers = append(signers, yaml.MapItem{Key: role, Value: yaml.MapSlice{
			{Key: "cert_file", Value: person.CertFile()}, {Key: "key_file", Value: person.KeyFile()},
		}})
	}
	text, err := yaml.Marshal(yaml.MapSlice{
		{Key: "operator", Value: member.ID()},
		{Key: "msp", Value: member.MSP},
		{Key: "state_dir", Value: org.GatewayState()},
		{Key: "server", Value: yaml.MapSlice{
			{Key: "listen", Value: member.Gateway.Address},
			{Key: "cert_file", Value: server.CertFile()},
			{Key: "key_file", Value: server.KeyFile()},
			{Key: "client_ca_file", Value: org.EnrolmentCAFile()},
			{Key: "revocation_dir", Value: org.RevocationDir()},
		}},
		{Key: "fabric", Value: yaml.MapSlice{
			{Key: "channel", Value: consortium.Channel},
			{Key: "chaincode", Value: consortium.Chaincode},
			{Key: "peers", Value: peers},
			{Key: "partners", Value: partners},
			{Key: "tls_cert_file", Value: identity.TLSCertFile()},
			{Key: "tls_key_file", Value: identity.TLSKeyFile()},
			{Key: "cert_file", Value: identity.CertFile()},
			{Key: "key_file", Value: identity.KeyFile()},
		}},
		{Key: "rest", Value: yaml.MapSlice{{Key: "listen", Value: member.Gateway.REST}}},
		{Key: "signers", Value: signers},
		{Key: "metrics", Value: yaml.MapSlice{{Key: "listen", Value: member.Gateway.Metrics}}},
		{Key: "reputation", Value: yaml.MapSlice{
			{Key: "consortium_key_file", Value: org.ConsortiumKeyFile()},
		}},
	})
	if err != nil {
		return fmt.Errorf("render the gateway's configuration: %w", err)
	}
	return writeFile(org.GatewayConfig(), text, 0o600)
}
