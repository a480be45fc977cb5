package network

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Variable is one environment variable.
type Variable struct{ Name, Value string }

// Env lists what a shell needs to act as a member's admin with Fabric's own
// `peer` program, and where Callseal's tools find the network. The error names
// the members when there is no such one.
func (n *Network) Env(member string) ([]Variable, error) {
	m, err := n.consortium.Member(member)
	if err != nil {
		return nil, err
	}
	org := n.layout.Operator(m.Name)
	admin := org.Identity(roleAdmin)
	variables := []Variable{
		{"FABRIC_CFG_PATH", org.node(kindPeer)},
		{"CORE_PEER_LOCALMSPID", m.MSP},
		{"CORE_PEER_MSPCONFIGPATH", admin.MSPDir()},
		{"CORE_PEER_ADDRESS", m.Peer.Address},
		{"CORE_PEER_TLS_ENABLED", "true"},
		{"CORE_PEER_TLS_ROOTCERT_FILE", org.TLSCAFile()},
		{"CORE_PEER_TLS_CLIENTAUTHREQUIRED", "true"},
		{"CORE_PEER_TLS_CLIENTCERT_FILE", admin.TLSCertFile()},
		{"CORE_PEER_TLS_CLIENTKEY_FILE", admin.TLSKeyFile()},
		{"CALLSEAL_STATE", n.layout.root},
		{"CALLSEAL_OPERATOR", m.ID()},
		{"CALLSEAL_CHANNEL", n.consortium.Channel},
		{"CALLSEAL_CHAINCODE", n.consortium.Chaincode},
		{"CALLSEAL_ORDERER", m.Orderer.Address},
	}
	if m.Gateway != nil {
		variables = append(variables,
			Variable{"CALLSEAL_GATEWAY", m.Gateway.Address},
			Variable{"CALLSEAL_GATEWAY_CA", org.TLSCAFile()},
			Variable{"CALLSEAL_REST", "https://" + m.Gateway.REST},
			Variable{"CALLSEAL_IDENTITIES", filepath.Dir(filepath.Dir(org.Identity(roleAuditor).CertFile()))})
	}
	return variables, nil
}

// Export writes the variable as a line a POSIX shell can evaluate.
func (v Variable) Export() string { return "export " + v.Name + "=" + shellQuote(v.Value) }

// shellQuote quotes a word for a POSIX shell.
func shellQuote(word string) string {
	return fmt.Sprintf("'%s'", strings.ReplaceAll(word, "'", `'\''`))
}
